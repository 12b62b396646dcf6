"""Values as octets: what may travel between a caller and a dirty worker.

Owns: the encoding (msgpack plus extension types) and the rule which buffers travel in shared memory.
Must not know: sockets, frames, processes.

Beside what msgpack knows: tuples, sets, datetimes, integers of any size, UUIDs, decimals, complex
numbers, ``array.array``, NumPy arrays and torch CPU tensors. Bytes-like objects arrive as
``bytes``, unless wrapped in ``Buffer``, which arrives as a ``memoryview`` without a copy.
Nothing is pickled unless ``dirty_pickle`` is on: a value without a rule is refused by its type's name.
"""

from __future__ import annotations

import array
import datetime
import decimal
import os
import pickle
import sys
import uuid
from typing import Any, Callable, Dict, List, Tuple

import msgpack

from server_dirty.errors import DirtyProtocolError

SHARED_FROM = 64 * 1024  # octets from which a buffer travels in shared memory
ALIGNMENT = 64  # of each buffer in the shared region, so that vector instructions may be used on it
MAX_DEPTH = 100  # nested containers

_TUPLE, _SET, _FROZENSET, _BIG_INT, _DATETIME, _DATE, _TIME, _DURATION = range(1, 9)
_UUID, _DECIMAL, _COMPLEX, _BUFFER, _BYTES, _NUMPY, _TORCH, _ARRAY, _PICKLE = range(9, 18)

PICKLE_VARIABLE = "SERVER_DIRTY_PICKLE"  # "1" in the processes of a server whose dirty_pickle is on


class Buffer:
    """Marks a bytes-like object that should arrive as a ``memoryview`` rather than as ``bytes``."""

    __slots__ = ("view",)

    def __init__(self, data: Any) -> None:
        self.view = memoryview(data).cast("B")


def encode(value: Any) -> Tuple[bytes, List[memoryview]]:
    """Return ``value`` as octets, and the buffers that travel beside them in shared memory.

    Raises:
        DirtyProtocolError: a value of a type that has no rule, or containers nested too deeply.
    """
    buffers: List[memoryview] = []
    return _encode(value if type(value) in _PLAIN else _lift_bytes(value), buffers, SHARED_FROM), buffers


def _encode(value: Any, buffers: List[memoryview], shared_from: int) -> bytes:
    try:
        return _Encoder(buffers, shared_from).pack(value)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise DirtyProtocolError(f"value: expected plain data, buffers or arrays, got {error}") from error


def decode(data: Any, buffers: List[memoryview]) -> Any:
    """Return the value of ``encode``'s octets; arrays of ``buffers`` refer to them without a copy.

    Raises:
        DirtyProtocolError: octets that ``encode`` does not make.
    """

    try:
        return _Decoder(buffers).unpack(data)
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RecursionError) as error:
        raise DirtyProtocolError(f"payload: expected an encoded value, got {error!r}") from error


def encode_inline(value: Any) -> bytes:
    """Return ``value`` as octets that contain its buffers too, large or not: for values that are kept.

    Raises:
        DirtyProtocolError: as ``encode``.
    """
    return _encode(value, [], sys.maxsize)


def decode_inline(data: bytes) -> Any:
    """Return the value of ``encode_inline``'s octets. Raises DirtyProtocolError."""
    return decode(data, [])


class _Decoder:
    """One decoding under way. An object rather than a closure that knows itself: such a cycle would keep
    the mappings of large buffers until the next garbage collection."""

    __slots__ = ("_buffers",)

    def __init__(self, buffers: List[memoryview]) -> None:
        self._buffers = buffers

    def unpack(self, data: Any) -> Any:
        return msgpack.unpackb(data, ext_hook=self._extension, raw=False, strict_map_key=False)

    def _extension(self, code: int, content: bytes) -> Any:
        rule = _DECODERS.get(code)
        if rule is None:
            raise DirtyProtocolError(f"extension type: expected 1..{_PICKLE}, got {code}")
        return rule(self.unpack(content), self._buffers)


class _Encoder:
    """One encoding under way: collects the large buffers it meets."""

    __slots__ = ("_buffers", "_depth", "_shared_from")

    def __init__(self, buffers: List[memoryview], shared_from: int) -> None:
        self._buffers = buffers
        self._shared_from = shared_from
        self._depth = 0

    def pack(self, value: Any) -> bytes:
        packed: bytes = msgpack.Packer(default=self._extend, strict_types=True, use_bin_type=True).pack(value)
        return packed

    def _extend(self, value: Any) -> Any:
        """Give msgpack what it does not know itself as an extension type or a plain value."""
        rule = _ENCODERS.get(type(value)) or _rule_of_subclass(value)
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ValueError(f"containers nested deeper than {MAX_DEPTH}")
        try:
            made = rule(value, self)
            if type(made) is tuple:
                return msgpack.ExtType(made[0], self.pack(made[1]))
            return made
        finally:
            self._depth -= 1

    def place(self, view: memoryview) -> Any:
        """Return what stands for a buffer: its octets when small, its place in shared memory else."""
        if view.nbytes < self._shared_from:
            return view.tobytes()
        self._buffers.append(view)
        return len(self._buffers) - 1


