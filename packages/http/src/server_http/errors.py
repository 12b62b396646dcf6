"""What can go wrong on the wire, each error with its meaning in every protocol.

Owns: the exception classes of the protocol layer and their wire meaning, the error codes of HTTP/2.
Must not know: sockets, engines, logging; whoever catches an error reads the class attributes.

Error texts read ``<thing>: expected <x>, got <repr> (from <where>)``.
"""

from __future__ import annotations

# -- codes of HTTP/2, for RST_STREAM and GOAWAY (RFC 9113 section 7) ---------------------------------------------------

H2_NO_ERROR = 0x0
H2_PROTOCOL_ERROR = 0x1
H2_INTERNAL_ERROR = 0x2  # also of an application that failed after its head
H2_FRAME_SIZE_ERROR = 0x6
H2_CANCEL = 0x8
H2_ENHANCE_YOUR_CALM = 0xB


class ProtocolError(Exception):
    """A peer broke a rule of its protocol.

    Class attributes carry the answer, so that no layer maps exceptions again:

    * ``status``: the HTTP status of the answer when no response head has been sent.
    * ``h2_code``: the HTTP/2 error code for RST_STREAM or GOAWAY.
    * ``ws_code``: the WebSocket close code (RFC 6455 section 7.4.1).
    * ``closes``: whether the connection, and not just the stream, ends with it.
    * ``log_level``: the name of the level at which the driver logs it.
    """

    status = 400
    h2_code = H2_PROTOCOL_ERROR
    ws_code = 1002
    closes = True
    log_level = "warning"


class BadRequest(ProtocolError):
    """The head or the framing of a request is malformed (RFC 9112)."""


class Forbidden(ProtocolError):
    """The peer may not do this, for example speak PROXY protocol from an address not allowed."""

    status = 403


class RequestTimeout(ProtocolError):
    """The head or the body did not arrive in time (RFC 9110 section 15.5.9)."""

    status = 408
    h2_code = H2_CANCEL
    log_level = "info"


class ContentTooLarge(ProtocolError):
    """The body exceeds ``limit_request_body`` or the spool (RFC 9110 section 15.5.14)."""

    status = 413
    h2_code = H2_CANCEL
    ws_code = 1009


class UriTooLong(ProtocolError):
    """The request line exceeds ``limit_request_line`` (RFC 9110 section 15.5.15)."""

    status = 414


class ExpectationFailed(ProtocolError):
    """An ``Expect`` other than ``100-continue`` (RFC 9110 section 10.1.1)."""

    status = 417


class UpgradeRequired(ProtocolError):
    """A handshake asks for a protocol version that is not spoken (RFC 9110 section 15.5.22)."""

    status = 426
    closes = False


class HeaderFieldsTooLarge(ProtocolError):
    """Too many or too large header fields (RFC 6585 section 5)."""

    status = 431
    h2_code = H2_ENHANCE_YOUR_CALM


class ConfigurationProblem(ProtocolError):
    """A trusted proxy and this server are set up against each other, for example a ``SCRIPT_NAME``
    that is no prefix of the path. The client is not to blame."""

    status = 500
    h2_code = H2_INTERNAL_ERROR
    ws_code = 1011
    closes = False
    log_level = "error"


class NotImplementedByServer(ProtocolError):
    """A transfer coding or method that is not implemented (RFC 9110 section 15.6.2)."""

    status = 501


class VersionNotSupported(ProtocolError):
    """An HTTP major version that is not spoken (RFC 9110 section 15.6.6)."""

    status = 505


class TooMuchAbuse(ProtocolError):
    """A flood guard tripped: resets, pings, settings, empty frames (RFC 9113 section 10.5)."""

    status = 429
    h2_code = H2_ENHANCE_YOUR_CALM
    ws_code = 1008


class ApplicationFault(Exception):
    """The application broke WSGI, ASGI or HTTP; the peer is not to blame.

    Before the response head this becomes a constant page of status 500, after it the stream is
    cut. The text goes to the log and never to the peer.
    """

    status = 500
    h2_code = H2_INTERNAL_ERROR
    ws_code = 1011
    closes = True
    log_level = "error"


class StateError(RuntimeError):
    """A driver called an engine out of order: a defect of the server itself."""
