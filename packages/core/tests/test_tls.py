"""TLS as a layer: handshakes, records, certificates, facts. Client and server meet in memory."""

from __future__ import annotations

import ssl
import sys

import pytest
import trustme

from server_core.compat.values import ssl_context
from server_core.errors import ConfigError
from server_core.settings import Settings
from server_core.tls import ServerTLS
from server_core.tls_errors import PlainHTTP, TLSError
from server_core.tls_facts import format_name


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


class Material:
    """Certificates in files, as an operator has them."""

    def __init__(self, authority, folder):
        self.authority = authority
        self.folder = folder
        self.ca = str(folder / "ca.pem")
        authority.cert_pem.write_to_path(self.ca)

    def issue(self, name, *hosts):
        certificate = self.authority.issue_cert(*hosts)
        path = str(self.folder / f"{name}.pem")
        certificate.private_key_and_cert_chain_pem.write_to_path(path)
        return path


@pytest.fixture
def material(authority, tmp_path):
    return Material(authority, tmp_path)


def serving(material, **settings):
    settings.setdefault("certfile", material.issue("server", "localhost"))
    return ServerTLS.from_settings(Settings.make(**settings))


class Client:
    """The other end: an SSL object of a client, joined to a session without sockets."""

    def __init__(self, tls, ca, host="localhost", session=None, context=None, alpn=()):
        self.context = context or ssl.create_default_context(cafile=ca)
        if alpn:
            self.context.set_alpn_protocols(list(alpn))
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.wrapped = self.context.wrap_bio(self.incoming, self.outgoing, server_hostname=host, session=session)
        self.server = tls.session()
        self.received = b""

    def exchange(self, size=0):
        """Carry octets both ways until nobody has more; in pieces of ``size`` when given."""
        while True:
            out = self.outgoing.read()
            step = size or max(1, len(out))
            for start in range(0, len(out), step):
                self.received += self.server.receive(out[start : start + step])
            back = self.server.encrypt()
            self.incoming.write(back)
            if not out and not back:
                return

    def shake(self, size=0):
        for _ in range(4):
            try:
                self.wrapped.do_handshake()
            except ssl.SSLWantReadError:
                self.exchange(size)
            else:
                self.exchange(size)
                return self
        raise AssertionError("the handshake did not come to an end")

    def read(self):
        pieces = []
        while True:
            try:
                piece = self.wrapped.read(65536)
            except ssl.SSLWantReadError:
                return b"".join(pieces)
            if not piece:
                return b"".join(pieces)
            pieces.append(piece)

    def common_names(self):
        return [value for kind, value in self.wrapped.getpeercert()["subjectAltName"]]


class TestSession:
    @pytest.mark.parametrize("size", [0, 1, 7, 1000])
    def test_handshake_and_records_in_whatever_pieces(self, material, size):
        client = Client(serving(material), material.ca).shake(size)
        assert client.server.established
        client.wrapped.write(b"x" * 50_000)
        client.wrapped.write(b"end")
        client.exchange(size)
        assert client.received == b"x" * 50_000 + b"end"

    def test_answer_is_encrypted(self, material):
        client = Client(serving(material), material.ca).shake()
        octets = client.server.encrypt(memoryview(b"y" * 40_000))
        assert b"yyyy" not in octets
        assert client.server.encrypt() == b""
        client.incoming.write(octets)
        assert client.read() == b"y" * 40_000

    def test_data_behind_the_handshake_in_one_piece_is_not_lost(self, material):
        client = Client(serving(material), material.ca)
        with pytest.raises(ssl.SSLWantReadError):
            client.wrapped.do_handshake()
        client.exchange()
        client.wrapped.do_handshake()
        client.wrapped.write(b"early")
        assert client.server.receive(client.outgoing.read()) == b"early"
        assert client.server.established

    def test_close_notify_of_the_peer_ends_the_input_and_not_the_output(self, material):
        client = Client(serving(material), material.ca).shake()
        client.wrapped.write(b"last")
        with pytest.raises(ssl.SSLWantReadError):
            client.wrapped.unwrap()
        assert client.server.receive(client.outgoing.read()) == b"last"
        assert client.server.input_ended
        assert client.server.encrypt(b"answer")

    def test_close_says_close_notify_once(self, material):
        client = Client(serving(material), material.ca).shake()
        client.incoming.write(client.server.encrypt(b"end", last=True))
        assert client.wrapped.read(10) == b"end"
        assert client.wrapped.read(10) == b""
        assert client.server.encrypt(last=True) == b""

    def test_close_before_the_handshake_says_nothing(self, material):
        session = serving(material).session()
        assert session.encrypt(last=True) == b""

    @pytest.mark.parametrize("octets", [b"GET / HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0", b"P", b"post /"])
    def test_clear_text_is_told_apart(self, material, octets):
        with pytest.raises(PlainHTTP, match="expected a handshake, got"):
            serving(material).session().receive(octets)

    @pytest.mark.parametrize(
        "octets", [b"\x80\x2e\x01\x00\x02", b"\x00" * 16, b"\x16\x03\x01\x00\x05hello", b"\r\n\r\n"]
    )
    def test_rubbish_fails_the_handshake(self, material, octets):
        with pytest.raises(TLSError, match=r"expected a( valid)? handshake"):
            serving(material).session().receive(octets)

    def test_a_broken_record_is_refused_with_an_alert(self, material):
        client = Client(serving(material), material.ca).shake()
        client.wrapped.write(b"data")
        octets = bytearray(client.outgoing.read())
        octets[-1] ^= 1
        with pytest.raises(TLSError, match="expected a valid record"):
            client.server.receive(bytes(octets))
        assert client.server.encrypt()


