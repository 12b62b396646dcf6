"""Outputs of logs: whole lines, never waiting, over files, pipes and sockets."""

from __future__ import annotations

import os
import socket
import sys
import threading

import pytest

from server_core.log import sink as sinks
from server_core.log.sink import PIPE_BUF, FileSink, LineStream, PipeSink, SocketSink, standard_sink


@pytest.fixture
def pipe():
    reader, writer = os.pipe()
    yield reader, writer
    for fd in (reader, writer):
        os.close(fd)


def drain(reader):
    os.set_blocking(reader, False)
    data = b""
    while True:
        try:
            data += os.read(reader, 65536)
        except BlockingIOError:
            return data


def fill(sink, line=b"x" * 99 + b"\n", limit=100000):
    """Write lines until the pipe takes no more; returns how many were written in all."""
    for count in range(limit):
        sink.write(line)
        if sink._pending:
            return count + 1
    raise AssertionError("the pipe never filled")


def test_a_pipe_that_is_full_does_not_stop_the_writer_and_nothing_is_cut(pipe):
    reader, writer = pipe
    sink = PipeSink(writer)
    count = fill(sink)
    data = drain(reader)
    assert sink.flush()
    data += drain(reader)
    assert data == (b"x" * 99 + b"\n") * count
    sink.close()


def test_the_shared_descriptor_stays_blocking(pipe):
    _, writer = pipe
    sink = PipeSink(writer)
    assert os.get_blocking(writer)
    sink.close()


def test_without_proc_the_pipe_is_asked_before_each_write(pipe, monkeypatch):
    reader, writer = pipe
    monkeypatch.setattr(sinks.os, "open", lambda *a: (_ for _ in ()).throw(FileNotFoundError("/proc")))
    sink = PipeSink(writer)
    count = fill(sink)
    assert drain(reader).count(b"\n") == count - 1


def test_pieces_for_a_pipe_are_whole_lines_of_at_most_pipe_buf(pipe):
    _, writer = pipe
    sink = PipeSink(writer)
    pieces = []
    sink._write = lambda data: pieces.append(data) or len(data)
    batch = b"".join(b"%d " % n + b"y" * (n * 37 % 900) + b"\n" for n in range(100))
    sink.write(batch)
    assert b"".join(pieces) == batch
    assert len(pieces) < 30
    for piece in pieces:
        assert len(piece) <= PIPE_BUF
        assert piece.endswith(b"\n")
    sink.close()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a descriptor of one's own for the pipe")
def test_many_writers_and_a_slow_reader_mix_no_line(pipe):
    reader, writer = pipe
    lines, workers = 300, 4
    children = []
    for worker in range(workers):
        pid = os.fork()
        if not pid:
            sink = PipeSink(writer)
            for number in range(lines):
                sink.write(b"%d:%d:" % (worker, number) + b"z" * (number * 31 % 1500) + b"\n")
            sink.finish(20)
            os._exit(1 if sink.dropped else 0)
        children.append(pid)
    os.set_blocking(reader, True)
    data, tick = b"", threading.Event()
    while data.count(b"\n") < lines * workers:
        data += os.read(reader, 3000)
        tick.wait(0.0005)
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * workers
    expected = {b"%d:%d:" % (w, n) + b"z" * (n * 31 % 1500) for w in range(workers) for n in range(lines)}
    assert set(data.splitlines()) == expected


def test_a_reader_that_is_gone_costs_lines_but_no_error():
    reader, writer = os.pipe()
    sink = PipeSink(writer)
    os.close(reader)
    sink.write(b"one\ntwo\n")
    assert sink.dropped == 2
    sink.close()
    os.close(writer)


def test_what_a_blocked_output_keeps_is_bounded(pipe, monkeypatch):
    monkeypatch.setattr(sinks, "PENDING_LIMIT", 1000)
    reader, writer = pipe
    sink = PipeSink(writer)
    fill(sink)
    for _ in range(100):
        sink.write(b"x" * 99 + b"\n")
    assert sink._pending_size <= 1000
    assert 85 <= sink.dropped <= 100
    drain(reader)
    sink.write(b"after\n")
    assert drain(reader).endswith(b"after\n")
    sink.close()


