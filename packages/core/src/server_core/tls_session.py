"""The TLS of one connection as a sans-I/O layer: ciphertext in, plaintext out, and the other way round.

Owns: a session's handshake and records, and the facts of it that applications may see.
Must not know: sockets, drivers, engines, how certificates are chosen (``server_core.tls``).
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any, Optional

from server_core.tls_errors import PlainHTTP, TLSError
from server_core.tls_facts import TLSInfo

if TYPE_CHECKING:
    from server_core.tls import ServerTLS

READ_SIZE = 16 * 1024
"""Octets asked of OpenSSL at once: the plaintext of one record (RFC 8446 section 5.1)."""

HANDSHAKE_RECORD = 0x16
"""The first octet of every TLS connection (RFC 8446 section 5.1)."""


class TLSSession:
    """The TLS of one connection.

    Attributes:
        established: the handshake is complete.
        input_ended: the peer said close_notify; nothing follows.
    """

    __slots__ = (
        "_closed",
        "_incoming",
        "_info",
        "_outgoing",
        "_started",
        "_tls",
        "_wrapped",
        "established",
        "input_ended",
    )

    def __init__(self, tls: ServerTLS) -> None:
        self._tls = tls
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._wrapped = tls.wrap(self._incoming, self._outgoing)
        self._info: Optional[TLSInfo] = None
        self._closed = False
        self._started = False
        self.established = False
        self.input_ended = False

    def receive(self, data: bytes) -> bytes:
        """Take ciphertext; returns the plaintext in it.

        Raises:
            PlainHTTP: the connection does not begin with TLS but with a letter.
            TLSError: the handshake or a record failed; ``take`` may have an alert for the peer.
        """
        try:
            if not self.established:
                self._check_start(data)
                self._incoming.write(data)
                self._wrapped.do_handshake()
                self.established = True
            else:
                self._incoming.write(data)
            return self._read()
        except ssl.SSLWantReadError:
            return b""
        except ssl.SSLError as error:
            raise TLSError(f"TLS: expected a valid {self._stage()}, got {error.reason or error}") from None

    def write(self, data: Any) -> None:
        """Encrypt octets; the ciphertext comes from ``take``. Raises TLSError."""
        try:
            self._wrapped.write(data)
        except ssl.SSLError as error:
            raise TLSError(f"TLS: expected to encrypt, got {error.reason or error}") from None

    def take(self) -> bytes:
        """Return the ciphertext that waits for the peer, ``b""`` for none."""
        return self._outgoing.read() if self._outgoing.pending else b""

    def close(self) -> None:
        """Say close_notify, once (RFC 8446 section 6.1)."""
        if self._closed or not self.established:
            return
        self._closed = True
        try:
            self._wrapped.unwrap()
        except ssl.SSLError:
            return  # wants the peer's close_notify, for which nobody waits; ours is written

    def _check_start(self, data: bytes) -> None:
        """Look at the first octet of the connection: clients that forget the s of https begin with a letter."""
        if self._started or not data:
            return
        self._started = True
        if data[0] != HANDSHAKE_RECORD:
            error = PlainHTTP if data[:1].isalpha() else TLSError
            raise error(f"TLS: expected a handshake, got {data[:16]!r}")

    def _stage(self) -> str:
        return "record" if self.established else "handshake"

    def _read(self) -> bytes:
        """Decrypt every record that is complete."""
        wrapped, incoming = self._wrapped, self._incoming
        pieces = []
        try:
            while True:
                piece = wrapped.read(READ_SIZE)
                if not piece:
                    self.input_ended = True
                    break
                pieces.append(piece)
                if not incoming.pending:
                    break  # a read takes a whole record; saves the exception that another would raise
        except ssl.SSLWantReadError:
            pass  # the rest of a record is on its way
        except ssl.SSLZeroReturnError:
            self.input_ended = True
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def info(self) -> TLSInfo:
        """Return the facts of the session; after the handshake."""
        if self._info is None:
            self._info = TLSInfo(
                self._wrapped,
                self._wrapped.server_name,
                self._tls.cipher_number,
                lambda: self._tls.certificate_text(self._wrapped),
            )
        return self._info
