"""Serving a few connections beside supervision: the mechanism of the control socket and of the metrics listener.

Owns: accepting, reading, writing and closing in the arbiter's loop, and how much of its time a connection gets.
Must not know: what is said on a connection (``Client``).

Nothing here waits. A connection has one turn after the other, in each of which it may have one request carried
out; supervision comes in between. A peer that is slow to send or to read only holds its own connection.
"""

from __future__ import annotations

import selectors
import socket
import time
from typing import Any, Callable, Dict, Optional, Union

RECEIVE = 16 * 1024  # octets of one read

Octets = Union[bytes, bytearray, memoryview]


class Client:
    """One connection: what is said on it.

    Attributes:
        socket: the connection.
        finished: nothing more will be said; close it when all is written.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.finished = False
        self.watched = 0  # the events the loop waits for; the server's own note

    def receive(self, data: bytes, now: float) -> None:
        """Take octets; none are the end of the stream. At most one request is carried out."""
        raise NotImplementedError

    def has_work(self) -> bool:
        """Whether ``work`` has something to do when everything is written."""
        raise NotImplementedError

    def work(self, now: float) -> None:
        """Carry out the next request of those that are here already."""
        raise NotImplementedError

    def output(self) -> Octets:
        """Return octets to write next, empty for none."""
        raise NotImplementedError

    def sent(self, count: int) -> None:
        """So many octets of ``output`` were written."""
        raise NotImplementedError

    def tick(self, now: float) -> None:
        """Act on what is overdue, about once a second."""


class LoopServer:
    """Accepts connections and gives them turns.

    Args:
        arbiter: its loop calls back.
        listener: a listening, non-blocking socket (or ``sockets.Listener``).
        make_client: makes the client of an accepted socket; None refuses it.
        limit: open connections; for one more the one is closed that has been quiet for longest, so that nobody keeps
            a probe or an operator out by connections that say nothing.
    """

    def __init__(
        self, arbiter: Any, listener: Any, make_client: Callable[[socket.socket], Optional[Client]], limit: int
    ) -> None:
        self._arbiter = arbiter
        self._listener = listener
        self._make_client = make_client
        self._limit = limit
        self._clients: Dict[Client, None] = {}  # in the order in which they last sent or took something
        self._accepting = False
        self._accept_from_now()

    def tick(self, now: float) -> None:
        """Let every client act on what is overdue, and accept again where that failed."""
        self._accept_from_now()
        for client in list(self._clients):
            client.tick(now)
            self._write(client)

    def close(self) -> None:
        """Close the connections, and the listener."""
        for client in list(self._clients):
            self._drop(client)
        self._accept_later()
        self._listener.close()

    def close_in_child(self) -> None:
        """Close the descriptors only; in a process that was just forked."""
        for client in self._clients:
            client.socket.close()
        self._listener.close()

    def _accept_from_now(self) -> None:
        if not self._accepting:
            self._accepting = True
            self._arbiter.watch(self._listener, self._accept)

    def _accept_later(self) -> None:
        """Leave who comes in the backlog until the next tick."""
        if self._accepting:
            self._accepting = False
            self._arbiter.unwatch(self._listener)

    def _accept(self) -> None:
        try:
            accepted, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):  # it has gone already
            return
        except OSError:  # there is no descriptor left, and there will be none at once
            self._accept_later()
            return
        client = self._make_client(accepted)
        if client is None:
            accepted.close()
            return
        if len(self._clients) >= self._limit:
            self._drop(next(iter(self._clients)))
        accepted.setblocking(False)
        self._clients[client] = None
        self._wait(client)

    def _read(self, client: Client) -> None:
        try:
            data = client.socket.recv(RECEIVE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._drop(client)
            return
        self._stirred(client)
        client.receive(data, time.monotonic())
        self._write(client)

    def _continue(self, client: Client) -> None:
        """The socket has room: write on, or carry out the next request."""
        if not client.output() and client.has_work():
            client.work(time.monotonic())
        self._write(client)

    def _write(self, client: Client) -> None:
        try:
            while True:
                data = client.output()
                if not data:
                    break
                client.sent(client.socket.send(data))
                self._stirred(client)
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            self._drop(client)
            return
        if client.finished and not client.output():
            self._drop(client)
        else:
            self._wait(client)

    def _stirred(self, client: Client) -> None:
        """The client sent or took something: it is now the last to be given up."""
        del self._clients[client]
        self._clients[client] = None

    def _wait(self, client: Client) -> None:
        """Wait for what the client needs next; while it has something to write or to do, nothing is read."""
        events = selectors.EVENT_WRITE if client.output() or client.has_work() else selectors.EVENT_READ
        if events == client.watched:
            return
        if client.watched:
            self._arbiter.unwatch(client.socket)
        act = self._read if events == selectors.EVENT_READ else self._continue
        self._arbiter.watch(client.socket, lambda: self._give_turn(client, act), events)
        client.watched = events

    def _give_turn(self, client: Client, act: Callable[[Client], None]) -> None:
        """Let the client act, unless it made room for another since the loop saw something on its socket."""
        if client in self._clients:
            act(client)

    def _drop(self, client: Client) -> None:
        if client in self._clients:
            del self._clients[client]
            if client.watched:
                self._arbiter.unwatch(client.socket)
            client.socket.close()
