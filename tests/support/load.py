"""A small load client for tests that must not lose a request: keep-alive connections that count errors.

Owns: the threads that ask, and the count. A lost request is one that was sent and got no complete answer;
a server may close an idle connection, so a close before the first octet of an answer on a connection that
was used before is asked again once on a new connection, as RFC 9112 section 9.3.1 lets a client do for GET.
Must not know: how fast the server is. This is no benchmark.
"""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Callable, Dict, List, Optional, Type

from support.client import Address, Answer, BadAnswerError, RawClient, encode_request
from support.net import PATIENCE

ERROR_PAUSE_SECONDS = 0.02


class LoadResult:
    """What happened: ``answers``, ``statuses`` (count by status), ``retried``, ``errors`` (texts), ``slowest`` (s)."""

    def __init__(self) -> None:
        self.answers = 0
        self.retried = 0
        self.statuses: Dict[int, int] = {}
        self.errors: List[str] = []
        self.slowest = 0.0
        self.bodies: Dict[bytes, int] = {}

    def assert_no_error(self) -> None:
        """Every request was answered with 2xx."""
        bad = {status: count for status, count in self.statuses.items() if not 200 <= status < 300}
        assert not self.errors, f"{len(self.errors)} of {self.answers + len(self.errors)} failed: {self.errors[:5]}"
        assert not bad, f"statuses: expected 2xx, got {bad}"
        assert self.answers, "no request was answered"

    def __repr__(self) -> str:
        return f"<LoadResult answers={self.answers} retried={self.retried} errors={len(self.errors)} {self.statuses}>"


class KeepAliveLoad:
    """Connections that ask again and again until the block ends.

    Args:
        address: ``(host, port)`` or the path of a unix socket.
        connections: threads, each with one connection.
        target: what is asked for by GET.
        pause: seconds between an answer and the next request of a connection.
        keep_bodies: count the different bodies (``result.bodies``); for small answers only.
        requests_per_connection: a connection is closed by the client after so many; None keeps it.
    """

    def __init__(
        self,
        address: Address,
        *,
        connections: int = 4,
        target: str = "/",
        pause: float = 0.0,
        keep_bodies: bool = False,
        requests_per_connection: Optional[int] = None,
        timeout: float = PATIENCE,
    ) -> None:
        self.address = address
        self.target = target
        self.pause = pause
        self.keep_bodies = keep_bodies
        self.per_connection = requests_per_connection
        self.timeout = timeout
        self.result = LoadResult()
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(connections)]

    def __enter__(self) -> KeepAliveLoad:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.stop()

    def stop(self) -> LoadResult:
        """Finish the requests under way, and return the result."""
        self._stop.set()
        for thread in self._threads:
            thread.join(self.timeout + 5.0)
        return self.result

    def wait_for(self, condition: Callable[[LoadResult], bool], timeout: float = PATIENCE) -> None:
        """Wait until ``condition(result)``, asked after every answer."""
        with self._changed:
            if not self._changed.wait_for(lambda: condition(self.result), timeout):
                raise AssertionError(f"load: condition not met within {timeout} s, got {self.result!r}")

    def wait_for_answers(self, more: int, timeout: float = PATIENCE) -> None:
        """Wait until ``more`` further requests were answered."""
        goal = self.result.answers + more
        self.wait_for(lambda result: result.answers >= goal, timeout)

    def _run(self) -> None:
        client: Optional[RawClient] = None
        used = 0
        while not self._stop.is_set():
            if client is None or used == self.per_connection:
                if client is not None:
                    client.close()
                client, used = None, 0
            began = time.monotonic()
            try:
                client, answer = self._ask(client)
            except (OSError, BadAnswerError, ValueError) as error:
                self._count(None, f"{type(error).__name__}: {error}", time.monotonic() - began)
                client = None
                self._stop.wait(ERROR_PAUSE_SECONDS)
                continue
            used += 1
            self._count(answer, "", time.monotonic() - began)
            if (answer.header("connection") or "").lower() == "close":
                client.close()
                client = None
            if self.pause:
                self._stop.wait(self.pause)
        if client is not None:
            client.close()

    def _ask(self, client: Optional[RawClient]) -> tuple[RawClient, Answer]:
        if client is not None:
            try:
                return client, self._ask_on(client)
            except (ConnectionError, BadAnswerError):
                if client.buffer:  # an answer had begun: that request is lost
                    raise
                with self._changed:
                    self.result.retried += 1
        client = RawClient(self.address, timeout=self.timeout)
        return client, self._ask_on(client)

    def _ask_on(self, client: RawClient) -> Answer:
        try:
            client.send(encode_request("GET", self.target))
            return client.read_answer()
        except BaseException:
            client.close()
            raise

    def _count(self, answer: Optional[Answer], error: str, seconds: float) -> None:
        with self._changed:
            result = self.result
            result.slowest = max(result.slowest, seconds)
            if answer is None:
                result.errors.append(error)
            else:
                result.answers += 1
                result.statuses[answer.status] = result.statuses.get(answer.status, 0) + 1
                if self.keep_bodies:
                    result.bodies[answer.body] = result.bodies.get(answer.body, 0) + 1
            self._changed.notify_all()
