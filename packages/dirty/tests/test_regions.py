"""Memory files: whose they are, when they are used again, and when never."""

from __future__ import annotations

import gc
import os

import pytest

from server_dirty import regions
from server_dirty.errors import DirtyProtocolError


def write(data: bytes) -> int:
    return regions.write([memoryview(data)], [(0, len(data))], len(data))


@pytest.fixture(autouse=True)
def no_free_files():
    regions._free.after_fork()
    yield
    regions._free.after_fork()


def inode(descriptor: int) -> int:
    return os.fstat(descriptor).st_ino


def test_what_was_written_is_read():
    assert bytes(regions.read(write(b"x" * 100_000), 100_000)) == b"x" * 100_000


def test_a_file_is_used_again_when_the_last_view_of_it_is_gone():
    descriptor = write(b"x" * 100_000)
    file = inode(descriptor)
    view = regions.read(descriptor, 100_000)
    part = view[10:20]
    del view
    gc.collect()
    other = write(b"y" * 100_000)
    assert inode(other) != file
    assert bytes(part) == b"x" * 10
    del part
    gc.collect()
    again = write(b"z" * 70_000)
    assert inode(again) == file
    for used in (other, again):
        os.close(used)


def test_no_more_is_kept_than_the_limit():
    before = len(os.listdir("/proc/self/fd"))
    size = 8 << 20
    views = [regions.read(write(b"x" * size), size) for _ in range(8)]
    del views
    gc.collect()
    assert regions._free._kept == regions.KEPT
    assert len(os.listdir("/proc/self/fd")) == before + regions.KEPT // size


def test_what_was_mapped_when_the_process_forked_is_never_used_again():
    descriptor = write(b"x" * 100_000)
    file = inode(descriptor)
    view = regions.read(descriptor, 100_000)
    kept = regions.read(write(b"k" * 100_000), 100_000)
    del kept  # free before the fork: the parent's
    gc.collect()
    pid = os.fork()
    if pid == 0:
        os._exit(int(regions.write([memoryview(b"c")], [(0, 1)], 70_000) < 0 or bytes(view[:1]) != b"x"))
    assert os.waitpid(pid, 0)[1] == 0
    del view
    gc.collect()
    first, second = write(b"y" * 100_000), write(b"y" * 100_000)
    assert file not in (inode(first), inode(second))
    os.close(first)
    os.close(second)


def test_a_file_that_is_too_small_or_may_shrink_is_refused():
    with pytest.raises(DirtyProtocolError, match="expected 200000 octets"):
        regions.read(write(b"x" * 100), 200_000)
    descriptor = os.memfd_create("loose", os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, 100)
    with pytest.raises(DirtyProtocolError, match="sealed"):
        regions.read(descriptor, 100)
    reading, writing = os.pipe()
    os.close(writing)
    with pytest.raises(DirtyProtocolError):
        regions.read(reading, 100)
