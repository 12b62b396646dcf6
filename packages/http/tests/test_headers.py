"""The header policy: whom it believes, what it drops, what it refuses."""

from __future__ import annotations

import pytest

from server_http.engine import ConnectionInfo
from server_http.errors import BadRequest, ConfigurationProblem
from server_http.events import Request
from server_http.headers import AddressSet, HeaderPolicy, set_authority

PROXY = ("10.0.0.1", 4000)
STRANGER = ("203.0.113.9", 4000)


def admitted(policy, headers, client=PROXY, path=b"/app/page", authority=b"inner"):
    info = ConnectionInfo(client, ("127.0.0.1", 80))
    request = Request(1, "GET", path, "1.1")
    request.headers = [(b"host", authority), *headers]
    request.authority = authority
    request.client = info.client
    request.scheme = info.scheme()
    trusted = policy.trusts(info)
    policy.apply(request, trusted, any(b"_" in name for name, _ in headers))
    return request


def believing(**kwargs):
    return HeaderPolicy(forwarded_allow_ips=("10.0.0.0/8",), **kwargs)


class TestAddressSet:
    @pytest.mark.parametrize(
        ("values", "host", "inside"),
        [
            (["127.0.0.1", "::1"], "127.0.0.1", True),
            (["127.0.0.1", "::1"], "::1", True),
            (["127.0.0.1", "::1"], "127.0.0.2", False),
            (["127.0.0.1"], "::ffff:127.0.0.1", True),
            (["10.0.0.0/8"], "10.255.0.1", True),
            (["10.0.0.0/8"], "11.0.0.1", False),
            (["2001:db8::/32"], "2001:db8:1::5", True),
            (["2001:db8::/32"], "10.0.0.1", False),
            (["0:0:0:0:0:0:0:1"], "::1", True),
            (["*"], "192.0.2.1", True),
            ([], "127.0.0.1", False),
            (["10.0.0.0/8"], "not-an-address", False),
        ],
    )
    def test_has_what_its_entries_cover(self, values, host, inside):
        assert AddressSet(values).has((host, 1)) is inside

    def test_a_unix_peer_always_belongs(self):
        assert AddressSet([]).has(None)

    @pytest.mark.parametrize("value", ["10.0.0.1/8", "10.0.0.0/33", "example.org", "", "10.0.0"])
    def test_refuses_what_is_no_address_and_no_strict_block(self, value):
        with pytest.raises(ValueError, match=r"^proxy_allow_ips: expected an address, a CIDR block"):
            AddressSet([value], "proxy_allow_ips")


class TestNamesWithUnderscores:
    FIELDS = ((b"x_real_ip", b"1"), (b"x-real-ip", b"2"))

    def test_are_dropped_by_default(self):
        assert admitted(HeaderPolicy(), self.FIELDS).headers == [(b"host", b"inner"), (b"x-real-ip", b"2")]

    def test_are_refused_when_the_map_says_refuse(self):
        with pytest.raises(BadRequest, match="field name: expected no '_', got b'x_real_ip'"):
            admitted(HeaderPolicy(header_map="refuse"), self.FIELDS)

    def test_are_kept_when_the_map_says_dangerous(self):
        assert admitted(HeaderPolicy(header_map="dangerous"), self.FIELDS).headers[1:] == list(self.FIELDS)

    def test_pass_from_a_trusted_proxy_when_it_may_set_them(self):
        policy = believing(forwarder_headers=("REMOTE_USER",))
        kept = admitted(policy, [(b"remote_user", b"a"), (b"x_other", b"b")])
        assert kept.headers[1:] == [(b"remote_user", b"a")]

    def test_all_pass_from_a_trusted_proxy_with_a_star(self):
        assert admitted(believing(forwarder_headers=("*",)), self.FIELDS).headers[1:] == list(self.FIELDS)

    def test_never_pass_from_a_stranger(self):
        policy = believing(forwarder_headers=("*",))
        assert admitted(policy, self.FIELDS, STRANGER).headers[1:] == [(b"x-real-ip", b"2")]

    def test_unknown_map_is_refused(self):
        with pytest.raises(ValueError, match="header_map: expected drop, refuse or dangerous, got 'keep'"):
            HeaderPolicy(header_map="keep")


