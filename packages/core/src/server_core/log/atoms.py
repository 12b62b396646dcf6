"""The atoms of access log formats, and formats compiled to functions.

Owns: what each ``%(x)s`` means, escaping, and formats compiled to functions.
Must not know: where lines go.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import time
from typing import Any, Callable, Dict, List, Mapping, Optional

from server_http.fields import percent_decoded
from server_http.states import PROTOCOLS

# (request, response, environ, seconds, fields) -> value, text not yet escaped. The request is a
# server_http.events.Request, fields a dict of its header fields.
Getter = Callable[[Any, Any, Optional[Mapping[str, Any]], float, Dict[bytes, bytes]], Any]

MISSING = "-"
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_ATOM = re.compile(r"%\((?P<name>\{[^}]*\}[ioe]|[^)]*)\)(?P<how>[-#0 +]*\d*(?:\.\d+)?)(?P<type>[diouxXeEfFgGcrsa])")
_PLAIN = bytes(set(range(0x20, 0x7F)) - set(b'"\\'))
_UNSAFE = re.compile(r'[^\x20-\x7e]|["\\]')


class SafeAtoms(Dict[str, Any]):
    """A dict of atoms: strings are escaped, ``{name}i/o/e`` are found in any case, others are ``-``."""

    def __init__(self, atoms: Mapping[str, Any]) -> None:
        super().__init__()
        for key, value in atoms.items():
            self[key] = escape(value) if isinstance(value, str) else value

    def __getitem__(self, key: str) -> Any:
        if key.startswith("{"):
            key = key.lower()
        return super().__getitem__(key) if key in self else MISSING


def escape(text: str) -> str:
    """Return ``text`` fit to stand between quotes in a line: quotes and backslashes behind a
    backslash, everything but printable ASCII as ``\\xHH`` of its octets."""
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return text
    return _UNSAFE.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    character = match.group()
    if character in '"\\':
        return "\\" + character
    try:
        octets = character.encode("latin-1")
    except UnicodeEncodeError:
        octets = character.encode("utf-8", "surrogatepass")
    return "".join(f"\\x{octet:02x}" for octet in octets)


class LocalTime:
    """The time of a line, made once a second."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._second = -1
        self._text = ""

    def __call__(self, *_: Any) -> str:
        """Return ``[dd/Mon/YYYY:HH:MM:SS +zzzz]``, months in English whatever the locale."""
        second = int(self._clock())
        if second != self._second:
            self._second = second
            self._text = format_time(second)
        return self._text


def format_time(second: int) -> str:
    """Return the Common Log Format time of an epoch second, in local time."""
    local = time.localtime(second)
    minutes = (local.tm_gmtoff or 0) // 60
    sign = "-" if minutes < 0 else "+"
    minutes = abs(minutes)
    return (
        f"[{local.tm_mday:02d}/{_MONTHS[local.tm_mon - 1]}/{local.tm_year}:{local.tm_hour:02d}:{local.tm_min:02d}:"
        f"{local.tm_sec:02d} {sign}{minutes // 60:02d}{minutes % 60:02d}]"
    )


# --- one getter for each atom -----------------------------------------------------------------------


def _client(request: Any, _response: Any, _environ: Any, _seconds: float, _fields: Any) -> str:
    client = request.client
    return client[0] if client else MISSING


def _user(_request: Any, _response: Any, _environ: Any, _seconds: float, fields: Any) -> str:
    value = fields.get(b"authorization")
    return MISSING if value is None else basic_user(value)


def _request_line(request: Any, _response: Any, _environ: Any, _seconds: float, _fields: Any) -> str:
    return f"{request.method} {request.target.decode('latin-1')} {_spoken(request)}"


def _method(request: Any, _response: Any, _environ: Any, _seconds: float, _fields: Any) -> str:
    return request.method  # type: ignore[no-any-return]


def _path(request: Any, _response: Any, _environ: Any, _seconds: float, _fields: Any) -> str:
    return percent_decoded(request.path).decode("latin-1")


def _query(request: Any, _response: Any, _environ: Any, _seconds: float, _fields: Any) -> str:
    return request.query.decode("latin-1")  # type: ignore[no-any-return]


def _protocol(request: Any, _response: Any, _environ: Any, _seconds: float, _fields: Any) -> str:
    return _spoken(request)


def _spoken(request: Any) -> str:
    return PROTOCOLS.get(request.version) or f"HTTP/{request.version}"


def _status(_request: Any, response: Any, _environ: Any, _seconds: float, _fields: Any) -> int:
    return response.status  # type: ignore[no-any-return]


def _length(_request: Any, response: Any, _environ: Any, _seconds: float, _fields: Any) -> int:
    return response.sent  # type: ignore[no-any-return]


def _length_or_dash(_request: Any, response: Any, _environ: Any, _seconds: float, _fields: Any) -> Any:
    return response.sent or MISSING


def _whole_seconds(_request: Any, _response: Any, _environ: Any, seconds: float, _fields: Any) -> int:
    return int(seconds)


def _milliseconds(_request: Any, _response: Any, _environ: Any, seconds: float, _fields: Any) -> int:
    return int(seconds * 1e3)


def _microseconds(_request: Any, _response: Any, _environ: Any, seconds: float, _fields: Any) -> int:
    return int(seconds * 1e6)


def _decimal_seconds(_request: Any, _response: Any, _environ: Any, seconds: float, _fields: Any) -> str:
    return "%.6f" % seconds  # noqa: UP031  # the quickest of the ways


