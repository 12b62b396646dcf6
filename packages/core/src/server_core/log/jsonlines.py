"""Logs as one JSON object per line (setting ``log_format``).

Owns: the keys of both logs' objects.
Must not know: where lines go.
"""

from __future__ import annotations

import json
import logging
import os
import time
from json.encoder import encode_basestring_ascii as quote
from typing import Any, Callable, Dict, Mapping, Optional

from server_core.log.atoms import MISSING, SafeAtoms, basic_user
from server_http.states import PROTOCOLS


def timestamp(seconds: float) -> str:
    """Return an epoch time as RFC 3339 in UTC, with milliseconds."""
    whole = int(seconds)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{int((seconds - whole) * 1000):03d}Z"


def _text(value: Optional[bytes]) -> str:
    """Return octets from the wire as a JSON string: UTF-8 where they are that, else Latin-1; or null."""
    if value is None:
        return "null"
    try:
        return quote(value.decode())
    except UnicodeDecodeError:
        return quote(value.decode("latin-1"))


class JsonAccess:
    """Makes the JSON line of one request.

    Args:
        id_header: the lower-case header that carries request ids, or None.
    """

    def __init__(self, id_header: Optional[bytes] = None, clock: Callable[[], float] = time.time) -> None:
        self._id_header = id_header
        self._clock = clock
        self._second = -1
        self._time = ""

    def _now(self) -> str:
        """Return the present time; the part down to seconds is made once a second."""
        now = self._clock()
        second = int(now)
        if second != self._second:
            self._second = second
            self._time = timestamp(second)[:-4]
        return f"{self._time}{int((now - second) * 1000):03d}Z"

    def __call__(self, request: Any, response: Any, _environ: Optional[Mapping[str, Any]], seconds: float) -> bytes:
        """Return the line, without its end."""
        client = request.client
        fields = dict(request.headers)
        authorization = fields.get(b"authorization")
        user = MISSING if authorization is None else basic_user(authorization)
        identity = f', "request_id": {_text(fields.get(self._id_header))}' if self._id_header else ""
        line = (
            f'{{"time": "{self._now()}", "log": "access", "pid": {os.getpid()}, '
            f'"client": {quote(client[0]) if client else "null"}, '
            f'"user": {"null" if user == MISSING else quote(user)}, '
            f'"method": {quote(request.method)}, "target": {_text(request.target)}, '
            f'"protocol": "{PROTOCOLS[request.version]}", "host": {_text(request.authority)}, '
            f'"status": {response.status}, "bytes": {response.sent}, "duration": {seconds:.6f}, '
            f'"queue": {response.waited:.6f}, '
            f'"referer": {_text(fields.get(b"referer"))}, '
            f'"user_agent": {_text(fields.get(b"user-agent"))}{identity}}}'
        )
        return line.encode("ascii")  # all strings are quoted into ASCII


class JsonFormatter(logging.Formatter):
    """Formats records of either log; those of the access log carry their atoms as arguments."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one JSON object."""
        if isinstance(record.args, SafeAtoms):
            return json.dumps(_from_atoms(record, record.args), default=str)
        entry: Dict[str, Any] = {
            "time": timestamp(record.created),
            "log": record.name.rpartition(".")[2],
            "level": record.levelname.lower(),
            "pid": record.process,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            entry["stack"] = record.stack_info
        request_id = getattr(record, "request_id", None)
        if request_id:
            entry["request_id"] = request_id
        return json.dumps(entry, default=str)


def _from_atoms(record: logging.LogRecord, atoms: SafeAtoms) -> Dict[str, Any]:
    """Return the keys of an access line, for a record that came through Python's logging."""
    known = {name: None if atoms[name] == MISSING else atoms[name] for name in "humHfa"}
    return {
        "time": timestamp(record.created),
        "log": "access",
        "pid": record.process,
        "client": known["h"],
        "user": known["u"],
        "method": known["m"],
        "target": str(atoms["r"]).split(" ")[1:2][0] if " " in str(atoms["r"]) else None,
        "protocol": known["H"],
        "host": atoms["{host}i"] if atoms["{host}i"] != MISSING else "",
        "status": int(atoms["s"]) if str(atoms["s"]).isdigit() else atoms["s"],
        "bytes": atoms["B"],
        "duration": atoms["D"] / 1e6 if isinstance(atoms["D"], int) else None,
        "queue": None if atoms["Q"] == MISSING else float(atoms["Q"]),
        "referer": known["f"],
        "user_agent": known["a"],
    }
