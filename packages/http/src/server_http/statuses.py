"""Statuses in words: the usual phrase of each, and the page that says nothing else.

Owns: the reason phrases of RFC 9110 section 15 and its extensions, and the body of the server's own answers.
Must not know: why a status is answered.
"""

from __future__ import annotations

from typing import Dict, List, Tuple

from server_http.events import Headers

REASONS: Dict[int, bytes] = {
    100: b"Continue", 101: b"Switching Protocols", 102: b"Processing", 103: b"Early Hints",
    200: b"OK", 201: b"Created", 202: b"Accepted", 203: b"Non-Authoritative Information", 204: b"No Content",
    205: b"Reset Content", 206: b"Partial Content", 207: b"Multi-Status", 208: b"Already Reported", 226: b"IM Used",
    300: b"Multiple Choices", 301: b"Moved Permanently", 302: b"Found", 303: b"See Other", 304: b"Not Modified",
    305: b"Use Proxy", 307: b"Temporary Redirect", 308: b"Permanent Redirect",
    400: b"Bad Request", 401: b"Unauthorized", 402: b"Payment Required", 403: b"Forbidden", 404: b"Not Found",
    405: b"Method Not Allowed", 406: b"Not Acceptable", 407: b"Proxy Authentication Required",
    408: b"Request Timeout", 409: b"Conflict", 410: b"Gone", 411: b"Length Required", 412: b"Precondition Failed",
    413: b"Content Too Large", 414: b"URI Too Long", 415: b"Unsupported Media Type", 416: b"Range Not Satisfiable",
    417: b"Expectation Failed", 418: b"I'm a Teapot", 421: b"Misdirected Request", 422: b"Unprocessable Content",
    423: b"Locked", 424: b"Failed Dependency", 425: b"Too Early", 426: b"Upgrade Required",
    428: b"Precondition Required", 429: b"Too Many Requests", 431: b"Request Header Fields Too Large",
    451: b"Unavailable For Legal Reasons",
    500: b"Internal Server Error", 501: b"Not Implemented", 502: b"Bad Gateway", 503: b"Service Unavailable",
    504: b"Gateway Timeout", 505: b"HTTP Version Not Supported", 506: b"Variant Also Negotiates",
    507: b"Insufficient Storage", 508: b"Loop Detected", 510: b"Not Extended",
    511: b"Network Authentication Required",
}  # fmt: skip

_PAGE = b"""<html>
  <head>
    <title>%b</title>
  </head>
  <body>
    <h1><p>%b</p></h1>
  </body>
</html>
"""

_PAGES: Dict[int, Tuple[List[Tuple[bytes, bytes]], bytes]] = {}


def reason(status: int) -> bytes:
    """Return the usual reason phrase of ``status``, or ``b"Unknown"``."""
    return REASONS.get(status, b"Unknown")


def error_page(status: int) -> Tuple[Headers, bytes]:
    """Return fields and body of the constant page for ``status``: nothing of any input or exception is in it.

    Every protocol and driver answers with it: ``respond(stream, status, headers)``, ``send(stream, body)``.
    """
    page = _PAGES.get(status)
    if page is None:
        phrase = reason(status)
        body = _PAGE % (phrase, phrase)
        headers = [(b"Content-Type", b"text/html; charset=utf-8"), (b"Content-Length", b"%d" % len(body))]
        page = (headers, body)
        if status in REASONS:
            _PAGES[status] = page
    return list(page[0]), page[1]
