"""Request methods: which are usual, and which are taken at all (RFC 9110 section 9.1).

Owns: the names as text, and what a method may look like, the same for HTTP/1, HTTP/2 and uwsgi.
Must not know: where a protocol says its method, and what methods mean.
"""

from __future__ import annotations

from typing import Dict

from server_http.errors import BadRequest
from server_http.fields import is_token
from server_http.h1.rules import Grammar

#: Methods that are known, as text by their octets.
METHODS: Dict[bytes, str] = {
    name.encode(): name
    for name in (
        "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "PROPFIND", "PROPPATCH",
        "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK", "REPORT", "SEARCH", "PURGE",
    )
}  # fmt: skip

# Conventional methods (what intermediaries agree on): no lower case, no "#", 3 to 20 octets.
_OCTETS = range(3, 21)
_UNCONVENTIONAL = b"abcdefghijklmnopqrstuvwxyz#"


def read_method(name: bytes, grammar: Grammar) -> str:
    """Return a method as text.

    Args:
        name: as it was sent.
        grammar: which others than conventional methods are taken.

    Raises:
        BadRequest: the method is none, or not conventional.
    """
    known = METHODS.get(name)
    if known is not None:
        return known
    if not is_token(name):
        raise BadRequest(f"method: expected a token, got {name[:32]!r}")
    if grammar.casefold_http_method:
        name = name.upper()
    if not grammar.permit_unconventional_http_method:
        conventional = len(name) in _OCTETS and name.translate(None, _UNCONVENTIONAL) == name
        if not conventional:
            raise BadRequest(f"method: expected 3 to 20 octets without lower case or '#', got {name[:32]!r}")
    return METHODS.get(name) or name.decode("ascii")
