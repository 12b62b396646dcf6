# cython: boundscheck=False, wraparound=False
"""The chunked transfer coding, decoded (RFC 9112 section 7.1).

Owns: chunk sizes, chunk extensions, trailers, and the limits of what frames a body.
Must not know: who reads the body. Nothing is converted before it is bounded, nothing is kept but an incomplete line.
"""

from __future__ import annotations

import re
from typing import List

from server_http.errors import BadRequest, ContentTooLarge, HeaderFieldsTooLarge
from server_http.events import Headers
from server_http.fields import FORBIDDEN_TRAILERS
from server_http.h1.request import trailer_fields
from server_http.limits import CHUNK_FRAMING, Limits

SIZE = 0  # a line: chunk-size [ chunk-ext ] CRLF
DATA = 1  # octets of a chunk
DATA_END = 2  # CRLF behind them
TRAILERS = 3  # field lines behind the last chunk, and an empty line
DONE = 4

#: state -> the states that may follow
TRANSITIONS = {SIZE: (DATA, TRAILERS), DATA: (DATA_END,), DATA_END: (SIZE,), TRAILERS: (DONE,), DONE: ()}

_SIZE_DIGITS = 15  # 16**15 fits in 63 bits: bounded before it is converted
_HEX = b"0123456789abcdefABCDEF"
_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_QUOTED = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"'
_EXTENSIONS = re.compile(
    rb"(?:[ \t]*;[ \t]*" + _TOKEN + rb"(?:[ \t]*=[ \t]*(?:" + _TOKEN + rb"|" + _QUOTED + rb"))?)*\Z"
)


# What no line may have, wherever it ends: it is refused at once, and not when the peer gives up waiting.
_BARE = re.compile(rb"(?<!\r)\n|\r(?!\n|\Z)|\0")


