"""What waits to be written: octets in order, and which stream's content they carry.

Owns: the segments of one connection, and the marks that tell which content has left.
Must not know: frames, streams' rules, who goes first.

Small pieces are joined, so that ten short answers are one ``send``; large ones stay what the application gave
(no copy), and parts of files stay files. A mark stands at the position of the last octet of a frame; it has passed
when everything up to there was written. Positions count octets since the connection began.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Deque, List, Tuple

from server_http.engine import FileRegion, Segment

JOIN_MAX = 4096
"""Octets up to which a piece is copied next to its neighbours: below that a copy is cheaper than a segment."""

Mark = Tuple[int, Any, int, bool]  # position, stream, content octets, whether it was the stream's last frame


class Output:
    """The segments of a connection and the marks in them."""

    __slots__ = ("_marks", "_segments", "_tail", "appended", "written")

    def __init__(self) -> None:
        self._segments: List[Segment] = []
        self._tail = bytearray()
        self._marks: Deque[Mark] = deque()
        self.appended = 0
        self.written = 0

    @property
    def waiting(self) -> int:
        """Octets that are not written yet."""
        return self.appended - self.written

    def write(self, octets: bytes) -> None:
        """Append a frame that is small or whose octets are nobody else's."""
        self._tail += octets
        self.appended += len(octets)

    def attach(self, content: Segment) -> None:
        """Append content; it is copied only when it is small."""
        size = len(content)
        if size <= JOIN_MAX and not isinstance(content, FileRegion):
            self._tail += content
        else:
            self._freeze()
            self._segments.append(content)
        self.appended += size

    def mark(self, stream: Any, content: int, last: bool) -> None:
        """What was appended so far ends a frame of ``stream`` with ``content`` octets."""
        self._marks.append((self.appended, stream, content, last))

    def segments(self) -> List[Segment]:
        """Everything that waits, in order."""
        self._freeze()
        return self._segments

    def sent(self, n: int) -> List[Mark]:
        """The first ``n`` octets were written; returns the marks that have passed."""
        self.written += n
        self._drop(n)
        marks = self._marks
        if not marks or marks[0][0] > self.written:
            return []
        passed = []
        while marks and marks[0][0] <= self.written:
            passed.append(marks.popleft())
        return passed

    def clear(self) -> List[Mark]:
        """Forget everything, because the peer reads nothing; returns the marks that will never pass."""
        self._segments = []
        self._tail = bytearray()
        self.written = self.appended
        marks = list(self._marks)
        self._marks.clear()
        return marks

    def _freeze(self) -> None:
        if self._tail:
            self._segments.append(bytes(self._tail))
            self._tail = bytearray()

    def _drop(self, n: int) -> None:
        segments = self._segments
        whole = 0
        for segment in segments:
            size = len(segment)
            if n < size:
                break
            n -= size
            whole += 1
        if n:
            segments[whole] = _rest(segments[whole], n)
        del segments[:whole]


def _rest(segment: Segment, n: int) -> Segment:
    if isinstance(segment, FileRegion):
        return FileRegion(segment.fd, segment.offset + n, segment.count - n)
    return memoryview(segment)[n:]
