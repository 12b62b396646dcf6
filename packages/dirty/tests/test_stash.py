"""The rules of the stash, and that the Redis backend keeps the same ones."""

from __future__ import annotations

import shutil
import subprocess
import time

import pytest

from server_dirty.codec import decode_inline, encode_inline
from server_dirty.stash.client import StashClient
from server_dirty.stash.errors import StashError, StashFullError, StashTableNotFoundError
from server_dirty.stash.store import Store


class InProcess:
    """A client's backend that asks a store directly, with a clock that the test sets."""

    def __init__(self, store):
        self.store = store
        self.now = 1000.0

    def call(self, operation, *arguments):
        timed = operation not in ("ensure", "clear", "delete_table", "tables")
        if operation == "keys" and len(arguments) == 1:
            arguments = (*arguments, None)
        return getattr(self.store, operation)(*arguments, *([self.now] if timed else []))

    def wait(self, seconds):
        self.now += seconds


class OnRedis:
    """A real Redis server of the test's own."""

    def __init__(self, directory):
        from server_dirty.stash.redis import RedisBackend

        path = f"{directory}/redis.sock"
        self.process = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", path, "--save", "", "--dir", str(directory)],
            stdout=subprocess.DEVNULL,
        )
        self.backend = RedisBackend(f"unix://{path}", 5)
        deadline = time.monotonic() + 20
        while True:
            try:
                self.backend.call("tables")
                break
            except StashError:
                assert time.monotonic() < deadline
                time.sleep(0.02)
        self.call = self.backend.call

    def wait(self, seconds):
        time.sleep(seconds)

    def stop(self):
        self.backend._redis.close()
        self.process.terminate()
        self.process.wait(10)


@pytest.fixture(params=["memory", "redis"])
def backend(request, tmp_path):
    if request.param == "memory":
        yield InProcess(Store(0, 0))
        return
    if shutil.which("redis-server") is None:
        pytest.fail("redis-server: expected Debian's package redis-server, got none")
    made = OnRedis(tmp_path)
    yield made
    made.stop()


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


def test_limits_are_exact_and_a_refused_value_changes_nothing():
    store = Store(max_size=1000, max_value=300)
    store.put("t", "k", b"x" * 300, None, 0)
    with pytest.raises(StashFullError, match="at most 300 octets, got 301"):
        store.put("t", "k", b"x" * 301, None, 0)
    store.put("t", "l", b"x" * 300, None, 0)
    with pytest.raises(StashFullError, match="do not fit"):
        store.put("t", "m", b"x" * 300, None, 0)
    assert store.keys("t", None, 0) == ["k", "l"]
    store.put("t", "k", b"", None, 0)
    store.put("t", "m", b"x" * 200, None, 0)
    store.delete_table("t")
    assert store.size == 0


def test_expired_values_make_room():
    store = Store(max_size=450, max_value=0)
    store.put("t", "k", b"x" * 300, 5, now=0)
    store.put("t", "l", b"x" * 300, 5, now=6)
    assert store.keys("t", None, 6) == ["l"]


def test_kept_values_hold_their_large_buffers():
    assert decode_inline(encode_inline(b"x" * 1_000_000)) == b"x" * 1_000_000
