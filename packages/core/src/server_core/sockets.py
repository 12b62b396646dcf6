"""Listening sockets: addresses as text, opening, handing over, and closing without losing anybody.

Owns: ``Address``, ``Listener`` and how each is made; the rules of unix socket files.
Must not know: settings, processes, protocols.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import socket
import struct
import sys
import time
from typing import Any, Callable, Optional, Tuple, Union

from server_core import unix_queue, unix_sockets
from server_core.errors import BindError, ConfigError
from server_http.record import Record

DEFAULT_PORT = 8000
BIND_ATTEMPTS = 5  # a predecessor that is just stopping frees its address within this
BIND_RETRY_DELAY = 1.0  # seconds
_RETRIED = (errno.EADDRINUSE, errno.EADDRNOTAVAIL)

# Green workers replace the class in its module; in their template, too, listeners stay what they are elsewhere.
_Socket = socket.socket

TCP = "tcp"
UNIX = "unix"
FD = "fd"
SYSTEMD = "systemd"


class Address(Record):
    """One ``bind`` value, parsed.

    Attributes:
        kind: ``"tcp"``, ``"unix"``, ``"fd"`` or ``"systemd"``.
        host: of a TCP address; lower case, without brackets.
        port: of a TCP address.
        path: of a unix address; begins with NUL in the abstract namespace.
        fd: of an inherited descriptor.
        name: of a socket that systemd passes (``FileDescriptorName=``).
    """

    kind: str
    host: str = ""
    port: int = 0
    path: str = ""
    fd: int = -1
    name: str = ""

    @property
    def abstract(self) -> bool:
        """Whether this is a unix address without a file."""
        return self.path.startswith("\0")

    @property
    def plain(self) -> Union[Tuple[str, int], str, int]:
        """The address as gunicorn's hooks read it: host and port, a path, a descriptor, or the name systemd knows."""
        if self.kind == TCP:
            return self.host, self.port
        return self.fd if self.kind == FD else self.path or self.name

    def __str__(self) -> str:
        if self.kind == TCP:
            return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
        if self.kind == UNIX:
            return "unix:" + ("@" + self.path[1:] if self.abstract else self.path)
        return f"fd://{self.fd}" if self.kind == FD else f"systemd:{self.name}"


def parse_address(text: str) -> Address:
    """Return the address that ``text`` names.

    Forms: ``HOST``, ``HOST:PORT``, ``:PORT``, ``[V6]:PORT``, ``tcp://...``, ``unix:PATH``,
    ``unix://PATH``, ``unix:@NAME`` (abstract), ``fd://N``, ``systemd:NAME``.

    Raises ConfigError for anything else.
    """
    if text.startswith("unix:"):
        return _parse_unix(text)
    if text.startswith("fd://"):
        if not text[5:].isdigit():
            raise ConfigError(f"bind: expected fd:// and a number, got {text!r}")
        return Address(FD, fd=int(text[5:]))
    if text.startswith("systemd:"):
        return Address(SYSTEMD, name=text[len("systemd:") :].lstrip("/"))
    return _parse_tcp(text)


def _parse_unix(text: str) -> Address:
    path = text[len("unix:") :]
    if path.startswith("//"):
        path = path[2:]
    if path.startswith("@"):
        path = "\0" + path[1:]
    if not path.strip("\0"):
        raise ConfigError(f"bind: expected unix: and a path, got {text!r}")
    return Address(UNIX, path=path)


def _parse_tcp(text: str) -> Address:
    rest = text[len("tcp://") :] if text.startswith("tcp://") else text
    found = re.fullmatch(r"(?:\[([^\[\]]*)\]|([^:\[\]]*))(?::(\d*))?", rest)
    if found is None:
        hint = "; an IPv6 address needs brackets: [::1]:8000" if rest.count(":") > 1 else ""
        raise ConfigError(f"bind: expected HOST:PORT, unix:PATH or fd://N, got {text!r}{hint}")
    host = found.group(1) if found.group(1) is not None else found.group(2)
    port = int(found.group(3)) if found.group(3) else DEFAULT_PORT
    if port > 65535:
        raise ConfigError(f"bind: expected a port up to 65535, got {text!r}")
    if not host:
        host = "::" if rest.startswith("[") else "0.0.0.0"  # noqa: S104 - what an empty host means
    return Address(TCP, host=host.lower(), port=port)


class SocketOptions(Record):
    """How listeners are opened.

    Args:
        backlog: of listen(2).
        reuse_port: several sockets share the address, one per worker.
        umask: in force while a unix socket file is created.
        mode: permissions of a unix socket file; None leaves them to ``umask``.
        owner: user id and group id of a unix socket file; None leaves them.
    """

    backlog: int = 2048
    reuse_port: bool = False
    umask: int = 0
    mode: Optional[int] = None
    owner: Optional[Tuple[int, int]] = None


