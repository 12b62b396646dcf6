"""The listeners the arbiter holds, through reloads, scaling and upgrades.

Owns: ``ListenerBook``, which opens what is new, keeps what stays and lets go of what is dropped.
Must not know: workers; it is told slots and generations.

With ``reuse_port`` every slot has its own socket, bound and kept here, because closing one of several
resets the connections in its queue. A program attached to the group of sockets keeps new connections
away from a slot that is about to go.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import sys
from typing import Any, Callable, Dict, Iterable, List, MutableMapping, Optional, Sequence, Set, Tuple

from server_core.errors import ConfigError
from server_core.sockets import (
    SYSTEMD,
    TCP,
    Address,
    Listener,
    SocketOptions,
    adopt,
    open_listener,
)
from server_http.record import Record

HANDOVER_VARIABLE = "SERVER_LISTENERS"
_SO_ATTACH_REUSEPORT_CBPF = 51

SHARED = -1  # the slot of a listener that all workers share


class Key(Record):
    """What makes a listener the same after a reload."""

    address: Address
    slot: int = SHARED


class ListenerSet:
    """The listeners of one generation.

    Args:
        keys: of the listeners, slots excepted.
        per_slot: every slot has its own socket.
        options: how further sockets are opened.
        scheme: of the listeners' names.
        tls: the TLS of the listeners (``server_core.tls.ServerTLS``), or None.
    """

    def __init__(
        self, keys: Sequence[Key], per_slot: bool, options: SocketOptions, scheme: str, tls: Any = None
    ) -> None:
        self.keys = list(keys)
        self.per_slot = per_slot
        self.options = options
        self.scheme = scheme
        self.tls = tls


class ListenerBook:
    """All open listeners, by key."""

    def __init__(self) -> None:
        self._open: Dict[Key, Listener] = {}
        self._passed: List[Listener] = []

    def take_passed(self, passed: Sequence[Tuple[int, str]]) -> None:
        """Adopt sockets from systemd, ``(descriptor, name)``; they take the place of ``bind``."""
        self._passed = [adopt(fd, Address(SYSTEMD, fd=fd, name=name)) for fd, name in passed]

    # --- opening ----------------------------------------------------------------------------

    def open(
        self, cfg: Any, slots: int, tls: Any = None, attempts: int = 5, on_retry: Optional[Callable[[str], None]] = None
    ) -> ListenerSet:
        """Open what ``cfg`` listens on and is not open yet.

        Args:
            cfg: the settings.
            slots: how many workers there are to be.
            tls: see ``ListenerSet``.
            attempts: see ``open_listener``.
            on_retry: see ``open_listener``.

        Raises BindError or ConfigError; then nothing new stays open.
        """
        options = socket_options(cfg)
        scheme = "https" if cfg.is_ssl else "http"
        addresses = self._addresses(cfg.address)
        per_slot = cfg.reuse_port and all(address.kind == TCP for address in addresses)
        found = ListenerSet([Key(address) for address in addresses], per_slot, options, scheme, tls)
        before = self.keys()
        _refuse_other_mode(addresses, before, per_slot)
        try:
            for address in addresses:
                for slot in range(slots) if per_slot else (SHARED,):
                    self._ensure(Key(address, slot), found, attempts, on_retry)
        except Exception:
            self.close_others(before)
            raise
        return found

    def _addresses(self, binds: Sequence[Address]) -> List[Address]:
        named = any(address.kind == SYSTEMD for address in binds)
        if self._passed and not named:
            binds = [listener.address for listener in self._passed]
        found: List[Address] = []
        for address in binds:
            found += self._passed_as(address.name) if address.kind == SYSTEMD and not address.host else [address]
        return list(dict.fromkeys(found))

    def _passed_as(self, name: str) -> List[Address]:
        addresses = [listener.address for listener in self._passed if listener.address.name == name]
        if not addresses:
            names = ", ".join(sorted({listener.address.name for listener in self._passed})) or "none"
            raise ConfigError(f"bind: expected a socket named {name!r} from systemd, got {names}")
        return addresses

    def _ensure(
        self, key: Key, wanted: ListenerSet, attempts: int, on_retry: Optional[Callable[[str], None]] = None
    ) -> Listener:
        listener = self._open.get(key)
        if listener is None:
            listener = self._make(key, wanted, attempts, on_retry)
            listener.slot = None if key.slot == SHARED else key.slot
            self._open[key] = listener
        listener.scheme = wanted.scheme
        return listener

    def _make(
        self, key: Key, wanted: ListenerSet, attempts: int, on_retry: Optional[Callable[[str], None]]
    ) -> Listener:
        for listener in self._passed:
            if listener.address == key.address:
                return listener
        address = key.address
        if key.slot > 0 and address.port == 0:
            # The first slot was given a port by the system; the others join it there.
            first = self._open[Key(address, 0)].getsockname()
            address = Address(TCP, host=address.host, port=first[1])
        return open_listener(address, wanted.options, wanted.scheme, attempts, on_retry)

    # --- use --------------------------------------------------------------------------------

    def for_slot(self, wanted: ListenerSet, slot: int) -> List[Listener]:
        """Return the listeners of a worker, opening its own sockets when it is a new slot."""
        found = [self._ensure(Key(key.address, slot if wanted.per_slot else SHARED), wanted, 1) for key in wanted.keys]
        for listener in found:
            listener.tls = wanted.tls
        return found

    def all(self, wanted: Optional[ListenerSet] = None) -> List[Listener]:
        """Return every open listener, or those of one set."""
        if wanted is None:
            return list(self._open.values())
        addresses = {key.address for key in wanted.keys}
        return [listener for key, listener in self._open.items() if key.address in addresses]

    def shown(self, wanted: ListenerSet) -> List[Listener]:
        """Return one listener of each address, for the log."""
        return [self._open[Key(key.address, 0 if wanted.per_slot else SHARED)] for key in wanted.keys]

    def queued(self) -> int:
        """Return how many connections wait to be accepted."""
        return sum(listener.queued() for listener in self._open.values() if listener.fileno() >= 0)

    # --- scaling with one socket per slot -----------------------------------------------------

    def steer(self, wanted: ListenerSet, slots: int) -> None:
        """Lead new connections to the sockets of the first ``slots`` slots only."""
        if not wanted.per_slot:
            return
        for key in wanted.keys:
            listener = self._open.get(Key(key.address, 0))
            if listener is not None:
                _steer(listener.sock, slots)

    def close_slots(self, wanted: ListenerSet, first: int, busy: Iterable[int], shared: bool) -> None:
        """Close the sockets of slots from ``first`` on that no worker uses and nobody waits at; ``shared`` is for
        ``_drop``."""
        used = set(busy)
        for key in [key for key in self._open if key.slot >= first and key.slot not in used]:
            if wanted.per_slot and not self._open[key].queued():
                self._drop(key, shared)

    # --- letting go -------------------------------------------------------------------------

    def refuse_dropped(self, wanted: ListenerSet) -> None:
        """Admit nobody at addresses that are not in ``wanted``; who waits there is still answered."""
        for key in self._unused(wanted):
            self._open[key].refuse_new()

    def close_dropped(self, wanted: ListenerSet, shared: bool) -> None:
        """Close addresses that are not in ``wanted``; ``shared`` is for ``_drop``."""
        for key in self._unused(wanted):
            self._open[key].unlink()
            self._drop(key, shared)

    def keys(self) -> Set[Key]:
        """Return what is open."""
        return set(self._open)

    def close_others(self, kept: Set[Key]) -> None:
        """Close what is not among ``kept``, and so was opened since that was asked for."""
        for key in self.keys() - kept:
            self._open[key].unlink()
            self._drop(key, shared=False)

    def _unused(self, wanted: ListenerSet) -> List[Key]:
        addresses = {key.address for key in wanted.keys}
        return [key for key in self._open if key.address not in addresses or (key.slot == SHARED) == wanted.per_slot]

    def _drop(self, key: Key, shared: bool) -> None:
        """Let go of a listener, and end its listening unless another arbiter has it (``shared``): children that
        inherited its descriptor, and do not know of it, would have it admit people whom nobody answers."""
        listener = self._open.pop(key)
        if listener not in self._passed:  # systemd passes it once, and a later reload may ask for it again
            if not shared:
                listener.shut()
            listener.close()

    def refuse_new(self) -> None:
        """Admit no further connection anywhere."""
        for listener in self._open.values():
            listener.refuse_new()

    def shut(self) -> None:
        """End listening in all processes that share the sockets, and remove unix socket files."""
        for listener in self._open.values():
            listener.unlink()
            listener.shut()
            listener.close()
        self._open.clear()

    def close(self) -> None:
        """Close our descriptors; another arbiter goes on with the sockets and their files."""
        for listener in self._open.values():
            listener.keep_file()
            listener.close()
        self._open.clear()

    # --- upgrade ----------------------------------------------------------------------------

    def hand_over(self, environ: MutableMapping[str, str]) -> List[int]:
        """Describe the listeners in ``environ`` and return the descriptors to be inherited."""
        import json

        environ[HANDOVER_VARIABLE] = json.dumps(
            [
                [listener.fileno(), key.slot, listener.unlinks, key.address.as_dict()]
                for key, listener in self._open.items()
            ]
        )
        return [listener.fileno() for listener in self._open.values()]

    def take_over(self, environ: MutableMapping[str, str]) -> int:
        """Adopt what another arbiter handed over. Return how many listeners that were."""
        described = environ.pop(HANDOVER_VARIABLE, "")
        if not described:
            return 0
        import json

        rows = json.loads(described)
        for fd, slot, unlinks, fields in rows:
            address = Address(**fields)
            listener = adopt(fd, address, unlinks=unlinks)
            listener.address = address
            self._open[Key(address, slot)] = listener
            if address.kind == SYSTEMD:
                self._passed.append(listener)
        return len(rows)


def _refuse_other_mode(addresses: Sequence[Address], before: Iterable[Key], per_slot: bool) -> None:
    """An address cannot be shared and belong to single workers at a time. Raises ConfigError."""
    for key in before:
        if key.address in addresses and key.address.port and (key.slot == SHARED) == per_slot:
            wanted = "a socket for each worker" if per_slot else "one socket for all workers"
            raise ConfigError(f"reuse_port: a reload cannot make {wanted} of {key.address}; restart the server")


def socket_options(cfg: Any) -> SocketOptions:
    """Return how the listeners of ``cfg`` are to be opened. Raises ConfigError for an unknown ``socket_owner``."""
    owner: Optional[Tuple[int, int]] = (cfg.uid, cfg.gid)
    if cfg.socket_owner:
        owner = _owner(cfg.socket_owner)
    elif (cfg.uid, cfg.gid) == (os.geteuid(), os.getegid()):
        owner = None
    return SocketOptions(
        backlog=cfg.backlog,
        reuse_port=cfg.reuse_port,
        umask=cfg.umask,
        mode=cfg.unix_socket_mode,
        owner=owner,
    )


def _owner(text: str) -> Tuple[int, int]:
    """Return the ids of ``USER:GROUP``; a part that is missing stays as it is (-1)."""
    import grp
    import pwd

    user, _, group = text.partition(":")
    try:
        uid = -1 if not user else int(user) if user.isdigit() else pwd.getpwnam(user).pw_uid
        gid = -1 if not group else int(group) if group.isdigit() else grp.getgrnam(group).gr_gid
    except KeyError as error:
        raise ConfigError(f"socket_owner: expected a known USER:GROUP, got {text!r}: {error.args[0]}") from None
    return uid, gid


def _steer(sock: socket.socket, sockets: int) -> None:
    """Attach a program that chooses at random among the first ``sockets`` of the group."""
    if not sys.platform.startswith("linux"):
        return
    code = struct.pack(
        "=HBBIHBBIHBBI",
        0x20, 0, 0, 0xFFFFF038,  # ld rand (SKF_AD_OFF + SKF_AD_RANDOM)
        0x94, 0, 0, max(1, sockets),  # mod #sockets
        0x16, 0, 0, 0,  # ret a
    )  # fmt: skip
    import ctypes

    program = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("@HP", len(code) // 8, ctypes.addressof(program))
    with contextlib.suppress(OSError):  # a kernel without it, or a container that forbids it, spreads by itself
        sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_REUSEPORT_CBPF, header)
