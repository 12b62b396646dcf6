"""An application on Ray, the actor's side.

Owns: ``Replica``, the class of the actors: a ``LocalHost`` whose calls and answers travel by Ray.
Must not know: sockets, the server. It runs on nodes that have this package and the application's code, nothing else of
the server.

Arguments and answers are frames, as between a caller and a worker; their large buffers travel beside them, out of
band, through Ray's object store.
"""

from __future__ import annotations

import contextvars
import os
import pickle
import threading
from collections import deque
from typing import Any, Callable, Deque, Dict, Iterator, List, Mapping, NamedTuple, Optional, TypeVar

import ray

from server_core.process import resident_memory
from server_dirty import calls, frames
from server_dirty.app import deadline_after
from server_dirty.asyncloop import AsyncLoop
from server_dirty.context import CallContext
from server_dirty.host import Devices, LocalHost, load_app

CONTROL = "control"  # the concurrency group of what must not wait for calls
CONTROL_THREADS = 3  # one stays in ``lasting``
MISSED = 256  # cancellations kept that came before their calls


Method = TypeVar("Method", bound=Callable[..., Any])


def _control(method: Method) -> Method:
    """Let a method run beside the calls, however many of them there are."""
    marked: Method = ray.method(concurrency_group=CONTROL)(method)
    return marked


class RemoteCall(NamedTuple):
    """A call on its way to a replica: a number for ``cancel``, its frame, and the seconds its caller still waits."""

    number: int
    payload: bytes
    region: Optional[pickle.PickleBuffer]
    remaining: Optional[float]


class RemoteAnswer(NamedTuple):
    """A frame on its way back."""

    kind: int
    data: bytes
    buffers: List[pickle.PickleBuffer]


def travelling(outgoing: frames.Outgoing) -> RemoteAnswer:
    """Return a frame in the form that Ray takes."""
    return RemoteAnswer(outgoing.kind, outgoing.data, [pickle.PickleBuffer(view) for view in outgoing.buffers])


class Replica:
    """One application of one worker.

    Args:
        path: the application, ``"module:Class"``.
        devices: the numbers of its devices; those of ``"gpu"`` are the ones Ray gave to this actor.
        variables: what the application finds in its environment.
    """

    def __init__(self, path: str, devices: Devices, variables: Mapping[str, str]) -> None:
        os.environ.update(variables)
        gpus = [int(number) for number in ray.get_gpu_ids() if str(number).isdigit()]
        self._loop = AsyncLoop()
        self._host = LocalHost(load_app(path, {**devices, "gpu": gpus} if gpus else devices), self._loop)
        self._running: Dict[int, CallContext] = {}
        self._missed: Deque[int] = deque(maxlen=MISSED)
        self._ended = threading.Event()

    def answers(self, call: RemoteCall) -> Iterator[RemoteAnswer]:
        """Run a call; yield the frames of its answer."""
        # The buffers of Ray's object store are read-only; an application may change what it is given, as elsewhere.
        region = None if call.region is None else memoryview(bytearray(call.region))
        arrival = calls.arrival(frames.Frame(frames.CALL, call.payload, region))
        context = CallContext(arrival.app_path, arrival.action, deadline_after(call.remaining))
        self._running[call.number] = context
        if call.number in self._missed:
            context.cancel()
        here = contextvars.copy_context()
        answers = self._host.answers(arrival, context)
        try:
            while True:
                outgoing = here.run(next, answers, None)
                if outgoing is None:
                    return
                yield travelling(outgoing)
        finally:
            here.run(answers.close)
            self._running.pop(call.number, None)

    def answer(self, call: RemoteCall) -> RemoteAnswer:
        """Run a call whose answer is one frame; return it."""
        (only,) = self.answers(call)
        return only

    @_control
    def cancel(self, number: int) -> None:
        """Nobody waits for a call any more."""
        context = self._running.get(number)
        if context is None:
            self._missed.append(number)
        else:
            context.cancel()

    @_control
    def stack(self, number: int) -> str:
        """Return the stack of a running call."""
        context = self._running.get(number)
        return "  (it has ended)\n" if context is None else self._host.stack(context)

    @_control
    def memory(self) -> int:
        """Return the resident octets of this process."""
        return resident_memory()

    @_control
    def lasting(self) -> None:
        """Return when the application is closed: who waits for it learns of the actor's death."""
        self._ended.wait()

    def loaded(self) -> str:
        """Return the node on which the application is loaded."""
        return str(ray.get_runtime_context().get_node_id())

    def close(self) -> None:
        """Close the application."""
        try:
            self._host.close()
        finally:
            self._loop.close()
            self._ended.set()


def actor_class(threads: int, options: Dict[str, Any]) -> Any:
    """Return Ray's class for replicas that run ``threads`` calls at the same time."""
    made = ray.remote(max_concurrency=threads, concurrency_groups={CONTROL: CONTROL_THREADS})(Replica)
    return made.options(**options)
