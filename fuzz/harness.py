"""What the fuzz targets share: running one with atheris or, where that is not installed, with a random mutator.

Must not know: what a target checks.
"""

from __future__ import annotations

import random
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Callable, ContextManager, Dict, Iterator, List, Sequence, Tuple

CORPUS = Path(__file__).parent / "corpus"
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

try:
    import atheris
except ImportError:
    atheris = None


def instrumented() -> ContextManager[Any]:
    """A context in which a target imports what is fuzzed."""
    return atheris.instrument_imports(include=["server_http"]) if atheris else nullcontext()


def pieces(octets: bytes, size: int) -> Iterator[bytes]:
    """Cut into parts of ``size`` octets; 0 leaves the whole."""
    step = size or max(1, len(octets))
    return (octets[i : i + step] for i in range(0, len(octets), step))


def run(target: Callable[[bytes], None], name: str, tokens: Sequence[bytes], arguments: List[str]) -> None:
    """Run a target.

    Args:
        target: takes one input and asserts.
        name: of its folder of seeds.
        tokens: what the mutator likes to insert.
        arguments: of the command line, as libFuzzer has them; the mutator knows ``-max_total_time`` and ``-runs``.
    """
    if atheris is None:
        options: List[Tuple[str, str, str]] = [item.partition("=") for item in arguments if item.startswith("-")]
        _run_without_coverage(target, name, tokens, {key: float(value) for key, _, value in options})
        return
    atheris.Setup([sys.argv[0], *arguments], target)
    atheris.Fuzz()


def _mutate(choice: random.Random, inputs: List[bytes], tokens: Sequence[bytes]) -> bytes:
    """Join, cut, repeat and disturb seeds."""
    octets = bytearray(choice.choice(inputs))
    for _ in range(choice.randint(0, 4)):
        at = choice.randint(0, len(octets))
        kind = choice.randint(0, 3)
        if kind == 0:
            octets[at : at + choice.randint(1, 8)] = b""
        elif kind == 1:
            octets[at:at] = choice.choice(tokens)
        elif kind == 2 and at < len(octets):
            octets[at] = choice.randint(0, 255)
        else:
            octets[at:at] = choice.choice(inputs)[: choice.randint(1, 200)]
    return bytes(octets)


def _run_without_coverage(
    target: Callable[[bytes], None], name: str, tokens: Sequence[bytes], limits: Dict[str, float]
) -> None:
    """Mutate seeds at random, for a bounded time."""
    choice = random.Random(0)
    inputs = [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]
    ends = time.monotonic() + limits.get("-max_total_time", 10.0)
    runs = 0
    for data in inputs:
        target(data)
    while time.monotonic() < ends and runs < limits.get("-runs", float("inf")):
        target(_mutate(choice, inputs, tokens))
        runs += 1
    print(f"{runs} inputs without coverage guidance, no failure")
