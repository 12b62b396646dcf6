"""HPACK (RFC 7541) for a server: the decoder keeps the fields for the engine, the encoder compresses answers.

Owns: the representation of field blocks. The dynamic table for decoding, integers and Huffman strings are hpack's.
Must not know: what a field means.

hpack's own classes do the same at 3 to 5 us a field, most of it calls, slices and disabled log lines; both classes
here take their place through public attributes of h2's connection (``decoder``, ``encoder``).

What the encoder does with a field: a pair in the static or dynamic table is one or two octets. A pair that was met
before on this connection enters the dynamic table; a new one does not, because values that never come again (request
ids, ETags) would push out those that do. Cookies and credentials are never indexed (RFC 7541 section 7.1.3). Strings
are not Huffman coded: what repeats is indexed anyway, and the rest would cost more time than octets.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Deque, Dict, Iterable, List, Sequence, Tuple

from hpack import Decoder
from hpack.exceptions import HPACKDecodingError, InvalidTableSizeError, OversizedHeaderListError
from hpack.hpack import decode_integer, encode_integer
from hpack.huffman_table import decode_huffman
from hpack.table import HeaderTable

from server_http.events import Header, Headers

ENTRY_OVERHEAD = 32
"""Octets an entry counts beyond its name and value (RFC 7541 section 4.1)."""

TABLE_OCTETS = 4096
"""The largest dynamic table the encoder uses, whatever the peer would allow."""

_RESIZES_MAX = 2  # the smallest size since the last block, and the size now
_SEEN_MAX = 64
_INDEXED_MAX = TABLE_OCTETS // 4
_NEVER_INDEXED = frozenset((b"authorization", b"cookie", b"proxy-authorization", b"set-cookie"))
_UNBOUNDED = 1 << 62

_STATIC: Tuple[Header, ...] = tuple(HeaderTable.STATIC_TABLE)
_STATIC_LENGTH = len(_STATIC)
_STATIC_PAIRS: Dict[Header, bytes] = {
    pair: bytes((0x80 | index,)) for index, pair in reversed(list(enumerate(_STATIC, 1)))
}
_STATIC_NAMES: Dict[bytes, int] = {pair[0]: index for index, pair in reversed(list(enumerate(_STATIC, 1)))}

# Applications spell names as they like; HTTP/2 wants them in lower case. Names are few, but bounded all the same.
_LOWER: Dict[bytes, bytes] = {}
_LOWER_MAX = 1024
_LOWER_OCTETS_MAX = 64


class FieldDecoder(Decoder):
    """Decodes header blocks for h2, and keeps the fields from it.

    Args:
        max_list: octets of a decoded list, counted as SETTINGS_MAX_HEADER_LIST_SIZE counts; 0 = no bound.

    Attributes:
        fields: the fields of the block decoded last.
    """

    def __init__(self, max_list: int) -> None:
        super().__init__(max_list or _UNBOUNDED)
        self.fields: Headers = []

    def decode(self, data: bytes, raw: bool = False) -> Sequence[Any]:  # type: ignore[override, unused-ignore]
        """Decode one whole block into ``fields``.

        Returns:
            Nothing to see for h2: its own checks would end the connection where the stream is to blame.

        Raises:
            hpack.HPACKError: the block is malformed, or the list is too large.
        """
        fields: Headers = []
        table = self.header_table
        resizes = 0
        left = self.max_header_list_size
        at, end = 0, len(data)
        while at < end:
            octet = data[at]
            if octet >= 0x80:
                index = octet & 0x7F
                at += 1
                if index == 0x7F:
                    index, at = _integer(data, at - 1, 7)
                pair = _STATIC[index - 1] if 0 < index <= _STATIC_LENGTH else table.get_by_index(index)
            elif octet >= 0x40:
                pair, at = self._literal(data, at, 6)
                table.add(pair[0], pair[1])
            elif octet >= 0x20:
                resizes += 1
                at = self._resize(data, at, bool(fields) or resizes > _RESIZES_MAX)
                continue
            else:
                pair, at = self._literal(data, at, 4)
            fields.append(pair)
            left -= len(pair[0]) + len(pair[1]) + ENTRY_OVERHEAD
            if left < 0:
                raise OversizedHeaderListError(f"header list: expected at most {self.max_header_list_size} octets")
        if table.maxsize > self.max_allowed_table_size:
            raise InvalidTableSizeError(f"table size: expected at most {self.max_allowed_table_size}")
        self.fields = fields
        return ()

    def _literal(self, data: bytes, at: int, prefix: int) -> Tuple[Header, int]:
        """Read a literal field (RFC 7541 section 6.2) that begins at ``at``."""
        if data[at] & ((1 << prefix) - 1):
            index, at = _integer(data, at, prefix)
            name = _STATIC[index - 1][0] if index <= _STATIC_LENGTH else self.header_table.get_by_index(index)[0]
        else:
            name, at = _string(data, at + 1)
        value, at = _string(data, at)
        return (name, value), at

    def _resize(self, data: bytes, at: int, late: bool) -> int:
        """Take a dynamic table size update: two at most, which begin a block (RFC 7541 section 4.2)."""
        if late:
            raise HPACKDecodingError(
                f"table size update: expected at most {_RESIZES_MAX} at the start of a block, got another"
            )
        size, at = _integer(data, at, 5)
        if size > self.max_allowed_table_size:
            raise InvalidTableSizeError(f"table size: expected at most {self.max_allowed_table_size}, got {size}")
        self.header_table_size = size
        return at


def _integer(data: bytes, at: int, prefix: int) -> Tuple[int, int]:
    """Read an integer (RFC 7541 section 5.1); returns it and where it ends."""
    value, used = decode_integer(data[at : at + 8], prefix)
    return value, at + used


def _string(data: bytes, at: int) -> Tuple[bytes, int]:
    """Read a string literal (RFC 7541 section 5.2); returns it and where it ends."""
    if at >= len(data):
        raise HPACKDecodingError("string: expected a length, got the end of the block")
    first = data[at]
    length = first & 0x7F
    if length == 0x7F:
        length, at = _integer(data, at, 7)
    else:
        at += 1
    octets = data[at : at + length]
    if len(octets) != length:
        raise HPACKDecodingError(f"string: expected {length} octets, got {len(octets)}")
    return (bytes(decode_huffman(octets)) if first & 0x80 else octets), at + length


class FieldEncoder:
    """Encodes response heads and trailers; takes the place of ``hpack.Encoder``.

    Attributes:
        fields: what the next block holds. The list that h2 passes through its own checks is only their beginning.
    """

    __slots__ = ("_entries", "_inserted", "_places", "_resized", "_seen", "_size", "_table", "fields")

    def __init__(self) -> None:
        self._table = TABLE_OCTETS
        self._size = 0
        self._entries: Deque[Header] = deque()  # the oldest first
        self._places: Dict[Header, int] = {}  # pair -> how many were inserted before it
        self._inserted = 0
        self._seen: Dict[Header, None] = {}
        self._resized: List[int] = []
        self.fields: Headers = []

    @property
    def header_table_size(self) -> int:
        """Octets of the dynamic table; h2 sets what the peer allows."""
        return self._table

    @header_table_size.setter
    def header_table_size(self, size: int) -> None:
        size = min(size, TABLE_OCTETS)
        if size != self._table:
            # The smallest of several sizes must be told, and the last (RFC 7541 section 4.2).
            self._resized = [min(size, min(self._resized)), size] if self._resized else [size]
            self._table = size
            self._evict(0)

    def encode(self, headers: Iterable[Header] = (), huffman: bool = True) -> bytes:
        """Return the block for ``fields``; names may be in any case. The arguments are hpack's, and not looked at."""
        block = bytearray()
        if self._resized:
            for size in self._resized:
                block += _prefixed(size, 5, 0x20)
            self._resized = []
        places = self._places
        for name, value in self.fields:
            lower = _LOWER.get(name)
            if lower is None:
                lower = _lowered(name)
            if value and (value[0] <= 0x20 or value[-1] <= 0x20):
                value = value.strip(b" \t")
            pair = (lower, value)
            octets = _STATIC_PAIRS.get(pair)
            if octets is not None:
                block += octets
                continue
            place = places.get(pair)
            if place is None:
                self._literal(block, pair)
                continue
            index = _STATIC_LENGTH + self._inserted - place
            if index < 0x7F:
                block.append(0x80 | index)
            else:
                block += _prefixed(index, 7, 0x80)
        return bytes(block)

    def _literal(self, block: bytearray, pair: Header) -> None:
        """Append a field that is in no table, and let it enter the table when it was met before."""
        name, value = pair
        kind, prefix = 0x00, 4
        if name in _NEVER_INDEXED:
            kind = 0x10
        elif pair in self._seen:
            del self._seen[pair]
            if self._insert(pair):
                kind, prefix = 0x40, 6
        elif len(value) <= _INDEXED_MAX:
            if len(self._seen) >= _SEEN_MAX:
                self._seen.pop(next(iter(self._seen)))
            self._seen[pair] = None
        index = _STATIC_NAMES.get(name, 0)
        block += _prefixed(index, prefix, kind)
        if not index:
            block += _prefixed(len(name), 7, 0)
            block += name
        block += _prefixed(len(value), 7, 0)
        block += value

    def _insert(self, pair: Header) -> bool:
        size = len(pair[0]) + len(pair[1]) + ENTRY_OVERHEAD
        if size > self._table >> 2:
            return False
        self._evict(size)
        self._places[pair] = self._inserted
        self._inserted += 1
        self._entries.append(pair)
        self._size += size
        return True

    def _evict(self, room: int) -> None:
        """Drop the oldest entries until ``room`` octets are free (RFC 7541 sections 4.3 and 4.4)."""
        while self._entries and self._size + room > self._table:
            pair = self._entries.popleft()
            del self._places[pair]
            self._size -= len(pair[0]) + len(pair[1]) + ENTRY_OVERHEAD


def _prefixed(value: int, prefix: int, kind: int) -> bytes:
    """Return an integer of ``prefix`` bits below the bits of ``kind`` (RFC 7541 section 5.1)."""
    octets = encode_integer(value, prefix)
    octets[0] |= kind
    return bytes(octets)


def _lowered(name: bytes) -> bytes:
    lower = bytes(name).lower()
    if len(_LOWER) < _LOWER_MAX and len(lower) <= _LOWER_OCTETS_MAX:
        _LOWER[bytes(name)] = lower
    return lower
