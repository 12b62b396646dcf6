"""Every bound of the protocol layer, in one place.

Owns: sizes (octets), counts and durations (seconds) that engines enforce.
Must not know: which setting a bound comes from; ``server_core`` fills one ``Limits`` in.
"""

from __future__ import annotations

from typing import Any, Dict

from server_http.record import Record, derived

#: Octets of framing that each octet of content in a chunked body may cost: a chunk of one has five.
CHUNK_FRAMING = 16
#: Seconds for which the request of a new connection may be on its way, where ``keepalive`` says none.
DRAIN_IDLE = 2.0


class Limits(Record):
    """The bounds of one listener. Sizes are octets, durations are seconds; 0 means no bound
    where the field says so."""

    # HTTP/1.1 request head (RFC 9112 section 3, RFC 9110 section 5.4)
    request_line: int = 8000  # 0 = none
    header_count: int = 100
    header_field: int = 8190  # one field line, name and value; 0 = none
    head: int = 1024 * 1024  # the whole head, whatever the limits of its lines; 0 = none
    leading_empty_lines: int = 1

    # Bodies
    body: int = 0  # limit_request_body; 0 = none
    chunk_extension: int = 1024  # octets after the size on one chunk line
    chunk_overhead: int = 16 * 1024 * 1024  # framing octets of a chunked body, beside CHUNK_FRAMING for each of content
    trailer_count: int = 32
    trailer_octets: int = 8190
    unread_body_drain: int = 64 * 1024  # discarded after an answer before the connection is closed

    # Buffers
    receive_high_water: int = 64 * 1024  # body octets handed out and not yet consumed, HTTP/1
    send_high_water: int = 64 * 1024  # unsent octets above which the application waits
    send_low_water: int = 16 * 1024  # unsent octets at which ``Writable`` is reported

    # Deadlines
    head_timeout: float = 30.0  # first octet of a request to its complete head; 0 = none
    body_timeout: float = 30.0  # without progress of a body that is wanted; 0 = none
    send_timeout: float = 30.0  # without progress of output that is wanted; 0 = none
    keepalive: float = 2.0  # idle between requests; 0 closes after each answer
    first_request: float = 30.0  # a new connection that sends nothing; 0 = none

    # HTTP/2 (RFC 9113)
    h2_max_streams: int = 100
    h2_initial_window: int = 65535
    h2_max_frame: int = 16384
    h2_header_list: int = 65536  # 0 = none
    h2_resets: int = 200  # per flood_interval
    h2_control_frames: int = 1000  # PING, SETTINGS, empty DATA and their like, per flood_interval
    h2_continuations: int = 16  # CONTINUATION frames of one header block
    h2_settings: int = 32  # entries of one SETTINGS frame
    flood_interval: float = 10.0

    # WebSocket (RFC 6455)
    ws_message: int = 16 * 1024 * 1024  # 0 = none
    ws_queue: int = 32  # messages received and not yet taken by the application
    ws_close_timeout: float = 5.0
    ws_ping_interval: float = 20.0  # 0 = none
    ws_ping_timeout: float = 20.0  # 0 = none

    # uwsgi and PROXY
    uwsgi_vars: int = 1000
    proxy_v1_line: int = 107  # the specification's bound, with CRLF
    proxy_v2_body: int = 4096  # addresses and TLVs
    proxy_timeout: float = 5.0

    # derived once from the fields above
    drain_idle: float = derived(init=False)  # a connection without a request, while the worker drains
    patience: float = derived(init=False)  # no deadline of an engine with a ``queue`` is nearer when it begins

    def _settle(self, values: Dict[str, Any]) -> None:
        drain_idle = self.keepalive or DRAIN_IDLE
        timeouts = (self.head_timeout, self.body_timeout, self.send_timeout, drain_idle, self.first_request)
        values.update(drain_idle=drain_idle, patience=min(seconds for seconds in timeouts if seconds))
