"""Values survive the way there and back, large buffers without a copy, and nothing else travels."""

from __future__ import annotations

import array
import contextlib
import datetime
import decimal
import math
import uuid

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server_dirty import codec
from server_dirty.errors import DirtyProtocolError

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.uuids()
    | st.decimals(allow_nan=False)
    | st.datetimes(timezones=st.just(datetime.timezone.utc) | st.none())
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.complex_numbers(allow_nan=False)
    | st.sets(st.integers())
    | st.frozensets(st.text()),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=20,
)


def travel(value):
    data, buffers = codec.encode(value)
    return codec.decode(data, [memoryview(bytearray(view)) for view in buffers])


@given(PLAIN)
def test_a_value_arrives_as_it_was(value):
    arrived = travel(value)
    assert arrived == value
    assert type(arrived) is type(value)


@pytest.mark.parametrize("size", [0, 10, codec.SHARED_FROM - 1, codec.SHARED_FROM, 1_000_000])
def test_bytes_arrive_as_bytes_whatever_their_size(size):
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    assert travel({"data": data}) == {"data": data}


def test_large_bytes_travel_beside_the_payload():
    data, buffers = codec.encode({"image": b"x" * 1_000_000, "name": "a"})
    assert len(data) < 100
    assert [view.nbytes for view in buffers] == [1_000_000]


@pytest.mark.parametrize("size", [0, 3, 100_000])
@pytest.mark.parametrize("dtype", ["u1", "f4", "f8", "i8", "c16", "?", "M8[s]"])
def test_arrays_keep_dtype_shape_and_content(size, dtype):
    value = numpy.arange(size).astype(dtype).reshape(-1, 1)
    arrived = travel(value)
    assert arrived.dtype == value.dtype
    assert arrived.shape == value.shape
    assert numpy.array_equal(arrived, value)


def test_an_array_that_arrived_may_be_changed():
    arrived = travel(numpy.zeros(10))
    arrived[0] = 1
    assert arrived.sum() == 1


def test_an_array_that_is_not_contiguous_arrives_whole():
    value = numpy.arange(200_000).reshape(400, 500)[::2, ::3]
    assert numpy.array_equal(travel(value), value)


def test_a_large_array_is_not_copied_by_the_decoder():
    data, buffers = codec.encode(numpy.zeros(1_000_000, dtype="u1"))
    region = bytearray(buffers[0])
    arrived = codec.decode(data, [memoryview(region)])
    region[5] = 7
    assert arrived[5] == 7


def test_numpy_scalars_and_zero_dimensions_travel():
    assert travel(numpy.float64(2.5)) == 2.5
    assert travel(numpy.array(3)).shape == ()


def test_a_wrapped_buffer_arrives_as_a_memoryview():
    arrived = travel(codec.Buffer(b"y" * 100_000))
    assert isinstance(arrived, memoryview)
    assert arrived.tobytes() == b"y" * 100_000


def test_typed_arrays_travel():
    value = array.array("d", [1.5, math.pi])
    assert travel(value) == value


class Text(str):
    """A subclass, as template engines have."""


class Number(int):
    """A subclass, as enums have."""


def test_subclasses_arrive_as_their_base():
    arrived = travel([Text("a"), Number(5), {Text("k"): True}])
    assert arrived == ["a", 5, {"k": True}]
    assert type(arrived[0]) is str
    assert type(arrived[1]) is int


@pytest.mark.parametrize("value", [object(), [lambda: None], {"x": {1: object()}}, numpy.array([object()])])
def test_a_value_without_a_rule_is_refused_and_named(value):
    with pytest.raises(DirtyProtocolError, match=r"object|function"):
        codec.encode(value)


def test_containers_that_contain_themselves_are_refused():
    loop: list = []
    loop.append(loop)
    with pytest.raises(DirtyProtocolError):
        codec.encode(loop)
    deep: tuple = ()
    for _ in range(codec.MAX_DEPTH + 10):
        deep = (deep,)
    with pytest.raises(DirtyProtocolError, match="nested"):
        codec.encode(deep)


@given(st.binary(max_size=200))
def test_octets_from_anywhere_are_decoded_or_refused(data):
    with contextlib.suppress(DirtyProtocolError):
        codec.decode(data, [])


def test_zones_survive_by_name():
    zone = pytest.importorskip("zoneinfo").ZoneInfo("UTC")
    value = datetime.datetime(2026, 3, 1, 12, tzinfo=zone)
    assert travel(value).tzinfo is zone
    fixed = datetime.datetime(2026, 3, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=5)))
    assert travel(fixed) == fixed


def test_equal_values_of_other_types_stay_apart():
    value = [(1, 2), [1, 2], {1}, frozenset({1}), uuid.UUID(int=5), decimal.Decimal("1.50"), 2**70, -(2**90)]
    arrived = travel(value)
    assert arrived == value
    assert [type(item) for item in arrived] == [type(item) for item in value]


class OfAnApplication:
    """A class without a rule."""

    def __init__(self, number):
        self.number = number


def test_a_value_without_a_rule_travels_by_pickle_only_where_a_setting_says_so(monkeypatch):
    with pytest.raises(DirtyProtocolError, match="OfAnApplication"):
        codec.encode([OfAnApplication(1)])
    monkeypatch.setenv(codec.PICKLE_VARIABLE, "1")
    (arrived,) = travel([OfAnApplication(7)])
    assert arrived.number == 7
    data, buffers = codec.encode(OfAnApplication(1))
    with pytest.raises(DirtyProtocolError, match="cannot be pickled"):
        codec.encode(lambda: None)
    monkeypatch.delenv(codec.PICKLE_VARIABLE)
    with pytest.raises(DirtyProtocolError, match="dirty_pickle is off"):
        codec.decode(data, buffers)


@pytest.mark.parametrize("kind", ["float32", "int64", "bfloat16", "bool"])
@pytest.mark.parametrize("shape", [(0,), (3,), (200, 100)])
def test_torch_tensors_of_the_cpu_travel(kind, shape):
    torch = pytest.importorskip("torch", reason="torch: expected the package, got none (it is large)")
    tensor = torch.ones(shape).to(getattr(torch, kind))
    arrived = travel([tensor])[0]
    assert arrived.dtype == tensor.dtype
    assert torch.equal(arrived, tensor)
