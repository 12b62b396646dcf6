"""Discovery: workers, protocols, settings and the rest, by the entry points of installed packages.

Owns: the one scan of installed distributions, its cache, the errors of look-ups, and the names
that other servers gave to worker classes.
Must not know: what a plugin does. A plugin is imported only when it is named; settings groups are
the exception, because the command line cannot be parsed without them.
"""

from __future__ import annotations

import importlib
import re
from functools import lru_cache
from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple, Type

from server_core.compat import gunicorn_imports
from server_core.distributions import entry_points
from server_core.errors import PluginError
from server_core.settings.declare import Catalogue, Group

API = 1  # what a plugin declares as ``server_api``; raised when the worker contract changes
DISTRIBUTION = "server-cli"  # the distribution users install, with its extras

WORKERS = "server.workers"
PROTOCOLS = "server.protocols"
SETTINGS = "server.settings"
SERVICES = "server.services"
REPORTERS = "server.reporters"
COMMANDS = "server.commands"
DIRTY_BACKENDS = "server.dirty_backends"
LOGGERS = "server.loggers"

# What an error calls a member of a group.
_NOUNS = {
    WORKERS: "worker class",
    PROTOCOLS: "protocol",
    SETTINGS: "settings group",
    SERVICES: "service",
    REPORTERS: "reporter",
    COMMANDS: "command",
    DIRTY_BACKENDS: "dirty backend",
    LOGGERS: "logger class",
}

# The extra of DISTRIBUTION that brings a name of a group, when it is not installed.
_EXTRAS = {
    (WORKERS, "asgi"): "asgi",
    (WORKERS, "gevent"): "gevent",
    (WORKERS, "gevent_wsgi"): "gevent",
    (WORKERS, "gevent_pywsgi"): "gevent",
    (WORKERS, "eventlet"): "eventlet",
    (SERVICES, "dirty"): "dirty",
    (DIRTY_BACKENDS, "local"): "dirty",
    (DIRTY_BACKENDS, "ray"): "ray",
    (REPORTERS, "opentelemetry"): "otel",
    (COMMANDS, "top"): "top",
}

# Settings of siblings that may be absent, by the beginning of their names.
_SETTING_EXTRAS = (("dirty_", "dirty"), ("on_dirty_", "dirty"), ("asgi_", "asgi"), ("ws_", "asgi"),
                   ("websocket_", "asgi"))  # fmt: skip

# gunicorn's module paths of worker classes, mapped to names of WORKERS.
_GUNICORN_WORKERS = {
    "gunicorn.workers.sync.SyncWorker": "sync",
    "gunicorn.workers.gthread.ThreadWorker": "gthread",
    "gunicorn.workers.ggevent.GeventWorker": "gevent",
    "gunicorn.workers.ggevent.GeventPyWSGIWorker": "gevent",
    "gunicorn.workers.geventlet.EventletWorker": "eventlet",
    "gunicorn.workers.gasgi.ASGIWorker": "asgi",
}

# ASGI workers that other servers wrote for gunicorn; the asgi worker does what they are for.
_ASGI_WORKERS = {
    "uvicorn.workers.UvicornWorker": {},
    "uvicorn.workers.UvicornH11Worker": {"asgi_loop": "asyncio"},
    "uvicorn_worker.UvicornWorker": {},
    "uvicorn_worker.UvicornH11Worker": {"asgi_loop": "asyncio"},
    "hypercorn.workers.HypercornAsyncioWorker": {},
    "hypercorn.workers.HypercornUvloopWorker": {"asgi_loop": "uvloop"},
}

# What a subclass of such a worker configures, and what does it here: a setting of the same values, or a line.
_UVICORN_OPTIONS = {
    "loop": "asgi_loop",
    "lifespan": "asgi_lifespan",
    "http": "",
    "ws": "",
    "ws_max_size": "websocket_max_message_size",
    "ws_ping_interval": "ws_ping_interval",
    "ws_ping_timeout": "ws_ping_timeout",
    "root_path": "root_path",
    "proxy_headers": "forwarded_hops = 1",
    "forwarded_allow_ips": "forwarded_allow_ips",
    "limit_concurrency": "worker_connections",
    "timeout_keep_alive": "keepalive",
    "timeout_graceful_shutdown": "graceful_timeout",
    "limit_max_requests": "max_requests",
    "access_log": "accesslog = '-'",
    "log_config": "logconfig_dict",
    "log_level": "loglevel",
    "h11_max_incomplete_event_size": "limit_request_field_size",
    "server_header": "",
    "date_header": "",
    "headers": "",
}


