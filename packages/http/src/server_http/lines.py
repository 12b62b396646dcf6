# cython: boundscheck=False, wraparound=False
# ruff: noqa: F821 - the names of the C library come from the .pxd
# mypy: disable-error-code="name-defined, no-any-return, attr-defined, operator"
"""Field lines that were checked and stay octets until somebody asks for a value.

Owns: ``FieldName``, what is known of a name; ``FieldLines``, the lines of one head; where in a line its value is.
Must not know: what makes a line a good one (``h1.scan``), what a field means.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, List

from server_http.fields import is_ascii, meta_variable

try:
    import cython
except ImportError:  # Cython is a build requirement only
    from server_http import _cython as cython  # type: ignore[no-redef]

if TYPE_CHECKING:
    from server_http.events import Headers

_FEW = 24  # lines for which there is always room; as in the .pxd


class FieldName:
    """The name of a field as somebody spells it.

    Args:
        spelling: a token, as it is sent.
        lower: the same in lower case.
        kind: what it is to the protocol, for whom scans; 0 = nothing special.

    Attributes:
        spelling, lower, kind: as given.
        variable: its CGI name (RFC 3875 section 4.1.18).
        mark: an octet that many other names do not have (``name_mark``).
    """

    __slots__ = ("kind", "lower", "mark", "spelling", "variable")

    def __init__(self, spelling: bytes, lower: bytes, kind: int) -> None:
        self.spelling = spelling
        self.lower = lower
        self.kind = kind
        self.variable = meta_variable(lower)
        self.mark = name_mark(lower)


def name_mark(lower: bytes) -> int:
    """Return an octet by which to see that a name is not among a few others."""
    octets = lower
    size = len(lower)
    return (octets[0] + 19 * size + 37 * octets[size - 1]) & 255 if size else 0


@cython.freelist(8)
@cython.cclass
class FieldLines:
    """The field lines of one head, which ``field_lines`` makes and a scanner fills.

    Attributes:
        names: of the lines, in order.
    """

    __slots__ = ("_ascii", "_octets", "_room", "_spans", "names")

    names: List[FieldName]
    _octets: bytes
    _spans: Any  # of each line where its value begins and ends; a C array, when compiled

    def __dealloc__(self) -> None:
        if cython.compiled and self._room > _FEW:
            PyMem_Free(self._spans)

    def add(self, name: FieldName, first: int, last: int) -> None:
        """Append the line of ``name`` whose value is ``octets[first:last]``."""
        if cython.compiled:
            count = len(self.names)
            if count == self._room:
                self._grow()
            self._spans[2 * count] = first
            self._spans[2 * count + 1] = last
        else:
            self._spans += first, last
        self.names.append(name)

    def _grow(self) -> None:
        """Make room for more lines. Compiled only."""
        size = self._room * 2 * cython.sizeof(cython.int)
        first = self._room == _FEW
        spans = cython.cast(cython.p_int, PyMem_Realloc(cython.NULL if first else self._spans, 2 * size))
        if spans is cython.NULL:
            raise MemoryError
        if first:
            memcpy(spans, self._spans, size)
        self._spans = spans
        self._room *= 2

    def value(self, index: int) -> bytes:
        """Return the value of a line."""
        octets = self._octets
        return octets[self._spans[2 * index] : self._spans[2 * index + 1]]

    def text(self, index: int) -> str:
        """Return the value of a line, decoded as latin-1."""
        if not cython.compiled:
            return self.value(index).decode("latin-1")
        first = self._spans[2 * index]
        size = self._spans[2 * index + 1] - first
        if not self._ascii:
            return PyUnicode_DecodeLatin1(PyBytes_AS_STRING(self._octets) + first, size, cython.NULL)
        text = PyUnicode_New(size, 127)
        memcpy(PyUnicode_DATA(text), PyBytes_AS_STRING(self._octets) + first, size)
        return text

    def pairs(self) -> Headers:
        """Return the fields as a new list of ``(name, value)``, names in lower case."""
        fields: Headers = []
        for index, name in enumerate(self.names):
            fields.append((name.lower, self.value(index)))
        return fields


def field_lines(octets: bytes) -> FieldLines:
    """Return no lines yet, of those that ``octets`` are."""
    lines = FieldLines.__new__(FieldLines)
    lines._octets = octets
    lines.names = []
    if cython.compiled:
        lines._ascii = is_ascii(octets)
        lines._room = _FEW
        lines._spans = lines._few
    else:
        lines._spans = []
    return lines


def find_octet(octets: bytes, octet: int, start: int, end: int) -> int:
    """Return the offset of the first ``octet`` in ``octets[start:end]``, or -1."""
    if not cython.compiled:
        return octets.find(octet, start, end)
    found = cython.cast(cython.p_const_uchar, memchr(octets + start, octet, end - start))
    return -1 if found is cython.NULL else found - octets
