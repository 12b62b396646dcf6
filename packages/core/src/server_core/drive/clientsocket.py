"""Accepting a connection, and the socket object that is made only when somebody asks for it.

Owns: ``ClientSocket``, how it is accepted, asked and closed.
Must not know: when connections are accepted (``drive.accept``), what is spoken on them.

Python's socket costs a call of the system and an initialiser when it is made of a descriptor, and another method when
it is closed: together as much as reading a request. A connection that lives for one request needs its descriptor only.
"""

# ruff: noqa: F821 - the names of the C library come from the .pxd
# mypy: disable-error-code="name-defined, attr-defined"

from __future__ import annotations

import os
import socket
import threading
from typing import Any, Optional, Tuple

try:
    import cython
except ImportError:  # Cython is a build requirement only
    from server_http import _cython as cython  # type: ignore[no-redef]

Accepted = Tuple[Any, Any]

#: The largest option that is read without a socket: the part of ``tcp_info`` that the server wants (``drive.arrival``).
OPTION_OCTETS = 64

_making = threading.Lock()
_LATEST = [""]  # the text of the address that was met last: many connections come from one proxy


class ClientSocket:
    """A connected stream socket: a descriptor, and a ``socket.socket`` from the first use of anything beyond it.

    Applications find it in their environ and may do with it what they do with a socket.

    Args:
        fd: the descriptor, owned from now on.
        family: its address family.
    """

    __slots__ = ("_closed", "_family", "_fd", "_sock")

    def __init__(self, fd: int, family: int) -> None:
        self._fd = fd
        self._family = family
        self._sock: Any = None
        self._closed = False

    def fileno(self) -> int:
        """Return the descriptor, -1 when closed."""
        return self._fd if self._sock is None else self._sock.fileno()

    def close(self) -> None:
        """Close the descriptor."""
        self._closed = True
        if self._sock is not None:
            self._sock.close()
            return
        fd = self._fd
        self._fd = -1
        if fd >= 0:
            _close(fd)

    def getsockopt(self, level: int, option: int, size: int = 0) -> Any:
        """As a socket does; what the server asks about its connections needs no socket."""
        if cython.compiled and self._sock is None and 0 < size <= OPTION_OCTETS:
            length = cython.declare(cython.uint, size)
            if c_getsockopt(self._fd, level, option, OPTION, cython.address(length)):
                raise OSError(errno, os.strerror(errno))
            return OPTION[:length]
        return self.socket().getsockopt(level, option, size)

    def socket(self) -> Any:
        """Return the ``socket.socket``."""
        with _making:
            if self._sock is None:
                # Taken before it is wrapped: another thread may close meanwhile, and the number must not be used twice.
                fd = self._fd
                self._fd = -1
                sock = socket.socket(self._family, socket.SOCK_STREAM, 0, fd if fd >= 0 else None)
                if self._closed:
                    sock.close()
                self._sock = sock
            return self._sock

    def __getattr__(self, name: str) -> Any:
        return getattr(self.socket(), name)

    def __repr__(self) -> str:
        return repr(self.socket())

    @property  # type: ignore[misc]  # only ever read
    def __class__(self) -> Any:
        """What ``isinstance`` is to see."""
        return socket.socket

    def __del__(self) -> None:
        if self._sock is None and self._fd >= 0:
            _close(self._fd)


def accept(listener: Any, fd: int, family: int) -> Optional[Accepted]:
    """Take one connection that waits.

    Args:
        listener: the listening, non-blocking socket.
        fd: its descriptor.
        family: its address family.

    Returns:
        The socket and the address of its other end, whose first two items are host and port unless the family is unix;
        None when none waits.

    Raises:
        OSError: the process or the system ran out of something.
    """
    if cython.compiled:
        return _accept(fd, family)
    try:
        # The system's accept, without the enumerations that socket.accept() builds for each call.
        accepted, address = listener._accept()
    except (BlockingIOError, ConnectionAbortedError):
        return None
    return socket.socket(family, socket.SOCK_STREAM, 0, accepted), address


def _accept(fd: int, family: int) -> Optional[Accepted]:
    """``accept`` where the C library is at hand."""
    port = cython.declare(cython.int, 0)
    accepted = accept_client(fd, family, HOST, cython.sizeof(HOST), cython.address(port))
    if accepted >= 0:
        if strcmp(HOST, LATEST_HOST):
            strcpy(LATEST_HOST, HOST)
            _LATEST[0] = HOST.decode("ascii")
        return ClientSocket(accepted, family), (_LATEST[0], port)
    if errno in (EAGAIN, ECONNABORTED):
        return None
    raise OSError(errno, os.strerror(errno))


def descriptor(sock: Any) -> int:
    """Return ``sock.fileno()`` of a socket of either kind; compiled, a ``ClientSocket`` is asked without a look-up."""
    if type(sock) is ClientSocket:
        client = sock
        return client.fileno()
    return int(sock.fileno())


def close(sock: Any) -> None:
    """``sock.close()`` of a socket of either kind, as ``descriptor``."""
    if type(sock) is ClientSocket:
        client = sock
        client.close()
    else:
        sock.close()


def shut_down(sock: Any) -> None:
    """Say that nothing more will be sent, as ``descriptor``; raises OSError where the peer was faster."""
    if cython.compiled and type(sock) is ClientSocket:
        client = sock
        if c_shutdown(client.fileno(), SHUT_WR):
            raise OSError(errno, os.strerror(errno))
    else:
        sock.shutdown(socket.SHUT_WR)


def _close(fd: int) -> None:
    if cython.compiled:
        c_close(fd)  # without giving up the interpreter lock: closing a socket does not wait
    else:
        os.close(fd)
