"""Every setting of gunicorn, and what becomes of it here.

Owns: the table, in the order of gunicorn's own documentation; the reference page is made of it, and a test compares it
with the gunicorn that is installed beside the tests.
Must not know: files, command lines, how a report looks.
"""

from __future__ import annotations

from typing import Any, Dict, Tuple

from server_cli.migrate.table import (
    APPEND,
    DIFFERS,
    FLAG,
    IDLE,
    MAPPED,
    OFF,
    OPTIONAL,
    Advice,
    Row,
    above,
    always,
    one_of,
    text,
)
from server_core import plugins

VERSION = "27.0"  # the release the table was written for

_TRUE = (True, "true", "True")
_LOGGER = "server_core.log.setup.Logger"


def _own_worker(wanted: Any) -> Any:
    return plugins.own_name(wanted) if isinstance(wanted, str) else wanted


def _own_logger(wanted: Any) -> Any:
    return _LOGGER if wanted in ("gunicorn.glogging.Logger", "gunicorn.glogging:Logger") else wanted


ROWS: Tuple[Row, ...] = (
    Row("config", "-c --config", remark="server.conf.py, server.toml and [tool.server] of pyproject.toml are read too"),
    Row("wsgi_app"),
    # --- sockets
    Row("bind", "-b --bind", takes=APPEND),
    Row("backlog", "--backlog"),
    # --- workers
    Row("workers", "-w --workers"),
    Row("worker_class", "-k --worker-class", MAPPED,
        "names and paths of gunicorn's and uvicorn's workers are served by the worker here that does the same; there "
        "is none for tornado, and eventlet is still here",
        (Advice(text(lambda name: name.startswith("gunicorn.workers.")), "write the short name of the worker"),
         Advice(text(lambda name: "uvicorn" in name or "hypercorn" in name), "write worker_class = 'asgi'"),
         Advice(text(lambda name: "tornado" in name), "serve Tornado's HTTPServer by itself"),
         Advice(one_of("gevent_wsgi", "gevent_pywsgi"), "write worker_class = 'gevent'")), convert=_own_worker),
    Row("threads", "--threads"),
    Row("worker_connections", "--worker-connections", DIFFERS, "bounds every worker class, asgi among them"),
    Row("max_requests", "--max-requests", DIFFERS, "the worker serves on until its successor is ready",
        (Advice(above(0), "if it is there against leaks, max_memory = '512m' replaces a worker when it has grown"),)),
    Row("max_requests_jitter", "--max-requests-jitter"),
    Row("timeout", "-t --timeout", DIFFERS,
        "a silent worker is reported with its requests and stacks before it is ended; stalled bodies and slow readers "
        "have body_timeout and send_timeout",
        (Advice(one_of(0, "0"), "a worker that hangs is never found; request_timeout bounds single requests"),
         Advice(above(120), "work that takes minutes is better done by dirty workers; request_timeout bounds single "
                "requests"))),
    Row("graceful_timeout", "--graceful-timeout"),
    Row("keepalive", "--keep-alive", DIFFERS, "sync workers keep connections, too",
        (Advice(above(75), "idle connections count against worker_connections"),)),
    Row("asgi_loop", "--asgi-loop"),
    Row("asgi_lifespan", "--asgi-lifespan", DIFFERS,
        "start-up and shutdown are bounded by boot_timeout and graceful_timeout, or by settings of their own"),
    Row("asgi_disconnect_grace_period", "--asgi-disconnect-grace-period"),
    Row("websocket_max_message_size", "--websocket-max-message-size"),
    Row("http_parser", "--http-parser", DIFFERS,
        "fast is the engine of a compiled build, python its sources; there is no package to install"),
    # --- limits
    Row("limit_request_line", "--limit-request-line", DIFFERS, "8000 without it, and no larger value is cut to 8190"),
    Row("limit_request_fields", "--limit-request-fields"),
    Row("limit_request_field_size", "--limit-request-field_size"),
    # --- debugging
    Row("reload", "--reload", DIFFERS, "works with preload_app, and shows a broken application's traceback until it is "
        "mended", takes=FLAG),
    Row("reload_engine", "--reload-engine", MAPPED, "inotify is taken as watchfiles",
        (Advice(one_of("inotify"), "write reload_engine = 'watchfiles'"),),
        convert=lambda engine: "watchfiles" if engine == "inotify" else engine),
    Row("reload_extra_files", "--reload-extra-file", takes=APPEND),
    Row("spew", "--spew", takes=FLAG),
    Row("check_config", "--check-config", takes=FLAG),
    Row("print_config", "--print-config", DIFFERS, "each value is printed with its source", takes=FLAG),
    # --- mechanics
    Row("preload_app", "--preload", DIFFERS,
        "the application is loaded in a process of its own, which workers are forked from; a reload brings new code",
        takes=FLAG),
    Row("sendfile", "--no-sendfile", DIFFERS, "true turns it on; gunicorn turned it off by either value",
        (Advice(one_of(*_TRUE), "leave it out: it is on without it"),), takes=OFF),
    Row("reuse_port", "--reuse-port", DIFFERS, "the arbiter binds and keeps one socket for each slot, so that the end "
        "of a worker resets nothing", takes=FLAG),
    Row("chdir", "--chdir"),
    Row("daemon", "-D --daemon", takes=FLAG,
        advice=(Advice(one_of(*_TRUE), "a service manager that keeps it in the foreground sees it fail, and restarts "
                       "it"),)),
    Row("raw_env", "-e --env", takes=APPEND),
    Row("pidfile", "-p --pid"),
    Row("worker_tmp_dir", "--worker-tmp-dir", DIFFERS,
        "heartbeats are in shared memory and need no file; spooled bodies go there",
        (Advice(text(lambda path: path.startswith("/dev/shm")),  # noqa: S108  # the usual value, which is looked for
                "leave it out: spooled bodies would take memory there"),)),
    Row("user", "-u --user"),
    Row("group", "-g --group"),
    Row("umask", "-m --umask"),
    Row("initgroups", "--initgroups", takes=FLAG),
    Row("tmp_upload_dir", "", DIFFERS, "spooled bodies go there; gunicorn did nothing with it",
        (Advice(always, "write worker_tmp_dir"),)),
    Row("secure_scheme_headers"),
    Row("forwarded_allow_ips", "--forwarded-allow-ips",
        advice=(Advice(one_of("*", ["*"]), "everyone may then claim any scheme; name the proxies, "
                       "networks such as 10.0.0.0/8 among them"),)),
    # --- logging
    Row("accesslog", "--access-logfile"),
    Row("disable_redirect_access_to_syslog", "--disable-redirect-access-to-syslog", takes=FLAG),
    Row("access_log_format", "--access-logformat",
        advice=(Advice(text(lambda line: line.lstrip().startswith("{")),
                       "log_format = 'json' writes both logs as JSON, with every value escaped"),)),
    Row("errorlog", "--error-logfile --log-file"),
    Row("loglevel", "--log-level"),
    Row("capture_output", "--capture-output", takes=FLAG),
    Row("logger_class", "--logger-class", MAPPED, "gunicorn's own class is the one here, and subclasses of it work",
        (Advice(one_of("gunicorn.glogging.Logger", "gunicorn.glogging:Logger"), "leave it out"),), convert=_own_logger),
    Row("logconfig", "--log-config"),
    Row("logconfig_dict"),
    Row("logconfig_json", "--log-config-json"),
    Row("syslog_addr", "--log-syslog-to"),
    Row("syslog", "--log-syslog", takes=FLAG),
    Row("syslog_prefix", "--log-syslog-prefix"),
    Row("syslog_facility", "--log-syslog-facility"),
    Row("enable_stdio_inheritance", "-R --enable-stdio-inheritance", takes=FLAG),
    Row("statsd_host", "--statsd-host", DIFFERS,
        "sent by the arbiter once a second, durations by bucket of the histogram",
        (Advice(always, "metrics_bind serves the same and more to Prometheus"),)),
    Row("dogstatsd_tags", "--dogstatsd-tags"),
    Row("statsd_prefix", "--statsd-prefix"),
    Row("enable_backlog_metric", "--enable-backlog-metric", takes=FLAG),
    # --- naming
    Row("proc_name", "-n --name"),
    Row("default_proc_name"),
    Row("pythonpath", "--pythonpath"),
    Row("paste", "--paste --paster"),
    # --- hooks
    Row("on_starting"),
    Row("on_reload"),
    Row("when_ready"),
    Row("pre_fork", "", DIFFERS, "with preload_app it is called where the application is, in the template"),
    Row("post_fork"),
    Row("post_worker_init"),
    Row("worker_int"),
    Row("worker_abort"),
    Row("pre_exec"),
    Row("pre_request"),
    Row("post_request"),
    Row("child_exit"),
    Row("worker_exit"),
    Row("nworkers_changed"),
    Row("on_exit"),
    Row("ssl_context", "", DIFFERS, "called at the start and at each reload, not for each connection",
        (Advice(always, "sni_certificates, tls_minimum_version and certificate_reload may do without it"),)),
    # --- peers and TLS
    Row("proxy_protocol", "--proxy-protocol", DIFFERS,
        "v1 and v2 demand the header from the peers of proxy_allow_ips; auto takes it or leaves it",
        (Advice(one_of(*_TRUE), "write proxy_protocol = 'auto', or better the version your proxy sends"),),
        takes=OPTIONAL),
    Row("proxy_allow_ips", "--proxy-allow-from"),
    Row("protocol", "--protocol"),
    Row("uwsgi_allow_ips", "--uwsgi-allow-from", DIFFERS, "takes networks, too"),
    Row("keyfile", "--keyfile"),
    Row("certfile", "--certfile"),
    Row("ssl_version", "--ssl-version", IDLE, "the version is negotiated",
        (Advice(always, "leave it out, or write tls_minimum_version = 'TLSv1.3'"),)),
    Row("cert_reqs", "--cert-reqs"),
    Row("ca_certs", "--ca-certs"),
    Row("suppress_ragged_eofs", "--suppress-ragged-eofs", IDLE, "an end without close_notify is told from a clean one",
        (Advice(always, "leave it out"),), takes=FLAG),
    Row("do_handshake_on_connect", "--do-handshake-on-connect", IDLE, "handshakes never hold a worker up",
        (Advice(always, "leave it out"),), takes=FLAG),
    Row("ciphers", "--ciphers"),
    # --- HTTP/2
    Row("http_protocols", "--http-protocols"),
    Row("http2_cleartext", "--http2-cleartext",
        advice=(Advice(one_of(*_TRUE), "write http2_cleartext = 'prior-knowledge'"),)),
    Row("http2_max_concurrent_streams", "--http2-max-concurrent-streams"),
    Row("http2_initial_window_size", "--http2-initial-window-size"),
    Row("http2_max_frame_size", "--http2-max-frame-size"),
    Row("http2_max_header_list_size", "--http2-max-header-list-size"),
    # --- grammar
    Row("raw_paste_global_conf", "--paste-global", takes=APPEND),
    Row("permit_obsolete_folding", "--permit-obsolete-folding", takes=FLAG),
    Row("strip_header_spaces", "--strip-header-spaces", takes=FLAG),
    Row("permit_unconventional_http_method", "--permit-unconventional-http-method", takes=FLAG),
    Row("permit_unconventional_http_version", "--permit-unconventional-http-version", takes=FLAG),
    Row("casefold_http_method", "--casefold-http-method", takes=FLAG),
    Row("forwarder_headers", "--forwarder-headers"),
    Row("header_map", "--header-map"),
    Row("root_path", "--root-path"),
    # --- dirty workers
    Row("dirty_apps", "--dirty-app", DIFFERS, "callers reach the workers directly, and exceptions keep their class",
        takes=APPEND),
    Row("dirty_workers", "--dirty-workers", DIFFERS, "a reload gives them the new code"),
    Row("dirty_timeout", "--dirty-timeout"),
    Row("dirty_threads", "--dirty-threads", DIFFERS, "so many calls run at the same time in one worker"),
    Row("dirty_graceful_timeout", "--dirty-graceful-timeout"),
    Row("on_dirty_starting"),
    Row("dirty_post_fork"),
    Row("dirty_worker_init"),
    Row("dirty_worker_exit"),
    # --- control
    Row("control_socket", "--control-socket", DIFFERS, "server.ctl in $XDG_RUNTIME_DIR, or in ~/.server, without it; "
        "serverctl takes the place of gunicornc"),
    Row("control_socket_mode", "--control-socket-mode"),
    Row("control_socket_disable", "--no-control-socket", takes=FLAG),
)  # fmt: skip

BY_NAME: Dict[str, Row] = {row.name: row for row in ROWS}
