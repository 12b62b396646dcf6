"""The layers between socket and engine: their order, their ends, and what the engine is told."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import struct

import pytest
import trustme
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server_core.drive.connection import CIPHERTEXT_HIGH_WATER, FILE_PIECE, Opener
from server_core.settings import Settings
from server_core.tls import ServerTLS
from server_core.tls_errors import PlainHTTP, TLSError
from server_http.config import HttpConfig
from server_http.engine import ConnectionInfo, FileRegion
from server_http.errors import BadRequest, Forbidden, RequestTimeout
from server_http.events import BodyReceived, ConnectionEnded, Handover, InputEnded, Warned
from server_http.headers import AddressSet
from server_http.limits import Limits
from server_http.proxy import V2_START

PEER = ("127.0.0.1", 5000)


class FakeEngine:
    """Reports what it is given as body events, and sends what a test puts into ``waiting``."""

    def __init__(self, info, config, now):
        self.info = info
        self.opened = now
        self.waiting = []
        self.written = 0
        self.next_events = []
        self.reading = True
        self.drained = False

    def receive_data(self, data, now):
        return [BodyReceived(1, bytes(data), len(data)), *self._take()]

    def receive_eof(self, now):
        return [InputEnded(1)]

    def advance(self, now):
        return self._take()

    def handle_timer(self, now):
        return self._take()

    def _take(self):
        events, self.next_events = self.next_events, []
        return events

    def want_read(self):
        return self.reading

    def segments(self):
        return self.waiting

    def sent(self, n):
        self.written += n
        while n:
            first = self.waiting[0]
            size = len(first)
            if size > n:
                if isinstance(first, FileRegion):
                    self.waiting[0] = FileRegion(first.fd, first.offset + n, first.count - n)
                else:
                    self.waiting[0] = memoryview(first)[n:]
                return
            n -= size
            del self.waiting[0]

    def drain(self, now):
        self.drained = True

    def deadline(self):
        return 77.0


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
    return folder


@pytest.fixture
def tls(material):
    return ServerTLS.from_settings(Settings.make(certfile=str(material / "server.pem"), tls_handshake_timeout=9))


def opened(tls=None, mode="off", allowed=("127.0.0.1",), now=0.0, **limits):
    config = HttpConfig(proxy_mode=mode, proxy_allow_ips=AddressSet(allowed), limits=Limits(**limits))
    return Opener(config, FakeEngine, tls).open(ConnectionInfo(PEER, ("127.0.0.1", 443)), now)


def kinds(events):
    return [type(event) for event in events]


def body(events):
    return b"".join(event.data for event in events if type(event) is BodyReceived)


def output(connection, n=None):
    """Write what waits, or ``n`` octets of it, as a driver does."""
    octets = b"".join(bytes(segment) for segment in connection.segments())[:n]
    connection.sent(len(octets))
    return octets


def drained(connection):
    """Write until nothing waits."""
    pieces = []
    while connection.segments():
        pieces.append(output(connection))
    return b"".join(pieces)


class Client:
    """A TLS client without sockets, joined to a connection."""

    def __init__(self, connection, material):
        self.connection = connection
        self.events = []
        context = ssl.create_default_context(cafile=str(material / "ca.pem"))
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.wrapped = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")

    def shake(self, size=100_000, prefix=b""):
        octets = prefix
        for _ in range(4):
            with contextlib.suppress(ssl.SSLWantReadError):
                self.wrapped.do_handshake()
            octets += self.outgoing.read()
            for start in range(0, len(octets), size):
                self.events.extend(self.connection.receive_data(octets[start : start + size], 1.0))
            octets = b""
            self.incoming.write(drained(self.connection))
        return self

    def say(self, octets):
        self.wrapped.write(octets)
        return self.connection.receive_data(self.outgoing.read(), 2.0)

    def hear(self, octets):
        self.incoming.write(octets)
        pieces = []
        while True:
            try:
                piece = self.wrapped.read(100_000)
            except ssl.SSLWantReadError:
                return b"".join(pieces)
            if not piece:
                return b"".join(pieces) + b"<end>"
            pieces.append(piece)


class TestPlain:
    def test_is_the_engine_and_nothing_else(self):
        connection = opened(now=3.0)
        assert connection.plain
        assert connection.engine.opened == 3.0
        assert body(connection.receive_data(b"hello", 1.0)) == b"hello"
        assert kinds(connection.receive_eof(1.0)) == [InputEnded]
        connection.engine.waiting = [b"abc"]
        assert connection.segments() is connection.engine.waiting
        connection.sent(3)
        assert connection.engine.written == 3
        assert connection.deadline() == 77.0
        assert connection.want_read()
        connection.drain(1.0)
        assert connection.engine.drained
        assert connection.info.draining

    @pytest.mark.parametrize("mode", ["off", "auto"])
    def test_handover_is_applied(self, mode):
        connection = opened(mode=mode)
        connection.receive_data(b"first", 0.0)
        successor = FakeEngine(connection.info, None, 0.0)
        connection.engine.next_events = [Handover(successor)]
        assert kinds(connection.advance(0.0)) == [Handover]
        assert connection.engine is successor


class TestProxyPrefix:
    HEADER = b"PROXY TCP4 192.0.2.1 192.0.2.2 1000 443\r\n"

    @pytest.mark.parametrize("size", [1, 7, 1000])
    def test_replaces_the_client_and_not_the_peer(self, size):
        connection = opened(mode="v1")
        assert connection.engine is None
        assert not connection.plain
        octets = self.HEADER + b"GET"
        events = []
        for start in range(0, len(octets), size):
            events.extend(connection.receive_data(octets[start : start + size], 4.0))
        assert body(events) == b"GET"
        assert connection.plain
        assert connection.info.client == ("192.0.2.1", 1000)
        assert connection.info.peer == PEER
        assert connection.info.proxy.protocol == "TCP4"
        assert connection.engine.opened == 4.0

    def test_alone_opens_the_engine(self):
        connection = opened(mode="v1")
        assert connection.receive_data(self.HEADER, 4.0) == ()
        assert connection.engine.opened == 4.0

    def test_local_leaves_the_client(self):
        connection = opened(mode="v2")
        connection.receive_data(V2_START + b"\x20\x00\x00\x00", 0.0)
        assert connection.info.client == PEER
        assert connection.info.proxy.protocol == "LOCAL"

    def test_none_at_all_with_auto(self):
        connection = opened(mode="auto")
        assert body(connection.receive_data(b"GET", 0.0)) == b"GET"
        assert connection.info.proxy is None

    @pytest.mark.parametrize(
        ("allowed", "octets", "error", "status"),
        [
            (["10.0.0.1"], HEADER, Forbidden, b"403"),
            (["127.0.0.1"], b"GET / HTTP/1.1\r\n", BadRequest, b"400"),
            (["127.0.0.1"], b"PROXY nonsense\r\n", BadRequest, b"400"),
        ],
    )
    def test_error_is_answered_and_ends_the_connection(self, allowed, octets, error, status):
        connection = opened(mode="v1", allowed=allowed)
        (event,) = connection.receive_data(octets, 0.0)
        assert type(event) is ConnectionEnded
        assert type(event.error) is error
        assert event.linger
        assert output(connection).startswith(b"HTTP/1.1 " + status)
        assert connection.segments() == []
        assert not connection.want_read()
        assert connection.receive_data(octets, 0.0) == ()
        assert connection.engine is None

    def test_has_a_deadline(self):
        connection = opened(mode="v1", proxy_timeout=5.0, now=2.0)
        assert connection.deadline() == 7.0
        assert connection.handle_timer(6.9) == ()
        (event,) = connection.handle_timer(7.0)
        assert type(event.error) is RequestTimeout
        assert str(event.error).startswith("PROXY header:")
        assert connection.handle_timer(8.0) == ()

    def test_end_of_input_before_it_is_no_error(self):
        (event,) = opened(mode="v1").receive_eof(0.0)
        assert event.error is None

    def test_stopping_worker_reaches_the_engine_that_opens_later(self):
        connection = opened(mode="v1")
        connection.drain(0.0)
        connection.receive_data(self.HEADER, 0.0)
        assert connection.engine.drained


class TestTLS:
    @pytest.mark.parametrize("size", [1, 100, 100_000])
    def test_engine_opens_when_the_handshake_is_complete(self, tls, material, size):
        connection = opened(tls)
        assert connection.engine is None
        assert connection.deadline() == 9.0
        client = Client(connection, material).shake(size)
        assert connection.engine.opened == 1.0
        assert connection.deadline() == 77.0
        assert connection.info.scheme() == "https"
        assert connection.info.tls.version == "TLSv1.3"
        assert body(client.say(b"hello")) == b"hello"

    def test_certificates_that_changed_are_read_when_a_connection_comes(self, material, tmp_path):
        path = tmp_path / "server.pem"
        path.write_bytes((material / "server.pem").read_bytes())
        tls = ServerTLS.from_settings(Settings.make(certfile=str(path), certificate_reload=5))
        assert kinds(Client(opened(tls, now=0.0), material).shake().say(b"x")) == [BodyReceived]
        os.utime(path, (1, 1))
        connection = opened(tls, now=6.0)
        client = Client(connection, material)
        client.shake()
        assert kinds(client.events) == [Warned]
        assert client.events[0].message == "Certificates changed and were read again"

    def test_proxy_prefix_comes_before_it(self, tls, material):
        block = socket.inet_aton("192.0.2.1") + socket.inet_aton("192.0.2.2") + struct.pack("!HH", 1, 2)
        connection = opened(tls, "v2")
        client = Client(connection, material).shake(1, V2_START + struct.pack("!BBH", 0x21, 0x11, len(block)) + block)
        assert connection.info.client == ("192.0.2.1", 1)
        assert body(client.say(b"hello")) == b"hello"

    def test_bad_proxy_prefix_is_not_answered_in_clear(self, tls):
        connection = opened(tls, "v1")
        (event,) = connection.receive_data(b"\x16\x03\x01", 0.0)
        assert type(event.error) is BadRequest
        assert not event.linger
        assert connection.segments() == []

    def test_engine_is_told_what_was_written_and_not_what_was_encrypted(self, tls, material):
        connection = opened(tls)
        client = Client(connection, material).shake()
        connection.engine.waiting = [b"a" * 10, memoryview(b"b" * 20), bytearray(b"c" * 30)]
        octets = b"".join(bytes(segment) for segment in connection.segments())
        assert connection.engine.written == 0
        assert b"".join(bytes(segment) for segment in connection.segments()) == octets
        connection.sent(len(octets) - 1)
        assert connection.engine.written == 0
        assert bytes(connection.segments()[0]) == octets[-1:]
        connection.sent(1)
        assert connection.engine.written == 60
        assert connection.segments() == []
        assert client.hear(octets) == b"a" * 10 + b"b" * 20 + b"c" * 30

    def test_more_that_waits_while_a_part_is_on_its_way(self, tls, material):
        connection = opened(tls)
        client = Client(connection, material).shake()
        connection.engine.waiting = [b"first"]
        heard = output(connection, 3)
        connection.engine.waiting.append(b"second")
        heard += drained(connection)
        assert connection.engine.written == 11
        assert client.hear(heard) == b"firstsecond"

    def test_output_is_encrypted_in_bounded_steps(self, tls, material):
        connection = opened(tls)
        client = Client(connection, material).shake()
        connection.engine.waiting = [b"x" * 1_000_000]
        assert sum(map(len, connection.segments())) < CIPHERTEXT_HIGH_WATER + 8192
        assert client.hear(drained(connection)) == b"x" * 1_000_000

    def test_files_are_read_in_pieces(self, tls, material, tmp_path):
        path = tmp_path / "file"
        path.write_bytes(os.urandom(3 * FILE_PIECE))
        connection = opened(tls)
        client = Client(connection, material).shake()
        descriptor = os.open(path, os.O_RDONLY)
        try:
            connection.engine.waiting = [b"head", FileRegion(descriptor, 5, 2 * FILE_PIECE), b"tail"]
            assert sum(map(len, connection.segments())) < FILE_PIECE + 8192
            heard = client.hear(drained(connection))
        finally:
            os.close(descriptor)
        assert heard == b"head" + path.read_bytes()[5 : 5 + 2 * FILE_PIECE] + b"tail"

    def test_file_that_is_shorter_than_promised_breaks_the_connection(self, tls, material, tmp_path):
        path = tmp_path / "file"
        path.write_bytes(b"short")
        connection = opened(tls)
        Client(connection, material).shake()
        descriptor = os.open(path, os.O_RDONLY)
        try:
            connection.engine.waiting = [FileRegion(descriptor, 0, 100)]
            drained(connection)
        finally:
            os.close(descriptor)
        (event,) = connection.advance(0.0)
        assert type(event) is ConnectionEnded
        assert str(event.error).startswith("file: expected 95 more octets at 5, got none")
        assert connection.segments() == []

    def test_end_says_close_notify_behind_the_last_octet(self, tls, material):
        connection = opened(tls)
        client = Client(connection, material).shake()
        connection.engine.waiting = [b"answer"]
        connection.engine.next_events = [ConnectionEnded(None, False)]
        connection.advance(0.0)
        assert client.hear(output(connection)) == b"answer<end>"
        assert connection.segments() == []
        assert not connection.want_read()

    def test_driver_that_closes_says_close_notify_too(self, tls, material):
        connection = opened(tls)
        client = Client(connection, material).shake()
        connection.engine.waiting = [b"answer"]
        connection.close(0.0)
        assert client.hear(drained(connection)) == b"answer<end>"
        assert connection.receive_data(b"more", 0.0) == ()

    def test_close_notify_of_the_peer_is_the_end_of_input_once(self, tls, material):
        connection = opened(tls)
        client = Client(connection, material).shake()
        client.wrapped.write(b"last")
        with pytest.raises(ssl.SSLWantReadError):
            client.wrapped.unwrap()
        events = connection.receive_data(client.outgoing.read(), 0.0)
        assert kinds(events) == [BodyReceived, InputEnded]
        assert connection.receive_eof(0.0) == ()

    def test_end_of_input_without_close_notify_is_the_same(self, tls, material):
        connection = opened(tls)
        Client(connection, material).shake()
        assert kinds(connection.receive_eof(0.0)) == [InputEnded]

    def test_http_in_clear_is_answered_in_clear(self, tls):
        connection = opened(tls)
        (event,) = connection.receive_data(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 0.0)
        assert type(event.error) is PlainHTTP
        assert event.linger
        octets = output(connection)
        assert octets.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert b"speaks HTTPS" in octets
        assert connection.segments() == []

    def test_broken_record_ends_the_connection_with_an_alert(self, tls, material):
        connection = opened(tls)
        client = Client(connection, material).shake()
        client.wrapped.write(b"hello")
        octets = bytearray(client.outgoing.read())
        octets[-1] ^= 1
        (event,) = connection.receive_data(bytes(octets), 0.0)
        assert type(event.error) is TLSError
        with pytest.raises(ssl.SSLError, match="BAD_RECORD_MAC"):
            client.hear(output(connection))

    def test_engine_that_gave_its_output_up_leaves_nothing(self, tls, material):
        connection = opened(tls)
        Client(connection, material).shake()
        connection.engine.waiting = [b"x" * 1000]
        output(connection, 10)
        connection.engine.waiting = []
        connection.engine.next_events = [ConnectionEnded(None, False)]
        connection.handle_timer(0.0)
        assert connection.segments() == []

    def test_a_connection_that_is_to_be_reset_says_no_close_notify(self, tls, material):
        connection = opened(tls)
        client = Client(connection, material).shake()
        connection.engine.waiting = [b"half"]
        assert client.hear(drained(connection)) == b"half"
        connection.engine.next_events = [ConnectionEnded(None, False, True)]
        connection.advance(0.0)
        assert connection.segments() == []

    def test_handshake_has_a_deadline(self, tls):
        connection = opened(tls, now=1.0)
        assert connection.deadline() == 10.0
        (event,) = connection.handle_timer(10.0)
        assert str(event.error).startswith("TLS handshake:")

    def test_obeys_the_engine_about_reading(self, tls, material):
        connection = opened(tls)
        assert connection.want_read()
        Client(connection, material).shake()
        connection.engine.reading = False
        assert not connection.want_read()

    def test_stopping_worker_finishes_a_handshake(self, tls, material):
        connection = opened(tls)
        connection.drain(0.0)
        Client(connection, material).shake()
        assert connection.engine.drained


@given(
    mode=st.sampled_from(["off", "v1", "v2", "auto"]),
    start=st.sampled_from([b"", b"\x16\x03\x01", b"PROXY UNKNOWN\r\n\x16\x03\x01", V2_START + b"\x20\x00\x00\x00"]),
    pieces=st.lists(st.binary(max_size=300), max_size=8),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_arbitrary_octets_never_raise_and_end_or_wait(tls, mode, start, pieces):
    connection = opened(tls, mode)
    events = []
    for piece in [start, *pieces]:
        if not connection.want_read():
            break
        events.extend(connection.receive_data(piece, 0.0))
    drained(connection)
    events.extend(connection.receive_eof(1.0))
    events.extend(connection.handle_timer(1e9))
    assert kinds(events).count(ConnectionEnded) == 1
