"""The h2 library as the engine uses it: one connection, one frame at a time.

Owns: how h2 is configured, which of its public parts are used, and what its exceptions mean here.
Must not know: requests, applications, priorities, timers.

What is asked of h2: the state machines of connection and streams, SETTINGS and their acknowledgement, PING answers,
window accounting, frame parsing and HPACK. What is not, and why:

* Validation of fields (``validate_inbound_headers``, ``validate_outbound_headers`` and both ``normalize_*``). h2 does
  it with one generator per rule, 25 to 40 us of the 90 to 100 us a request costs it. ``h2.fields`` checks the same
  rules and more in one pass, and a test holds it at least as strict.
* A malformed request is a *stream* error (RFC 9113 section 8.1.1), but h2 ends the connection, with all of its
  streams, for a wrong Content-Length. So h2 is shown no fields at all: ``FieldDecoder`` keeps them for the engine, and
  ``FieldEncoder`` adds those of a response behind h2's back, which saves four passes over them.
* SETTINGS_MAX_CONCURRENT_STREAMS is announced, but counted by the engine: h2 ends the connection where
  section 5.1.2 has REFUSED_STREAM, after which a client may safely try again.
* Content goes out beside h2: its ``send_data`` copies it three times. The engine writes the frame header, attaches
  the application's own octets and takes them off the windows (``outbound_flow_control_window`` of connection and
  stream, both public). Short last pieces go through ``send_data``, which also moves the stream's state.
"""

from __future__ import annotations

from typing import Any, Dict, List

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError as H2ProtocolError
from h2.exceptions import StreamClosedError
from h2.settings import SettingCodes, Settings
from hpack import HPACKError
from hyperframe.exceptions import HyperframeError
from hyperframe.frame import SettingsFrame

from server_http.errors import BadRequest, ProtocolError
from server_http.events import Headers
from server_http.h2.codec import FieldDecoder, FieldEncoder
from server_http.h2.frames import PREFACE
from server_http.limits import Limits

PROTOCOL_ERROR = 0x1
COMPRESSION_ERROR = 0x9  # h2 says PROTOCOL_ERROR where RFC 9113 section 4.3 has this
NO_RFC7540_PRIORITIES = 0x9  # RFC 9218 section 2.1
CONNECTION_WINDOW = 1024 * 1024
"""The connection's receive window, octets. It is credited on receipt, so it bounds no memory: streams x stream
window does. It only has to be larger than what is in flight."""

_BASE64URL = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_UNBOUNDED = 2**31 - 1


