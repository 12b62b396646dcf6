"""Records for syslog servers that go and come back."""

from __future__ import annotations

import logging
import socket

import pytest

from server_core.log.syslogging import SyslogHandler


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)
        yield listener


def send(handler, text):
    handler.handle(logging.makeLogRecord({"msg": text}))


def test_a_server_by_tcp_that_was_away_is_connected_to_again(listener, monkeypatch, capsys):
    handler = SyslogHandler((socket.SOCK_STREAM, listener.getsockname()), 1, "test")
    listener.accept()[0].close()
    while not capsys.readouterr().err:  # the first may still go into the closed connection
        send(handler, "lost")
    address, tries = handler.address, []
    monkeypatch.setattr(handler, "address", ("127.0.0.1", 0))  # nobody is there
    connect = socket.create_connection
    monkeypatch.setattr(socket, "create_connection", lambda *args: tries.append(args) or connect(*args))
    send(handler, "lost")
    send(handler, "lost")
    assert len(tries) == 1  # nobody waits for a server that is away at each record
    handler.address, handler._again = address, 0.0
    send(handler, "arrives")
    peer, _ = listener.accept()
    with peer:
        peer.settimeout(20)
        assert b"arrives" in peer.recv(4096)
    handler.close()
    assert not capsys.readouterr().err


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_a_server_by_unix_socket_that_is_away_is_complained_of_once(kind, tmp_path, capsys):
    path = str(tmp_path / "log")
    handler = SyslogHandler((kind, path), 1, "test")
    for _ in range(3):
        send(handler, "lost")
    assert capsys.readouterr().err.count("Logging error") == 1
    with socket.socket(socket.AF_UNIX, kind) as server:
        server.bind(path)
        if kind == socket.SOCK_STREAM:
            server.listen()
        send(handler, "arrives")
        handler.close()
        peer = server.accept()[0] if kind == socket.SOCK_STREAM else server
        assert b"arrives" in peer.recv(4096)
        peer.close()
    assert not capsys.readouterr().err