_PLAIN = frozenset((str, int, float, bool, type(None)))
_BYTES_LIKE = frozenset((bytes, bytearray, memoryview))
_CONTAINERS = frozenset((dict, list, tuple))


class _LargeBytes:
    """Stands for a large ``bytes`` object on its way to ``_Encoder.place``."""

    __slots__ = ("data",)

    def __init__(self, data: Any) -> None:
        self.data = data


def _lift_bytes(value: Any, depth: int = 4) -> Any:
    """Mark large bytes near the top of ``value``, which msgpack would copy without asking."""
    kind = type(value)
    if kind in _BYTES_LIKE:
        return _LargeBytes(value) if memoryview(value).nbytes >= SHARED_FROM else value
    if not depth or kind not in _CONTAINERS or len(value) > 64:
        return value
    for item in value.values() if kind is dict else value:
        if type(item) not in _PLAIN:
            break
    else:
        return value  # as most are: nothing to mark, nothing to copy
    if kind is dict:
        return {k: item if type(item) in _PLAIN else _lift_bytes(item, depth - 1) for k, item in value.items()}
    lifted = [item if type(item) in _PLAIN else _lift_bytes(item, depth - 1) for item in value]
    return lifted if kind is list else tuple(lifted)


def _rule_of_subclass(value: Any) -> Callable[[Any, _Encoder], Any]:
    """Find the rule of a subclass, or of an array of a library that this module never imports."""
    root = type(value).__module__.partition(".")[0]
    if root == "numpy" and hasattr(value, "dtype"):
        return _encode_numpy
    if root == "torch" and hasattr(value, "detach"):
        return _encode_torch
    for base, rule in _SUBCLASS_RULES:
        if isinstance(value, base):
            return rule
    if pickles():
        return _encode_pickle
    raise TypeError(f"an object of type {type(value).__module__}.{type(value).__qualname__}")


def pickles() -> bool:
    """Whether values without a rule may be pickled, both ways."""
    return os.environ.get(PICKLE_VARIABLE) == "1"


def _encode_pickle(value: Any, encoder: _Encoder) -> Any:
    try:
        return _PICKLE, encoder.place(memoryview(pickle.dumps(value, protocol=4)))
    except (pickle.PicklingError, AttributeError) as error:
        raise TypeError(f"a {type(value).__qualname__} that cannot be pickled: {error}") from error


def _encode_big_int(value: int, _: _Encoder) -> Any:
    return _BIG_INT, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)


def _encode_duration(value: datetime.timedelta, _: _Encoder) -> Any:
    return _DURATION, [value.days, value.seconds, value.microseconds]


def _encode_datetime(value: datetime.datetime, _: _Encoder) -> Any:
    zone = getattr(value.tzinfo, "key", None)  # a zoneinfo name survives; other zones as their offset
    return _DATETIME, [value.isoformat(), zone, value.fold]


def _encode_numpy(value: Any, encoder: _Encoder) -> Any:
    if value.dtype.hasobject or value.dtype.names:
        raise TypeError(f"a NumPy array of dtype {value.dtype}")
    if value.ndim == 0 and not hasattr(value, "flags"):
        return value.item()
    contiguous = value if value.flags.c_contiguous else value.copy(order="C")
    view = memoryview(contiguous.reshape(-1).view("uint8")) if value.size else memoryview(b"")
    return _NUMPY, [value.dtype.str, list(value.shape), encoder.place(view)]


def _encode_torch(value: Any, encoder: _Encoder) -> Any:
    if value.device.type != "cpu":
        raise TypeError(f"a torch tensor on {value.device}; call .cpu() first")
    import torch

    flat = value.detach().contiguous().reshape(-1).view(torch.uint8).numpy()
    return _TORCH, [str(value.dtype).partition(".")[2], list(value.shape), encoder.place(memoryview(flat))]


def _encode_array(value: array.array[Any], encoder: _Encoder) -> Any:
    view = memoryview(value).cast("B") if len(value) else memoryview(b"")
    return _ARRAY, [value.typecode, encoder.place(view)]


