"""The environ of WSGI (PEP 3333): the names and values that an application finds of its request.

Owns: the keys of the environ and what they say of listener, connection and request; ``wsgi.file_wrapper``, and
``wsgi.input`` over a body that still arrives.
Must not know: what an application answers (``wsgi``), threads, files, logs, settings.

The environ is made in three steps, so that a request pays for its own keys only: ``listener_environ`` once
per listener, ``connection_environ`` once per connection, ``request_environ`` (a copy) per request.
"""

from __future__ import annotations

import io
from typing import Any, Callable, Dict, Iterator, Mapping, Optional, Protocol, Tuple

from server_http.engine import ConnectionInfo
from server_http.events import Headers, Request
from server_http.fields import meta_variable, percent_decoded
from server_http.lines import FieldLines
from server_http.states import HTTP_1_1, HTTP_2, PROTOCOLS

Environ = Dict[str, Any]

#: What is kept per process in each cache of names, here and in ``wsgi``; what is beyond is converted each time.
NAME_CACHE_SIZE = 1024
#: The longest authority that is kept, in octets.
AUTHORITY_OCTETS_MAX = 255
#: Octets per read of a file that ``wsgi.file_wrapper`` iterates.
FILE_BLOCK_SIZE = 65536
#: Octets that ``wsgi.input`` asks of a streamed body at a time.
INPUT_BLOCK_SIZE = 65536
#: The weight HTTP/2 gives a stream that says nothing (RFC 7540 section 5.3.5); RFC 9113 dropped weights.
DEFAULT_H2_WEIGHT = 16

_DEFAULT_PORTS = {"http": "80", "https": "443"}
_environ_keys: Dict[bytes, str] = {}
_servers: Dict[bytes, Tuple[str, str]] = {}

#: Keys that a driver sets. By these names it has the very strings of a listener's environ, which need not be compared.
INPUT = "wsgi.input"
EARLY_HINTS = "wsgi.early_hints"

#: What connections and requests set. A listener's environ has the keys already: a copy of it is made in the size that a
#: request needs, and what is usual is there.
_USUAL: Environ = {
    "REQUEST_METHOD": "GET",
    "RAW_URI": "/",
    "PATH_INFO": "/",
    "QUERY_STRING": "",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "REMOTE_ADDR": "",
    "wsgi.url_scheme": "http",
    INPUT: None,
    EARLY_HINTS: None,
    "server.socket": None,
    "gunicorn.socket": None,
    "gunicorn.sock": None,
}

_PERCENT = 0x25


class Source(Protocol):
    """Where ``wsgi.input`` takes a body from that is still arriving."""

    def receive(self, limit: int) -> bytes:
        """Return 1 to ``limit`` octets, waiting for them; empty at the end of the body."""


def listener_environ(
    server: Tuple[str, Optional[int]],
    *,
    software: str,
    errors: Any,
    multithread: bool,
    multiprocess: bool,
    draining: Optional[Callable[[], bool]] = None,
) -> Environ:
    """Return the keys that all requests of a listener share.

    Args:
        server: ``(host, port)``, or ``(path, None)`` of a unix socket, whose requests take SERVER_NAME and
            SERVER_PORT from ``Host``.
        software: SERVER_SOFTWARE.
        errors: ``wsgi.errors``, a text stream.
        multithread: whether the application may be called by several threads at once.
        multiprocess: whether another process may serve the same application.
        draining: ``server.draining``: returns True once the worker is stopping, so that a long response
            can end early.
    """
    environ: Environ = {
        **_USUAL,
        "wsgi.version": (1, 0),
        "wsgi.errors": errors,
        "wsgi.multithread": multithread,
        "wsgi.multiprocess": multiprocess,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": FileWrapper,
        "wsgi.input_terminated": True,
        "server.draining": draining or _never,
        "SERVER_SOFTWARE": software,
        "SCRIPT_NAME": "",
    }
    if server[1] is not None:
        environ["SERVER_NAME"] = server[0]
        environ["SERVER_PORT"] = str(server[1])
    return environ


