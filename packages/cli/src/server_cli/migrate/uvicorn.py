"""Every option of uvicorn's command line, and what becomes of it here.

Owns: the table, what uvicorn does without being told, and how options together make an address.
Must not know: how a report looks.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Tuple

from server_cli.migrate.table import (
    APPEND,
    DIFFERS,
    FLAG,
    GONE,
    IDLE,
    MAPPED,
    PAIR,
    Advice,
    Row,
    always,
    one_of,
)

VERSION = "0.54"  # the release the table was written for

#: What uvicorn does without being told and this server does not; a move keeps it.
IMPLIED: Dict[str, Any] = {"access_log": True, "proxy_headers": True, "timeout_keep_alive": 5}


def _loop(name: Any) -> Any:
    return name if name in ("auto", "asyncio", "uvloop") else "auto"


def _worker(interface: Any) -> str:
    return "gthread" if interface == "wsgi" else "asgi"


def _level(name: Any) -> Any:
    return "debug" if name == "trace" else name


def _globs(directory: Any) -> str:
    return f"{directory}/**/*.py"


ROWS: Tuple[Row, ...] = (
    Row("host", "--host", MAPPED, "part of bind", here="bind"),
    Row("port", "--port", MAPPED, "part of bind", here="bind"),
    Row("uds", "--uds", MAPPED, "bind = 'unix:PATH'", here="bind"),
    Row("fd", "--fd", MAPPED, "bind = 'fd://N'", here="bind"),
    Row("reload", "--reload", DIFFERS, "watches the modules that were loaded instead of a directory", takes=FLAG),
    Row("reload_dir", "--reload-dir", MAPPED, "loaded modules are watched anyway; this adds the others",
        here="reload_extra_files", convert=_globs, takes=APPEND),
    Row("reload_include", "--reload-include", MAPPED, "glob patterns of further files", here="reload_extra_files",
        takes=APPEND),
    Row("reload_exclude", "--reload-exclude", IDLE, "only loaded modules and named files are watched", takes=APPEND),
    Row("reload_delay", "--reload-delay", IDLE, "watchfiles tells of a change at once"),
    Row("workers", "--workers"),
    Row("loop", "--loop", MAPPED, "auto, asyncio, uvloop, or module:factory", here="asgi_loop", convert=_loop),
    Row("http", "--http", IDLE, "there is one parser, compiled in the wheels"),
    Row("http2", "--http2", MAPPED, "needs the extra http2", here="http_protocols", convert=lambda _: "h2,h1",
        takes=FLAG),
    Row("ws", "--ws", IDLE, "WebSocket is part of the server"),
    Row("ws_max_size", "--ws-max-size", MAPPED, here="websocket_max_message_size"),
    Row("ws_max_queue", "--ws-max-queue", IDLE, "messages are read as the application takes them"),
    Row("ws_ping_interval", "--ws-ping-interval"),
    Row("ws_ping_timeout", "--ws-ping-timeout"),
    Row("ws_per_message_deflate", "--ws-per-message-deflate", IDLE, "offered by the client, it is agreed to"),
    Row("lifespan", "--lifespan", MAPPED, here="asgi_lifespan"),
    Row("interface", "--interface", MAPPED, "the kind of application is seen; a WSGI one takes a WSGI worker",
        here="worker_class", convert=_worker),
    Row("env_file", "--env-file", GONE, "set the variables before the start, or one by one with raw_env"),
    Row("log_config", "--log-config", MAPPED, "an ini file; JSON goes to logconfig_json, and YAML has to become JSON",
        here="logconfig"),
    Row("log_level", "--log-level", MAPPED, "trace is taken as debug", here="loglevel", convert=_level),
    Row("access_log", "--access-log", MAPPED, "'-' is standard output", here="accesslog",
        convert=lambda on: "-" if on else None, takes=PAIR,
        advice=(Advice(one_of(True), "log_format = 'json' makes lines for programs"),)),
    Row("use_colors", "--use-colors", IDLE, "colours are for terminals; NO_COLOR turns them off", takes=PAIR),
    Row("proxy_headers", "--proxy-headers", MAPPED,
        "the number of proxies between client and server; the scheme is taken from trusted peers anyway",
        here="forwarded_hops", convert=int, takes=PAIR),
    Row("server_header", "--server-header", IDLE, "a Server field of the application's own is kept", takes=PAIR),
    Row("date_header", "--date-header", IDLE, "a Date field of the application's own is kept", takes=PAIR),
    Row("forwarded_allow_ips", "--forwarded-allow-ips",
        advice=(Advice(one_of("*"), "everyone may then claim any scheme and address; name the proxies"),)),
    Row("root_path", "--root-path"),
    Row("limit_concurrency", "--limit-concurrency", DIFFERS,
        "connections above it wait in the backlog; max_queue_time refuses with 503 those that would wait for too long",
        here="worker_connections"),
    Row("backlog", "--backlog"),
    Row("limit_max_requests", "--limit-max-requests", DIFFERS, "the worker serves on until its successor is ready",
        here="max_requests"),
    Row("limit_max_requests_jitter", "--limit-max-requests-jitter", MAPPED, here="max_requests_jitter"),
    Row("timeout_keep_alive", "--timeout-keep-alive", MAPPED, here="keepalive"),
    Row("timeout_graceful_shutdown", "--timeout-graceful-shutdown", MAPPED, "30 without it; uvicorn waits for ever",
        here="graceful_timeout"),
    Row("timeout_worker_healthcheck", "--timeout-worker-healthcheck", DIFFERS,
        "the loop of a worker has to turn; it is reported with its requests and stacks before it is ended",
        here="timeout", advice=(Advice(one_of("5"), "leave it out: 30 seconds leave room for slow starts of work"),)),
    Row("ssl_keyfile", "--ssl-keyfile", MAPPED, here="keyfile"),
    Row("ssl_certfile", "--ssl-certfile", MAPPED, here="certfile"),
    Row("ssl_keyfile_password", "--ssl-keyfile-password", GONE,
        "load the key in the hook ssl_context, which may ask for the password"),
    Row("ssl_version", "--ssl-version", IDLE, "the version is negotiated",
        (Advice(always, "tls_minimum_version = 'TLSv1.3' refuses older ones"),)),
    Row("ssl_cert_reqs", "--ssl-cert-reqs", MAPPED, here="cert_reqs"),
    Row("ssl_ca_certs", "--ssl-ca-certs", MAPPED, here="ca_certs"),
    Row("ssl_ciphers", "--ssl-ciphers", MAPPED, here="ciphers"),
    Row("header", "--header", GONE, "add the fields in the application or in the proxy", takes=APPEND),
    Row("app_dir", "--app-dir", MAPPED, here="pythonpath"),
    Row("h11_max_incomplete_event_size", "--h11-max-incomplete-event-size", MAPPED, "a bound for one field's line",
        here="limit_request_field_size"),
    Row("reset_contextvars", "--reset-contextvars", IDLE, "every request runs in a context of its own", takes=FLAG),
    Row("factory", "--factory", MAPPED, "write the call: 'module:create()'", here="wsgi_app", takes=FLAG),
)  # fmt: skip

BY_NAME: Dict[str, Row] = {row.name: row for row in ROWS}


def with_defaults(given: Mapping[str, Any]) -> Dict[str, Any]:
    """Return the options with those that uvicorn has without being told."""
    return {"interface": "auto", **IMPLIED, **given}


def settings(given: Mapping[str, Any]) -> Dict[str, Any]:
    """Return the settings here that do what the options do, by name; each with a value as a file would hold it."""
    here: Dict[str, Any] = {}
    for name, value in given.items():
        row = BY_NAME[name]
        if row.outcome in (IDLE, GONE) or row.here in ("bind", "wsgi_app"):
            continue
        values = value if isinstance(value, list) else [value]
        converted = [row.convert(one) if row.convert else one for one in values]
        if isinstance(value, list):
            here.setdefault(row.setting, []).extend(converted)
        elif converted[0] is not None:
            here[row.setting] = converted[0]
    if any(name in given for name in ("host", "port", "uds", "fd")):
        here["bind"] = address(given)
    log_config = str(given.get("log_config", ""))
    if log_config.endswith(".json"):
        here["logconfig_json"] = here.pop("logconfig")
    return here


def address(given: Mapping[str, Any]) -> List[str]:
    """Return ``bind`` for host and port, a unix socket or a file descriptor."""
    if "uds" in given:
        return [f"unix:{given['uds']}"]
    if "fd" in given:
        return [f"fd://{given['fd']}"]
    host = str(given.get("host", "127.0.0.1"))
    shown = f"[{host}]" if ":" in host else host
    return [f"{shown}:{given.get('port', 8000)}"]


def target(words: List[str], given: Mapping[str, Any]) -> str:
    """Return the application's name here: a factory is written as the call it is."""
    name = words[0] if words else "MODULE:ATTRIBUTE"
    return f"{name}()" if given.get("factory") else name
