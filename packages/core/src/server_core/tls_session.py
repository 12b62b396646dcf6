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
        has_output: TLS has something to say itself since octets were received.
    """

    __slots__ = (
        "_closed",
        "_incoming",
        "_info",
        "_outgoing",
        "_started",
        "_take",
        "_tls",
        "_wrapped",
        "_write",
        "established",
        "has_output",
        "input_ended",
    )

    def __init__(self, tls: ServerTLS) -> None:
        self._tls = tls
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._wrapped = tls.wrap(self._incoming, self._outgoing)
        native: Any = getattr(self._wrapped, "_sslobj", self._wrapped)  # to which the other passes on, in Python
        self._take = native.read
        self._write = native.write
        self._info: Optional[TLSInfo] = None
        self._closed = False
        self._started = False
        self.established = False
        self.has_output = False
        self.input_ended = False

    def receive(self, data: bytes) -> bytes:
        """Take ciphertext; returns the plaintext in it.

        Raises:
            PlainHTTP: the connection does not begin with TLS but with a letter.
            TLSError: the handshake or a record failed; ``encrypt`` may have an alert for the peer.
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
        finally:
            self.has_output = self._outgoing.pending > 0

    def encrypt(self, plaintext: Any = b"", last: bool = False) -> bytes:
        """Return octets for the peer: what TLS has to say itself, and ``plaintext`` encrypted.

        Args:
            plaintext: octets, or none.
            last: nothing follows: close_notify comes behind them, once.

        Raises:
            TLSError: OpenSSL does not encrypt any more.
        """
        if len(plaintext):
            try:
                self._write(plaintext)
            except ssl.SSLError as error:
                raise TLSError(f"TLS: expected to encrypt, got {error.reason or error}") from None
        if last and self.established and not self._closed:
            self._close()
        return self._outgoing.read()

    def _close(self) -> None:
        """Say close_notify (RFC 8446 section 6.1)."""
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
        incoming = self._incoming
        pieces = []
        try:
            while True:
                # No more plaintext than ciphertext, but for a record whose first part OpenSSL has taken already.
                size = min(incoming.pending, READ_SIZE) or READ_SIZE
                piece = self._take(size)
                if not piece:
                    self.input_ended = True
                    break
                pieces.append(piece)
                if (len(piece) < size or size == READ_SIZE) and not incoming.pending:
                    break  # the record is read to its end; saves the exception that another read would raise
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