def connection_environ(listener: Environ, info: ConnectionInfo, socket: Any) -> Environ:
    """Return the keys that all requests of a connection share.

    Args:
        listener: what ``listener_environ`` returned.
        info: the connection. REMOTE_ADDR is empty, and REMOTE_PORT absent, for a unix peer; facts of the PROXY header
            and of the TLS session have variables of their own.
        socket: ``server.socket``, also under the names that it has in gunicorn's workers.
    """
    environ = listener.copy()
    environ["server.socket"] = environ["gunicorn.socket"] = environ["gunicorn.sock"] = socket
    _set_client(environ, info.client)
    if info.proxy is not None:
        _set_facts(environ, info.proxy.variables())
    if info.tls is not None:
        _set_facts(environ, info.tls.variables())
    return environ


def _set_facts(environ: Environ, facts: Mapping[str, str]) -> None:
    """Set variables whose text may be any, as a name in a certificate is: its UTF-8 octets as latin-1 text, as all is
    that an environ holds (PEP 3333, "Unicode Issues")."""
    for name, value in facts.items():
        environ[name] = value if value.isascii() else value.encode("utf-8", "replace").decode("latin-1")


def request_environ(
    connection: Environ, request: Request, client: Optional[Tuple[str, int]], last: bool = False
) -> Environ:
    """Return the environ of one request; ``wsgi.input`` and ``wsgi.early_hints`` are the driver's to set.

    Args:
        connection: what ``connection_environ`` returned.
        request: the request, after the header policy.
        client: the client that ``connection`` was made with; only a request that names another one (a
            trusted proxy forwarded it) pays for REMOTE_ADDR.
        last: nobody will need ``connection`` again: it becomes the environ.
    """
    environ = connection if last else connection.copy()
    target = request.target
    query = request.query
    environ["REQUEST_METHOD"] = request.method
    environ["RAW_URI"] = raw = target.decode("latin-1")
    if query:
        environ["QUERY_STRING"] = query.decode("latin-1")
    if request.version != HTTP_1_1:
        environ["SERVER_PROTOCOL"] = PROTOCOLS[request.version]
        if request.version == HTTP_2:
            _set_h2(environ, request)
    environ["wsgi.url_scheme"] = request.scheme
    _set_path(environ, request, raw)
    lines = request.lines
    if lines is not None:
        _set_lines(environ, lines)
    else:
        _set_headers(environ, request.headers)
    if request.client is not client:
        _set_client(environ, request.client)
    if request.server is not None:
        environ["SERVER_NAME"] = request.server[0]
        environ["SERVER_PORT"] = _digits(request.server[1])
    elif "SERVER_NAME" not in environ:
        _set_server_from_host(environ, request)
    variables = request.variables
    if variables:
        for name, value in variables.items():
            environ.setdefault(name, value)
    return environ


def _never() -> bool:
    return False


def _set_path(environ: Environ, request: Request, raw: str) -> None:
    """Set PATH_INFO and SCRIPT_NAME: latin-1 text of the percent-decoded octets (PEP 3333, "bytes as text")."""
    path = request.path
    if _PERCENT in path:  # a number: Python tries bytes as one before it looks for them
        path = percent_decoded(path)
    text = raw if path is request.target else path.decode("latin-1")
    prefix = request.script_name
    if prefix:
        environ["SCRIPT_NAME"] = prefix
        # The header policy has refused a path that is not below its mount prefix.
        text = text[len(prefix) :] if text.startswith(prefix) else text
    environ["PATH_INFO"] = text


def _set_headers(environ: Environ, headers: Headers) -> None:
    size = len(environ)
    for name, value in headers:
        key = _environ_keys.get(name)
        if key is None:
            key = _environ_key(name)
        octets = value
        size = _set_field(environ, key, octets.decode("latin-1"), size)


def _set_lines(environ: Environ, lines: FieldLines) -> None:
    """``_set_headers`` of fields that are still octets."""
    size = len(environ)
    for index, name in enumerate(lines.names):
        size = _set_field(environ, name.variable, lines.text(index), size)


