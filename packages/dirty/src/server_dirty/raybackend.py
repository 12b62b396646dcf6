"""Applications on a Ray cluster: ``dirty_backend = ray``.

Owns: ``RayBackend`` and ``ReplicaHost``: one actor for each application of a worker, its calls, its death.
Must not know: what an application does, clients, supervision.

A dirty worker stays the local end of its replicas: clients, queues, deadlines and health are those of every other
backend. A replica lives as long as its worker, and dies with it because Ray ends the actors of a driver that is gone; a
worker whose replica dies leaves, and its successor starts a new one, on another node if need be. So the arbiter
supervises both.
"""

from __future__ import annotations

import itertools
import os
import pickle
import signal
from concurrent.futures import Future
from typing import Any, Callable, Dict, Iterator, Optional

import ray
from ray import exceptions

from server_dirty import calls, frames
from server_dirty.codec import PICKLE_VARIABLE
from server_dirty.context import CallContext
from server_dirty.errors import DirtyError, DirtyWorkerError
from server_dirty.host import Answers, Backend, Devices, Host, Seat
from server_dirty.rayreplica import RemoteAnswer, RemoteCall, actor_class
from server_dirty.stash.app import SIZE_VARIABLE, VALUE_VARIABLE
from server_dirty.stash.client import URL_VARIABLE

AHEAD = 8  # values of a stream that a replica may produce before they are taken
PATIENCE = 10.0  # seconds after which the log says that a replica still waits for its place
CONTROL_WAIT = 2.0  # seconds for the answers of a replica about itself
PASSED_ON = (URL_VARIABLE, SIZE_VARIABLE, VALUE_VARIABLE, PICKLE_VARIABLE)  # variables that actors find too
GPU = "gpu"  # the name in ``resources`` that means num_gpus

_numbers = itertools.count(1)


class RayBackend(Backend):
    """The applications run as actors of a Ray cluster.

    Raises:
        DirtyError: there is no cluster at ``dirty_ray_address``.
    """

    server_api = 1  # the plugin contract this class is written for
    scarce = True

    def __init__(self, cfg: Any, log: Any, lost: Callable[[str], None]) -> None:
        super().__init__(cfg, log, lost)
        handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            ray.init(
                address=cfg.dirty_ray_address,
                runtime_env=cfg.dirty_ray_runtime_env or None,
                logging_level="error",
                log_to_driver=True,  # what applications print appears in the server's output
            )
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise DirtyError(
                f"dirty_ray_address: expected a Ray cluster at {cfg.dirty_ray_address!r}, got: {error}"
            ) from error
        for number, handler in handlers.items():
            signal.signal(number, handler)  # ray.init put its own in their place

    def open(self, seat: Seat) -> ReplicaHost:
        """Start an actor with the application and wait until it is loaded."""
        host = ReplicaHost(seat, self.lost)
        node = host.wait_loaded(self.log)
        self.log.info("Dirty application %s is loaded on Ray node %s", seat.path, node)
        return host

    def close(self) -> None:
        """Leave the cluster, which ends what is left of the actors."""
        ray.shutdown()


def options_of(seat: Seat) -> Dict[str, Any]:
    """Return what an actor asks of the cluster: ``num_cpus``, ``num_gpus``, and other ``resources`` by their names."""
    declaration = seat.declaration
    resources = dict(declaration.resources)
    gpus = resources.pop(GPU, None)
    options: Dict[str, Any] = {
        "num_cpus": declaration.num_cpus,
        "num_gpus": gpus if declaration.num_gpus is None else declaration.num_gpus,
        "resources": resources or None,
        "scheduling_strategy": "SPREAD",  # replicas exist to outlive one another
        "max_restarts": 0,  # the worker's successor starts another
    }
    return {name: value for name, value in options.items() if value is not None}


