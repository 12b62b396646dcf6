"""The one rule book of responses (RFC 9110, RFC 9112 sections 6 and 9): what may be said, and how it is framed.

Owns: validation of what an application says, which responses have a body, Content-Length accounting, which
fields are the server's own, whether the connection persists.
Must not know: octets on the wire. Engines of every protocol hold one ``Exchange`` per stream, ask it, and
serialise what it answers.

Longer than other modules, because it is one class: what a head says decides what the body, the end and the connection
may be, and every rule reads and moves the same few facts. Tables of states, the grammar of fields and the spelling of
heads have modules of their own.
"""

from __future__ import annotations

from typing import Dict, Optional, Tuple

from server_http.errors import ApplicationFault, StateError
from server_http.events import Headers
from server_http.fields import FORBIDDEN_TRAILERS, decimal, is_token, is_value
from server_http.states import (
    ABANDON,
    AWAITING,
    BODY,
    CHUNKED,
    COMMANDS,
    CUT,
    END,
    FALL_SHORT,
    HTTP_1_0,
    HTTP_1_1,
    HTTP_2,
    INFORM,
    LENGTH,
    NO_BODY,
    RAW,
    RESPOND,
    SEND,
    STATES,
    SWITCH,
    TRANSITIONS,
    UNKNOWN_LENGTH,
    UNTIL_CLOSE,
)

try:
    import cython
except ImportError:  # Cython is a build requirement only
    from server_http import _cython as cython  # type: ignore[no-redef]

_REFUSED = 255

_NEXT = bytes(TRANSITIONS.get((state, command), _REFUSED) for state in STATES for command in COMMANDS)
_COMMANDS = len(COMMANDS)

# What the usual commands lead to, for those who know the state already.
_RESPONDED = TRANSITIONS[AWAITING, RESPOND]
_SWITCHED = TRANSITIONS[AWAITING, SWITCH]
_COMPLETE = TRANSITIONS[BODY, END]

# -- response fields that are not simply passed on -------------------------------------------------------------------

_PLAIN = 0
_LENGTH_FIELD = 1
_CONNECTION = 2
_UPGRADE = 3
_DATE = 4
_SERVER = 5
_DROPPED = 6  # hop-by-hop: the server's business (RFC 9110 section 7.6.1)

_KINDS = {
    b"content-length": _LENGTH_FIELD,
    b"connection": _CONNECTION,
    b"upgrade": _UPGRADE,
    b"date": _DATE,
    b"server": _SERVER,
    b"transfer-encoding": _DROPPED,
    b"keep-alive": _DROPPED,
    b"proxy-connection": _DROPPED,
    b"te": _DROPPED,
}

# What is known of names as applications spell them; names are few, but nothing here grows without bound.
_SPELLINGS: Dict[bytes, int] = {}
_SPELLINGS_MAX = 1024
_SPELLING_OCTETS_MAX = 64

_NONE: Headers = []  # never changed

#: Methods whose responses are not as others: asked for once.
_ORDINARY = 0
_HEAD = 1
_CONNECT = 2
_METHODS = {"HEAD": _HEAD, "CONNECT": _CONNECT}