class TestServerNames:
    def hello(self, name):
        """What a client says first, with ``name`` in the place of a host name of as many octets."""
        outgoing = ssl.MemoryBIO()
        stand_in = "x" * len(name)
        wrapped = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=stand_in)
        with pytest.raises(ssl.SSLWantReadError):
            wrapped.do_handshake()
        octets = outgoing.read()
        assert octets.count(stand_in.encode()) == 1
        return octets.replace(stand_in.encode(), name)

    def test_one_that_is_no_text_ends_the_handshake_and_nothing_is_printed(self, material, monkeypatch):
        printed = []
        monkeypatch.setattr(sys, "unraisablehook", printed.append)
        session = serving(material).session()
        with pytest.raises(TLSError):
            session.receive(self.hello(b"caf\xe9.example.invalid"))
        assert session.encrypt(), "an alert"
        assert printed == []

    def test_what_else_cannot_be_raised_is_told(self, material, monkeypatch):
        printed = []
        monkeypatch.setattr(sys, "unraisablehook", printed.append)

        def context_of(_config, make_default):
            context = make_default()
            context.sni_callback = lambda *_: b"caf\xe9".decode("ascii")
            return context

        session = serving(material, ssl_context=context_of).session()
        with pytest.raises(TLSError):
            session.receive(self.hello(b"cafe.example.invalid"))
        assert [type(told.exc_value) for told in printed] == [UnicodeDecodeError]


