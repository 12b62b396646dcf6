"""The WSGI mapping: environ, status and headers, the order of messages, files and bodies."""

from __future__ import annotations

import io
import sys
from typing import Any, List, Tuple

import pytest

from server_http.engine import ConnectionInfo
from server_http.environ import FileWrapper, body_input, connection_environ, listener_environ, request_environ
from server_http.errors import ApplicationFault
from server_http.events import Request
from server_http.proxy import ProxyHeader
from server_http.wsgi import StartResponse, encode_headers, parse_status

CLIENT = ("192.0.2.1", 4711)


class Text(str):
    """As Django's SafeString: a subclass that an application may give wherever a string is expected."""


class RecordingSink:
    """Notes what it is told, in order."""

    def __init__(self) -> None:
        self.said: List[Tuple[Any, ...]] = []

    def respond(self, status: int, headers: Any, reason: bytes) -> None:
        self.said.append(("respond", status, reason, headers))

    def send(self, data: bytes) -> None:
        self.said.append(("send", data))

    def inform(self, status: int, headers: Any) -> None:
        self.said.append(("inform", status, headers))


class PiecewiseSource:
    """A body that arrives in pieces."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = list(pieces)

    def receive(self, limit: int) -> bytes:
        if not self.pieces:
            return b""
        piece = self.pieces.pop(0)
        if len(piece) > limit:
            self.pieces.insert(0, piece[limit:])
        return piece[:limit]


def caught() -> Any:
    """What ``sys.exc_info()`` gives an application that handles an error."""
    try:
        {}["first"]
    except KeyError:
        return sys.exc_info()


def base(server: Any = ("198.51.100.1", 8000)) -> Any:
    listener = listener_environ(server, software="server/1", errors=sys.stderr, multithread=True, multiprocess=False)
    return connection_environ(listener, ConnectionInfo(CLIENT, server), None)


def make_request(target: bytes = b"/", **fields: Any) -> Request:
    request = Request(1, "GET", target, "1.1")
    request.path, _, request.query = target.partition(b"?")
    request.client = CLIENT
    for name, value in fields.items():
        setattr(request, name, value)
    return request


def test_path_is_decoded_and_target_and_query_are_not() -> None:
    environ = request_environ(base(), make_request(b"/a%20b/%E4%2F?q=%20&x"), CLIENT)
    assert environ["PATH_INFO"] == "/a b/\xe4/"
    assert environ["QUERY_STRING"] == "q=%20&x"
    assert environ["RAW_URI"] == "/a%20b/%E4%2F?q=%20&x"


def test_header_names_become_variables_and_repeats_are_joined() -> None:
    headers = [
        (b"content-type", b"a/b"), (b"content-length", b"3"), (b"x-one", b"1"), (b"x-one", b"2"),
        (b"cookie", b"a=1"), (b"cookie", b"b=2"),
    ]  # fmt: skip
    environ = request_environ(base(), make_request(headers=headers), CLIENT)
    assert environ["CONTENT_TYPE"] == "a/b"
    assert environ["CONTENT_LENGTH"] == "3"
    assert environ["HTTP_X_ONE"] == "1,2"
    assert environ["HTTP_COOKIE"] == "a=1; b=2"
    assert "HTTP_CONTENT_TYPE" not in environ


@pytest.mark.parametrize("value", [b"", b"1", b"ab"])
def test_a_repeat_is_joined_where_both_values_are_the_same(value: bytes) -> None:
    """Python has one object for each text of at most one character."""
    request = make_request(headers=[(b"x-a", value), (b"x-b", b""), (b"x-a", value), (b"x-a", value)])
    environ = request_environ(base(), request, CLIENT)
    text = value.decode("latin-1")
    assert environ["HTTP_X_A"] == f"{text},{text},{text}"
    assert environ["HTTP_X_B"] == ""


def test_a_request_leaves_nothing_in_the_environ_of_its_connection() -> None:
    connection = base()
    before = dict(connection)
    request_environ(connection, make_request(headers=[(b"x-secret", b"1")]), CLIENT)["server.extra"] = 1
    assert connection == before


def test_the_mount_prefix_moves_from_path_to_script_name() -> None:
    environ = request_environ(base(), make_request(b"/app/x", script_name="/app"), CLIENT)
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/app", "/x")


def test_a_forwarded_client_and_server_replace_those_of_the_connection() -> None:
    request = make_request(client=("203.0.113.9", 1), server=("example.org", 443), scheme="https")
    environ = request_environ(base(), request, CLIENT)
    assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == ("203.0.113.9", "1")
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("example.org", "443")
    assert environ["wsgi.url_scheme"] == "https"


@pytest.mark.parametrize(
    ("authority", "expected"),
    [
        (b"example.org", ("example.org", "80")), (b"example.org:81", ("example.org", "81")),
        (b"[::1]", ("[::1]", "80")), (b"[::1]:82", ("[::1]", "82")), (b"", ("localhost", "80")),
    ],
)  # fmt: skip
def test_a_unix_listener_is_named_by_the_host_field(authority: bytes, expected: Tuple[str, str]) -> None:
    environ = request_environ(base(("/run/x", None)), make_request(authority=authority), CLIENT)
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == expected


def test_a_unix_peer_has_no_port() -> None:
    listener = listener_environ(("/x", None), software="s", errors=None, multithread=False, multiprocess=False)
    environ = connection_environ(listener, ConnectionInfo(None, ("/run/s", None)), None)
    assert environ["REMOTE_ADDR"] == ""
    assert "REMOTE_PORT" not in environ


def test_facts_of_a_connection_are_octets_as_text_like_all_of_an_environ() -> None:
    info = ConnectionInfo(CLIENT, ("0.0.0.0", 80))
    info.proxy = ProxyHeader(2, "TCP4")
    info.proxy.authority = "żółw.example"
    environ = connection_environ({}, info, None)
    assert environ["PROXY_AUTHORITY"].encode("latin-1").decode() == "żółw.example"
    assert environ["PROXY_PROTOCOL"] == "TCP4"


def test_variables_of_uwsgi_do_not_replace_what_the_request_says() -> None:
    request = make_request(variables={"REMOTE_USER": "me", "REQUEST_METHOD": "EVIL"})
    environ = request_environ(base(), request, CLIENT)
    assert (environ["REMOTE_USER"], environ["REQUEST_METHOD"]) == ("me", "GET")


def test_http2_has_its_own_variables() -> None:
    environ = request_environ(base(), make_request(version="2", priority=(1, True)), CLIENT)
    assert environ["SERVER_PROTOCOL"] == "HTTP/2.0"
    assert environ["HTTP_VERSION"] == "2"
    assert environ["server.priority"] == (1, True)


@pytest.mark.parametrize(
    ("status", "expected"),
    [("200 OK", (200, b"OK")), ("404", (404, b"")), ("299 \xe4", (299, b"\xe4")), (Text("204 No"), (204, b"No"))],
)
def test_status_is_code_and_phrase(status: str, expected: Tuple[int, bytes]) -> None:
    assert parse_status(status) == expected


@pytest.mark.parametrize(
    "status", ["", "20", "2000 OK", "abc OK", "200OK", 200, b"200 OK", "200 \u20ac", "\u0662\u0660\u0660 OK"]
)
def test_a_malformed_status_is_the_applications_fault(status: Any) -> None:
    with pytest.raises(ApplicationFault, match="status"):
        parse_status(status)


def test_headers_keep_spelling_and_order_and_tell_the_length() -> None:
    pairs = [("X-B", "1"), (Text("content-LENGTH"), Text("5")), ("X-B", "\xe4")]
    assert encode_headers(pairs) == ([(b"X-B", b"1"), (b"content-LENGTH", b"5"), (b"X-B", b"\xe4")], b"5")


@pytest.mark.parametrize(
    "headers", [None, {"a": "b"}, [("a",)], [("a", 1)], [(b"a", "b")], ["ab", 3], [("a", "\u20ac")]]
)
def test_malformed_headers_are_the_applications_fault(headers: Any) -> None:
    with pytest.raises(ApplicationFault, match="headers"):
        encode_headers(headers)


def test_what_a_field_said_before_does_not_come_back() -> None:
    class Text(str):
        def encode(self, *_args: Any) -> bytes:  # type: ignore[override]
            return b"own"

    said: List[Any] = ["", "one", "one", "two", "".join(("o", "ne")), Text("one"), "one", "long" * 100, "one", ""]
    expected = [b"", b"one", b"one", b"two", b"one", b"own", b"one", b"long" * 100, b"one", b""]
    assert [encode_headers([("X-Said-Before", value)])[0][0][1] for value in said] == expected
    with pytest.raises(ApplicationFault):
        encode_headers([("X-Said-Before", None)])


def test_the_head_waits_for_the_first_octets() -> None:
    sink = RecordingSink()
    start = StartResponse(sink)
    write = start("200 OK", [("A", "b")])
    write(b"")
    assert sink.said == []
    write(b"x")
    write(b"y")
    assert sink.said == [("respond", 200, b"OK", [(b"A", b"b")]), ("send", b"x"), ("send", b"y")]


def test_a_second_head_needs_exc_info() -> None:
    start = StartResponse(RecordingSink())
    start("200 OK", [])
    with pytest.raises(ApplicationFault, match="exc_info"):
        start("200 OK", [])


def test_exc_info_replaces_a_head_that_is_not_sent() -> None:
    sink = RecordingSink()
    start = StartResponse(sink)
    start("200 OK", [])
    start("500 Oops", [], caught())
    start.send_head()
    assert sink.said == [("respond", 500, b"Oops", [])]


def test_exc_info_is_raised_again_once_the_head_is_sent() -> None:
    start = StartResponse(RecordingSink())
    start("200 OK", [])(b"x")
    with pytest.raises(KeyError, match="first"):
        start("500 Oops", [], caught())


def test_body_before_start_response_is_a_fault() -> None:
    with pytest.raises(ApplicationFault, match="start_response"):
        StartResponse(RecordingSink()).write(b"x")


@pytest.mark.parametrize("data", ["text", 1, None, ["x"]])
def test_a_body_that_is_not_bytes_is_a_fault(data: Any) -> None:
    start = StartResponse(RecordingSink())
    start("200 OK", [])
    with pytest.raises(ApplicationFault, match="body"):
        start.write(data)


def test_early_hints_stop_with_the_head() -> None:
    sink = RecordingSink()
    start = StartResponse(sink)
    start.early_hints([("Link", "x")])
    start("200 OK", [])(b"x")
    start.early_hints([("Link", "y")])
    assert [said[0] for said in sink.said] == ["inform", "respond", "send"]
    assert sink.said[0] == ("inform", 103, [(b"Link", b"x")])


def test_a_file_wrapper_iterates_and_closes() -> None:
    file = io.BytesIO(b"abcde")
    wrapper = FileWrapper(file, 2)
    assert list(wrapper) == [b"ab", b"cd", b"e"]
    wrapper.close()
    assert file.closed


def test_a_streamed_input_reads_lines_and_rests_over_pieces() -> None:
    stream = body_input(PiecewiseSource(b"a", b"b\nc", b"c\n", b"rest"))
    assert stream.readline() == b"ab\n"
    assert stream.read(2) == b"cc"
    assert list(stream) == [b"\n", b"rest"]
    assert stream.read() == b""
