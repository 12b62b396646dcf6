"""How a control client and the arbiter talk: JSON messages with a length in front.

Owns: the framing, the version, the shape of requests and answers.
Must not know: sockets, what a command does.

A message is four octets (its length, big-endian) and that many octets of JSON. A request is
``{"version": 1, "id": 7, "command": "show workers", "args": [...]}``, its answer
``{"version": 1, "id": the same, "status": "ok", "data": ...}`` or ``{..., "status": "error", "error": "text"}``.
An id is a number or a string; without one it is null.
"""

from __future__ import annotations

import struct
from typing import Any, Dict, List, Optional

VERSION = 1
MAX_REQUEST = 64 * 1024  # octets of one request
MAX_ANSWER = 16 * 1024 * 1024  # octets of one answer

_LENGTH = struct.Struct(">I")


class ControlError(Exception):
    """A message is not of this protocol, or a command cannot be carried out; the text is for people."""


def pack(message: Dict[str, Any]) -> bytes:
    """Return a message as octets."""
    import json  # with the first client

    body = json.dumps(message, separators=(",", ":"), default=str).encode()
    return _LENGTH.pack(len(body)) + body


class MessageReader:
    """Finds messages in what arrives.

    Args:
        limit: octets of one message.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._data = bytearray()

    def feed(self, data: bytes) -> None:
        """Take octets."""
        self._data += data

    def has_message(self) -> bool:
        """Whether ``next`` has something to say: a message is complete, or cannot become one."""
        size = self._size()
        return size is not None and (size > self._limit or len(self._data) >= _LENGTH.size + size)

    def next(self) -> Optional[Dict[str, Any]]:
        """Return the next complete message, None when there is none yet.

        Raises:
            ControlError: a message over the limit, or one that is no JSON object.
        """
        size = self._size()
        if size is None:
            return None
        if size > self._limit:
            raise ControlError(f"message: expected at most {self._limit} bytes, got {size}")
        if len(self._data) < _LENGTH.size + size:
            return None
        body = bytes(self._data[_LENGTH.size : _LENGTH.size + size])
        del self._data[: _LENGTH.size + size]
        return _parse(body)

    def _size(self) -> Optional[int]:
        if len(self._data) < _LENGTH.size:
            return None
        return int(_LENGTH.unpack_from(self._data)[0])


def _parse(body: bytes) -> Dict[str, Any]:
    import json

    try:
        message = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ControlError(f"message: expected JSON, got {body[:40]!r} ({error})") from None
    if not isinstance(message, dict):
        raise ControlError(f"message: expected a JSON object, got {type(message).__name__}")
    if isinstance(message.get("id"), (dict, list)):  # it goes back, and might be nested too deep for that
        raise ControlError(f"id: expected a number or a string, got {type(message['id']).__name__}")
    return message


def request(command: str, args: List[Any], number: int) -> bytes:
    """Return a request as octets."""
    return pack({"version": VERSION, "id": number, "command": command, "args": args})


def answer(message: Dict[str, Any], data: Any) -> bytes:
    """Return the answer to a request that was carried out."""
    packed = pack({"version": VERSION, "id": message.get("id"), "status": "ok", "data": data})
    if len(packed) > MAX_ANSWER:
        return refusal(message, f"answer: expected at most {MAX_ANSWER} bytes, got {len(packed)}")
    return packed


def refusal(message: Dict[str, Any], text: str) -> bytes:
    """Return the answer to a request that was not carried out."""
    return pack({"version": VERSION, "id": message.get("id"), "status": "error", "error": text})