class TestCertificates:
    def test_is_off_without_a_certificate(self):
        assert ServerTLS.from_settings(Settings.make()) is None

    def test_key_may_be_in_its_own_file(self, authority, material, tmp_path):
        issued = authority.issue_cert("localhost")
        certfile, keyfile = str(tmp_path / "c.pem"), str(tmp_path / "k.pem")
        issued.cert_chain_pems[0].write_to_path(certfile)
        issued.private_key_pem.write_to_path(keyfile)
        assert Client(serving(material, certfile=certfile, keyfile=keyfile), material.ca).shake().server.established

    @pytest.mark.parametrize(
        ("settings", "text"),
        [
            ({"certfile": "{dir}/missing.pem"}, "certfile: expected a readable file .*No such file"),
            ({"certfile": "{cert}", "keyfile": "{dir}/missing.key"}, "keyfile: expected a readable file .*No such"),
            ({"certfile": "{empty}"}, "certfile: expected a certificate and its key"),
            ({"certfile": "{cert}", "keyfile": "{other}"}, "KEY_VALUES_MISMATCH"),
            (
                {"certfile": "{bare}"},
                "certfile: expected the key in '.*', because keyfile names no other file, got none",
            ),
            ({"certfile": "{encrypted}"}, "keyfile: expected a key without a passphrase"),
            ({"keyfile": "{cert}"}, "certfile: expected a certificate beside keyfile"),
            ({"certfile": "{cert}", "ca_certs": "{dir}/no.pem"}, "ca_certs: expected a readable file"),
            ({"certfile": "{cert}", "ca_certs": "{empty}"}, "ca_certs: expected a readable file"),
            ({"certfile": "{cert}", "ciphers": "NOPE"}, "ciphers: expected ciphers that OpenSSL knows"),
            ({"certfile": "{cert}", "sni_certificates": ["a=b.pem"]}, "sni_certificates: expected a readable file"),
        ],
    )
    def test_what_cannot_be_used_is_one_clear_line(self, material, tmp_path, settings, text):
        places = {"dir": tmp_path, "cert": material.issue("a", "a"), "other": material.issue("b", "b")}
        places["empty"] = tmp_path / "empty.pem"
        places["empty"].write_bytes(b"")
        places["bare"] = tmp_path / "bare.pem"
        places["bare"].write_text(_without_key(places["cert"]))
        places["encrypted"] = tmp_path / "encrypted.pem"
        places["encrypted"].write_text(_encrypted(places["cert"]))
        filled = {
            name: [item.format(**places) for item in value] if isinstance(value, list) else value.format(**places)
            for name, value in settings.items()
        }
        with pytest.raises(ConfigError, match=text) as caught:
            ServerTLS.from_settings(Settings.make(**filled))
        assert "\n" not in str(caught.value)

    def test_certificate_follows_the_name_the_client_gives(self, material):
        tls = serving(
            material,
            sni_certificates=[
                "a.example.org=" + material.issue("a", "a.example.org"),
                "*.example.org=" + material.issue("w", "*.example.org"),
            ],
        )
        for host, expected in (
            ("localhost", "localhost"),
            ("a.example.org", "a.example.org"),
            ("A.EXAMPLE.ORG", "a.example.org"),
            ("b.example.org", "*.example.org"),
        ):
            assert Client(tls, material.ca, host).shake().common_names() == [expected]
        with pytest.raises(ssl.SSLCertVerificationError):  # a wildcard covers one label
            Client(tls, material.ca, "x.y.example.org").shake()

    def test_a_client_that_names_nobody_gets_the_default(self, material):
        context = ssl.create_default_context(cafile=material.ca)
        context.check_hostname = False
        client = Client(serving(material), material.ca, None, context=context).shake()
        assert client.common_names() == ["localhost"]
        assert client.server.info().server_name is None

    def test_changed_files_are_read_again_when_it_is_time(self, material):
        tls = serving(material, certificate_reload=10)
        assert tls.refresh(100.0) == []
        running = Client(tls, material.ca).shake()
        material.issue("server", "localhost", "new.example.org")
        assert tls.refresh(109.0) == []
        assert told(tls.refresh(110.0)) == [("info", "Certificates changed and were read again")]
        assert tls.refresh(130.0) == []
        assert "new.example.org" in Client(tls, material.ca).shake().common_names()
        running.wrapped.write(b"still here")
        running.exchange()
        assert running.received == b"still here"

    def test_files_that_cannot_be_used_leave_the_old_certificate(self, material, tmp_path):
        tls = serving(material, certificate_reload=1)
        tls.refresh(0.0)
        (tmp_path / "server.pem").write_text("half written")
        ((level, line),) = told(tls.refresh(1.0))
        assert level == "warning"
        assert line.startswith("Certificates changed and cannot be used, the old ones stay: certfile: expected")
        assert Client(tls, material.ca).shake().server.established
        material.issue("server", "localhost", "new.example.org")
        assert told(tls.refresh(2.0)) == [("info", "Certificates changed and were read again")]

    def test_without_the_setting_files_are_not_looked_at(self, material):
        tls = serving(material)
        material.issue("server", "new.example.org")
        assert tls.refresh(1e9) == []

    def test_hook_makes_the_context_and_its_own_sni_callback_is_asked(self, material):
        asked = []
        path = material.issue("server", "localhost")

        def hook(config, default_ssl_context_factory):
            context = default_ssl_context_factory()
            context.sni_callback = lambda wrapped, name, context: asked.append((config.certfile, name))
            return context

        tls = serving(material, certfile=path, ssl_context=hook)
        Client(tls, material.ca).shake()
        assert asked == [(path, "localhost")]

    def test_servers_of_other_making_get_the_context_of_the_settings(self, material):
        path = material.issue("server", "localhost")
        context = ssl_context(Settings.make(certfile=path, tls_minimum_version="TLSv1.3"))
        assert context.minimum_version == ssl.TLSVersion.TLSv1_3
        with pytest.raises(ConfigError, match="certfile: expected"):
            ssl_context(Settings.make(certfile=path + ".gone"))

    def test_hook_that_fails_while_files_change_leaves_the_old_certificate(self, material):
        broken = []

        def hook(config, default_ssl_context_factory):
            if broken:
                raise ssl.SSLError(1, "half written")
            return default_ssl_context_factory()

        tls = serving(material, ssl_context=hook, certificate_reload=1)
        tls.refresh(0.0)
        broken.append(material.issue("server", "localhost", "new.example.org"))
        ((level, line),) = told(tls.refresh(1.0))
        assert level == "warning"
        assert line.startswith("Certificates changed and cannot be used, the old ones stay: SSLError: ")
        assert Client(tls, material.ca).shake().server.established

    def test_hook_that_returns_something_else_is_refused(self, material):
        with pytest.raises(ConfigError, match=r"ssl_context: expected an ssl\.SSLContext from the hook, got None"):
            serving(material, ssl_context=lambda config, factory: None)


