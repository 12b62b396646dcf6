"""Frames: how one call and its answers are laid out on a unix socket.

Owns: the header, the frame types, and ``FrameReader``, which finds frames in a stream of octets.
Must not know: sockets; ``wire`` moves the octets and descriptors.

A frame is a header of 16 octets, ``payload`` octets of an encoded value, and, when ``shared`` is not
0, one descriptor that came with the header: a memory file with the large buffers of the value. The
first element of the payload's value lists their places, so that both travel or neither does. What a
relay has to know of a value may stand before it in the payload (``prefix``), so that it need not be decoded.
"""

from __future__ import annotations

import struct
from typing import Any, List, NamedTuple, Optional, Sequence, Tuple, Union

from server_dirty.codec import ALIGNMENT, decode, encode
from server_dirty.errors import DirtyProtocolError

HEADER = struct.Struct("!2sBBIQ")  # magic, version, type, payload octets, shared octets
MAGIC = b"SD"
VERSION = 1

CALL, RESULT, ERROR, CHUNK, END = range(1, 6)
_TYPES = frozenset((CALL, RESULT, ERROR, CHUNK, END))

MAX_PAYLOAD = 64 * 1024 * 1024  # octets of one frame on the socket
MAX_SHARED = 16 * 1024 * 1024 * 1024  # octets of one frame in shared memory


class Frame(NamedTuple):
    """A frame that has arrived: its ``kind``, its encoded value, and its shared memory, if it has some."""

    kind: int
    payload: bytes
    region: Optional[memoryview]

    def value(self, start: int = 0) -> Any:
        """Return the decoded value, which begins at ``start`` of the payload. Raises DirtyProtocolError."""
        return unpack(memoryview(self.payload)[start:] if start else self.payload, self.region)


class Outgoing(NamedTuple):
    """A frame that is to be sent: octets for the socket, buffers for shared memory and the size of
    the region they need."""

    kind: int
    data: bytes
    buffers: Sequence[memoryview]
    places: Sequence[Tuple[int, int]]
    shared: int


def pack(kind: int, value: Any, prefix: bytes = b"") -> Outgoing:
    """Return the frame of ``kind`` with ``value``; ``prefix`` stands before it.

    Raises:
        DirtyProtocolError: a value that cannot travel, or one larger than ``MAX_PAYLOAD``.
    """
    body, buffers = encode(value)
    places, shared = _arrange(buffers) if buffers else ((), 0)
    if buffers:
        body = encode([list(map(list, places)), body])[0]
    size = len(prefix) + len(body)
    if size > MAX_PAYLOAD:
        raise DirtyProtocolError(f"value: expected at most {MAX_PAYLOAD} encoded octets, got {size}")
    header = HEADER.pack(MAGIC, VERSION, kind, size, shared)
    return Outgoing(kind, b"".join((header, prefix, body)), buffers, places, shared)


def restore(kind: int, data: bytes, buffers: Sequence[memoryview]) -> Outgoing:
    """Return the frame whose ``kind``, ``data`` and ``buffers`` came here by another way than a socket."""
    places, shared = _arrange(buffers)
    return Outgoing(kind, data, buffers, places, shared)


def value_of(outgoing: Outgoing) -> Any:
    """Return the value of a frame without prefix that is about to be sent."""
    payload = outgoing.data[HEADER.size :]
    return decode(_unwrap(payload)[1], list(outgoing.buffers)) if outgoing.buffers else decode(payload, [])


def _arrange(buffers: Sequence[memoryview]) -> Tuple[Sequence[Tuple[int, int]], int]:
    """Give each buffer an aligned place; return the places and the size of the region."""
    places = []
    offset = 0
    for view in buffers:
        places.append((offset, view.nbytes))
        offset += -(-view.nbytes // ALIGNMENT) * ALIGNMENT
    return places, offset


def unpack(payload: Any, region: Optional[memoryview]) -> Any:
    """Return the value of a frame's ``payload``; ``region`` is its shared memory, if it has some.

    Raises:
        DirtyProtocolError: octets that ``pack`` does not make.
    """
    if region is None:
        return decode(payload, [])
    places, body = _unwrap(payload)
    return decode(body, [_slice(region, place) for place in places])


def _unwrap(payload: Any) -> Tuple[List[Any], bytes]:
    outer = decode(payload, [])
    if type(outer) is not list or len(outer) != 2 or type(outer[0]) is not list or type(outer[1]) is not bytes:
        raise DirtyProtocolError("shared frame: expected places and a value, got something else")
    return outer[0], outer[1]


def _slice(region: memoryview, place: Any) -> memoryview:
    offset, size = place
    if not 0 <= offset <= offset + size <= region.nbytes:
        raise DirtyProtocolError(f"buffer: expected a place within {region.nbytes} octets, got {offset}+{size}")
    return region[offset : offset + size]


def whole(data: bytes) -> Optional[Tuple[int, bytes, int]]:
    """Return ``(kind, payload, shared octets)`` when ``data`` is one frame and nothing else, as it mostly is.

    Raises:
        DirtyProtocolError: a header that is not of this protocol, or over its limits.
    """
    if len(data) < HEADER.size:
        return None
    kind, size, shared = _checked_header(data)
    return (kind, data[HEADER.size :], shared) if len(data) == HEADER.size + size else None


class FrameReader:
    """Finds frames in what arrives in pieces. Feed it, then take ``next_frame()`` until it returns None."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._header: Optional[Tuple[int, int, int]] = None

    def feed(self, data: bytes) -> None:
        """Take octets from the socket."""
        self._data += data

    def wanted(self) -> int:
        """Return how many octets complete what is under way (at least 1): a good size to read."""
        if self._header is None:
            return max(1, HEADER.size - len(self._data))
        return max(1, self._header[1] - len(self._data))

    def idle(self) -> bool:
        """Whether nothing of a frame has arrived: the end of the stream is in order here."""
        return self._header is None and not self._data

    def next_frame(self) -> Optional[Tuple[int, bytes, int]]:
        """Return ``(kind, payload, shared octets)``, or None when more has to arrive.

        Raises:
            DirtyProtocolError: a header that is not of this protocol, or over its limits.
        """
        if self._header is None:
            if len(self._data) < HEADER.size:
                return None
            self._header = _checked_header(self._data)
            del self._data[: HEADER.size]
        kind, size, shared = self._header
        if len(self._data) < size:
            return None
        payload = bytes(self._data[:size])
        del self._data[:size]
        self._header = None
        return kind, payload, shared


def _checked_header(data: Union[bytes, bytearray]) -> Tuple[int, int, int]:
    """Return kind, payload octets and shared octets of the header that ``data`` begins with."""
    magic, version, kind, size, shared = HEADER.unpack_from(data)
    if magic != MAGIC or kind not in _TYPES:
        raise DirtyProtocolError(f"frame: expected magic {MAGIC!r} and a known type, got {bytes(data[:4])!r}")
    if version != VERSION:
        raise DirtyProtocolError(f"frame: expected version {VERSION}, got {version}")
    if size > MAX_PAYLOAD or shared > MAX_SHARED:
        raise DirtyProtocolError(
            f"frame: expected at most {MAX_PAYLOAD} and {MAX_SHARED} octets, got {size} and {shared}"
        )
    return kind, size, shared
