"""Fuzz target of the HTTP/1 engine: no input may raise, hang, exceed a bound, or depend on how it was cut.

An input is what a peer sends; its checksum chooses the configuration and the cuts. Run by atheris where that is
installed; otherwise by a plain random mutator, which needs nothing. ``-max_total_time=SECONDS`` and ``-runs=N``
bound both.
"""

from __future__ import annotations

import random
import sys
import time
import zlib
from contextlib import nullcontext
from pathlib import Path
from typing import Dict, Iterator, List, Tuple

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

try:
    import atheris
except ImportError:
    atheris = None

with atheris.instrument_imports(include=["server_http"]) if atheris else nullcontext():
    from server_http.config import HttpConfig
    from server_http.h1.rules import Grammar
    from server_http.limits import Limits
    from support.http1 import CORPUS, Talk, talk

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


def pieces(octets: bytes, size: int) -> Iterator[bytes]:
    """Cut into parts of ``size`` octets; 0 leaves the whole."""
    step = size or max(1, len(octets))
    return (octets[i : i + step] for i in range(0, len(octets), step))


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


def seeds() -> List[bytes]:
    return [path.read_bytes() for path in sorted(CORPUS.iterdir())]


def mutate(choice: random.Random, inputs: List[bytes]) -> bytes:
    """Join, cut, repeat and disturb seeds."""
    octets = bytearray(choice.choice(inputs))
    for _ in range(choice.randint(0, 4)):
        at = choice.randint(0, len(octets))
        kind = choice.randint(0, 3)
        if kind == 0:
            octets[at : at + choice.randint(1, 8)] = b""
        elif kind == 1:
            octets[at:at] = choice.choice(
                (b"\r\n", b"\n", b"\r", b"\0", b" ", b":", b",", b"0", b";", b"chunked", b"_")
            )
        elif kind == 2 and at < len(octets):
            octets[at] = choice.randint(0, 255)
        else:
            octets[at:at] = choice.choice(inputs)[: choice.randint(1, 200)]
    return bytes(octets)


def run_without_coverage(limits: Dict[str, float]) -> None:
    """Mutate seeds at random, for a bounded time."""
    choice = random.Random(0)
    inputs = seeds()
    ends = time.monotonic() + limits.get("-max_total_time", 10.0)
    runs = 0
    for data in inputs:
        test_one_input(data)
    while time.monotonic() < ends and runs < limits.get("-runs", float("inf")):
        test_one_input(mutate(choice, inputs))
        runs += 1
    print(f"{runs} inputs without coverage guidance, no failure")


def main(arguments: List[str]) -> None:
    if atheris is None:
        options: List[Tuple[str, str, str]] = [item.partition("=") for item in arguments if item.startswith("-")]
        run_without_coverage({name: float(value) for name, _, value in options})
        return
    atheris.Setup([sys.argv[0], *arguments], test_one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
