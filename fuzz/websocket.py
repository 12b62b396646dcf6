"""Fuzz target of the WebSocket engine: no input may raise, exceed a bound, or depend on how it was cut.

An input is what a peer sends behind the handshake; its checksum chooses compression and the cuts.
"""

from __future__ import annotations

import sys
import zlib
from typing import Any, List

from harness import instrumented, pieces, run

with instrumented():
    from server_http.limits import Limits
    from server_http.ws.deflate import negotiate
    from server_http.ws.engine import PONGS_MAX, Closed, WebSocket

MASK = b"\x80\0\0\0\0"
TOKENS = (
    *(bytes((first,)) + MASK for first in (0x00, 0x01, 0x02, 0x80, 0x81, 0x82, 0x88, 0x89, 0x8A, 0xC1, 0xC2, 0x41)),
    b"\x81\x83\0\0\0\0abc", b"\x88\x82\0\0\0\0\x03\xe8", b"\xc1\x87\0\0\0\0\xf2\x48\xcd\xc9\xc9\x07\x00",
    b"\xc3\xa4", b"\xff",
)  # fmt: skip
LIMIT = 200
FAILURES = ((1002, ""), (1007, ""), (1009, ""))


def listen(parts: Any, compressed: bool) -> List[Any]:
    """What an application hears, and at last what the peer is answered."""
    websocket = WebSocket(
        Limits(ws_message=LIMIT),
        0.0,
        negotiate([b"permessage-deflate; client_max_window_bits"]) if compressed else None,
    )
    heard: List[Any] = []
    for part in parts:
        for event in websocket.receive_data(part, 0.0):
            assert not isinstance(heard[-1] if heard else None, tuple), "nothing comes behind the end"
            assert not isinstance(event, (str, bytes)) or len(event) <= LIMIT
            heard.append((event.code, event.reason) if isinstance(event, Closed) else event)
    answer = websocket.take()
    assert len(answer) <= 2 * PONGS_MAX
    assert websocket.ended == (websocket.deadline() is None)
    if compressed and heard and heard[-1] in FAILURES:  # what is inflated at once decides which of several is seen
        return [*heard[:-1], "broken"]
    return [*heard, answer]


def test_one_input(data: bytes) -> None:
    """What atheris calls."""
    chosen = zlib.crc32(data)
    whole = listen([data], bool(chosen & 1))
    assert listen(pieces(data, (chosen >> 1 & 15) + 1), bool(chosen & 1)) == whole


if __name__ == "__main__":
    run(test_one_input, "websocket", TOKENS, sys.argv[1:])
