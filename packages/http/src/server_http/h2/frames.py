"""The frame layer in front of the h2 library: cut the octets into frames, and bound them first.

Owns: the client preface, the frame header (RFC 9113 section 4.1), the unity of a header block (section 4.3), the
bounds on what one frame and one header block may hold, and the few frames the engine writes itself.
Must not know: streams, windows, HPACK.

Why it stands before h2, which has a frame buffer of its own:

* A frame that is too long, or a header block without end (CVE-2024-27316), is refused when its frame *header* is
  seen; h2 buffers the payload first.
* h2 is fed one frame at a time. When it raises, it loses the events of the frames before in the same call.
* h2 takes a client's GOAWAY as the end of everything and throws the unsent answers away; PRIORITY_UPDATE it does
  not know. Both stay in the engine.
* h2 remembers every setting it ever saw, known or not, and walks through them at each SETTINGS frame: 400 KB of
  unknown ones are 50 MB of memory. It is shown those it knows.
"""

from __future__ import annotations

from struct import Struct

from server_http.errors import H2_FRAME_SIZE_ERROR, ProtocolError, TooMuchAbuse

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

HEADER = Struct(">HBBBL")  # length (24 bits as 16 + 8), type, flags, reserved bit and stream
HEADER_OCTETS = 9

DATA = 0x0
HEADERS = 0x1
PRIORITY = 0x2
RST_STREAM = 0x3
SETTINGS = 0x4
PUSH_PROMISE = 0x5
PING = 0x6
GOAWAY = 0x7
WINDOW_UPDATE = 0x8
CONTINUATION = 0x9
PRIORITY_UPDATE = 0x10  # RFC 9218 section 7.1

END_STREAM = 0x1
ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8

SETTING_OCTETS = 6
_KNOWN_SETTINGS = frozenset((1, 2, 3, 4, 5, 6, 8))  # RFC 9113 section 6.5.2, RFC 8441 section 3

_LENGTHS = {PRIORITY: 5, RST_STREAM: 4, PING: 8, WINDOW_UPDATE: 4}  # of the payload, where the type has one length
_BLOCK_KINDS = (HEADERS, CONTINUATION)
STREAM_MASK = 0x7FFFFFFF
_GOAWAY = Struct(">HBBBLLL")


class FrameSizeError(ProtocolError):
    """A frame is longer than SETTINGS_MAX_FRAME_SIZE, or has a length its type does not allow (section 4.2)."""

    h2_code = H2_FRAME_SIZE_ERROR


