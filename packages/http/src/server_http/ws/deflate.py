"""permessage-deflate (RFC 7692): what is agreed upon, and messages through zlib with bounded memory.

Owns: the negotiation of the extension's parameters, one compressor and one decompressor.
Must not know: frames, text, events.

Memory of one connection: the compressor's ``2^(12+2) + 2^(5+9)`` = 32 KiB, and a decompressor of at most 32 KiB plus
its state (4 KiB where the client lets us limit its window). A message is inflated no further than the message limit.
"""

from __future__ import annotations

import zlib
from typing import Any, Dict, List, Optional, Sequence

WINDOW_BITS = 12
"""Window of the compressor, and what is asked of clients that can be asked: 4 KiB, where 15 would be 32 KiB."""

MEMORY_LEVEL = 5
COMPRESS_MIN = 128
"""Octets below which a message goes out as it is: compressing costs more than it saves (RFC 7692 section 6)."""

_LEVEL = 1
_TAIL = b"\x00\x00\xff\xff"
_SMALLEST_WINDOW = 9  # zlib takes 8 for 9 when it compresses, so 8 cannot be promised
_OFFERS_MAX = 16


class TooLargeError(Exception):
    """A message inflates beyond its limit."""


class Deflate:
    """The agreed parameters, and the two zlib streams of one WebSocket.

    Args:
        server_bits, client_bits: window sizes of the two directions, as powers of two.
        server_fresh, client_fresh: whether a side forgets its window after each message (no_context_takeover).
        answers_bits: the client can be told its window.
    """

    __slots__ = ("_answers_bits", "_client_bits", "_client_fresh", "_compressor", "_decompressor", "_server_bits",
                 "_server_fresh")  # fmt: skip

    def __init__(
        self, server_bits: int, client_bits: int, server_fresh: bool, client_fresh: bool, answers_bits: bool
    ) -> None:
        self._server_bits = server_bits
        self._client_bits = client_bits
        self._server_fresh = server_fresh
        self._client_fresh = client_fresh
        self._answers_bits = answers_bits
        self._compressor: Any = None
        self._decompressor: Any = None

    def header(self) -> bytes:
        """Return the value of Sec-WebSocket-Extensions that accepts the offer."""
        value = b"permessage-deflate"
        if self._server_fresh:
            value += b"; server_no_context_takeover"
        if self._client_fresh:
            value += b"; client_no_context_takeover"
        if self._server_bits != 15:
            value += b"; server_max_window_bits=%d" % self._server_bits
        if self._answers_bits:
            value += b"; client_max_window_bits=%d" % self._client_bits
        return value

    def compress(self, data: bytes) -> bytes:
        """Return one whole message deflated, without the empty block at its end (section 7.2.1)."""
        compressor = self._compressor
        if compressor is None:
            compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, -self._server_bits, MEMORY_LEVEL)
            if not self._server_fresh:
                self._compressor = compressor
        octets: bytes = compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)
        return octets[:-4]

    def inflate(self, data: bytes, last: bool, most: Optional[int]) -> bytes:
        """Inflate a part of a message.

        Args:
            data: the octets.
            last: the message ends with them (section 7.2.2).
            most: octets the result may have, or None.

        Raises:
            TooLargeError: the result is larger.
            zlib.error: the octets are no deflated data.
        """
        decompressor = self._decompressor
        if decompressor is None:
            decompressor = self._decompressor = zlib.decompressobj(-self._client_bits)
        if last:
            data += _TAIL
        # Behind a final block comes nothing (section 7.2.3.4), and zlib would keep whatever does.
        octets: bytes = b"" if decompressor.eof else decompressor.decompress(data, 0 if most is None else most + 1)
        if most is not None and len(octets) > most:
            raise TooLargeError
        if last and (self._client_fresh or decompressor.eof):
            self._decompressor = None
        return octets


def negotiate(values: Sequence[bytes]) -> Optional[Deflate]:
    """Accept the first offer that can be met (section 5); None when there is none.

    Args:
        values: of the Sec-WebSocket-Extensions fields. What cannot be read is not accepted.
    """
    for offer in b",".join(values).split(b",")[:_OFFERS_MAX]:
        name, *parameters = [part.strip(b" \t") for part in offer.split(b";")]
        if name == b"permessage-deflate":
            accepted = _accept(parameters)
            if accepted is not None:
                return accepted
    return None


def _accept(parameters: List[bytes]) -> Optional[Deflate]:
    """Accept one offer, or None when it has an unknown, repeated or malformed parameter (section 7.1)."""
    seen: Dict[bytes, bytes] = {}
    for parameter in parameters:
        key, equals, value = parameter.partition(b"=")
        key = key.rstrip(b" \t")
        value = value.strip(b" \t").strip(b'"')
        if key in seen or key not in _PARAMETERS or (equals and not value):
            return None
        seen[key] = value
    for key in (b"server_no_context_takeover", b"client_no_context_takeover"):
        if seen.get(key):
            return None
    server_bits = _bits(seen.get(b"server_max_window_bits", b"15"))
    client_bits = _bits(seen.get(b"client_max_window_bits") or b"15")
    if server_bits is None or client_bits is None or server_bits < _SMALLEST_WINDOW:
        return None
    answers = b"client_max_window_bits" in seen
    return Deflate(
        server_bits=min(server_bits, WINDOW_BITS),
        client_bits=min(client_bits, WINDOW_BITS) if answers else 15,
        server_fresh=b"server_no_context_takeover" in seen,
        client_fresh=b"client_no_context_takeover" in seen,
        answers_bits=answers,
    )


_PARAMETERS = frozenset(
    (b"server_no_context_takeover", b"client_no_context_takeover", b"server_max_window_bits", b"client_max_window_bits")
)


def _bits(value: bytes) -> Optional[int]:
    """Read a window size: 8 to 15, no leading zero (section 7.1.2)."""
    if value in (b"8", b"9", b"10", b"11", b"12", b"13", b"14", b"15"):
        return int(value)
    return None