def told(notices):
    return [(notice.level, notice.message) for notice in notices]


def _without_key(path):
    with open(path, encoding="ascii") as file:
        text = file.read()
    return text[text.index("-----BEGIN CERT") :]


def _encrypted(path):
    from cryptography.hazmat.primitives import serialization

    with open(path, "rb") as file:
        octets = file.read()
    key = serialization.load_pem_private_key(octets[: octets.index(b"-----BEGIN CERT")], None)
    secret = serialization.BestAvailableEncryption(b"secret")
    text = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, secret)
    return (text + octets[octets.index(b"-----BEGIN CERT") :]).decode()


class TestProtocols:
    @pytest.mark.parametrize(
        ("served", "offered", "chosen"),
        [
            (["h1", "h2"], ["h2", "http/1.1"], "http/1.1"),
            (["h2", "h1"], ["http/1.1", "h2"], "h2"),
            (["h1"], ["h2", "http/1.1"], "http/1.1"),
            (["h1"], ["h2"], None),
            (["h2", "h1"], [], None),
        ],
    )
    def test_alpn_follows_the_order_of_the_settings(self, material, served, offered, chosen):
        client = Client(serving(material, http_protocols=served), material.ca, alpn=offered).shake()
        assert client.server.info().alpn == chosen

    def test_a_worker_may_offer_less(self, material):
        tls = serving(material, http_protocols=["h2", "h1"], certificate_reload=1)
        tls.set_protocols(["h1"])
        assert Client(tls, material.ca, alpn=["h2", "http/1.1"]).shake().server.info().alpn == "http/1.1"
        tls.refresh(0.0)
        material.issue("server", "localhost", "again")
        assert tls.refresh(1.0)
        assert Client(tls, material.ca, alpn=["h2", "http/1.1"]).shake().server.info().alpn == "http/1.1"

    def test_minimum_version_is_kept(self, material):
        tls = serving(material, tls_minimum_version="TLSv1.3")
        context = ssl.create_default_context(cafile=material.ca)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(TLSError):
            Client(tls, material.ca, context=context).shake()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_session_is_resumed_also_after_certificates_were_read_again(material, version):
    tls = serving(material, certificate_reload=1)
    context = ssl.create_default_context(cafile=material.ca)
    context.maximum_version = version
    first = Client(tls, material.ca, context=context).shake()
    first.incoming.write(first.server.encrypt(b"hello"))
    first.exchange()
    first.read()
    assert not first.server.info().resumed
    tls.refresh(0.0)
    material.issue("server", "localhost", "again")
    assert tls.refresh(1.0)
    again = Client(tls, material.ca, context=context, session=first.wrapped.session).shake()
    assert again.server.info().resumed
    assert again.server.info().variables()["SSL_SESSION_RESUMED"] == "Resumed"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_session_of_a_client_ends_with_its_authority(material, version):
    authorities = material.folder / "authorities.pem"
    material.authority.cert_pem.write_to_path(str(authorities))
    tls = serving(material, certificate_reload=1, ca_certs=str(authorities), cert_reqs=2)
    context = ssl.create_default_context(cafile=material.ca)
    context.load_cert_chain(material.issue("client", "client.example.org"))
    context.maximum_version = version
    first = Client(tls, material.ca, context=context).shake()
    first.incoming.write(first.server.encrypt(b"hello"))
    first.exchange()
    first.read()
    assert Client(tls, material.ca, context=context, session=first.wrapped.session).shake().server.info().resumed
    tls.refresh(0.0)
    trustme.CA().cert_pem.write_to_path(str(authorities))
    assert told(tls.refresh(1.0)) == [("info", "Certificates changed and were read again")]
    with pytest.raises(TLSError):
        Client(tls, material.ca, context=context, session=first.wrapped.session).shake()


