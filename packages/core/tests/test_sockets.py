"""Listening sockets: forms of addresses, opening, and letting go without losing anybody."""

from __future__ import annotations

import os
import socket
import stat
import sys
from pathlib import Path
from typing import Iterator

import pytest

from server_core.errors import BindError, ConfigError
from server_core.sockets import Address, Listener, SocketOptions, adopt, open_listener, parse_address

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux only")


@pytest.mark.parametrize(
    ("text", "address", "shown"),
    [
        ("127.0.0.1", Address("tcp", "127.0.0.1", 8000), "127.0.0.1:8000"),
        ("Example.COM:80", Address("tcp", "example.com", 80), "example.com:80"),
        (":9000", Address("tcp", "0.0.0.0", 9000), "0.0.0.0:9000"),
        ("", Address("tcp", "0.0.0.0", 8000), "0.0.0.0:8000"),
        ("[::1]:5", Address("tcp", "::1", 5), "[::1]:5"),
        ("[::]", Address("tcp", "::", 8000), "[::]:8000"),
        ("tcp://1.2.3.4:5", Address("tcp", "1.2.3.4", 5), "1.2.3.4:5"),
        ("unix:/run/a.sock", Address("unix", path="/run/a.sock"), "unix:/run/a.sock"),
        ("unix:///run/a.sock", Address("unix", path="/run/a.sock"), "unix:/run/a.sock"),
        ("unix:rel.sock", Address("unix", path="rel.sock"), "unix:rel.sock"),
        ("unix:@name", Address("unix", path="\0name"), "unix:@name"),
        ("unix:\0name", Address("unix", path="\0name"), "unix:@name"),
        ("fd://3", Address("fd", fd=3), "fd://3"),
        ("systemd:web", Address("systemd", name="web"), "systemd:web"),
    ],
)
def test_every_form_of_bind_is_understood(text: str, address: Address, shown: str) -> None:
    assert parse_address(text) == address
    assert str(address) == shown


