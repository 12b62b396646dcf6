"""From settings to what the connections of a listener share.

Owns: which setting fills which field of ``HttpConfig``.
Must not know: what the fields mean to an engine.
"""

from __future__ import annotations

import os
import time
from functools import lru_cache
from typing import Any

from server_core.settings.groups.limits import FIELDS_MAX
from server_http.config import HttpConfig
from server_http.defaults import ResponseDefaults
from server_http.h1.rules import Grammar
from server_http.headers import AddressSet, HeaderPolicy
from server_http.limits import Limits

#: Settings of packages that may not be installed, with the value that holds then.
_WS_MESSAGE = 16 * 1024 * 1024


def http_config(cfg: Any) -> HttpConfig:
    """Return the shared part of a listener's connections, its ``Date`` already set.

    It is made once for the same settings, by a process that forks workers where there is one, so that they share it.
    """
    config = _http_config(cfg, os.environ.get("SCRIPT_NAME", ""))
    config.defaults.set_date(time.time())
    return config


@lru_cache(maxsize=2)  # the settings of a reload, and those before them
def _http_config(cfg: Any, script_name: str) -> HttpConfig:
    return HttpConfig(
        limits=_limits(cfg),
        policy=_policy(cfg, script_name),
        defaults=ResponseDefaults(b"server"),
        grammar=Grammar(
            permit_obsolete_folding=cfg.permit_obsolete_folding,
            strip_header_spaces=cfg.strip_header_spaces,
            permit_unconventional_http_method=cfg.permit_unconventional_http_method,
            permit_unconventional_http_version=cfg.permit_unconventional_http_version,
            casefold_http_method=cfg.casefold_http_method,
        ),
        protocols=tuple(cfg.http_protocols),
        http2_cleartext=cfg.http2_cleartext,
        proxy_mode=cfg.proxy_protocol,
        proxy_allow_ips=AddressSet(cfg.proxy_allow_ips, "proxy_allow_ips"),
        uwsgi_allow_ips=AddressSet(cfg.uwsgi_allow_ips, "uwsgi_allow_ips"),
    )


def _limits(cfg: Any) -> Limits:
    return Limits(
        request_line=cfg.limit_request_line,
        header_count=cfg.limit_request_fields or FIELDS_MAX,
        header_field=cfg.limit_request_field_size,
        body=cfg.limit_request_body,
        head_timeout=cfg.header_timeout,
        body_timeout=cfg.body_timeout,
        send_timeout=cfg.send_timeout,
        keepalive=cfg.keepalive,
        first_request=cfg.header_timeout,
        h2_max_streams=cfg.http2_max_concurrent_streams,
        h2_initial_window=cfg.http2_initial_window_size,
        h2_max_frame=cfg.http2_max_frame_size,
        h2_header_list=cfg.http2_max_header_list_size,
        ws_message=cfg.get("websocket_max_message_size", _WS_MESSAGE),
        ws_ping_interval=cfg.get("ws_ping_interval", Limits.ws_ping_interval),
        ws_ping_timeout=cfg.get("ws_ping_timeout", Limits.ws_ping_timeout),
        proxy_timeout=cfg.proxy_protocol_timeout,
    )


def _policy(cfg: Any, script_name: str) -> HeaderPolicy:
    request_id = cfg.get("request_id", "off") != "off"
    return HeaderPolicy(
        header_map=cfg.header_map,
        forwarder_headers=tuple(cfg.forwarder_headers),
        secure_scheme_headers=dict(cfg.secure_scheme_headers),
        forwarded_allow_ips=tuple(cfg.forwarded_allow_ips),
        forwarded_hops=cfg.get("forwarded_hops", 0),
        forwarded_header=cfg.get("forwarded_header", "x-forwarded"),
        script_name=script_name,
        trusted_only=(cfg.request_id_header,) if request_id else (),
    )