class Plugin(NamedTuple):
    """One entry point: what it is called, who brings it, and what it points to."""

    group: str
    name: str
    value: str
    distribution: str
    version: str

    def load(self) -> Any:
        """Import and return the object; an ImportError inside the plugin keeps its traceback."""
        return _resolve(self.value)


def how_to_install(extra: str) -> str:
    """Return the command that brings an extra, for messages."""
    return f"pip install '{DISTRIBUTION}[{extra}]'"


# --- the scan ---------------------------------------------------------------------------------

_found: Optional[Dict[str, List[Plugin]]] = None


def _scan() -> Dict[str, List[Plugin]]:
    """Return all plugins by group."""
    found: Dict[str, List[Plugin]] = {group: [] for group in _NOUNS}
    for point in entry_points("server."):
        if point.group in found:
            found[point.group].append(Plugin(*point))
    return found


def plugins(group: str) -> Tuple[Plugin, ...]:
    """Return the plugins of ``group``, in the order they were found; scans once per process."""
    global _found
    if _found is None:
        _found = _scan()
    return tuple(_found.get(group, ()))


def forget() -> None:
    """Scan again at the next look-up (a reload may follow an installation)."""
    global _found
    _found = None
    load.cache_clear()
    worker_class.cache_clear()


def names(group: str) -> List[str]:
    """Return the sorted names in ``group``."""
    return sorted({plugin.name for plugin in plugins(group)})


def find(group: str, name: str) -> Plugin:
    """Return the plugin ``name`` of ``group``; raises PluginError when there is none or several."""
    matches = [plugin for plugin in plugins(group) if plugin.name == name]
    noun = _NOUNS[group]
    if len({match.value for match in matches}) > 1:
        owners = " and ".join(sorted(f"{match.distribution} {match.version}" for match in matches))
        raise PluginError(f"{noun} {name!r}: expected one package to provide it, got {owners}; uninstall one")
    if matches:
        return matches[0]
    extra = _EXTRAS.get((group, name))
    if extra:
        raise PluginError(f"{noun} {name!r} is not installed: {how_to_install(extra)}")
    import difflib

    close = difflib.get_close_matches(name, names(group), 1, 0.6)
    hint = f", did you mean {close[0]!r}?" if close else ""
    known = f"one of {', '.join(names(group))} or " if names(group) else ""
    raise PluginError(f"{noun}: expected {known}a dotted path, got {name!r}{hint}")


def look_up(group: str, name: str) -> None:
    """See that ``load`` would find something by ``name``, without importing it; raises PluginError."""
    if not re.search(r"[.:]", name):  # a path is followed where its object is used
        find(group, name)


@lru_cache(maxsize=64)
def load(group: str, name: str) -> Any:
    """Return the object of plugin ``name`` of ``group``, or of a dotted path, checked for its API.

    Raises:
        PluginError: no such plugin, several, made for another API, or its module is not there.
    """
    if name.startswith("egg:"):
        return _checked(_find_in_distribution(group, name), name)
    if re.search(r"[.:]", name):
        return _checked(_load_named(name, f"{_NOUNS[group]} {name!r}"), name)
    plugin = find(group, name)
    where = f"{name!r} of {plugin.distribution} {plugin.version}"
    loaded = _load_named(plugin.value, f"plugin {where}")
    # An inherited number would be that of the class's base, which is always up to date.
    if isinstance(loaded, type) and "server_api" not in vars(loaded):
        raise PluginError(f"plugin {where}: expected server_api = {API} in the class {loaded.__name__}, got none")
    return _checked(loaded, where)


