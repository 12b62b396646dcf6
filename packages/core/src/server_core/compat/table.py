"""What of this server stands for which of gunicorn's import paths.

Owns: the table, and what to write instead of a path that has no counterpart.
Must not know: how imports are redirected.
"""

from __future__ import annotations

from typing import Dict

_APP = "server_core.app"
_BAD_REQUEST = "server_http.errors:BadRequest"
_ERRORS = {
    "HaltServer": "server_core.errors:HaltServer",
    "ConfigError": "server_core.errors:ConfigError",
    "AppImportError": "server_core.errors:AppImportError",
}

_DIRTY_CLIENT = (
    "DirtyClient", "get_dirty_client", "get_dirty_client_async", "close_dirty_client", "close_dirty_client_async",
    "set_dirty_socket_path",
)  # fmt: skip
_DIRTY_ERRORS = (
    "DirtyError", "DirtyTimeoutError", "DirtyConnectionError", "DirtyWorkerError", "DirtyAppError",
    "DirtyAppNotFoundError", "DirtyNoWorkersAvailableError", "DirtyProtocolError",
)  # fmt: skip

# module -> name -> "module:name" here
MODULES: Dict[str, Dict[str, str]] = {
    "gunicorn": {
        "SERVER_SOFTWARE": "server_core.compat.values:SERVER_SOFTWARE",
        "SERVER": "server_core.compat.values:SERVER",
        "__version__": "server_core.version:__version__",
        "version_info": "server_core.compat.values:version_info",
    },
    "gunicorn.app": {},
    "gunicorn.app.base": {
        "BaseApplication": f"{_APP}:Application",
        "Application": f"{_APP}:CommandApplication",
    },
    "gunicorn.app.wsgiapp": {"WSGIApplication": f"{_APP}:CommandApplication", "run": f"{_APP}:main"},
    "gunicorn.app.pasterapp": {"serve": "server_core.paste:serve"},
    "gunicorn.arbiter": {"Arbiter": "server_core.supervise.arbiter:Arbiter"},
    "gunicorn.config": {
        "Config": "server_core.settings:Settings",
        "Setting": "server_core.settings:Setting",
        "KNOWN_SETTINGS": "server_core.compat.values:KNOWN_SETTINGS",
    },
    "gunicorn.debug": {"spew": "server_core.spew:spew", "unspew": "server_core.spew:unspew"},
    "gunicorn.errors": _ERRORS,
    "gunicorn.glogging": {
        "Logger": "server_core.log.setup:Logger",
        "CONFIG_DEFAULTS": "server_core.log.configured:CONFIG_DEFAULTS",
        "SafeAtoms": "server_core.log.atoms:SafeAtoms",
    },
    "gunicorn.http": {},
    "gunicorn.http.errors": {
        "ParseException": "server_http.errors:ProtocolError",
        "NoMoreData": _BAD_REQUEST,
        "ConfigurationProblem": "server_http.errors:ConfigurationProblem",
        "ExpectationFailed": "server_http.errors:ExpectationFailed",
        "InvalidRequestLine": _BAD_REQUEST,
        "InvalidRequestMethod": _BAD_REQUEST,
        "InvalidHTTPVersion": "server_http.errors:VersionNotSupported",
        "InvalidHeader": _BAD_REQUEST,
        "InvalidHeaderName": _BAD_REQUEST,
        "InvalidChunkSize": _BAD_REQUEST,
        "InvalidChunkExtension": _BAD_REQUEST,
        "ChunkMissingTerminator": _BAD_REQUEST,
        "InvalidProxyLine": _BAD_REQUEST,
        "InvalidProxyHeader": _BAD_REQUEST,
        "InvalidSchemeHeaders": _BAD_REQUEST,
        "ObsoleteFolding": _BAD_REQUEST,
        "UnsupportedTransferCoding": "server_http.errors:NotImplementedByServer",
        "LimitRequestLine": "server_http.errors:UriTooLong",
        "LimitRequestHeaders": "server_http.errors:HeaderFieldsTooLarge",
        "ForbiddenProxyRequest": "server_http.errors:Forbidden",
    },
    "gunicorn.http.message": {"Request": "server_core.compat.objects:GunicornRequest"},
    "gunicorn.http.wsgi": {
        "Response": "server_core.compat.objects:GunicornResponse",
        "FileWrapper": "server_http.environ:FileWrapper",
    },
    "gunicorn.instrument": {},
    "gunicorn.instrument.statsd": {"Statsd": "server_core.compat.classes:Statsd"},
    "gunicorn.sock": {
        "create_sockets": "server_core.compat.values:create_sockets",
        "ssl_context": "server_core.compat.values:ssl_context",
    },
    "gunicorn.util": {
        "import_app": "server_core.apploader:load",
        "load_class": "server_core.compat.values:load_class",
        "parse_address": "server_core.sockets:parse_address",
        "getcwd": "server_core.settings.config:working_directory",
        "is_ipv6": "server_core.compat.values:is_ipv6",
        "to_bytestring": "server_core.compat.values:to_bytestring",
        "bytes_to_str": "server_core.compat.values:bytes_to_str",
        "http_date": "server_core.compat.values:http_date",
    },
    "gunicorn.workers": {"SUPPORTED_WORKERS": "server_core.compat.values:SUPPORTED_WORKERS"},
    "gunicorn.workers.base": {"Worker": "server_core.worker:Worker"},
    "gunicorn.workers.base_async": {
        "AsyncWorker": "server_core.compat.classes:AsyncWorker",
        "ALREADY_HANDLED": "server_core.compat.classes:ALREADY_HANDLED",
    },
    "gunicorn.workers.sync": {"SyncWorker": "server_core.workers.sync:SyncWorker"},
    "gunicorn.workers.gthread": {"ThreadWorker": "server_core.workers.gthread:ThreadWorker"},
    "gunicorn.workers.ggevent": {
        "GeventWorker": "server_workers_green.gevent:GeventWorker",
        "GeventPyWSGIWorker": "server_workers_green.gevent:GeventWorker",
    },
    "gunicorn.workers.geventlet": {"EventletWorker": "server_workers_green.eventlet:EventletWorker"},
    "gunicorn.workers.gasgi": {"ASGIWorker": "server_workers_async.worker:AsgiWorker"},
    "gunicorn.dirty": {name: f"server_dirty:{name}" for name in (*_DIRTY_CLIENT, *_DIRTY_ERRORS, "DirtyApp", "stash")},
    "gunicorn.dirty.app": {"DirtyApp": "server_dirty:DirtyApp"},
    "gunicorn.dirty.client": {name: f"server_dirty:{name}" for name in _DIRTY_CLIENT},
    "gunicorn.dirty.errors": {name: f"server_dirty:{name}" for name in _DIRTY_ERRORS},
}  # fmt: skip

