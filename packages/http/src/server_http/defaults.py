"""What every response of a listener says of the server: who it is, and the time (RFC 9110 sections 6.6.1 and 10.2.4).

Owns: the values of ``Server`` and ``Date``, and their lines in HTTP/1.
Must not know: responses that say it themselves (``exchange``), clocks.
"""

from __future__ import annotations

import time

from server_http.fields import is_value


class ResponseDefaults:
    """The ``Server`` and ``Date`` fields of every response, shared by the connections of a listener.

    Args:
        server: the value of ``Server``; ``b""`` sends none.

    Attributes:
        server: as given.
        date: the value of ``Date`` (IMF-fixdate, RFC 9110 section 5.6.7), ``b""`` until ``set_date``
            was called: an origin without a clock sends none (RFC 9110 section 6.6.1).
        server_line, date_line, lines: the HTTP/1 field lines, CRLF included: each one, and both.
    """

    __slots__ = ("_second", "date", "date_line", "lines", "server", "server_line")

    def __init__(self, server: bytes = b"server") -> None:
        if not is_value(server):
            raise ValueError(f"Server: expected octets of a field value, got {server!r}")
        self.server = server
        self.server_line = b"Server: " + server + b"\r\n" if server else b""
        self.date = b""
        self.date_line = b""
        self.lines = self.server_line
        self._second = -1

    def set_date(self, epoch_seconds: float) -> None:
        """Set the time of the responses that follow; cheap when the second is still the same."""
        second = int(epoch_seconds)
        if second == self._second:
            return
        self._second = second
        self.date = http_date(second)
        self.date_line = b"Date: " + self.date + b"\r\n"
        self.lines = self.server_line + self.date_line


_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def http_date(epoch_seconds: float) -> bytes:
    """Format an IMF-fixdate (RFC 9110 section 5.6.7); ``strftime`` would follow the locale."""
    at = time.gmtime(int(epoch_seconds))
    date = f"{_DAYS[at.tm_wday]}, {at.tm_mday:02d} {_MONTHS[at.tm_mon - 1]} {at.tm_year:04d}"
    return f"{date} {at.tm_hour:02d}:{at.tm_min:02d}:{at.tm_sec:02d} GMT".encode("ascii")