class FrameError(ProtocolError):
    """h2 found that the peer broke the protocol; the connection ends with h2's error code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.h2_code = code


class _Connection(H2Connection):
    """h2 remembers how this many closed streams ended, to answer late frames; its 65,536 would be 6 MB each."""

    MAX_CLOSED_STREAMS = 1024


class Session:
    """One h2 connection, server side.

    Args:
        limits: the ``h2_*`` sizes.
    """

    __slots__ = ("_connection", "_encoder", "_unreturned", "_window", "decoder", "streams")

    def __init__(self, limits: Limits) -> None:
        config = H2Configuration(
            client_side=False,
            header_encoding=False,
            validate_inbound_headers=False,
            normalize_inbound_headers=False,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        connection = _Connection(config)
        connection.local_settings = Settings(
            client=False, initial_values={SettingCodes.MAX_CONCURRENT_STREAMS: _UNBOUNDED}
        )
        self.decoder = FieldDecoder(limits.h2_header_list)
        connection.decoder = self.decoder
        self._encoder = FieldEncoder()
        connection.encoder = self._encoder  # type: ignore[assignment]
        self._connection = connection
        self.streams: Dict[int, Any] = connection.streams
        self._window = max(CONNECTION_WINDOW, limits.h2_initial_window)
        self._unreturned = 0  # octets received and not yet given back to the connection's window

    def open(self, limits: Limits, extended_connect: bool) -> bytes:
        """Announce the settings; returns the octets that begin the server's side (RFC 9113 section 3.4)."""
        connection = self._connection
        wanted = {
            SettingCodes.INITIAL_WINDOW_SIZE: limits.h2_initial_window,
            SettingCodes.MAX_FRAME_SIZE: limits.h2_max_frame,
        }
        if extended_connect:
            wanted[SettingCodes.ENABLE_CONNECT_PROTOCOL] = 1
        connection.receive_data(PREFACE)  # the engine's reader has seen it
        connection.local_settings.update(wanted)  # in force when the peer acknowledges
        announced: Dict[int, int] = {int(code): value for code, value in wanted.items()}
        announced[SettingCodes.MAX_CONCURRENT_STREAMS] = limits.h2_max_streams
        announced[NO_RFC7540_PRIORITIES] = 1
        if limits.h2_header_list:
            announced[SettingCodes.MAX_HEADER_LIST_SIZE] = limits.h2_header_list
        settings = SettingsFrame(0, settings=announced)
        initial = connection.inbound_flow_control_window
        if self._window > initial:
            connection.increment_flow_control_window(self._window - initial)
        return bytes(settings.serialize()) + connection.data_to_send()

    def upgrade(self, settings: bytes) -> None:
        """Take the HTTP/1 request as stream 1, half-closed (RFC 7540 section 3.2).

        Args:
            settings: the value of HTTP2-Settings, base64url.

        Raises:
            BadRequest: it cannot be read.
        """
        bare = settings.rstrip(b"=")  # RFC 7540 omits the padding, h2 wants it
        try:
            if not bare.translate(None, _BASE64URL):
                self._connection.initiate_upgrade_connection(bare + b"=" * (-len(bare) % 4))
                self._connection.clear_outbound_data_buffer()  # the engine has announced its settings itself
                return
        except (H2ProtocolError, HyperframeError, ValueError) as error:
            raise BadRequest(f"HTTP2-Settings: expected the payload of a SETTINGS frame, got {settings!r}") from error
        raise BadRequest(f"HTTP2-Settings: expected base64url, got {settings!r}")

    @property
    def highest(self) -> int:
        """The highest stream the peer has opened."""
        return int(self._connection.highest_inbound_stream_id)

    @property
    def window(self) -> int:
        """Octets of content the peer takes on the connection now."""
        return int(self._connection.outbound_flow_control_window)

    @property
    def max_frame(self) -> int:
        """Octets the payload of a frame to the peer may have."""
        return int(self._connection.max_outbound_frame_size)

    def receive(self, frame: bytes) -> List[Any]:
        """Give h2 one whole frame and return its events.

        Raises:
            FrameError: h2 ends the connection.
        """
        try:
            return self._connection.receive_data(frame)  # type: ignore[no-any-return, unused-ignore]
        except H2ProtocolError as error:
            self._connection.clear_outbound_data_buffer()  # its GOAWAY does not know of one sent before
            code = int(error.error_code)
            if code == PROTOCOL_ERROR and isinstance(error.__context__, HPACKError):
                code = COMPRESSION_ERROR
            raise FrameError(f"frame: {error}", code) from error

    def take(self) -> bytes:
        """Return what h2 wants written."""
        return self._connection.data_to_send()

    def headers(self, stream: int, fields: Headers, end: bool) -> None:
        """Send a header block: a response head, which begins with ``:status``, or trailers."""
        self._encoder.fields = fields
        self._connection.send_headers(stream, fields[:1], end_stream=end)

    def last_content(self, stream: int, content: bytes) -> None:
        """Send the last and short piece of content, with END_STREAM."""
        self._connection.send_data(stream, content, end_stream=True)

    def content_sent(self, stream: Any, n: int) -> None:
        """``n`` octets of content of h2's ``stream`` were framed beside h2: take them off both windows."""
        stream.outbound_flow_control_window -= n
        self._connection.outbound_flow_control_window -= n

    def reset(self, stream: int, code: int) -> None:
        """Send RST_STREAM unless h2 has forgotten the stream or knows it closed."""
        try:
            self._connection.reset_stream(stream, code)
        except StreamClosedError:
            return

    def ping(self, opaque: bytes) -> None:
        """Send PING; its answer comes as h2's PingAckReceived."""
        self._connection.ping(opaque)

    def return_connection_credit(self, n: int) -> None:
        """Give ``n`` octets back to the connection's window, in steps worth a frame."""
        self._unreturned += n
        if self._unreturned >= self._window >> 1:
            self._connection.increment_flow_control_window(self._unreturned)
            self._unreturned = 0

    def return_stream_credit(self, stream: int, n: int) -> None:
        """Give ``n`` octets back to a stream's window."""
        self._connection.increment_flow_control_window(n, stream)


def error_name(code: int) -> str:
    """Return the name of an HTTP/2 error code, for log lines (RFC 9113 section 7)."""
    try:
        return ErrorCodes(code).name
    except ValueError:
        return f"{code:#x}"
