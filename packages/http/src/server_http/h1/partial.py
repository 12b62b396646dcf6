"""A request head that does not arrive whole, and what exactly is wrong with one that is refused (RFC 9112 section 2.2).

Owns: limits of the request line and of field lines while octets still come, so that an endless or hopeless line is
answered at once; linear work for input octet by octet.
Must not know: what a head means beyond its request line.
"""

from __future__ import annotations

import re

from server_http.errors import BadRequest, HeaderFieldsTooLarge, UriTooLong
from server_http.h1.request import read_request_line
from server_http.h1.rules import RequestRules

_FORBIDDEN = re.compile(rb"[^\t\x20-\x7e\x80-\xff]")


class PartialHead:
    """Takes the octets of one head and checks each line as far as it is known.

    Errors depend on the octets alone and not on how they were cut: the first line that breaks a rule decides.

    Attributes:
        octets: everything taken so far.
        start: offset of the request line, behind tolerated empty lines.
    """

    __slots__ = ("_empty_lines", "_fields", "_line", "_rules", "_scanned", "octets", "start")

    def __init__(self, rules: RequestRules) -> None:
        self.octets = bytearray()
        self.start = 0
        self._rules = rules
        self._empty_lines = 0
        self._fields = -1  # field lines seen; the request line comes first
        self._line = 0  # offset of the line that is not complete
        self._scanned = 0  # octets before it are known to be allowed

    def feed(self, data: bytes) -> int:
        """Take octets.

        Returns:
            The offset of the CRLF CRLF that ends the head, or -1 while it is not there.

        Raises:
            ProtocolError: the head will be refused, whatever follows.
        """
        self.octets += data
        while True:
            end = self.octets.find(b"\r\n", self._scanned)
            if end < 0:
                self._check_open_line()
                return -1
            if end == self._line:
                if self._fields >= 0:
                    return end - 2
                self._skip_empty_line()
                continue
            self._check_octets(end)
            self._complete_line(end)
            self._check_size(end + 2)
            self._line = self._scanned = end + 2

    @property
    def empty(self) -> bool:
        """Whether nothing but tolerated empty lines came."""
        return self._line == len(self.octets) and self._fields < 0

    def _skip_empty_line(self) -> None:
        """Tolerate a CRLF that an old client sends behind a body (RFC 9112 section 2.2)."""
        self._empty_lines += 1
        if self._empty_lines > self._rules.leading_empty_lines:
            raise BadRequest(f"request line: expected after at most {self._rules.leading_empty_lines} empty lines")
        self._line = self._scanned = self.start = self._line + 2

    def _check_open_line(self) -> None:
        """Check the octets of a line whose end is not there; a CR at its end may become CRLF."""
        end = len(self.octets)
        if end > self._line and self.octets[end - 1] == 0x0D:
            end -= 1
        self._check_octets(end)
        self._check_size(end)
        self._scanned = end

    def _check_octets(self, end: int) -> None:
        """Refuse the first forbidden octet or the first octet too many, whichever comes first."""
        limit = self._rules.request_line if self._fields < 0 else self._rules.header_field
        found = _FORBIDDEN.search(self.octets, self._scanned, end)
        if found is not None and (not limit or found.start() - self._line <= limit):
            raise BadRequest(f"head: expected no control characters, got {bytes(found.group())!r}")
        if limit and end - self._line > limit:
            if self._fields < 0:
                raise UriTooLong(f"request line: expected at most {limit} octets, got more")
            raise HeaderFieldsTooLarge(f"field line: expected at most {limit} octets, got more")

    def _complete_line(self, end: int) -> None:
        if self._fields < 0:
            line = bytes(self.octets[self._line : end])
            read_request_line(0, line, 0, len(line), self._rules)
        self._fields += 1
        if self._fields > self._rules.header_count:
            raise HeaderFieldsTooLarge(f"header fields: expected at most {self._rules.header_count}, got more")

    def _check_size(self, end: int) -> None:
        if self._rules.head and end - self.start > self._rules.head:
            raise HeaderFieldsTooLarge(f"head: expected at most {self._rules.head} octets, got more")


def examine(head: bytes, rules: RequestRules) -> None:
    """Raise what ``PartialHead`` finds in ``head``, which was refused as a whole: the same error, however it is cut."""
    PartialHead(rules).feed(head)