def test_the_end_waits_a_bounded_time_for_a_blocked_output(pipe):
    reader, writer = pipe
    sink = PipeSink(writer)
    fill(sink)
    sink.finish(0.05)
    assert sink._pending
    drained = []
    thread = threading.Thread(target=lambda: drained.append(os.read(reader, 1 << 20)))
    thread.start()
    sink.finish(20)
    thread.join()
    assert not sink._pending
    sink.close()


def test_the_end_does_not_wait_longer_for_an_output_that_takes_a_little_again_and_again(pipe):
    class Slow(PipeSink):
        def flush(self) -> bool:
            return False

    Slow(pipe[1]).finish(0.1)


@pytest.mark.parametrize("come", ["reopen", "flush"])
def test_a_signal_s_handler_that_comes_while_a_file_is_written_breaks_nothing(tmp_path, come):
    class Interrupted(FileSink):
        def _write(self, data):
            written = super()._write(data)
            handler, self.handler = self.handler, lambda: None
            handler()
            return written

    path = tmp_path / "log"
    sink = Interrupted(str(path))

    def handler():
        os.rename(path, tmp_path / "old")
        getattr(sink, come)()
        sink.write(b"handler\n")

    sink.handler = handler
    sink.write(b"before\n")
    new = path.read_bytes() if come == "reopen" else b""
    assert (tmp_path / "old").read_bytes() + new == b"before\nhandler\n"
    assert not sink.pending
    sink.close()


def test_the_end_waits_for_an_output_where_a_green_library_took_poll_away(pipe, monkeypatch):
    sink = PipeSink(pipe[1])
    fill(sink)
    monkeypatch.delattr("select.poll")
    sink.finish(0.01)
    assert sink.pending
    sink.close()


def test_what_a_handler_says_that_ends_the_process_in_the_middle_of_a_write_is_written(pipe):
    reader, writer = pipe

    class Interrupted(PipeSink):
        interrupted = False

        def _write(self, data) -> int:
            written = super()._write(data)
            if not self.interrupted:
                self.interrupted = True
                self.write(b"from the handler\n")
                self.finish(1.0)
                raise SystemExit
            return written

    with pytest.raises(SystemExit):
        Interrupted(writer).write(b"first\n")
    assert b"from the handler\n" in os.read(reader, 100)


def test_a_socket_is_written_without_waiting():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sink = standard_sink(ours.fileno())
        assert isinstance(sink, SocketSink)
        fill(sink)
        assert ours.getblocking()
        sink.close()


def test_a_file_gets_whole_batches_and_is_shared_by_appending(tmp_path):
    path = tmp_path / "log"
    one, two = FileSink(str(path)), FileSink(str(path))
    one.write(b"1\n" * 3)
    two.write(b"2\n")
    one.write(b"1\n")
    assert path.read_bytes() == b"1\n1\n1\n2\n1\n"
    one.close()
    two.close()


def test_a_full_disk_costs_lines_but_no_error():
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    sink = FileSink("/dev/full")
    sink.write(b"1\n2\n")
    assert sink.dropped == 2
    sink.close()


def test_a_line_stream_passes_only_whole_lines(tmp_path):
    path = tmp_path / "log"
    stream = LineStream(FileSink(str(path)))
    assert stream.write("ha") == 2
    assert path.read_text() == ""
    stream.write("lf\nmore \udc80")
    assert path.read_text() == "half\n"
    stream.write("\n")
    assert path.read_text() == "half\nmore \\udc80\n"
    assert not stream.isatty()
    stream.sink.close()


def test_a_closed_standard_output_is_no_reason_to_fail():
    reader, writer = os.pipe()
    os.close(reader)
    os.close(writer)
    sink = standard_sink(writer)
    sink.write(b"lost\n")
    sink.close()
