"""Fuzz target of the HTTP/2 engine: no input may raise, exceed a bound, or depend on how it was cut.

An input is what a peer sends behind the preface and its SETTINGS; its checksum chooses the limits and the cuts.
Requests are answered as they come, with content and trailers, so that both directions of a stream are met.
"""

from __future__ import annotations

import sys
import zlib
from typing import Any, List, Tuple

from harness import instrumented, pieces, run

with instrumented():
    from server_http.events import BodyEnded, BodyReceived, ConnectionEnded, RequestReceived, StreamClosed, StreamReset
    from server_http.limits import Limits
    from support.http2 import PREFACE, connect, octets, raw

TOKENS = (
    *(raw(kind, flags, stream) for kind in range(10) for flags in (0, 1, 4, 5, 8, 32) for stream in (0, 1, 3)),
    raw(1, 5, 1, b"\x82\x86\x84\x41\x01a"), raw(1, 4, 1, b"\x83\x86\x84\x41\x01a"), raw(0, 0, 1, b"part"),
    raw(1, 4, 3, b"\x83\x86\x84\x41\x01a"), raw(0, 1, 3, b"body"),
    raw(8, 0, 0, b"\0\0\0\1"), raw(3, 0, 1, b"\0\0\0\x08"), raw(4, 0, 0, b"\0\4\0\0\0\0"), b"\0", b"\xff",
    b"\x7f\xff\xff\xff",
)  # fmt: skip
SMALL = Limits(
    h2_max_streams=3, h2_initial_window=500, h2_header_list=400, h2_resets=5, h2_control_frames=20, h2_continuations=2,
    body=300, header_count=6, request_line=60, send_high_water=2000, send_low_water=500,
)  # fmt: skip
LIMITS = (Limits(), SMALL)
CONTENT = b"c" * 3000


class Talk:
    """Feeds an engine, answers every request, and checks what the contract of engines promises."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.engine = connect(limits)
        self.told: List[Tuple[Any, ...]] = []
        self.live: List[int] = []
        self.over = False
        self.feed(PREFACE + raw(4, 0, 0))

    def feed(self, data: bytes) -> None:
        """Take octets; nothing is written meanwhile, so that cuts make no difference."""
        for event in self.engine.receive_data(data, 0.0):
            self._take(event)

    def answer(self) -> None:
        """Answer what is open."""
        for stream in list(self.live):
            self.engine.respond(stream, 200, [(b"X-Field", b"value")], 0.0)
            self.engine.send(stream, CONTENT, 0.0)
            self.engine.end(stream, 0.0, [(b"checksum", b"abc")])
        self._write()

    def finish(self) -> None:
        """Let time pass, and let the peer go."""
        for now in (3.0, 40.0, 80.0):
            for event in self.engine.handle_timer(now):
                self._take(event)
            self._write()
        for event in self.engine.receive_eof(81.0):
            self._take(event)
        self._write()

    def _write(self) -> None:
        waiting = octets(self.engine.segments())
        assert len(waiting) <= self.limits.send_high_water + len(CONTENT) * (self.limits.h2_max_streams + 1)
        self.engine.sent(len(waiting))
        for event in self.engine.advance(0.0):
            self._take(event)

    def _take(self, event: Any) -> None:
        kind = type(event)
        assert not self.over or kind in (StreamClosed, StreamReset)
        if kind is RequestReceived:
            assert event.stream not in self.live
            self.live.append(event.stream)
            for name, value in event.request.headers:
                assert name == name.lower()
                assert not set(value) & set(b"\r\n\0")
        elif kind is StreamClosed:
            self.live.remove(event.stream)
        elif kind is ConnectionEnded:
            self.over = True
        if kind is BodyReceived:
            self.engine.consumed(event.stream, event.credit)
        if kind in (RequestReceived, BodyReceived, BodyEnded, StreamReset):
            data = bytes(getattr(event, "data", b""))
            self.told.append((kind.__name__, event.stream, data, str(getattr(event, "error", ""))))
            if kind is RequestReceived and event.body is not None:  # it came whole with its head
                if event.body:
                    self.told.append((BodyReceived.__name__, event.stream, event.body, ""))
                self.told.append((BodyEnded.__name__, event.stream, b"", ""))


def test_one_input(data: bytes) -> None:
    """What atheris calls."""
    chosen = zlib.crc32(data)
    limits = LIMITS[chosen & 1]
    whole, cut = Talk(limits), Talk(limits)
    whole.feed(data)
    for piece in pieces(data, (chosen >> 1 & 31) + 1):
        cut.feed(piece)
    assert cut.told == whole.told  # what is written may differ: credit is given between the pieces
    for talk in (whole, cut):
        talk.answer()
        talk.finish()


if __name__ == "__main__":
    run(test_one_input, "http2", TOKENS, sys.argv[1:])