# What to write instead of a path without counterpart.
_INSTEAD = {
    "gunicorn.workers.gtornado": "worker_class = 'asgi' (Tornado applications run in their own server)",
    "gunicorn.http.wsgi": "the hooks pre_request and post_request",
    "gunicorn.http.message": "the hooks pre_request and post_request",
    "gunicorn.http.body": "wsgi.input",
    "gunicorn.reloader": "reload = True and reload_extra_files",
    "gunicorn.pidfile": "pidfile = 'FILE'",
    "gunicorn.systemd": "nothing: readiness and state are reported to systemd by themselves",
    "gunicorn.asgi": "worker_class = 'asgi'",
    "gunicorn.http2": "http_protocols = 'h2,h1'",
    "gunicorn.uwsgi": "protocol = 'uwsgi'",
    "gunicorn.ctl": "the command serverctl",
}


def missing(path: str) -> str:
    """Return the message for a path that nothing here stands for."""
    for beginning in sorted(_INSTEAD, key=len, reverse=True):
        if path == beginning or path.startswith(beginning + "."):
            return f"{path} belongs to gunicorn; write instead: {_INSTEAD[beginning]}"
    module, _, _name = path.rpartition(".")
    known = sorted(MODULES.get(module, {}))
    hint = f"; {module} has {', '.join(known)} here" if known else ""
    return f"{path} belongs to gunicorn and has no counterpart here{hint}"