def _set_field(environ: Environ, key: str, text: str, size: int) -> int:
    """Set a field, or join it to an earlier one of its name; returns the size of the environ, which was ``size``."""
    earlier = environ.setdefault(key, text)
    if len(environ) > size:
        return size + 1
    # RFC 9110 section 5.3; Cookie alone is joined as in its own syntax (RFC 9113 section 8.2.3).
    environ[key] = earlier + ("; " if key == "HTTP_COOKIE" else ",") + text
    return size


def _environ_key(name: bytes) -> str:
    key = meta_variable(name)
    if len(_environ_keys) < NAME_CACHE_SIZE:
        _environ_keys[name] = key
    return key


def _set_client(environ: Environ, client: Optional[Tuple[str, int]]) -> None:
    if client is None:
        environ["REMOTE_ADDR"] = ""
        environ.pop("REMOTE_PORT", None)
    else:
        environ["REMOTE_ADDR"] = client[0]
        environ["REMOTE_PORT"] = _digits(client[1])


def _digits(number: int) -> str:
    return f"{number}"  # compiled, a number of C becomes text without being an object before


def _set_server_from_host(environ: Environ, request: Request) -> None:
    """A unix listener has no name of its own: take what the client asked for (RFC 9110 section 7.2)."""
    authority = request.authority
    server = _servers.get(authority)
    if server is None:
        server = _split_server(authority)
    environ["SERVER_NAME"] = server[0]
    environ["SERVER_PORT"] = server[1] or _DEFAULT_PORTS[request.scheme]


def _split_server(authority: bytes) -> Tuple[str, str]:
    """Return name and port of an authority; the port is ``""`` where it says none."""
    host, colon, port = authority.decode("latin-1").rpartition(":")
    if not colon or port.endswith("]"):
        host, port = host + colon + port, ""
    server = host or "localhost", port
    if len(_servers) < NAME_CACHE_SIZE and len(authority) <= AUTHORITY_OCTETS_MAX:
        _servers[authority] = server
    return server


def _set_h2(environ: Environ, request: Request) -> None:
    environ["HTTP_VERSION"] = "2"
    environ["server.priority"] = request.priority
    environ["gunicorn.http2.priority_weight"] = DEFAULT_H2_WEIGHT
    environ["gunicorn.http2.priority_depends_on"] = 0


# Files and bodies ----------------------------------------------------------------------------------------


class FileWrapper:
    """``wsgi.file_wrapper``: an iterable over a file, which the server may also send as a whole.

    Args:
        filelike: an object with ``read(size)``; its ``close`` is called through ours.
        block_size: octets per block when it is iterated.
    """

    __slots__ = ("block_size", "filelike")

    def __init__(self, filelike: Any, block_size: int = FILE_BLOCK_SIZE) -> None:
        self.filelike = filelike
        self.block_size = block_size

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        data: bytes = self.filelike.read(self.block_size)
        if not data:
            raise StopIteration
        return data

    def __getitem__(self, _index: int) -> bytes:
        data: bytes = self.filelike.read(self.block_size)
        if not data:
            raise IndexError
        return data

    def close(self) -> None:
        """Close the file, where it can be closed."""
        close = getattr(self.filelike, "close", None)
        if close is not None:
            close()


class BodyReader(io.RawIOBase):
    """The octets of a body that is still arriving, as a raw stream; wrap it by ``body_input``."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        self._source = source

    def readable(self) -> bool:
        """Return True: it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill ``buffer`` with what there is, waiting for at least one octet; 0 at the end."""
        data = self._source.receive(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def body_input(source: Source) -> io.BufferedReader:
    """Return ``wsgi.input`` over a body that is still arriving: ``read``, ``readline`` and the rest of a
    binary stream, each waiting for as much as it was asked for."""
    return io.BufferedReader(BodyReader(source), INPUT_BLOCK_SIZE)
