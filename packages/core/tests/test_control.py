"""What is said on the control socket, by both sides."""

from __future__ import annotations

import json
import socket
import struct
import threading

import pytest

from server_core.control.client import ControlClient
from server_core.control.protocol import MAX_REQUEST, ControlError, MessageReader, answer, request


@pytest.mark.parametrize("value", ["[" * 900 + "]" * 900, '{"a": 1}'], ids=["list", "object"])
def test_an_id_that_may_be_nested_is_refused_because_it_would_go_back(value):
    body = b'{"command": "help", "id": %s}' % value.encode()
    reader = MessageReader(MAX_REQUEST)
    reader.feed(struct.pack(">I", len(body)) + body)
    with pytest.raises(ControlError, match="id: expected a number or a string"):
        reader.next()


def test_the_late_answer_to_a_call_that_was_given_up_is_not_taken_for_the_next(tmp_path):
    path = str(tmp_path / "control")
    given_up = threading.Event()

    def serve(listener):
        with listener.accept()[0] as peer:
            reader, messages = MessageReader(MAX_REQUEST), []
            while len(messages) < 2:
                reader.feed(peer.recv(65536))
                messages += filter(None, [reader.next()])
            assert given_up.is_set()
            for message in messages:
                peer.sendall(answer(message, f"to {message['command']}"))

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        server = threading.Thread(target=serve, args=(listener,))
        server.start()
        with ControlClient(path, timeout=0.05) as client:
            with pytest.raises(ControlError, match="no answer"):
                client.call("one")
            given_up.set()
            client._socket.settimeout(20)
            assert client.call("two") == "to two"
        server.join()


def test_a_request_is_json_behind_its_length():
    data = request("help", [], 1)
    assert struct.unpack(">I", data[:4]) == (len(data) - 4,)
    assert json.loads(data[4:])["command"] == "help"
