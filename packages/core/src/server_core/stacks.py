"""Where a process is: the stacks of its threads, and of what waits in it without a thread.

Owns: the signal that asks, what is written then, how stacks are shown.
Must not know: event loops and greenlets (``Worker.waiting_stacks``), who asks and reads.

The stacks of threads are written by ``faulthandler`` inside the signal's handler, in C: it needs neither the
interpreter's lock nor a thread that still runs. A task or greenlet that waits is in none of them. Where a worker has
such things, Python's own handler comes next, as soon as the main thread runs, and writes them behind the others.
"""

from __future__ import annotations

import faulthandler
import os
import signal
from itertools import islice
from typing import Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple

from server_core.process import set_handler

#: A real-time signal, because applications use the others.
STACK_SIGNAL: int = signal.SIGRTMIN + 6 if hasattr(signal, "SIGRTMIN") else signal.SIGXFSZ

#: How the part begins that Python writes.
HEADING = "Waiting without a thread: "

SHOWN_STACKS = 30  # different ones
SHOWN_TITLES = 5  # of what stands at one and the same place
SHOWN_FRAMES = 100  # as faulthandler


class Stack(NamedTuple):
    """Where something stands that waits without a thread.

    Attributes:
        title: what it is: the request, or the task's name.
        frames: one line of ``frame_line`` for each frame, the most recent first.
    """

    title: str
    frames: Tuple[str, ...]


def frame_line(frame: Any) -> str:
    """Return a frame as faulthandler shows it."""
    return f'  File "{frame.f_code.co_filename}", line {frame.f_lineno} in {frame.f_code.co_name}'


def frames_from(frame: Optional[Any]) -> Iterator[Any]:
    """Return ``frame`` and those that called it."""
    while frame is not None:
        yield frame
        frame = frame.f_back


def write_stacks_on_signal(fd: int, waiting: Optional[Callable[[], Iterable[Stack]]] = None) -> None:
    """Write the Python stacks of all threads to ``fd`` when STACK_SIGNAL arrives.

    Args:
        fd: the descriptor; it stays the caller's.
        waiting: returns what waits without a thread, to be written behind them; called in the main thread.
    """
    faulthandler.unregister(STACK_SIGNAL)  # what the parent said stays in force otherwise
    if waiting is not None:
        set_handler(STACK_SIGNAL, lambda *_: _write_waiting(fd, waiting))
    faulthandler.register(STACK_SIGNAL, file=fd, all_threads=True, chain=waiting is not None)


def _write_waiting(fd: int, waiting: Callable[[], Iterable[Stack]]) -> None:
    """Runs wherever the main thread is, and must not disturb it."""
    try:
        text = waiting_text(waiting())
    except Exception as error:  # whatever it is, the request that was interrupted has no part in it
        text = f"{HEADING}unknown, {type(error).__name__}: {error}\n"
    os.write(fd, f"\n{text}".encode("utf-8", "backslashreplace"))


def waiting_text(stacks: Iterable[Stack]) -> str:
    """Return ``stacks`` as text. What stands at one place is shown once, with how many of it there are."""
    places: Dict[Tuple[str, ...], List[str]] = {}
    for stack in stacks:
        places.setdefault(stack.frames, []).append(stack.title)
    lines = [f"{HEADING}{sum(map(len, places.values()))}"]
    for frames, titles in islice(places.items(), SHOWN_STACKS):
        lines += ["", f"{_listed(titles)} (most recent call first):", *frames[:SHOWN_FRAMES]]
        if len(frames) > SHOWN_FRAMES:
            lines.append("  ...")
    if len(places) > SHOWN_STACKS:
        lines += ["", f"... and {len(places) - SHOWN_STACKS} more places"]
    return "\n".join(lines) + "\n"


def _listed(titles: List[str]) -> str:
    text = ", ".join(titles[:SHOWN_TITLES])
    return text if len(titles) <= SHOWN_TITLES else f"{text} and {len(titles) - SHOWN_TITLES} more"