def _queue_time(_request: Any, response: Any, _environ: Any, _seconds: float, _fields: Any) -> str:
    return "%.6f" % response.waited  # noqa: UP031  # as above


def _process(_request: Any, _response: Any, _environ: Any, _seconds: float, _fields: Any) -> str:
    return f"<{os.getpid()}>"


def _request_field(name: str) -> Getter:
    key = name.lower().encode("latin-1", "replace")

    def get(_request: Any, _response: Any, _environ: Any, _seconds: float, fields: Any) -> str:
        value = fields.get(key)
        return MISSING if value is None else value.decode("latin-1")

    return get


def _response_field(name: str) -> Getter:
    key = name.lower().encode("latin-1", "replace")

    def get(_request: Any, response: Any, _environ: Any, _seconds: float, _fields: Any) -> str:
        for field, value in response.headers:
            if field.lower() == key:
                return value.decode("latin-1")  # type: ignore[no-any-return]
        return MISSING

    return get


def _environ_variable(name: str) -> Getter:
    def get(_request: Any, _response: Any, environ: Optional[Mapping[str, Any]], _seconds: float, _fields: Any) -> str:
        value = _variable(environ, name)
        return MISSING if value is None else str(value)

    return get


ATOMS: Dict[str, Getter] = {
    "h": _client,
    "u": _user,
    "r": _request_line,
    "m": _method,
    "U": _path,
    "q": _query,
    "H": _protocol,
    "s": _status,
    "B": _length,
    "b": _length_or_dash,
    "f": _request_field("referer"),
    "a": _request_field("user-agent"),
    "T": _whole_seconds,
    "M": _milliseconds,
    "D": _microseconds,
    "L": _decimal_seconds,
    "Q": _queue_time,
    "p": _process,
}  # and "t", which holds a cache of its own, and "l", which is always "-"


def _variable(environ: Optional[Mapping[str, Any]], name: str) -> Any:
    """Return a variable of the environ, by its own name or else in any case."""
    if environ is None:
        return None
    if name in environ:
        return environ[name]
    lower = name.lower()
    return next((value for key, value in environ.items() if key.lower() == lower), None)


def basic_user(authorization: bytes) -> str:
    """Return the user name of an ``Authorization: Basic`` value (RFC 7617), or ``-``."""
    scheme, _, credentials = authorization.partition(b" ")
    if scheme.lower() != b"basic":
        return MISSING
    try:
        user = base64.b64decode(credentials.strip(), validate=True).partition(b":")[0]
    except binascii.Error:
        return MISSING
    return user.decode("latin-1") or MISSING


def getter(name: str, clock: Callable[[], float] = time.time) -> Optional[Getter]:
    """Return the function of one atom; None for one that is always ``-``."""
    if name == "t":
        return LocalTime(clock).__call__  # quicker to call than the object
    if name.startswith("{") and "}" in name:
        inner, _, kind = name[1:].rpartition("}")
        return _NAMED[kind](inner)
    return ATOMS.get(name)


_NAMED = {"i": _request_field, "o": _response_field, "e": _environ_variable}


class LineFormat:
    """A format compiled once: the text between its values, and a getter and a conversion for each value.

    Values are escaped only when that is needed, which the finished line shows: plain values add nothing
    to the quotes, backslashes and unprintable characters of the format itself.

    Args:
        text: a format such as ``%(h)s "%(r)s" %(s)s``; each conversion may have a width and a type.

    Raises:
        ValueError: the text is no format.
    """

    def __init__(self, text: str, clock: Callable[[], float] = time.time) -> None:
        self._getters: List[Getter] = []
        self._conversions: List[str] = []  # "" for a plain %s
        self._parts: List[str] = [""]  # text at even places, room for values at odd ones
        end = 0
        for match in _ATOM.finditer(text):
            self._parts[-1] += _literal(text[end : match.start()])
            conversion = "%" + match["how"] + match["type"]
            get = getter(match["name"], clock)
            if get is None:
                self._parts[-1] += conversion % MISSING
            else:
                self._parts += ["", ""]
                self._getters.append(get)
                self._conversions.append("" if conversion == "%s" else conversion)
            end = match.end()
        self._parts[-1] += _literal(text[end:])
        self._specials = _specials((_ATOM.sub("", text) % ()).encode("utf-8", "backslashreplace"))
        self._uses_fields = "{" in text or any(f"%({name})" in text for name in "ufa")

    def __call__(self, request: Any, response: Any, environ: Optional[Mapping[str, Any]], seconds: float) -> bytes:
        """Return the line, without its end."""
        fields = dict(request.headers) if self._uses_fields else {}
        values = [get(request, response, environ, seconds, fields) for get in self._getters]
        line = self._line(values)
        if _specials(line) == self._specials:
            return line
        return self._line([escape(value) if isinstance(value, str) else value for value in values])

    def _line(self, values: List[Any]) -> bytes:
        parts = self._parts.copy()
        place = 1
        for number, value in enumerate(values):
            conversion = self._conversions[number]
            parts[place] = conversion % (value,) if conversion else value if type(value) is str else str(value)
            place += 2
        return "".join(parts).encode("utf-8", "backslashreplace")


def _specials(octets: bytes) -> bytes:
    """Return what would have to be escaped in a value."""
    return octets.translate(None, _PLAIN)


def _literal(text: str) -> str:
    """Return the text between atoms; a percent sign in it must be doubled."""
    if "%" in text.replace("%%", ""):
        raise ValueError(f"expected %% or %(name)s, got {text!r}")
    return text.replace("%%", "%")