class ReplicaHost(Host):
    """One actor.

    Args:
        seat: the application and what it needs.
        lost: called with a reason when the actor has died.
    """

    def __init__(self, seat: Seat, lost: Callable[[str], None]) -> None:
        self._path = seat.path
        self._lost = lost
        self._closing = False
        self._ids: Dict[CallContext, int] = {}
        self._resident = 0
        self._memory: Optional[Any] = None
        variables = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        devices: Devices = {
            name: [] for name in seat.declaration.resources
        }  # numbers of this machine mean nothing elsewhere
        self._actor = actor_class(seat.threads, options_of(seat)).remote(seat.path, devices, variables)

    def wait_loaded(self, log: Any) -> str:
        """Wait until the application is loaded; return the node. What its ``init`` raises passes through."""
        loaded = self._actor.loaded.remote()
        while not ray.wait([loaded], timeout=PATIENCE)[0]:
            log.warning("Dirty application %s waits for its place in the Ray cluster, or is still loading", self._path)
        node = str(ray.get(loaded))
        lasting: Future[Any] = self._actor.lasting.remote().future()
        lasting.add_done_callback(self._ended)
        return node

    def _ended(self, lasting: Future[Any]) -> None:
        if not self._closing:
            self._lost(f"Dirty application {self._path}: its Ray actor has died ({_reason(lasting.exception())})")

    def answers(self, arrival: calls.Arrival, context: CallContext) -> Answers:
        """Have the actor run the call."""
        number = next(_numbers)
        frame = arrival.frame
        region = None if frame.region is None else pickle.PickleBuffer(frame.region)
        call = RemoteCall(number, frame.payload, region, context.remaining())
        self._ids[context] = number
        context.on_cancel(lambda: self._actor.cancel.remote(number))
        try:
            for kind, data, buffers in self._stream(call) if arrival.stream else self._single(call):
                yield frames.restore(kind, data, [memoryview(buffer) for buffer in buffers])
        except exceptions.RayError as error:
            gone = DirtyWorkerError(
                f"{self._path}.{arrival.action}: the worker ended before it answered ({_reason(error)})",
                {"app_path": self._path},
            )
            yield calls.pack_error(gone, self._path, arrival.action)
        finally:
            context.on_cancel(None)
            del self._ids[context]

    def _single(self, call: RemoteCall) -> Iterator[RemoteAnswer]:
        yield ray.get(self._actor.answer.remote(call))

    def _stream(self, call: RemoteCall) -> Iterator[RemoteAnswer]:
        answers = self._actor.answers.options(
            num_returns="streaming", _generator_backpressure_num_objects=AHEAD
        ).remote(call)
        try:
            for answer in answers:
                yield ray.get(answer)
        except GeneratorExit:
            # The generator there is held back until what it has made is taken; then it sees that it is cancelled.
            self._actor.cancel.remote(call.number)
            for _ in answers:
                pass
            raise

    def stack(self, context: CallContext) -> str:
        """The stack in the actor."""
        number = self._ids.get(context)
        try:
            return str(ray.get(self._actor.stack.remote(number), timeout=CONTROL_WAIT))
        except exceptions.RayError as error:
            return f"  (unknown: {_reason(error)})\n"

    def memory(self) -> int:
        """The resident octets of the actor's process, as it last said; never waits."""
        if self._memory is None:
            self._memory = self._actor.memory.remote()
        elif ray.wait([self._memory], timeout=0)[0]:
            answer, self._memory = self._memory, None
            try:
                self._resident = int(ray.get(answer))
            except exceptions.RayError:
                self._resident = 0
        return self._resident

    def close(self) -> None:
        """Close the application and end the actor."""
        self._closing = True
        try:
            ray.get(self._actor.close.remote(), timeout=CONTROL_WAIT)
        except exceptions.RayError as error:
            if not isinstance(error, (exceptions.RayActorError, exceptions.GetTimeoutError)):
                raise
        ray.kill(self._actor)


def _reason(error: Optional[BaseException]) -> str:
    """Return the first line of an error of Ray, whose texts are long."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0]
