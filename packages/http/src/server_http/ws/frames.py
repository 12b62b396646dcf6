"""The octets of a frame: masking and headers (RFC 6455 section 5).

Owns: unmasking, frame headers of the server, the table of opcodes and close codes.
Must not know: messages, the state of a connection.

Chosen by measurement (64-octet text messages, eight to a read, CPython 3.11; microseconds to parse one and frame its
echo): this codec 0.5 compiled and 1.2 interpreted, the sans-I/O layer of ``websockets`` 3.0 with its C unmasking,
``wsproto`` 10. The whole server takes 2.9 for such an echo, so a library would double that or more. What they do is
small and does not change; tests hold this codec equal to both.
"""

from __future__ import annotations

from struct import Struct

try:
    import cython
except ImportError:  # Cython is a build requirement only
    from server_http import _cython as cython  # type: ignore[no-redef]

CONTINUATION = 0x0
TEXT = 0x1
BINARY = 0x2
CLOSE = 0x8
PING = 0x9
PONG = 0xA

FIN = 0x80
RSV1 = 0x40
RSV = 0x70
MASKED = 0x80
CONTROL_MAX = 125
"""Octets a control frame may carry (section 5.5)."""

_SHORT = 126
_LONG = 127
_HEADER_16 = Struct(">BBH")
_HEADER_64 = Struct(">BBQ")

SENDABLE_CODES = frozenset((1000, 1001, 1002, 1003, *range(1007, 1015), *range(3000, 5000)))
"""Codes that may stand in a Close frame (section 7.4, and the IANA registry up to 1014)."""


def unmask(data: bytes, start: int, size: int, mask: bytes, phase: int) -> bytes:
    """Return ``size`` octets of ``data`` from ``start``, unmasked (section 5.3).

    Args:
        data: received octets.
        start: where the payload, or a part of it, begins.
        size: octets to take; all of them are there.
        mask: the frame's four octets.
        phase: octets of the payload that came before.
    """
    if cython.compiled:
        plain = bytearray(size)
        _xor(data, start, plain, size, mask, phase)  # type: ignore[no-untyped-call]
        return bytes(plain)
    if phase & 3:
        mask = mask[phase & 3 :] + mask[: phase & 3]
    key = int.from_bytes((mask * ((size >> 2) + 1))[:size], "little")
    return (int.from_bytes(data[start : start + size], "little") ^ key).to_bytes(size, "little")


def _xor(source, start, target, size, mask, phase):  # type: ignore[no-untyped-def]  # the types are in frames.pxd
    first = mask[phase & 3]
    second = mask[(phase + 1) & 3]
    third = mask[(phase + 2) & 3]
    fourth = mask[(phase + 3) & 3]
    whole = size - (size & 3)
    for i in range(0, whole, 4):  # four at a time, so that the C compiler makes vectors of it
        target[i] = source[start + i] ^ first
        target[i + 1] = source[start + i + 1] ^ second
        target[i + 2] = source[start + i + 2] ^ third
        target[i + 3] = source[start + i + 3] ^ fourth
    for i in range(whole, size):
        target[i] = source[start + i] ^ mask[(phase + i) & 3]


def frame(first: int, payload: bytes) -> bytes:
    """Return a frame of the server, which is not masked.

    Args:
        first: FIN, RSV and opcode.
        payload: its content.
    """
    size = len(payload)
    if size < _SHORT:
        return bytes((first, size)) + payload
    if size < 0x10000:
        return _HEADER_16.pack(first, _SHORT, size) + payload
    return _HEADER_64.pack(first, _LONG, size) + payload
