"""What the connections of one listener share.

Owns: ``HttpConfig``. ``Grammar`` is here for those who fill it in.
Must not know: which settings the values come from; ``server_core.drive.config`` fills it in.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Tuple

from server_http.exchange import ResponseDefaults
from server_http.h1.rules import Grammar, RequestRules
from server_http.headers import LOOPBACK, AddressSet, HeaderPolicy
from server_http.limits import Limits


@dataclass(frozen=True)
class HttpConfig:
    """Everything an engine needs beside its connection.

    Args:
        limits: sizes, counts and durations.
        policy: what becomes of header fields, and whom to trust.
        defaults: the ``Server`` and ``Date`` fields of every response.
        grammar: relaxations of the HTTP/1.1 grammar.
        protocols: ``"h1"`` and ``"h2"`` in the order of preference.
        http2_cleartext: ``"off"``, ``"prior-knowledge"``, ``"upgrade"`` or ``"both"``.
        proxy_mode: ``"off"``, or the PROXY headers that are read (``server_http.proxy``).
        proxy_allow_ips: peers that may send one.
        uwsgi_allow_ips: peers that may speak uwsgi.
    """

    limits: Limits = field(default_factory=Limits)
    policy: HeaderPolicy = field(default_factory=HeaderPolicy)
    defaults: ResponseDefaults = field(default_factory=ResponseDefaults)
    grammar: Grammar = field(default_factory=Grammar)
    protocols: Tuple[str, ...] = ("h1",)
    http2_cleartext: str = "off"
    proxy_mode: str = "off"
    proxy_allow_ips: AddressSet = field(default_factory=lambda: AddressSet(LOOPBACK))
    uwsgi_allow_ips: AddressSet = field(default_factory=lambda: AddressSet(LOOPBACK))
    rules: RequestRules = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "rules", RequestRules(self.limits, self.grammar))