@cython.freelist(8)
@cython.cclass
class Exchange:
    """The response to one request, and what has become of it.

    A command either answers what may go on the wire and notes it, or raises and changes nothing:
    ``ApplicationFault`` where the application broke HTTP (the driver then answers 500),
    ``StateError`` where the server did.

    Args:
        method: of the request.
        version: ``"1.0"``, ``"1.1"`` or ``"2"``: what the peer understands.
        keep_alive: whether the request lets the connection persist (RFC 9112 section 9.3).
        upgrade: the protocol the request offered to change to, or ``b""``.
        expects_continue: whether 100 is waited for.

    Attributes:
        state: one of ``STATES``.
        status: of the final response; 0 before it.
        framing: how the body is delimited: ``NO_BODY``, ``LENGTH``, ``CHUNKED``, ``UNTIL_CLOSE``,
            ``DELIMITED`` or ``RAW``.
        length: the declared octets of the body, or -1.
        sent: octets of the body that were passed on.
        keep_alive: whether the connection may carry another request; engines may clear it.
        expects_continue: 100 is still waited for; an engine clears it when body octets arrive.
        own_date, own_server: the application set the field, so the default one is not sent.
        warning: a line for the log about what the application did wrong, at most one in an exchange,
            or ``""``; ``take_warning`` takes it.
        warned: there has been one.
    """

    __slots__ = (
        "_kind", "expects_continue", "framing", "keep_alive", "length", "method", "own_date", "own_server", "sent",
        "state", "status", "upgrade", "version", "warned", "warning",
    )  # fmt: skip

    def __init__(
        self, method: str, version: str, keep_alive: bool, upgrade: bytes = b"", expects_continue: bool = False
    ) -> None:
        self.begin(method, version, keep_alive, upgrade, expects_continue)

    def begin(self, method: str, version: str, keep_alive: bool, upgrade: bytes, expects_continue: bool) -> None:
        """Be the exchange of another request, after one that is over; arguments as those of the class."""
        self.method = method
        self._kind: int = _METHODS.get(method, _ORDINARY)
        self.version = version
        self.keep_alive = keep_alive
        self.upgrade = upgrade
        self.expects_continue = expects_continue
        self.state = AWAITING
        self.status = 0
        self.framing = NO_BODY
        self.sent = 0
        self.warned = False
        self.warning = ""

    # -- commands --------------------------------------------------------------------------------------------------

    def inform(self, status: int, headers: Headers) -> Optional[Headers]:
        """Take an informational response (RFC 9110 section 15.2).

        Returns:
            The fields to send, or None when nothing is to be sent: the peer speaks 1.0, the final
            head is out, or nobody waits for the 100.

        Raises:
            ApplicationFault: not a 1xx status, 101, or malformed fields.
        """
        self._advance(INFORM)
        if not 100 <= status <= 199 or status == 101:
            raise ApplicationFault(f"informational status: expected 100 or 102 to 199, got {status!r}")
        fields = self._informational(headers)
        if self.state != AWAITING or self.version == HTTP_1_0:
            return None
        if status == 100:
            if not self.expects_continue:
                return None
            self.expects_continue = False
        return fields

    def respond(self, status: int, headers: Headers, reason: bytes = b"") -> Headers:
        """Take the final response head; ``framing``, ``keep_alive`` and the rest are then decided.

        Args:
            status: 200 to 999, or 101 where the request offered an upgrade.
            headers: the application's fields, in order.
            reason: the reason phrase, ``b""`` for the usual one.

        Returns:
            The application's fields that go on the wire: ``headers`` itself where all do. The engine adds what frames
            the message, ``Connection``, and ``Server`` and ``Date`` unless ``own_server`` and ``own_date``.

        Raises:
            ApplicationFault: a head that HTTP forbids.
        """
        if self.state != AWAITING:
            raise StateError(f"response: expected one head, got a second in state {STATES[self.state]!r}")
        tunnel = False
        if self._kind == _CONNECT or not 200 <= status <= 999:
            tunnel = self._opens_tunnel(status)
        if reason and not is_value(reason):
            raise ApplicationFault(f"reason phrase: expected no control characters, got {reason!r}")
        self.length = -1
        self.own_date = self.own_server = False
        fields = self._admit(status, headers, tunnel)
        self.state = _SWITCHED if tunnel else _RESPONDED
        self.status = status
        if tunnel:
            self.framing = RAW
            self.keep_alive = False
        elif status == 304 or status == 204 or self._kind == _HEAD:  # RFC 9110 sections 15.4.5, 15.3.5 and 9.3.2
            self.framing = NO_BODY
        elif self.length >= 0:
            self.framing = LENGTH
        else:
            self.framing = UNKNOWN_LENGTH[self.version]
            if self.framing == UNTIL_CLOSE:
                self.keep_alive = False
        if self.expects_continue:
            # The peer may send the body it announced or not; nobody can tell (RFC 9110 section 10.1.1).
            self.keep_alive = False
        return fields

    def send(self, size: int) -> int:
        """Take ``size`` octets of the body.

        Returns:
            How many of them go on the wire, from the first: all, fewer, or none.
        """
        if self.state != BODY:
            self._advance(SEND)
            if self.state == CUT:
                return 0
        if self.framing == NO_BODY:
            if size and self._kind != _HEAD:
                self._warn(f"response body: expected none with status {self.status}, got {size} octets")
            return 0
        if self.framing == LENGTH and self.sent + size > self.length:
            self._warn(
                f"response body: expected {self.length} octets as Content-Length says, "
                f"got {self.sent + size} and more; the rest was cut off"
            )
            size = self.length - self.sent
        self.sent += size
        return size

    def end(self, trailers: Headers = ()) -> Headers:  # type: ignore[assignment]  # any sequence of pairs
        """End the response. ``state`` is ``ENDED``, or ``CUT`` when octets are missing.

        Returns:
            The trailer fields to send (RFC 9110 section 6.5), empty where the framing has no place for them.

        Raises:
            ApplicationFault: malformed trailers; the response is not ended.
        """
        if self.framing == LENGTH and self.sent < self.length and self.state == BODY:
            self._warn(
                f"response body: expected {self.length} octets as Content-Length says, got {self.sent}; "
                "the response was cut"
            )
            self.keep_alive = False
            self._advance(FALL_SHORT)
            return _NONE
        fields = self._trailing(trailers) if trailers else _NONE
        if self.state == BODY:
            self.state = _COMPLETE
        else:
            self._advance(END)
        return fields

    def complete(self, size: int) -> int:
        """Take a body of ``size`` octets that is whole: ``send`` and ``end`` in one; returns what ``send`` does."""
        if size == self.length and self.state == BODY and self.framing == LENGTH:
            self.sent = size
            self.state = _COMPLETE
            return size
        taken = self.send(size) if size else 0
        self.end()
        return taken

    def abandon(self) -> None:
        """The stream broke: nothing more goes out."""
        self.keep_alive = False
        self._advance(ABANDON)

    def cut_unmarked(self) -> bool:
        """Whether the message was cut and its framing cannot show it: only a reset tells (RFC 9112 section 8)."""
        return self.state == CUT and self.framing == UNTIL_CLOSE

    def take_warning(self) -> str:
        """Return the line for the log, once, or ``""``."""
        warning = self.warning
        self.warning = ""
        return warning

    def connection(self) -> bytes:
        """The value of HTTP/1's ``Connection`` field, ``b""`` for none (RFC 9112 section 9). With 101 and 426 it names
        their ``Upgrade`` (RFC 9110 section 7.8)."""
        if self.framing == RAW:
            return b"Upgrade" if self.status == 101 else b""
        if self.status == 426 and self.version == HTTP_1_1:
            return b"Upgrade" if self.keep_alive else b"Upgrade, close"
        if not self.keep_alive:
            return b"close"
        return b"" if self.version == HTTP_1_1 else b"keep-alive"

    # -- rules -----------------------------------------------------------------------------------------------------

    def _advance(self, command: int) -> None:
        following = _NEXT
        state = following[self.state * _COMMANDS + command]
        if state == _REFUSED:
            raise StateError(f"response: expected no {COMMANDS[command]!r} in state {STATES[self.state]!r}")
        self.state = state

    def _opens_tunnel(self, status: int) -> bool:
        """Whether the head opens a tunnel; raises for a status that cannot be a final one."""
        if 200 <= status <= 999:
            return self._kind == _CONNECT and status <= 299
        if status == 101 and self.upgrade and self.version == HTTP_1_1:
            return True
        raise ApplicationFault(f"status: expected 200 to 999 (101 only to an upgrade that was offered), got {status!r}")

    def _admit(self, status: int, headers: Headers, tunnel: bool) -> Headers:
        """Check the fields, note what they decide and drop those that are not the application's."""
        fields = headers if type(headers) is list else list(headers)
        at = 0
        for item in headers:
            name, value = item
            known = _SPELLINGS.get(name)
            kind = _spell(name) if known is None else known
            if kind == _LENGTH_FIELD:
                keeps = self._keeps_length(value, status, tunnel)
            elif is_value(value):
                keeps = kind == _PLAIN or self._keeps(kind, value, status)
            else:
                raise _bad_value(name, value)
            if keeps:
                at += 1
                continue
            if fields is headers:  # nearly always everything is kept, and no other list is needed
                fields = list(headers)
            del fields[at]
        if status == 101 and all(name.lower() != b"upgrade" for name, _ in fields):
            raise ApplicationFault("status 101: expected an Upgrade field with it (RFC 9110 section 7.8), got none")
        if status == 205:  # says itself that there is nothing (RFC 9110 section 15.3.6)
            self.length = 0
            return [*fields, (b"Content-Length", b"0")]
        return fields

    def _keeps(self, kind: int, value: bytes, status: int) -> bool:
        """Note what a field of ``kind`` says, other than a length; return whether it goes on the wire."""
        if kind == _CONNECTION:
            if b"close" in value.lower():
                self.keep_alive = False
            return False
        if kind == _UPGRADE:
            # 426 must say what to upgrade to (RFC 9110 section 15.5.22).
            return (status == 101 or status == 426) and self.version == HTTP_1_1
        if kind == _DATE:
            keeps = not self.own_date
            self.own_date = True
            return keeps
        if kind == _SERVER:
            keeps = not self.own_server
            self.own_server = True
            return keeps
        return False

    def _keeps_length(self, value: bytes, status: int, tunnel: bool) -> bool:
        length = decimal(value)
        if length < 0:
            raise ApplicationFault(f"Content-Length: expected digits, at most 2**63 - 1, got {value[:64]!r}")
        if tunnel or status == 204 or status == 205:  # RFC 9110 sections 8.6 and 15.3.6
            return False
        if self.length >= 0:
            if self.length != length:
                raise ApplicationFault(f"Content-Length: expected one value, got {self.length} and {length}")
            return False
        self.length = length
        return True

    def _informational(self, headers: Headers) -> Headers:
        """Fields of a 1xx response: nothing that frames a body or speaks of the connection."""
        fields = []
        for item in headers:
            kind = _check_field(item)
            if kind == _PLAIN:
                fields.append(item)
        return fields

    def _trailing(self, trailers: Headers) -> Headers:
        fields = []
        for item in trailers:
            kind = _check_field(item)
            if kind != _PLAIN or item[0].lower() in FORBIDDEN_TRAILERS:
                self._warn(f"trailer: expected none that frames, routes or authorises, got {item[0]!r}; it was dropped")
            else:
                fields.append(item)
        if self.framing == CHUNKED or (self.version == HTTP_2 and self.framing != RAW):
            return fields
        return []

    def _warn(self, message: str) -> None:
        """Note what the application did wrong; only the first time, a loop would fill the log."""
        if not self.warned:
            self.warned = True
            self.warning = message


def _check_field(item: Tuple[bytes, bytes]) -> int:
    name, value = item
    kind = _SPELLINGS.get(name)
    if kind is None:
        kind = _spell(name)
    if not is_value(value):
        raise _bad_value(name, value)
    return kind


def _spell(name: bytes) -> int:
    """Classify a field name that was not met before; raises ApplicationFault unless it is a token."""
    if not isinstance(name, bytes) or not is_token(name):
        raise ApplicationFault(f"response field name: expected a token, got {name!r}")
    kind = _KINDS.get(name.lower(), _PLAIN)
    if len(_SPELLINGS) < _SPELLINGS_MAX and len(name) <= _SPELLING_OCTETS_MAX:
        _SPELLINGS[bytes(name)] = kind
    return kind


def _bad_value(name: bytes, value: bytes) -> ApplicationFault:
    return ApplicationFault(f"response field {name!r}: expected a value without control characters, got {value!r}")