class TestScheme:
    @pytest.mark.parametrize(
        ("headers", "scheme"),
        [
            ([(b"x-forwarded-proto", b"https")], "https"),
            ([(b"x-forwarded-proto", b"HTTPS")], "https"),
            ([(b"x-forwarded-proto", b"http")], "http"),
            ([(b"x-forwarded-protocol", b"ssl")], "https"),
            ([(b"x-forwarded-ssl", b"on")], "https"),
            ([(b"x-forwarded-ssl", b"on"), (b"x-forwarded-proto", b"https")], "https"),
            ([(b"x-forwarded-proto", b"https, http")], "http"),
            ([], "http"),
        ],
    )
    def test_is_what_a_trusted_proxy_says(self, headers, scheme):
        assert admitted(believing(), headers).scheme == scheme

    def test_contradiction_is_refused(self):
        with pytest.raises(BadRequest, match="fields that say http and https"):
            admitted(believing(), [(b"x-forwarded-proto", b"https"), (b"x-forwarded-ssl", b"off")])

    def test_repeated_contradiction_is_refused(self):
        with pytest.raises(BadRequest):
            admitted(believing(), [(b"x-forwarded-proto", b"https"), (b"x-forwarded-proto", b"http")])

    def test_of_a_stranger_is_not_believed_nor_refused(self):
        fields = [(b"x-forwarded-proto", b"https"), (b"x-forwarded-ssl", b"off")]
        assert admitted(believing(), fields, STRANGER).scheme == "http"

    def test_own_headers_replace_the_default_ones(self):
        policy = believing(secure_scheme_headers={"FRONT-END-HTTPS": "on"})
        assert admitted(policy, [(b"front-end-https", b"on")]).scheme == "https"
        assert admitted(policy, [(b"x-forwarded-proto", b"https")]).scheme == "http"

    def test_list_is_read_by_hops_when_hops_are_counted(self):
        fields = [(b"x-forwarded-proto", b"https, http")]
        assert admitted(believing(forwarded_hops=2), fields).scheme == "https"
        assert admitted(believing(forwarded_hops=1), fields).scheme == "http"


class TestMountPoint:
    def test_a_trusted_proxy_sets_it(self):
        assert admitted(believing(), [(b"script_name", b"/app")]).script_name == "/app"

    def test_a_stranger_does_not(self):
        assert admitted(believing(), [(b"script_name", b"/app")], STRANGER).script_name is None

    def test_a_stranger_does_not_though_the_field_is_kept(self):
        policy = believing(header_map="dangerous")
        assert admitted(policy, [(b"script_name", b"/app")], STRANGER).script_name is None

    def test_does_not_count_when_the_proxy_may_not_set_it(self):
        assert admitted(believing(forwarder_headers=()), [(b"script_name", b"/app")]).script_name is None

    def test_path_outside_it_is_a_configuration_problem(self):
        with pytest.raises(ConfigurationProblem) as caught:
            admitted(believing(), [(b"script_name", b"/ap")])
        assert caught.value.status == 500

    def test_environment_sets_it_for_everybody(self):
        policy = believing(script_name="/app/")
        assert policy.applied.always
        assert admitted(policy, [], STRANGER).script_name == "/app"

    def test_field_overrides_the_environment(self):
        policy = believing(script_name="/other")
        assert admitted(policy, [(b"script_name", b"/app")]).script_name == "/app"

    def test_root_mount_is_no_mount(self):
        assert admitted(believing(), [(b"script_name", b"/")]).script_name is None