class Listener:
    """A listening, non-blocking socket.

    Unknown attributes are those of the socket, so that a listener serves where a socket is expected.

    Attributes:
        sock: the socket.
        address: what was asked for; ``getsockname()`` is what it became.
        scheme: ``"http"`` or ``"https"``, for its name in the log.
        unlinks: whether its unix socket file is ours to remove.
        slot: the worker slot it is kept for (``reuse_port``), else None.
        tls: the TLS of its connections (``server_core.tls.ServerTLS``), or None.
    """

    def __init__(self, sock: socket.socket, address: Address, scheme: str = "http", unlinks: bool = False) -> None:
        self.sock = sock
        self.address = address
        self.scheme = scheme
        self.slot: Optional[int] = None
        self.tls: Any = None
        self._file = unix_sockets.file_identity(address.path) if unlinks else None
        sock.setblocking(False)

    @property
    def family(self) -> int:
        """The address family (``socket.AF_INET`` ...)."""
        return self.sock.family

    @property
    def is_unix(self) -> bool:
        """Whether this is a unix socket."""
        return self.sock.family == socket.AF_UNIX

    @property
    def borrowed(self) -> bool:
        """Whether somebody else made the socket and goes on with it: systemd, or who passed ``fd://N``."""
        return self.address.kind in (FD, SYSTEMD)

    @property
    def unlinks(self) -> bool:
        """Whether ``unlink`` would remove a file."""
        return self._file is not None

    def fileno(self) -> int:
        """Return the descriptor, -1 when closed."""
        return self.sock.fileno()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sock, name)

    def __str__(self) -> str:
        name = self.sock.getsockname()
        if self.is_unix:
            path = name.decode() if isinstance(name, bytes) else str(name)
            return "unix:" + ("@" + path[1:] if path.startswith("\0") else path)
        host = f"[{name[0]}]" if ":" in name[0] else name[0]
        return f"{self.scheme}://{host}:{name[1]}"

    def __repr__(self) -> str:
        return f"<Listener {self.address} fd={self.fileno()}>"

    def close(self) -> None:
        """Close this process's descriptor; others keep theirs, and the file stays."""
        self.sock.close()

    def keep_file(self) -> None:
        """The unix socket file belongs to somebody else from now on (a successor took it over)."""
        self._file = None

    def unlink(self) -> None:
        """Remove the unix socket file, unless somebody else made another at its place.

        One that cannot be removed (its directory is read-only now) stays: nobody listens there, and it ends no server.
        """
        if self._file is not None and unix_sockets.file_identity(self.address.path) == self._file:
            with contextlib.suppress(OSError):
                os.unlink(self.address.path)
        self._file = None

    def refuse_new(self) -> None:
        """Admit no further connection, but keep those that wait to be accepted.

        A filter on the socket drops new SYNs (their senders repeat them and are refused once the
        socket is gone); a unix socket refuses at once. Where neither is possible the backlog
        shrinks to its minimum. A borrowed socket stays as it is: who comes waits for the next that accepts.
        """
        if self.borrowed:
            return
        if self.is_unix:
            self.unlink()
            _ignore_disconnected(lambda: self.sock.shutdown(socket.SHUT_RD))
            return
        if not sys.platform.startswith("linux") or not _drop_syns(self.sock):
            _ignore_disconnected(lambda: self.sock.listen(0))

    def queued(self) -> int:
        """Return how many connections wait for us and nobody else; 0 where the system does not tell."""
        if self.borrowed:
            return 0
        if self.is_unix:
            return unix_queue.waiting(self.sock)
        if not sys.platform.startswith("linux"):
            return 0
        # tcpi_unacked is the length of the accept queue when the socket listens (tcp_get_info).
        info = self.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
        return int(struct.unpack_from("=I", info, 24)[0])

    def shut(self) -> None:
        """End listening in all processes that share the socket; ``accept`` fails there. Not with a borrowed one."""
        if not self.borrowed:
            _ignore_disconnected(lambda: self.sock.shutdown(socket.SHUT_RDWR))


def open_listener(
    address: Address,
    options: SocketOptions,
    scheme: str = "http",
    attempts: int = BIND_ATTEMPTS,
    on_retry: Optional[Callable[[str], None]] = None,
) -> Listener:
    """Open a listening socket.

    Args:
        address: a TCP, unix or fd address.
        options: see ``SocketOptions``.
        scheme: for the listener's name.
        attempts: how often an address in use is tried, ``BIND_RETRY_DELAY`` seconds apart.
        on_retry: told about each failed attempt but the last.

    Raises BindError.
    """
    if address.kind == FD:
        return adopt(address.fd, address, scheme)
    for left in range(attempts - 1, -1, -1):
        try:
            return _open(address, options, scheme)
        except OSError as error:
            reason = f"{address}: cannot listen: {error.strerror or error}"
            reason += _hint(address, error)
            if error.errno not in _RETRIED or not left:
                raise BindError(reason) from error
            if on_retry is not None:
                on_retry(f"{reason}; trying again in {BIND_RETRY_DELAY:g} s")
            time.sleep(BIND_RETRY_DELAY)
    raise BindError(f"{address}: cannot listen")


