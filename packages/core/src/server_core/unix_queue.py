"""How many connections wait at a listening unix socket.

Owns: the one question to the kernel (Linux: ``sock_diag``, see sock_diag(7)).
Must not know: who listens, and for what.
"""

from __future__ import annotations

import os
import socket
import struct
import sys

_PROTOCOL = 4  # NETLINK_SOCK_DIAG
_BY_FAMILY = 20  # SOCK_DIAG_BY_FAMILY
_REQUEST = 1  # NLM_F_REQUEST
_SHOW_QUEUE = 0x10  # UDIAG_SHOW_RQLEN
_QUEUE = 4  # UNIX_DIAG_RQLEN
_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_QUESTION = struct.Struct("=BBHIIIII")  # family, protocol, padding, states, inode, show, cookie (two)
_ATTRIBUTES_AT = _HEADER.size + 16  # after the fixed part of the answer
_ATTRIBUTE = struct.Struct("=HH")  # length, type
_ANY = 0xFFFFFFFF
_ANSWER = 4096  # octets


def waiting(sock: socket.socket) -> int:
    """Return how many connections wait to be accepted by ``sock``; 0 where the system does not tell."""
    if not sys.platform.startswith("linux"):
        return 0
    inode = os.fstat(sock.fileno()).st_ino & _ANY
    question = _QUESTION.pack(socket.AF_UNIX, 0, 0, _ANY, inode, _SHOW_QUEUE, _ANY, _ANY)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, _PROTOCOL) as kernel:
            kernel.send(_HEADER.pack(_HEADER.size + len(question), _BY_FAMILY, _REQUEST, 1, 0) + question)
            return _queue_length(kernel.recv(_ANSWER, socket.MSG_DONTWAIT))
    except OSError:  # a kernel without it, or a container that forbids it
        return 0


def _queue_length(answer: bytes) -> int:
    at = _ATTRIBUTES_AT
    if _HEADER.unpack_from(answer)[1] != _BY_FAMILY:
        return 0
    while at + _ATTRIBUTE.size <= len(answer):
        length, kind = _ATTRIBUTE.unpack_from(answer, at)
        if kind == _QUEUE:
            return int(struct.unpack_from("=I", answer, at + _ATTRIBUTE.size)[0])
        at += max(_ATTRIBUTE.size, -(-length // 4) * 4)
    return 0
