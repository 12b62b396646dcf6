"""The rules of a request by the settings of one listener: relaxations of the grammar, limits, trust, side by side.

Owns: ``Grammar``, and ``RequestRules``, in which an engine finds each of them without a look-up.
Must not know: how a rule is applied, but for that about declared lengths, which is the same for all.
"""

from __future__ import annotations

from server_http.defaults import ResponseDefaults
from server_http.errors import ContentTooLarge
from server_http.headers import AddressSet, HeaderPolicy
from server_http.limits import Limits
from server_http.record import Record


class Grammar(Record):
    """Relaxations of the grammar of requests, all off: each is a setting an operator must choose. Those about methods
    hold for every protocol, the others for HTTP/1."""

    permit_obsolete_folding: bool = False
    strip_header_spaces: bool = False
    permit_unconventional_http_method: bool = False
    permit_unconventional_http_version: bool = False
    casefold_http_method: bool = False


class RequestRules:
    """What the settings of a listener say of requests; made once for it, and never changed.

    Attributes:
        limits, defaults: those of the listener.
        policy: its header policy (``HeaderPolicy.applied``).
        trusted_peers: as in ``HeaderPolicy``.
        uwsgi_peers: who may speak uwsgi.
        request_line, header_field, header_count, leading_empty_lines, head, body, uwsgi_vars: as in ``Limits``.
        receive_high_water, send_high_water, send_low_water, unread_body_drain: as in ``Limits``.
        head_timeout, body_timeout, send_timeout, keepalive, first_request, drain_idle: as in ``Limits``.
        persistent: whether a connection may carry more than one request.
        relaxed: whether field lines are made good before they are read.
        grammar: the relaxations, for what is rarely asked.
    """

    __slots__ = (
        "body", "body_timeout", "defaults", "drain_idle", "first_request", "grammar", "head", "head_timeout",
        "header_count", "header_field", "keepalive", "leading_empty_lines", "limits", "persistent", "policy",
        "receive_high_water", "relaxed", "request_line", "send_high_water", "send_low_water", "send_timeout",
        "trusted_peers", "unread_body_drain", "uwsgi_peers", "uwsgi_vars",
    )  # fmt: skip

    def __init__(
        self,
        limits: Limits,
        grammar: Grammar,
        policy: HeaderPolicy,
        defaults: ResponseDefaults,
        uwsgi_peers: AddressSet,
    ) -> None:
        self.limits = limits
        self.policy = policy.applied
        self.defaults = defaults
        self.trusted_peers = policy.trusted_peers
        self.uwsgi_peers = uwsgi_peers
        self.request_line = limits.request_line
        self.header_field = limits.header_field
        self.header_count = limits.header_count
        self.leading_empty_lines = limits.leading_empty_lines
        self.head = limits.head
        self.body = limits.body
        self.uwsgi_vars = limits.uwsgi_vars
        self.receive_high_water = limits.receive_high_water
        self.send_high_water = limits.send_high_water
        self.send_low_water = limits.send_low_water
        self.unread_body_drain = limits.unread_body_drain
        self.head_timeout = limits.head_timeout
        self.body_timeout = limits.body_timeout
        self.send_timeout = limits.send_timeout
        self.keepalive = limits.keepalive
        self.first_request = limits.first_request
        self.drain_idle = limits.drain_idle
        self.persistent = limits.keepalive > 0
        self.relaxed = grammar.permit_obsolete_folding or grammar.strip_header_spaces
        self.grammar = grammar

    def check_length(self, length: int) -> None:
        """Refuse a body that is announced with more octets than ``limit_request_body``.

        Raises:
            ContentTooLarge: it is.
        """
        if 0 < self.body < length:
            raise ContentTooLarge(f"body: expected at most {self.body} octets, got {length}")
