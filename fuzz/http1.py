"""Fuzz target of the HTTP/1 engine: no input may raise, hang, exceed a bound, or depend on how it was cut.

An input is what a peer sends; its checksum chooses the configuration and the cuts. Run by atheris where that is
installed; otherwise by a plain random mutator, which needs nothing. ``-max_total_time=SECONDS`` and ``-runs=N``
bound both.
"""

from __future__ import annotations

import sys
import zlib

from harness import instrumented, pieces, run

with instrumented():
    from server_http.config import HttpConfig
    from server_http.h1.rules import Grammar
    from server_http.limits import Limits
    from support.http1 import Talk, talk

TOKENS = (b"\r\n", b"\n", b"\r", b"\0", b" ", b":", b",", b"0", b";", b"chunked", b"_")
SMALL = Limits(
    request_line=200, header_count=8, header_field=200, head=1000, body=300, chunk_extension=40, chunk_overhead=500,
    trailer_count=4, trailer_octets=200, unread_body_drain=100, receive_high_water=500,
)  # fmt: skip
RELAXED = Grammar(True, True, True, True, True)
CONFIGS = [
    HttpConfig(),
    HttpConfig(limits=SMALL),
    HttpConfig(grammar=RELAXED),
    HttpConfig(limits=SMALL, grammar=RELAXED),
]


def check(it: Talk) -> None:
    """The bounds that hold for every conversation."""
    assert it.engine.pending(len(it.seen)) == 0
    if it.ended is None:
        idle = not it.seen or it.seen[-1].complete
        assert it.engine.deadline() is not None or not it.engine.want_read() or not idle
    for seen in it.seen:
        length = seen.request.content_length
        assert length is None or len(seen.body) <= length
        assert not seen.complete or length in (None, len(seen.body))
        for name, value in seen.request.headers:
            assert name == name.lower()
            assert not set(value) & set(b"\r\n\0")


def test_one_input(data: bytes) -> None:
    """What atheris calls."""
    chosen = zlib.crc32(data)
    config = CONFIGS[chosen & 3]
    whole = talk([data], config)
    check(whole)
    cut = talk(pieces(data, chosen >> 2 & 15), config)
    check(cut)
    assert cut.facts() == whole.facts()


if __name__ == "__main__":
    run(test_one_input, "http1", TOKENS, sys.argv[1:])
