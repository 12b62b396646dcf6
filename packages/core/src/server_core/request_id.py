"""Ids of requests (settings ``request_id`` and ``request_id_header``).

Owns: making ids, and their place among header fields.
Must not know: who may send one: the header policy leaves the field of trusted proxies only.
"""

from __future__ import annotations

import itertools
import os
from typing import Any, Dict, Optional

from server_http.events import Headers
from server_http.fields import printable


class RequestIds:
    """Gives every request an id in its header fields, where application and logs find it.

    Made in each worker, after the fork: the ids of two workers differ by a random beginning.

    Args:
        header: the name of the field.
        answers: whether responses carry the id, too.
    """

    def __init__(self, header: str, answers: bool) -> None:
        self.header = header.lower().encode("latin-1")
        self.answers = answers
        self._beginning = os.urandom(8).hex()
        self._numbers = itertools.count(1)

    @classmethod
    def from_settings(cls, cfg: Any) -> Optional[RequestIds]:
        """Return what ``request_id`` asks for, or None when it is off."""
        if cfg.request_id == "off":
            return None
        return cls(cfg.request_id_header, cfg.request_id == "response")

    def give(self, request: Any) -> bytes:
        """Return the id of ``request``; one that came without gets one."""
        value: Optional[bytes] = request.header(self.header)
        if value is None:
            value = f"{self._beginning}{next(self._numbers):08x}".encode()
            request.headers.append((self.header, value))
        return value

    def answer(self, request: Any, headers: Headers) -> Headers:
        """Return response ``headers`` with the id of the request, when responses carry it and the
        application has not set the field itself."""
        if not self.answers or any(name.lower() == self.header for name, _ in headers):
            return headers
        return [*headers, (self.header, self.give(request))]

    def record_fields(self, request: Any) -> Dict[str, str]:
        """Return the ``extra`` of log records about ``request``."""
        return {"request_id": printable(self.give(request))}