def test_a_hook_may_give_the_same_context_when_authorities_change(material):
    path = material.issue("server", "localhost")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=material.ca)
    context.load_cert_chain(path)
    tls = serving(material, certfile=path, certificate_reload=1, ca_certs=material.ca, ssl_context=lambda *_: context)
    tls.refresh(0.0)
    trustme.CA().cert_pem.write_to_path(material.ca)
    assert tls.refresh(1.0)
    client = ssl.create_default_context()
    material.authority.configure_trust(client)
    assert Client(tls, material.ca, context=client).shake().server.established


class TestFacts:
    def test_of_a_client_without_certificate(self, material):
        client = Client(serving(material), material.ca).shake()
        variables = client.server.info().variables()
        assert variables["HTTPS"] == "on"
        assert variables["SSL_PROTOCOL"] == "TLSv1.3"
        assert variables["SSL_CIPHER"].startswith("TLS_")
        assert variables["SSL_TLS_SNI"] == "localhost"
        assert variables["SSL_CLIENT_VERIFY"] == "NONE"
        assert "SSL_CLIENT_S_DN" not in variables
        extension = client.server.info().extension()
        assert extension["tls_version"] == 0x0304
        assert 0x1301 <= extension["cipher_suite"] <= 0x1305
        assert extension["server_cert"].startswith("-----BEGIN CERTIFICATE-----")
        assert extension["client_cert_name"] is None
        assert extension["client_cert_chain"] == []

    def test_of_a_client_with_a_certificate(self, authority, material):
        tls = serving(material, ca_certs=material.ca, cert_reqs=2)
        context = ssl.create_default_context(cafile=material.ca)
        authority.issue_cert("client@example.org", common_name="Some, One").configure_cert(context)
        client = Client(tls, material.ca, context=context).shake()
        variables = client.server.info().variables()
        assert variables["SSL_CLIENT_VERIFY"] == "SUCCESS"
        assert "CN=Some\\, One" in variables["SSL_CLIENT_S_DN"]
        assert variables["SSL_CLIENT_CERT"].startswith("-----BEGIN CERTIFICATE-----")
        assert variables["SSL_CLIENT_M_SERIAL"]
        extension = client.server.info().extension()
        assert "CN=Some\\, One" in extension["client_cert_name"]
        assert extension["client_cert_chain"][0] == variables["SSL_CLIENT_CERT"]

    def test_a_required_certificate_that_is_missing_fails_the_handshake(self, material):
        tls = serving(material, ca_certs=material.ca, cert_reqs=2)
        with pytest.raises(TLSError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
            Client(tls, material.ca).shake()

    def test_a_certificate_of_somebody_else_fails_the_handshake(self, material):
        tls = serving(material, ca_certs=material.ca, cert_reqs=1)
        context = ssl.create_default_context(cafile=material.ca)
        trustme.CA().issue_cert("client@example.org").configure_cert(context)
        with pytest.raises(TLSError, match="CERTIFICATE_VERIFY_FAILED"):
            Client(tls, material.ca, context=context).shake()

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ((), ""),
            (((("countryName", "DE"),), (("commonName", "x"),)), "CN=x,C=DE"),
            (((("commonName", "a"), ("userId", "b")),), "CN=a+UID=b"),
            (((("commonName", ' #a"b ,\\'),),), 'CN=\\ #a\\"b \\,\\\\'),
            (((("emailAddress", "a@b "),),), "emailAddress=a@b\\ "),
        ],
    )
    def test_names_are_written_by_rfc_4514(self, name, text):
        assert format_name(name) == text