class ChunkedBody:
    """Decodes one body.

    Args:
        limits: ``body``, ``chunk_extension``, ``chunk_overhead`` and the limits of trailers.

    Attributes:
        state: ``DONE`` when the body and its trailers are complete.
        received: octets of content so far.
        trailers: the fields behind it; they never join the headers.
    """

    __slots__ = ("_limits", "_line", "_overhead", "_remaining", "received", "state", "trailers")

    def __init__(self, limits: Limits) -> None:
        self.state = SIZE
        self.received = 0
        self.trailers: Headers = []
        self._limits = limits
        self._line = b""  # an incomplete line, or the incomplete trailer section
        self._overhead = 0
        self._remaining = 0

    def feed(self, data: bytes, at: int, parts: List[bytes]) -> int:
        """Decode ``data`` from offset ``at``.

        Args:
            data: octets from the peer.
            at: where to begin.
            parts: receives the content, in order; complete also when an error is raised behind it.

        Returns:
            The offset behind what was taken: ``len(data)``, or where the next message begins.

        Raises:
            BadRequest: the framing is malformed, or a trailer is forbidden.
            ContentTooLarge: the content exceeds ``limits.body``.
            HeaderFieldsTooLarge: the trailers exceed their limits.
        """
        size = len(data)
        while at < size and self.state != DONE:
            if self.state == DATA:
                at = self._take_data(data, at, size, parts)
            elif self.state == TRAILERS:
                at = self._take_trailers(data, at)
            elif self.state == SIZE:
                at = self._take_size(data, at, size)
            else:
                at = self._take_data_end(data, at, size)
        return at

    def _take_data(self, data: bytes, at: int, size: int, parts: List[bytes]) -> int:
        end = min(size, at + self._remaining)
        parts.append(data[at:end] if at or end < size else data)
        self._remaining -= end - at
        self.received += end - at
        if self._remaining == 0:
            self.state = DATA_END
        return end

    def _take_data_end(self, data: bytes, at: int, size: int) -> int:
        """Take CRLF behind a chunk, both octets or one at a time."""
        wanted = b"\n" if self._line else b"\r\n"
        got = data[at : at + len(wanted)]
        if got == wanted:
            self._line = b""
            self._count(2)
            self.state = SIZE
        elif got == b"\r" and at + 1 == size:
            self._line = got
        else:
            raise BadRequest(f"chunk: expected CRLF behind its data, got {got!r}")
        return at + len(got)

    def _take_size(self, data: bytes, at: int, size: int) -> int:
        limit = _SIZE_DIGITS + self._limits.chunk_extension
        end = data.find(b"\r\n", at, at + limit + 2)
        if not self._line and end >= 0:
            self._start_chunk(data[at:end])
            return end + 2
        return self._take_split_size(data, at, limit)

    def _take_split_size(self, data: bytes, at: int, limit: int) -> int:
        """Take a size line that did not arrive whole; at most ``limit`` octets and CRLF are kept."""
        held = len(self._line)
        line = self._line + data[at : at + limit + 2 - held]
        end = line.find(b"\r\n", max(held - 1, 0))
        if end < 0:
            if len(line) >= limit + 2:
                raise BadRequest(f"chunk size: expected a line of at most {limit} octets, got more")
            _refuse_bare(line, held)
            self._line = line
            return at + len(line) - held
        self._line = b""
        self._start_chunk(line[:end])
        return at + end + 2 - held

    def _start_chunk(self, line: bytes) -> None:
        """Take ``chunk-size [ chunk-ext ]``."""
        self._count(len(line) + 2)
        digits = line
        if len(line) > _SIZE_DIGITS or line.translate(None, _HEX):
            digits = line[: len(line) - len(line.lstrip(_HEX))]
            if _EXTENSIONS.match(line, len(digits)) is None:
                raise BadRequest(f"chunk size: expected hexadecimal digits and extensions, got {line[:64]!r}")
        if not digits or len(digits) > _SIZE_DIGITS:
            raise BadRequest(f"chunk size: expected 1 to {_SIZE_DIGITS} hexadecimal digits, got {line[:64]!r}")
        length = int(digits, 16)
        limit = self._limits.body
        if limit and self.received + length > limit:
            raise ContentTooLarge(f"body: expected at most {limit} octets, got {self.received + length} and more")
        self._remaining = length
        self.state = DATA if length else TRAILERS

    def _take_trailers(self, data: bytes, at: int) -> int:
        """Take field lines up to an empty line (RFC 9112 section 7.1.2)."""
        limit = self._limits.trailer_octets
        held = len(self._line)
        section = self._line + data[at : at + limit + 4 - held]
        if section[:2] == b"\r\n":
            end = 0
        else:
            end = section.find(b"\r\n\r\n", max(held - 3, 0))
            _refuse_bare(section if end < 0 else section[: end + 4], held)
            if end < 0:
                if len(section) >= limit + 4:
                    raise HeaderFieldsTooLarge(f"trailers: expected at most {limit} octets, got more")
                self._line = section
                return at + len(section) - held
            self.trailers = self._read_trailers(section[: end + 4])
            end += 2
        self._line = b""
        self._count(end + 2)
        self.state = DONE
        return at + end + 2 - held

    def _read_trailers(self, section: bytes) -> Headers:
        fields = trailer_fields(section, self._limits.header_field, self._limits.trailer_count)
        for name, _ in fields:
            if name in FORBIDDEN_TRAILERS:
                raise BadRequest(f"trailer: expected none that frames, routes or authorises, got {name!r}")
        return fields

    def _count(self, octets: int) -> None:
        """Bound what frames the content, by what there is of it: short chunks may go on for ever."""
        self._overhead += octets
        if self._overhead > self._limits.chunk_overhead + CHUNK_FRAMING * self.received:
            raise BadRequest(
                f"chunked body: expected at most {CHUNK_FRAMING} octets of framing for each of content and "
                f"{self._limits.chunk_overhead} besides, got more"
            )


def _refuse_bare(octets: bytes, known: int) -> None:
    """Refuse bare CR, bare LF and NUL in an incomplete line, of which ``known`` octets were looked at before."""
    found = _BARE.search(octets, max(known - 1, 0))
    if found is not None:
        raise BadRequest(f"chunk: expected no control characters, got {found.group()!r}")
