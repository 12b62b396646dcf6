"""The atoms of a request that becomes a record: a dict, as gunicorn's loggers make it (``Logger.atoms``).

Owns: how a response, an environ and a duration are put before the getters of ``log.atoms``.
Must not know: what an atom means, which is said there.
"""

from __future__ import annotations

from typing import Any, Dict

from server_core.log.atoms import ATOMS, MISSING


class _Text:
    """Text of an environ where getters look for octets from the wire."""

    __slots__ = ("_text",)

    def __init__(self, text: Any) -> None:
        self._text = text

    def decode(self, _encoding: str) -> Any:
        return self._text


class _Request:
    """What getters ask of a request, as the environ has it: the application may have changed that."""

    __slots__ = ("client", "method", "query", "target", "version")

    def __init__(self, environ: Any) -> None:
        address = environ.get("REMOTE_ADDR")
        self.client = (address,) if address else None
        self.method = environ.get("REQUEST_METHOD")
        self.target = _Text(environ.get("RAW_URI"))
        self.query = _Text(environ.get("QUERY_STRING"))
        self.version = str(environ.get("SERVER_PROTOCOL")).replace("HTTP/", "", 1)


class _Response:
    """What getters ask of a response; gunicorn's has its status as a line, and loggers find it as text."""

    __slots__ = ("sent", "status", "waited")

    def __init__(self, response: Any) -> None:
        status = response.status
        self.status = status.split(None, 1)[0] if isinstance(status, str) else str(status)
        self.sent = getattr(response, "sent", None)
        self.waited = getattr(response, "waited", 0.0)


_FIELDS = {b"referer": "HTTP_REFERER", b"user-agent": "HTTP_USER_AGENT"}  # those that getters of ATOMS ask for


def recorded_atoms(response: Any, request: Any, environ: Any, seconds: float) -> Dict[str, Any]:
    """Return the atoms of a request by name, but for those the logger knows: ``t`` and ``u``.

    Args:
        response: has ``status``, ``headers`` and ``sent``.
        request: has ``headers``, or is these.
        environ: the WSGI environ.
        seconds: how long the request took.
    """
    told, answer = _Request(environ), _Response(response)
    fields: Any = {name: _Text(environ[variable]) for name, variable in _FIELDS.items() if variable in environ}
    atoms = {name: get(told, answer, environ, seconds, fields) for name, get in ATOMS.items() if name != "U"}
    atoms["U"] = environ.get("PATH_INFO")  # which is decoded already
    atoms["l"] = MISSING
    atoms["b"] = str(atoms["b"])  # as gunicorn has it
    headers = request.headers if hasattr(request, "headers") else request
    for kind, pairs in (("i", headers), ("o", response.headers), ("e", environ)):
        items = pairs.items() if hasattr(pairs, "items") else pairs
        atoms.update({f"{{{_text(name).lower()}}}{kind}": value for name, value in items})
    return atoms


def _text(name: Any) -> str:
    return name.decode("latin-1") if isinstance(name, bytes) else str(name)