def _hint(address: Address, error: OSError) -> str:
    """Return what usually is the matter."""
    if address.kind == UNIX:
        missing = error.errno == errno.ENOENT
        return f" (the directory {os.path.dirname(address.path)} has to be there)" if missing else ""
    if error.errno == errno.EADDRINUSE and address.port:
        return " (is another server running?)"
    if error.errno == errno.EACCES:
        return " (root and systemd's sockets may have ports below 1024)"
    if address.host.isdigit():
        return f" (a number alone is a host; a port is written ':{address.host}')"
    return ""


def adopt(fd: int, address: Address, scheme: str = "http", unlinks: bool = False) -> Listener:
    """Return a listener around an inherited descriptor. Raises BindError when it does not listen."""
    try:
        sock = _Socket(fileno=fd)
        if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            sock.detach()
            raise BindError(f"fd://{fd}: expected a listening socket, got one that does not listen")
    except OSError as error:
        raise BindError(f"fd://{fd}: expected a listening socket, got: {error.strerror}") from error
    sock.set_inheritable(False)
    if address.kind in (FD, SYSTEMD):
        address = _address_of(sock, address)
    return Listener(sock, address, scheme, unlinks)


def _address_of(sock: socket.socket, address: Address) -> Address:
    """Keep what was asked for, completed with what the socket is bound to."""
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        path = name.decode() if isinstance(name, bytes) else name
        return Address(address.kind, path=path, fd=address.fd, name=address.name)
    return Address(address.kind, host=name[0], port=name[1], fd=address.fd, name=address.name)


def _open(address: Address, options: SocketOptions, scheme: str) -> Listener:
    if address.kind == UNIX:
        return _open_unix(address, options, scheme)
    sock, where = _tcp_socket(address)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted sockets inherit it
        if options.reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(where)
        sock.listen(options.backlog)
    except OSError:
        sock.close()
        raise
    return Listener(sock, address, scheme)


def _tcp_socket(address: Address) -> Tuple[socket.socket, Any]:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_UNSPEC
    try:
        # As octets, because for text Python loads its tables of international names, which plain ones do not need.
        host = address.host.encode("ascii") if address.host.isascii() else address.host
        found = socket.getaddrinfo(host, address.port, family, socket.SOCK_STREAM, 0, socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise BindError(f"{address}: cannot listen: {error.strerror}") from error
    found.sort(key=lambda item: item[0] != socket.AF_INET)  # "localhost" means IPv4 first
    return _Socket(found[0][0], socket.SOCK_STREAM), found[0][4]


def _open_unix(address: Address, options: SocketOptions, scheme: str) -> Listener:
    if not address.abstract:
        _remove_stale(address.path)
    sock = _Socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if address.abstract:
            sock.bind(address.path)
        else:
            _bind_file(sock, address.path, options)
        sock.listen(options.backlog)
    except OSError:
        sock.close()
        raise
    return Listener(sock, address, scheme, unlinks=not address.abstract)


def _bind_file(sock: socket.socket, path: str, options: SocketOptions) -> None:
    before = os.umask(options.umask)
    try:
        sock.bind(path)
    finally:
        os.umask(before)
    try:
        if options.mode is not None:
            os.chmod(path, options.mode)
        if options.owner is not None:  # of the file itself: who may write in the directory could put a link there
            os.chown(path, *options.owner, follow_symlinks=False)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(path)
        raise


def _remove_stale(path: str) -> None:
    """Remove a socket file that nobody listens on."""
    state = unix_sockets.file_state(path)
    if state == unix_sockets.SERVED:
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    if state == unix_sockets.LEFT:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def _ignore_disconnected(call: Callable[[], Optional[int]]) -> None:
    """Call, unless the socket no longer listens, which is what the callers want to achieve."""
    try:
        call()
    except OSError as error:
        if error.errno not in (errno.ENOTCONN, errno.EINVAL, errno.EBADF):
            raise


_SO_ATTACH_FILTER = 26
# A classic BPF program over the TCP header: load the flags; a SYN without ACK is dropped, all else passes.
_DROP_SYN = struct.pack(
    "=HBBIHBBIHBBIHBBIHBBI",
    0x30, 0, 0, 13,  # ldb [13]
    0x54, 0, 0, 0x12,  # and #SYN|ACK
    0x15, 0, 1, 0x02,  # jeq #SYN, next, over
    0x06, 0, 0, 0,  # ret #0
    0x06, 0, 0, 0xFFFFFFFF,  # ret #-1
)  # fmt: skip


def _drop_syns(sock: socket.socket) -> bool:
    import ctypes

    program = ctypes.create_string_buffer(_DROP_SYN, len(_DROP_SYN))
    header = struct.pack("@HP", len(_DROP_SYN) // 8, ctypes.addressof(program))
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, header)
    except OSError:
        return False
    return True