class FrameReader:
    """Octets in, whole frames out.

    After ``next`` returned True, ``kind``, ``flags``, ``stream`` and ``frame`` (with its header) describe one frame.
    ``completed`` counts what is whole: frames outside of header blocks, and header blocks.

    Args:
        max_frame: octets a payload may have (SETTINGS_MAX_FRAME_SIZE).
        max_block: octets one header block may have, compressed; 0 = only bounded by the next two.
        continuations: CONTINUATION frames one header block may have.
    """

    __slots__ = (
        "_block", "_block_octets", "_buffer", "_continuations", "_max_block", "_max_continuations", "_max_frame",
        "_missing", "_preface", "_seen", "_start", "_tail", "completed", "flags", "frame", "kind", "stream",
    )  # fmt: skip

    def __init__(self, max_frame: int, max_block: int, continuations: int) -> None:
        self._max_frame = max_frame
        self._max_block = max_block
        self._max_continuations = continuations
        self._buffer = b""
        self._start = 0
        self._preface = PREFACE
        self._block = 0  # the stream of an unfinished header block
        self._block_octets = 0
        self._continuations = 0
        self._seen = False  # the header of the frame that is incomplete has passed
        self._missing = 0  # octets it still needs before it is worth another look
        self._tail = bytearray()  # what arrived of them
        self.completed = 0
        self.kind = 0
        self.flags = 0
        self.stream = 0
        self.frame = b""

    @property
    def partial(self) -> bool:
        """Whether a frame or a header block has begun and is not complete."""
        return self._block != 0 or len(self._buffer) > self._start

    @property
    def in_content(self) -> bool:
        """Whether the frame that is incomplete carries content, so that each octet of it is progress."""
        return self._seen and self.kind == DATA

    @property
    def awaits_preface(self) -> bool:
        """Whether the client preface is not complete yet."""
        return bool(self._preface)

    def feed(self, data: bytes) -> None:
        """Take octets; less than one frame of them stays behind when ``next`` returned False."""
        if self._start == len(self._buffer):
            self._buffer = data
            self._start = 0
            return
        self._tail += data  # collected apart: joining at once would copy a large frame for each small piece
        if len(self._tail) >= self._missing:
            self._buffer = self._buffer[self._start :] + bytes(self._tail)
            self._start = 0
            self._tail = bytearray()

    def next(self) -> bool:
        """Advance to the next whole frame; False when there is none.

        Raises:
            ProtocolError: what arrived is no preface, or breaks the unity of a header block.
            FrameSizeError: a frame is too long.
            TooMuchAbuse: a header block exceeds its bound.
        """
        if self._tail or (self._preface and not self._take_preface()):
            return False
        buffer, start = self._buffer, self._start
        end = start + HEADER_OCTETS
        if len(buffer) < end:
            self._missing = end - len(buffer)
            return False
        high, low, kind, flags, stream = HEADER.unpack_from(buffer, start)
        length = high << 8 | low
        self.kind, self.flags, self.stream = kind, flags, stream & STREAM_MASK
        if not self._seen:
            self._check(kind, length)
            self._seen = True
        end += length
        if len(buffer) < end:
            self._missing = end - len(buffer)
            return False
        self._seen = False
        self._start = end
        self.frame = buffer[start:end]
        if kind in _BLOCK_KINDS:
            self._follow_block()
        if not self._block:
            self.completed += 1
        return True

    def _take_preface(self) -> bool:
        """Consume the client preface (RFC 9113 section 3.4)."""
        wanted = self._preface
        got = self._buffer[: len(wanted)]
        if not wanted.startswith(got):
            raise ProtocolError(f"preface: expected {PREFACE!r}, got {got!r}")
        self._preface = wanted[len(got) :]
        self._start = len(got)
        return not self._preface

    def _check(self, kind: int, length: int) -> None:
        """Refuse a frame by its header alone."""
        if length > self._max_frame:
            raise FrameSizeError(f"frame: expected at most {self._max_frame} octets, got {length} (type {kind:#x})")
        wanted = 0 if kind == SETTINGS and self.flags & ACK else _LENGTHS.get(kind, length)
        if length != wanted:
            raise FrameSizeError(f"frame of type {kind:#x}: expected {wanted} octets, got {length}")
        if self._block:
            if kind != CONTINUATION or self.stream != self._block:
                raise ProtocolError(
                    f"header block: expected CONTINUATION of stream {self._block}, got type {kind:#x} of {self.stream}"
                )
            self._continuations += 1
            if self._continuations > self._max_continuations:
                raise TooMuchAbuse(
                    f"header block: expected at most {self._max_continuations} CONTINUATION frames, got more"
                )
            self._bound_block(length)
        elif kind == CONTINUATION:
            raise ProtocolError("CONTINUATION: expected an open header block, got none")
        elif kind == HEADERS:
            self._block_octets = 0
            self._bound_block(length)

    def _bound_block(self, length: int) -> None:
        self._block_octets += length
        if 0 < self._max_block < self._block_octets:
            raise TooMuchAbuse(f"header block: expected at most {self._max_block} octets, got {self._block_octets}")

    def _follow_block(self) -> None:
        """Remember whether a header block is open after this frame."""
        if self.flags & END_HEADERS:
            self._block = self._continuations = 0
        else:
            self._block = self.stream


def content_octets(frame: bytes, flags: int) -> int:
    """Return how much content a DATA frame carries, its padding left out; below 0 where the padding is too long."""
    size = len(frame) - HEADER_OCTETS
    return size - 1 - frame[HEADER_OCTETS] if flags & PADDED and size else size


def known_settings(frame: bytes, most: int) -> bytes:
    """Return a SETTINGS frame without the settings that nobody knows (section 6.5.2 has them ignored).

    Raises:
        TooMuchAbuse: there are more than ``most``.
    """
    payload = frame[HEADER_OCTETS:]
    count = len(payload) // SETTING_OCTETS
    if count > most:
        raise TooMuchAbuse(f"SETTINGS: expected at most {most} of them in a frame, got {count}")
    if len(payload) % SETTING_OCTETS:
        return frame  # an error, which h2 finds
    entries = [payload[at : at + SETTING_OCTETS] for at in range(0, len(payload), SETTING_OCTETS)]
    known = b"".join([entry for entry in entries if int.from_bytes(entry[:2], "big") in _KNOWN_SETTINGS])
    return frame if len(known) == len(payload) else len(known).to_bytes(3, "big") + frame[3:HEADER_OCTETS] + known


def goaway(last_stream: int, code: int) -> bytes:
    """Return a GOAWAY frame without debug data (section 6.8)."""
    return _GOAWAY.pack(0, 8, GOAWAY, 0, 0, last_stream, code)


def data_header(length: int, stream: int) -> bytes:
    """Return the header of a DATA frame (section 6.1) of ``length`` octets, without flags."""
    return HEADER.pack(length >> 8, length & 0xFF, DATA, 0, stream)