@pytest.mark.parametrize(
    "text", ["host:port", "::1:8000", "[::1", "1.2.3.4:70000", "unix:", "unix://", "fd://x", "a:1:2"]
)
def test_what_is_no_address_is_refused_with_its_text(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_address(text)
    assert repr(text) in str(caught.value)


@pytest.fixture
def tcp() -> Iterator[Listener]:
    listener = open_listener(parse_address("127.0.0.1:0"), SocketOptions())
    yield listener
    listener.close()


def connect(listener: Listener) -> socket.socket:
    client = socket.socket(listener.family)
    client.connect(listener.getsockname())
    return client


def test_a_listener_names_itself_and_is_ready_for_accept(tcp: Listener) -> None:
    assert str(tcp) == f"http://127.0.0.1:{tcp.getsockname()[1]}"
    assert not tcp.getblocking()
    assert not os.get_inheritable(tcp.fileno())
    with pytest.raises(BlockingIOError):
        tcp.accept()


@pytest.mark.parametrize(
    ("bind", "hint"),
    [
        ("203", r"203:8000: cannot listen: .* \(a number alone is a host; a port is written ':203'\)"),
        ("unix:/no/such/place.sock", r"No such file or directory \(the directory /no/such has to be there\)"),
    ],
)
def test_a_frequent_mistake_is_told(bind: str, hint: str) -> None:
    with pytest.raises(BindError, match=hint):
        open_listener(parse_address(bind), SocketOptions(), attempts=1)


def test_an_address_in_use_is_tried_again_and_then_named() -> None:
    first = open_listener(parse_address("127.0.0.1:0"), SocketOptions())
    told: list[str] = []
    try:
        address = Address("tcp", "127.0.0.1", first.getsockname()[1])
        with pytest.raises(BindError, match=f"{address}: cannot listen: Address already in use"):
            open_listener(address, SocketOptions(), attempts=2, on_retry=told.append)
    finally:
        first.close()
    assert len(told) == 1


def test_a_host_that_does_not_resolve_is_named() -> None:
    with pytest.raises(BindError, match=r"no\.such\.host\.invalid:80"):
        open_listener(parse_address("no.such.host.invalid:80"), SocketOptions())


def test_several_sockets_share_a_port_with_reuse_port() -> None:
    options = SocketOptions(reuse_port=True)
    first = open_listener(parse_address("127.0.0.1:0"), options)
    second = open_listener(Address("tcp", "127.0.0.1", first.getsockname()[1]), options)
    assert first.getsockname() == second.getsockname()
    first.close()
    second.close()


@linux
def test_refuse_new_admits_nobody_and_keeps_who_waits(tcp: Listener) -> None:
    waiting = [connect(tcp) for _ in range(3)]
    assert tcp.queued() == 3
    tcp.refuse_new()
    late = socket.socket()
    late.settimeout(0.2)
    with pytest.raises(OSError, match="timed out"):
        late.connect(tcp.getsockname())
    accepted = [tcp.accept()[0] for _ in range(3)]
    assert tcp.queued() == 0
    for sock in [*waiting, *accepted, late]:
        sock.close()


@linux
def test_shut_ends_listening_in_every_process_that_shares_the_socket(tcp: Listener) -> None:
    copy = socket.socket(fileno=os.dup(tcp.fileno()))
    address = tcp.getsockname()
    tcp.shut()
    with pytest.raises(OSError, match="Invalid argument"):
        copy.accept()
    with pytest.raises(ConnectionRefusedError), socket.socket() as client:
        client.connect(address)
    copy.close()


@linux
@pytest.mark.parametrize("abstract", [False, True])
def test_a_unix_socket_refuses_new_peers_and_keeps_who_waits(tmp_path: Path, abstract: bool) -> None:
    path = f"@server-test-{os.getpid()}" if abstract else str(tmp_path / "s")
    listener = open_listener(parse_address(f"unix:{path}"), SocketOptions())
    waiting = connect(listener)
    name = listener.getsockname()
    listener.refuse_new()
    with pytest.raises(OSError), socket.socket(socket.AF_UNIX) as client:  # noqa: PT011 - which one depends on the file
        client.connect(name)
    listener.accept()[0].close()
    waiting.close()
    listener.close()


def test_a_unix_socket_is_made_with_mode_and_removed_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "s"
    listener = open_listener(parse_address(f"unix:{path}"), SocketOptions(umask=0o077))
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    listener.unlink()
    listener.close()
    assert not path.exists()
    listener = open_listener(parse_address(f"unix:{path}"), SocketOptions(mode=0o660))
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    listener.keep_file()
    listener.unlink()
    assert path.exists(), "it belongs to a successor"
    listener.close()


def test_a_unix_socket_file_that_cannot_be_removed_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listener = open_listener(parse_address(f"unix:{tmp_path / 'a.sock'}"), SocketOptions())

    def unlink(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "unlink", unlink)
    listener.unlink()
    assert not listener.unlinks
    listener.close()


def test_a_unix_socket_that_cannot_be_given_away_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def chown(path: str, uid: int, gid: int, follow_symlinks: bool = True) -> None:
        assert not follow_symlinks
        raise PermissionError(1, "Operation not permitted", path)

    monkeypatch.setattr(os, "chown", chown)
    path = tmp_path / "a.sock"
    with pytest.raises(BindError, match="Operation not permitted"):
        open_listener(parse_address(f"unix:{path}"), SocketOptions(owner=(1, 1)))
    assert not path.exists()


def test_a_stale_unix_socket_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s"
    open_listener(parse_address(f"unix:{path}"), SocketOptions()).close()
    assert path.exists()
    open_listener(parse_address(f"unix:{path}"), SocketOptions(), attempts=1).close()


def test_a_unix_socket_somebody_listens_on_is_not_taken(tmp_path: Path) -> None:
    address = parse_address(f"unix:{tmp_path / 's'}")
    listener = open_listener(address, SocketOptions())
    with pytest.raises(BindError, match="already in use"):
        open_listener(address, SocketOptions(), attempts=1)
    listener.close()


def test_a_socket_that_another_kind_of_server_serves_is_not_removed(tmp_path: Path) -> None:
    path = str(tmp_path / "log")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as served:
        served.bind(path)
        with pytest.raises(BindError, match="expected a stream socket that nobody serves"):
            open_listener(Address("unix", path=path), SocketOptions())
        assert os.path.exists(path)


def test_a_file_that_is_no_socket_is_not_removed(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("precious")
    with pytest.raises(BindError, match="another kind of file"):
        open_listener(parse_address(f"unix:{tmp_path / 's'}"), SocketOptions())
    assert (tmp_path / "s").read_text() == "precious"


def test_a_socket_file_that_somebody_else_made_meanwhile_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "s"
    ours = open_listener(parse_address(f"unix:{path}"), SocketOptions())
    path.unlink()
    theirs = open_listener(parse_address(f"unix:{path}"), SocketOptions())
    ours.unlink()
    assert path.exists()
    ours.close()
    theirs.close()


def test_a_descriptor_is_adopted_only_when_it_listens(tcp: Listener) -> None:
    fd = os.dup(tcp.fileno())
    adopted = open_listener(Address("fd", fd=fd), SocketOptions())
    assert adopted.getsockname() == tcp.getsockname()
    adopted.close()
    plain = socket.socket()
    with pytest.raises(BindError, match="does not listen"):
        adopt(plain.fileno(), Address("fd", fd=plain.fileno()))
    plain.close()
    with pytest.raises(BindError, match="fd://9999"):
        adopt(9999, Address("fd", fd=9999))