def _find_in_distribution(group: str, uri: str) -> Any:
    """Return what ``egg:DISTRIBUTION#NAME`` points to, in our groups and in gunicorn's."""
    import importlib.metadata

    wanted, _, name = uri[len("egg:") :].partition("#")
    try:
        points = importlib.metadata.distribution(wanted).entry_points
    except importlib.metadata.PackageNotFoundError:
        raise PluginError(f"{_NOUNS[group]} {uri!r}: the distribution {wanted!r} is not installed") from None
    groups = (group, "gunicorn." + group.partition(".")[2])
    for point in points:
        if point.group in groups and point.name == (name or "main"):
            return _resolve(point.value)
    raise PluginError(f"{_NOUNS[group]} {uri!r}: {wanted} has no entry point {name or 'main'!r} in {groups[0]}")


def _load_named(path: str, who: str) -> Any:
    """Return the object of ``path``; raises PluginError in the name of ``who`` when the path leads nowhere."""
    module = path.partition(":")[0] if ":" in path else path.rpartition(".")[0]
    try:
        return _resolve(path)
    except ModuleNotFoundError as error:
        if error.name and (module == error.name or module.startswith(error.name + ".")):
            raise PluginError(f"{who}: no module named {error.name!r}") from None
        raise  # a module the plugin itself wants: its traceback says where
    except AttributeError as error:  # never passed on: an attribute of the settings would seem to be missing
        raise _attribute_missing(error, who) from None


def _attribute_missing(error: AttributeError, who: str) -> PluginError:
    """Return what is said of an attribute that is not there, with the traceback when a module itself looked for it."""
    import traceback

    refused = PluginError(f"{who}: {error}")
    last = list(traceback.walk_tb(error.__traceback__))[-1][0]
    if last.f_globals.get("__name__") != __name__:
        refused.traceback = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    return refused


def _resolve(value: str) -> Any:
    """Return the object of ``module:attr.attr`` or ``module.attr``."""
    module, colon, attributes = value.partition(":")
    if not colon:
        module, _, attributes = value.rpartition(".")
    with gunicorn_imports():  # worker and logger classes written for it are often in modules of their own
        target = importlib.import_module(module.strip())
    for attribute in attributes.split("[")[0].strip().split("."):
        target = getattr(target, attribute)
    return target


def _checked(plugin: Any, where: str) -> Any:
    theirs = getattr(plugin, "server_api", API)
    if theirs != API:
        expected = f"expected plugin API {API}, got {theirs!r}"
        raise PluginError(f"plugin {where}: {expected}; install a version for this server")
    return plugin


# --- settings ---------------------------------------------------------------------------------


def catalogue() -> Catalogue:
    """Return the settings of all installed packages, the core's first.

    A group that cannot be imported or is none is left out; using one of its settings fails with a
    message that names its distribution, and so does ``problems()``.
    """
    from server_core.settings.groups import GROUPS

    groups: List[Group] = list(GROUPS)
    taken = {setting.name: DISTRIBUTION for group in groups for setting in group.settings}
    _problems.clear()
    for plugin in plugins(SETTINGS):
        for group in _groups_of(plugin):
            twins = [setting.name for setting in group.settings if setting.name in taken]
            if twins:
                _problems.append(
                    f"settings group {group.section!r} of {plugin.distribution} is left out: "
                    f"{twins[0]!r} is already declared by {taken[twins[0]]}"
                )
                continue
            taken.update(dict.fromkeys((setting.name for setting in group.settings), plugin.distribution))
            groups.append(group)
    return Catalogue(groups, _MissingSettings(taken))


_problems: List[str] = []


def problems() -> List[str]:
    """Return what was wrong with settings groups when the catalogue was made."""
    return list(_problems)


def _groups_of(plugin: Plugin) -> Iterator[Group]:
    if plugin.value.split(":")[0] == "server_core.settings.groups":
        return
    try:
        loaded = plugin.load()
    except Exception as error:  # any fault of a plugin nobody asked for must not stop the server
        text = f"{type(error).__name__}: {error}"
        _problems.append(f"settings group {plugin.name!r} of {plugin.distribution} cannot be imported: {text}")
        return
    for group in [loaded] if isinstance(loaded, Group) or not isinstance(loaded, Iterable) else loaded:
        if isinstance(group, Group):
            yield group
        else:
            _problems.append(
                f"settings group {plugin.name!r} of {plugin.distribution}: expected server_core.settings.Group, "
                f"got {group!r}"
            )