_ENCODERS: Dict[type, Callable[[Any, _Encoder], Any]] = {
    tuple: lambda value, _: (_TUPLE, list(value)),
    set: lambda value, _: (_SET, list(value)),
    frozenset: lambda value, _: (_FROZENSET, list(value)),
    int: _encode_big_int,
    datetime.datetime: _encode_datetime,
    datetime.date: lambda value, _: (_DATE, value.isoformat()),
    datetime.time: lambda value, _: (_TIME, value.isoformat()),
    datetime.timedelta: _encode_duration,
    uuid.UUID: lambda value, _: (_UUID, value.bytes),
    decimal.Decimal: lambda value, _: (_DECIMAL, str(value)),
    complex: lambda value, _: (_COMPLEX, [value.real, value.imag]),
    Buffer: lambda value, encoder: (_BUFFER, encoder.place(value.view)),
    _LargeBytes: lambda value, encoder: (_BYTES, encoder.place(memoryview(value.data).cast("B"))),
    array.array: _encode_array,
}

# Subclasses arrive as their base: an application's str subclass is text to the other side.
_SUBCLASS_RULES: Tuple[Tuple[type, Callable[[Any, _Encoder], Any]], ...] = (
    (bool, lambda value, _: bool(value)),
    (int, lambda value, _: int(value)),
    (float, lambda value, _: float(value)),
    (str, lambda value, _: str.__str__(value)),
    (bytes, lambda value, _: bytes(value)),
    (dict, lambda value, _: dict(value)),
    (tuple, _ENCODERS[tuple]),
    (list, lambda value, _: list(value)),
    (set, _ENCODERS[set]),
    (frozenset, _ENCODERS[frozenset]),
    (datetime.datetime, _encode_datetime),
    (datetime.date, _ENCODERS[datetime.date]),
    (datetime.timedelta, _encode_duration),
    (uuid.UUID, _ENCODERS[uuid.UUID]),
    (decimal.Decimal, _ENCODERS[decimal.Decimal]),
)


def _fetch(place: Any, buffers: List[memoryview]) -> memoryview:
    """Return the buffer that ``_Encoder.place`` put somewhere."""
    return buffers[place] if type(place) is int else memoryview(place)


def _decode_datetime(content: Any, _: List[memoryview]) -> datetime.datetime:
    text, zone, fold = content
    value = datetime.datetime.fromisoformat(text)
    if zone is not None:
        import zoneinfo

        value = value.replace(tzinfo=zoneinfo.ZoneInfo(zone))
    return value.replace(fold=fold)


def _decode_numpy(content: Any, buffers: List[memoryview]) -> Any:
    import numpy

    dtype, shape, place = content
    view = _fetch(place, buffers)
    # Octets that came inside the payload are read-only; a copy of so few costs nothing.
    source = view if type(place) is int else bytearray(view)
    return numpy.frombuffer(source, dtype=dtype).reshape(shape)


def _decode_torch(content: Any, buffers: List[memoryview]) -> Any:
    import torch

    name, shape, place = content
    view = _fetch(place, buffers)
    if not view.nbytes:
        return torch.empty(shape, dtype=getattr(torch, name))
    source = view if type(place) is int else bytearray(view)
    return torch.frombuffer(source, dtype=getattr(torch, name)).reshape(shape)


def _decode_pickle(content: Any, buffers: List[memoryview]) -> Any:
    if not pickles():
        raise ValueError("a pickled value, and dirty_pickle is off")
    return pickle.loads(_fetch(content, buffers))  # noqa: S301 - the setting asks for it


def _decode_array(content: Any, buffers: List[memoryview]) -> array.array[Any]:
    typecode, place = content
    made = array.array(typecode)
    made.frombytes(_fetch(place, buffers))
    return made


_DECODERS: Dict[int, Callable[[Any, List[memoryview]], Any]] = {
    _TUPLE: lambda content, _: tuple(content),
    _SET: lambda content, _: set(content),
    _FROZENSET: lambda content, _: frozenset(content),
    _BIG_INT: lambda content, _: int.from_bytes(content, "big", signed=True),
    _DATETIME: _decode_datetime,
    _DATE: lambda content, _: datetime.date.fromisoformat(content),
    _TIME: lambda content, _: datetime.time.fromisoformat(content),
    _DURATION: lambda content, _: datetime.timedelta(*content),
    _UUID: lambda content, _: uuid.UUID(bytes=content),
    _DECIMAL: lambda content, _: decimal.Decimal(content),
    _COMPLEX: lambda content, _: complex(*content),
    _BUFFER: _fetch,
    _BYTES: lambda content, buffers: bytes(_fetch(content, buffers)),
    _NUMPY: _decode_numpy,
    _TORCH: _decode_torch,
    _ARRAY: _decode_array,
    _PICKLE: _decode_pickle,
}
