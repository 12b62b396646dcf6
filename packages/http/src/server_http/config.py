"""What the connections of one listener share.

Owns: ``HttpConfig``. ``Grammar`` is here for those who fill it in.
Must not know: which settings the values come from; ``server_core.drive.config`` fills it in.
"""

from __future__ import annotations

from typing import Any, Dict, Tuple

from server_http.defaults import ResponseDefaults
from server_http.h1.rules import Grammar, RequestRules
from server_http.headers import LOOPBACK, AddressSet, HeaderPolicy
from server_http.limits import Limits
from server_http.record import Record, derived, fresh


class HttpConfig(Record):
    """Everything an engine needs beside its connection.

    Args:
        limits: sizes, counts and durations.
        policy: what becomes of header fields, and whom to trust.
        defaults: the ``Server`` and ``Date`` fields of every response.
        grammar: relaxations of the HTTP/1.1 grammar.
        protocols: ``"h1"`` and ``"h2"`` in the order of preference.
        http2_cleartext: ``"off"``, ``"prior-knowledge"``, ``"upgrade"`` or ``"both"``.
        connect_protocols: of an extended CONNECT (RFC 8441), those that the driver serves.
        proxy_mode: ``"off"``, or the PROXY headers that are read (``server_http.proxy``).
        proxy_allow_ips: peers that may send one.
        uwsgi_allow_ips: peers that may speak uwsgi.
    """

    limits: Limits = Limits()
    policy: HeaderPolicy = HeaderPolicy()
    defaults: ResponseDefaults = fresh(factory=ResponseDefaults)
    grammar: Grammar = Grammar()
    protocols: Tuple[str, ...] = ("h1",)
    http2_cleartext: str = "off"
    connect_protocols: Tuple[bytes, ...] = ()
    proxy_mode: str = "off"
    proxy_allow_ips: AddressSet = AddressSet(LOOPBACK)
    uwsgi_allow_ips: AddressSet = AddressSet(LOOPBACK)
    rules: RequestRules = derived(init=False)

    def _settle(self, values: Dict[str, Any]) -> None:
        values["rules"] = RequestRules(self.limits, self.grammar, self.policy, self.defaults, self.uwsgi_allow_ips)