class _MissingSettings(Dict[str, str]):
    """Names of settings that a package which is absent would declare, with how to install it.

    Args:
        present: the names of settings that there are.
    """

    def __init__(self, present: Iterable[str]) -> None:
        super().__init__()
        names = tuple(present)
        self._extras = [
            (prefix, extra) for prefix, extra in _SETTING_EXTRAS if not any(name.startswith(prefix) for name in names)
        ]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._extra(name) is not None

    def __getitem__(self, name: str) -> str:
        extra = self._extra(name)
        if extra is None:
            raise KeyError(name)
        broken = [problem for problem in _problems if f"-{extra}" in problem or f"-workers-{extra}" in problem]
        return "; ".join(broken) or how_to_install(extra)

    def _extra(self, name: str) -> Optional[str]:
        return next((extra for prefix, extra in self._extras if name.startswith(prefix)), None)


# --- worker and logger classes ------------------------------------------------------------------


def own_name(wanted: str) -> str:
    """Return the name of our worker that serves what another server's worker class is for, else ``wanted``."""
    if wanted.startswith("egg:gunicorn#"):
        return wanted.partition("#")[2]
    return "asgi" if wanted in _ASGI_WORKERS else _GUNICORN_WORKERS.get(wanted, wanted)


@lru_cache(maxsize=8)
def worker_class(wanted: Any) -> Type[Any]:
    """Return the worker class of a name, dotted path, ``egg:`` URI or class. Its ``setup()`` is called
    in the worker, not here: it may patch the process.

    Raises:
        PluginError: it is not installed, or cannot work here; the text says what to write instead.
    """
    if isinstance(wanted, type):
        _refuse_foreign_base(wanted)
        return wanted
    loaded = load(WORKERS, own_name(wanted))
    if not isinstance(loaded, type):
        raise PluginError(f"worker_class: expected a class, got {loaded!r} (from {wanted})")
    _refuse_foreign_base(loaded)
    return loaded


def _refuse_foreign_base(worker: Type[Any]) -> None:
    """Refuse subclasses of other servers' workers, naming the setting for each of their options."""
    bases = [f"{base.__module__}.{base.__qualname__}" for base in worker.__mro__]
    known = {**_ASGI_WORKERS, "uvicorn.workers.UvicornWorker": {}}
    foreign = next((base for base in bases if base in known or base.endswith("._workers.UvicornWorker")), None)
    if foreign is None:
        return
    options: Dict[str, Any] = {}
    for base in reversed(worker.__mro__):
        if f"{base.__module__}.{base.__qualname__}" not in known:
            options.update(vars(base).get("CONFIG_KWARGS", {}))
    advice = [_advice(name, value) for name, value in sorted(options.items())]
    raise PluginError(
        f"worker_class: {worker.__module__}.{worker.__qualname__} derives from {foreign}, which is another server's "
        f"connection handling; write worker_class = 'asgi'" + "".join(f", {text}" for text in advice)
    )


def _advice(option: str, value: Any) -> str:
    setting = _UVICORN_OPTIONS.get(option)
    if setting and " = " not in setting:
        return f"{setting} = {value!r} for {option!r}"
    if setting and value:
        return f"{setting} for {option!r}"
    return f"and drop {option!r}, which has no setting here"


def logger_class(wanted: Any) -> Type[Any]:
    """Return the logger class of a dotted path, ``egg:`` URI or class; raises PluginError for what is none."""
    if wanted in ("gunicorn.glogging.Logger", "gunicorn.glogging:Logger", "simple"):
        wanted = "server_core.log.setup.Logger"
    loaded = wanted if isinstance(wanted, type) else load(LOGGERS, wanted)
    if not isinstance(loaded, type) or not hasattr(loaded, "close_on_exec"):
        raise PluginError(f"logger_class: expected a class like server_core.log.setup.Logger, got {loaded!r}")
    return loaded