class TestForwardedClientAndHost:
    @pytest.mark.parametrize(
        ("hops", "value", "client"),
        [
            (0, b"192.0.2.1", PROXY),
            (1, b"192.0.2.1", ("192.0.2.1", 0)),
            (1, b"198.51.100.7, 192.0.2.1", ("192.0.2.1", 0)),
            (2, b"198.51.100.7, 192.0.2.1", ("198.51.100.7", 0)),
            (2, b"spoofed, 198.51.100.7,192.0.2.1", ("198.51.100.7", 0)),
            (2, b"192.0.2.1", PROXY),
            (1, b"192.0.2.1:5000", ("192.0.2.1", 5000)),
            (1, b"2001:DB8::1", ("2001:db8::1", 0)),
            (1, b"[2001:db8::1]:443", ("2001:db8::1", 443)),
            (1, b"unknown", None),
        ],
    )
    def test_client_by_x_forwarded_for(self, hops, value, client):
        assert admitted(believing(forwarded_hops=hops), [(b"x-forwarded-for", value)]).client == client

    def test_repeated_lines_are_one_list(self):
        fields = [(b"x-forwarded-for", b"198.51.100.7"), (b"x-forwarded-for", b"192.0.2.1")]
        assert admitted(believing(forwarded_hops=2), fields).client == ("198.51.100.7", 0)

    @pytest.mark.parametrize("value", [b"localhost", b"1.2.3", b"1.2.3.4:99999", b"[::1", b"::1]:5", b"1.2.3.4:x"])
    def test_a_proxy_that_says_nonsense_is_refused(self, value):
        with pytest.raises(BadRequest):
            admitted(believing(forwarded_hops=1), [(b"x-forwarded-for", value)])

    def test_a_stranger_is_not_believed(self):
        fields = [(b"x-forwarded-for", b"192.0.2.1"), (b"x-forwarded-host", b"evil")]
        request = admitted(believing(forwarded_hops=1), fields, STRANGER)
        assert (request.client, request.authority) == (STRANGER, b"inner")

    @pytest.mark.parametrize(
        ("fields", "authority", "server"),
        [
            ([(b"x-forwarded-host", b"example.org")], b"example.org", ("example.org", 80)),
            ([(b"x-forwarded-host", b"example.org:8443")], b"example.org:8443", ("example.org", 8443)),
            ([(b"x-forwarded-host", b"a"), (b"x-forwarded-proto", b"https")], b"a", ("a", 443)),
            ([(b"x-forwarded-host", b"a"), (b"x-forwarded-port", b"8443")], b"a:8443", ("a", 8443)),
            ([(b"x-forwarded-port", b"8443")], b"inner:8443", ("inner", 8443)),
            ([(b"x-forwarded-port", b"80")], b"inner", ("inner", 80)),
            ([(b"x-forwarded-host", b"[::1]:99")], b"[::1]:99", ("::1", 99)),
        ],
    )
    def test_host_by_x_forwarded_host_and_port(self, fields, authority, server):
        request = admitted(believing(forwarded_hops=1), fields)
        assert (request.authority, request.server) == (authority, server)
        assert request.header(b"host") == authority

    def test_forwarded_element_sets_client_host_and_scheme(self):
        policy = believing(forwarded_hops=2, forwarded_header="forwarded")
        value = b'for=198.51.100.1;host=spoof, For="[2001:db8::5]:99";host="example.org";proto=https, for=10.0.0.2'
        request = admitted(policy, [(b"forwarded", value), (b"x-forwarded-for", b"9.9.9.9")])
        assert request.client == ("2001:db8::5", 99)
        assert (request.authority, request.scheme) == (b"example.org", "https")
        assert request.server == ("example.org", 443)

    def test_a_port_alone_is_nothing_to_a_request_without_a_host(self):
        request = Request(1, "GET", b"/", "1.0")
        request.headers = [(b"x-forwarded-port", b"8443")]
        believing(forwarded_hops=1).apply(request, True, False)
        assert (request.authority, request.server) == (b"", None)

    def test_where_forwarded_is_read_no_other_field_says_the_scheme(self):
        policy = believing(forwarded_hops=1, forwarded_header="forwarded")
        fields = [(b"forwarded", b"for=192.0.2.1"), (b"x-forwarded-proto", b"https")]
        assert admitted(policy, fields).scheme == "http"
        assert admitted(policy, fields[1:]).scheme == "http"
        assert admitted(believing(forwarded_header="forwarded"), fields[1:]).scheme == "https"

    def test_only_the_chosen_field_is_read(self):
        request = admitted(believing(forwarded_hops=1), [(b"forwarded", b"for=192.0.2.1")])
        assert request.client == PROXY

    def test_forwarded_host_must_be_an_authority(self):
        with pytest.raises(BadRequest, match="authority"):
            admitted(believing(forwarded_hops=1), [(b"x-forwarded-host", b"a/b")])


class TestTrustedOnly:
    def test_field_is_kept_from_a_trusted_peer_and_dropped_from_a_stranger(self):
        policy = believing(trusted_only=("X-Request-ID",))
        fields = [(b"x-request-id", b"7"), (b"x-other", b"1")]
        assert policy.applied.always
        assert admitted(policy, fields).headers[1:] == fields
        assert admitted(policy, fields, STRANGER).headers[1:] == fields[1:]


def test_set_authority_replaces_every_host_field():
    request = Request(1, "GET", b"/", "1.1")
    request.headers = [(b"a", b"1"), (b"host", b"x"), (b"b", b"2")]
    set_authority(request, b"y")
    assert request.headers == [(b"host", b"y"), (b"a", b"1"), (b"b", b"2")]


class TestRequestStart:
    @pytest.mark.parametrize(
        ("value", "seconds"),
        [
            (b"t=1700000000.123", 1700000000.123),
            (b"1700000000.123", 1700000000.123),
            (b"1700000000", 1700000000.0),
            (b"1700000000123", 1700000000.123),
            (b"t=1700000000123", 1700000000.123),
            (b"t=1700000000123456", 1700000000.123456),
            (b"1700000000123456789", 1700000000.123456789),
            (b" t=1700000000.5 ", 1700000000.5),
            (b"", 0.0),
            (b"t=", 0.0),
            (b"yesterday", 0.0),
            (b"-5", 0.0),
            (b"1e9", 0.0),
            (b"nan", 0.0),
            (b"9" * 40, 0.0),
        ],
    )
    def test_a_proxy_says_when_it_took_the_request_in_any_unit(self, value, seconds):
        request = admitted(believing(), [(b"x-request-start", value)])
        assert request.queued_since == pytest.approx(seconds, abs=1e-6)

    def test_a_stranger_is_not_believed(self):
        request = admitted(believing(), [(b"x-request-start", b"t=1700000000.1")], client=STRANGER)
        assert request.queued_since == 0.0

    def test_the_nearest_proxy_is_believed_and_the_application_sees_the_field(self):
        lines = [(b"x-request-start", b"t=1"), (b"x-request-start", b"t=1700000000.5")]
        request = admitted(believing(forwarder_headers=("SCRIPT_NAME",)), [*lines, (b"script_name", b"/app")])
        assert (request.queued_since, request.script_name) == (1700000000.5, "/app")
        assert lines[0] in request.headers
