"""The rules of the stash, and that the Redis backend keeps the same ones."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time

import pytest

from server_dirty.codec import decode_inline, encode_inline
from server_dirty.stash.client import StashClient
from server_dirty.stash.errors import StashError, StashFullError, StashTableNotFoundError
from server_dirty.stash.store import KEY_OVERHEAD, Store


class InProcess:
    """A client's backend that asks a store directly, with a clock that the test sets."""

    def __init__(self):
        self.now = 1000.0
        self.limit(0, 0)

    def limit(self, max_size, max_value):
        self.store = Store(max_size, max_value)

    def call(self, operation, *arguments):
        timed = operation not in ("ensure", "clear", "delete_table", "tables")
        if operation == "keys" and len(arguments) == 1:
            arguments = (*arguments, None)
        return getattr(self.store, operation)(*arguments, *([self.now] if timed else []))

    def wait(self, seconds):
        self.now += seconds


class OnRedis:
    """A Redis server that the tests share, emptied for each."""

    def __init__(self, url):
        self.url = url
        self.backend = None
        self.limit(0, 0)
        self.backend._redis.flushall()

    def limit(self, max_size, max_value):
        from server_dirty.stash.redis import RedisBackend

        self.close()
        self.backend = RedisBackend(self.url, 5, max_size, max_value)

    def call(self, operation, *arguments):
        return self.backend.call(operation, *arguments)

    def wait(self, seconds):
        time.sleep(seconds)

    def close(self):
        if self.backend is not None:
            self.backend.close()


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory):
    """The address of a real Redis server of these tests' own."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server: expected Debian's package redis-server, got none")
    from server_dirty.stash.redis import RedisBackend

    directory = tmp_path_factory.mktemp("redis")
    path = f"{directory}/redis.sock"
    process = subprocess.Popen(
        ["redis-server", "--port", "0", "--unixsocket", path, "--save", "", "--dir", str(directory)],
        stdout=subprocess.DEVNULL,
    )
    backend = RedisBackend(f"unix://{path}", 5)
    deadline = time.monotonic() + 20
    while True:
        try:
            backend.call("tables")
            break
        except StashError:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    backend.close()
    yield f"unix://{path}"
    process.terminate()
    process.wait(10)


@pytest.fixture(params=["memory", "redis"])
def backend(request):
    if request.param == "memory":
        yield InProcess()
        return
    made = OnRedis(request.getfixturevalue("redis_url"))
    yield made
    made.close()


@pytest.fixture
def stash(backend):
    client = StashClient("/nowhere")
    client._backend = backend
    return client


def test_values_come_back_as_they_were(stash):
    stash.put("t", "k", {"a": (1, 2), "b": b"x" * 100_000})
    assert stash.get("t", "k") == {"a": (1, 2), "b": b"x" * 100_000}


def test_a_missing_key_or_table_gives_the_default(stash):
    assert stash.get("none", "k", "default") == "default"
    stash.ensure("t")
    assert stash.get("t", "k") is None


def test_keys_are_listed_and_matched(stash):
    for key in ("a1", "a2", "b*1"):
        stash.put("t", key, 1)
    stash.put("t2", "other", 1)
    assert sorted(stash.keys("t")) == ["a1", "a2", "b*1"]
    assert sorted(stash.keys("t", "a*")) == ["a1", "a2"]


def test_tables_are_made_described_and_removed(stash):
    assert stash.ensure("t") is True
    assert stash.ensure("t") is False
    stash.put("t", "k", 1)
    assert stash.info("t")["size"] == 1
    assert stash.tables() == ["t"]
    assert stash.exists("t")
    assert stash.exists("t", "k")
    assert not stash.exists("t", "other")
    assert stash.clear("t") == 1
    assert stash.delete_table("t")
    assert not stash.delete_table("t")
    with pytest.raises(StashTableNotFoundError):
        stash.info("t")
    with pytest.raises(StashTableNotFoundError):
        stash.clear("t")


def test_deleting_says_whether_the_key_was_there(stash):
    stash.put("t", "k", 1)
    assert stash.delete("t", "k")
    assert not stash.delete("t", "k")


def test_a_value_expires(stash, backend):
    stash.put("t", "k", 1, ttl=0.2)
    assert stash.get("t", "k") == 1
    backend.wait(0.4)
    assert stash.get("t", "k") is None
    assert not stash.exists("t", "k")


def test_storing_again_ends_the_expiry(stash, backend):
    stash.put("t", "k", 1, ttl=0.1)
    stash.put("t", "k", 2)
    backend.wait(0.3)
    assert stash.get("t", "k") == 2


def test_compare_and_set_sets_only_what_is_as_expected(stash):
    assert stash.compare_and_set("t", "k", None, {"n": 1})
    assert not stash.compare_and_set("t", "k", None, 2)
    assert not stash.compare_and_set("t", "k", {"n": 9}, 2)
    assert stash.compare_and_set("t", "k", {"n": 1}, 2)
    assert stash.get("t", "k") == 2


def test_increment_adds_keeps_the_expiry_and_refuses_what_is_no_number(stash, backend):
    assert stash.increment("t", "n") == 1
    assert stash.increment("t", "n", 5) == 6
    stash.put("t", "e", 1, ttl=0.3)
    assert stash.increment("t", "e") == 2
    backend.wait(0.5)
    assert stash.get("t", "e") is None
    stash.put("t", "s", "text")
    with pytest.raises(StashError, match="expected a number"):
        stash.increment("t", "s")


def entry(octets):
    """A value whose entry takes exactly so many octets, under a key of one letter."""
    value = b"x" * (octets - KEY_OVERHEAD - 1 - 5)
    assert len(encode_inline(value)) == octets - KEY_OVERHEAD - 1
    return value


def test_limits_are_exact_and_a_refused_value_changes_nothing(stash, backend):
    most = len(encode_inline(entry(70_000)))
    backend.limit(140_000, most)
    stash.put("t", "k", entry(70_000))
    with pytest.raises(StashFullError, match=f"at most {most} bytes, got {most + 1}"):
        stash.put("t", "k", entry(70_001))
    stash.put("t", "l", entry(70_000))
    with pytest.raises(StashFullError, match="holds 140000 of 140000 bytes, 67000 more do not fit"):
        stash.put("t", "m", entry(67_000))
    with pytest.raises(StashFullError):
        stash.compare_and_set("t", "m", None, entry(67_000))
    with pytest.raises(StashFullError):
        stash.increment("t", "m")
    assert sorted(stash.keys("t")) == ["k", "l"]
    assert stash.info("t")["octets"] == 140_000
    stash.put("t", "k", entry(68_000))  # smaller than what it replaces
    stash.increment("t", "m")
    stash.delete_table("t")
    stash.put("t", "k", entry(70_000))
    stash.put("t", "l", entry(70_000))


def test_expired_values_make_room(stash, backend):
    backend.limit(100_000, 0)
    stash.put("t", "k", entry(70_000), ttl=0.2)
    with pytest.raises(StashFullError):
        stash.put("t", "l", entry(70_000))
    backend.wait(0.4)
    stash.put("t", "l", entry(70_000))
    assert stash.keys("t") == ["l"]


def test_writers_at_the_same_time_lose_nothing(redis_url):
    backend = OnRedis(redis_url)
    client = StashClient("/nowhere")
    client._backend = backend

    def add():
        for _ in range(25):
            client.increment("t", "n")

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.get("t", "n") == 100
    backend.close()


def test_kept_values_hold_their_large_buffers():
    assert decode_inline(encode_inline(b"x" * 1_000_000)) == b"x" * 1_000_000
