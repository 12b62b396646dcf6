"""The settings of this server, with the values that are derived from several of them.

Owns: ``Settings``, what every part receives as ``cfg``, and the attribute names gunicorn's hooks and
worker classes read.
Must not know: where values come from (``settings.sources``).
"""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterator, Mapping, Optional, Tuple, Type

from server_core.errors import BindError, ConfigError, ServerError
from server_core.settings.declare import Catalogue, Values
from server_core.settings.references import parse_networks

# What a sentence about a feature needs to have set: (setting, value) -> (needed setting, text).
_CONTRADICTIONS = (
    ("keyfile", "certfile", "a key needs its certificate"),
    ("ca_certs", "certfile", "client certificates need TLS"),
    ("cert_reqs", "certfile", "client certificates need TLS"),
)

#: (setting, whether it asks for a package that comes by an extra, the package, the extra)
_PACKAGES: Tuple[Tuple[str, Callable[[Settings], bool], str, str], ...] = (
    ("http_protocols", lambda cfg: "h2" in cfg.http_protocols, "h2", "http2"),
    ("application_metrics", lambda cfg: bool(cfg.application_metrics), "prometheus_client", "metrics"),
    ("reload_engine", lambda cfg: cfg.reload and cfg.reload_engine == "watchfiles", "watchfiles", "reload"),
)


class Settings(Values):
    """The values of all settings, and what follows from them."""

    @classmethod
    def make(cls, **values: Any) -> Settings:
        """Return settings of ``values`` over the defaults, without files and environment."""
        config = cls(default_catalogue())
        config.update(values, "code")
        return config

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Settings:
        """Return the defaults, as changed by single variables of ``environ`` (``PORT`` ...)."""
        return cls(default_catalogue(), environ)

    # --- derived values ---------------------------------------------------------------------

    @property
    def worker_class_name(self) -> str:
        """The worker's name: other servers' names are ours, and ``threads`` above 1 makes ``sync`` a ``gthread``."""
        from server_core import plugins

        wanted = self._values["worker_class"]
        if isinstance(wanted, type):
            return wanted.__name__
        name = plugins.own_name(wanted)
        return "gthread" if name == "sync" and self.threads > 1 else name

    worker_class_str = worker_class_name  # gunicorn's name

    @property
    def worker_class(self) -> Type[Any]:
        """The worker class itself; raises PluginError when it is not installed."""
        from server_core import plugins

        wanted = self._values["worker_class"]
        return plugins.worker_class(wanted if isinstance(wanted, type) else self.worker_class_name)

    @property
    def logger_class(self) -> Type[Any]:
        """The logger class; raises PluginError when its path leads nowhere."""
        from server_core import plugins

        return plugins.logger_class(self._values["logger_class"])

    @property
    def address(self) -> list[Any]:
        """The parsed ``bind`` addresses. Raises ConfigError."""
        from server_core.sockets import parse_address

        with self.located():
            if not self.bind:
                raise ConfigError("bind: expected at least one address, got []")
            return [parse_address(item) for item in self.bind]

    @property
    def multiprocess(self) -> bool:
        """Whether there can be several workers without anybody's doing."""
        return bool(self.workers > 1 or self.adaptive_workers)

    @property
    def is_ssl(self) -> bool:
        """Whether listeners speak TLS."""
        return bool(self.certfile or self.keyfile or self.sni_certificates)

    @property
    def ssl_options(self) -> Dict[str, Any]:
        """The TLS settings by name."""
        names = ("keyfile", "certfile", "ca_certs", "ciphers", "cert_reqs", "suppress_ragged_eofs",
                 "do_handshake_on_connect")  # fmt: skip
        return {name: self._values[name] for name in names}

    @property
    def uid(self) -> int:
        """The user id workers run as."""
        return int(self.user)

    @property
    def gid(self) -> int:
        """The group id workers run as."""
        return int(self.group)

    @property
    def proc_name(self) -> str:
        """The process title's base."""
        return str(self._values["proc_name"] or self._values["default_proc_name"])

    @property
    def env(self) -> Dict[str, str]:
        """``raw_env`` as a dict."""
        return dict(item.split("=", 1) for item in self.raw_env)

    @property
    def paste_global_conf(self) -> Optional[Dict[str, str]]:
        """``raw_paste_global_conf`` as a dict, or None."""
        return dict(item.split("=", 1) for item in self.raw_paste_global_conf) or None

    @property
    def body_dir(self) -> Optional[str]:
        """Where request bodies are spooled; None for the system's directory."""
        path = self.tmp_upload_dir or self.worker_tmp_dir
        return str(path) if path else None

    def forwarded_allow_networks(self) -> Tuple[Any, ...]:
        """The networks of ``forwarded_allow_ips``."""
        return parse_networks(self.forwarded_allow_ips)

    def proxy_allow_networks(self) -> Tuple[Any, ...]:
        """The networks of ``proxy_allow_ips``."""
        return parse_networks(self.proxy_allow_ips)

    @property
    def settings(self) -> Dict[str, BoundSetting]:
        """gunicorn's view: a dict of objects with ``name``, ``value`` and ``get()``."""
        return {setting.name: BoundSetting(self, setting.name) for setting in self.catalogue}

    @contextmanager
    def located(self) -> Iterator[None]:
        """Have errors of settings that are raised in here say where the values came from, unless they do already."""
        try:
            yield
        except ServerError as error:
            name = self._subject(error)
            if name and self.is_set(name) and "(from " not in str(error):
                error.args = (f"{error} (from {self.source(name)})",)
            raise

    def _subject(self, error: ServerError) -> str:
        """Return the setting that an error is about: its text begins with the name, perhaps in words."""
        words = re.match(r"[a-z_]+( class)?", str(error))
        name = words[0].replace(" ", "_") if words else ""
        for candidate in (name, f"{name}s"):  # of a list one item may be wrong
            if candidate in self._values:
                return candidate
        return "bind" if isinstance(error, BindError) else ""

    # --- checks of several settings ---------------------------------------------------------

    def validate(self) -> None:
        """Check what no single setting can: raises ConfigError, keeps warnings."""
        with self.located():
            for name, needed, why in _CONTRADICTIONS:
                if self._values[name] and not self._values[needed]:
                    raise ConfigError(f"{needed}: expected a file, because {name} is set ({why}), got None")
            for name in ("certfile", "keyfile", "ca_certs", "logconfig", "logconfig_json"):
                self._check_readable(name, self._values[name])
            if self.paste:
                self._check_readable("paste", os.path.expanduser(self.paste.partition("#")[0]))
            self._check_packages()
            self._check_client_certificates()
            if "h2" in self.http_protocols and not self.is_ssl and self.http2_cleartext == "off":
                self.warn("http_protocols: h2 has no effect without TLS while http2_cleartext is off")
            self._check_parser()
            self._say_whose_worker_serves()
            if self.workers_max and self.workers_max < self.workers:
                raise ConfigError(f"workers_max: expected at least workers ({self.workers}), got {self.workers_max}")
            if self.adaptive_workers and self.workers_max <= self.workers:
                raise ConfigError(
                    f"workers_max: expected more than workers ({self.workers}), because adaptive_workers is set, "
                    f"got {self.workers_max}"
                )

    def _check_parser(self) -> None:
        if self.http_parser == "auto":
            return
        from server_http import _compiled

        if self.http_parser == "fast" and not _compiled.compiled_modules("server_http"):
            raise ConfigError("http_parser: expected a compiled build for 'fast', got an interpreted one")
        loaded = _compiled.loaded_modules("server_http")
        if self.http_parser == "python" and loaded:
            self.warn("http_parser: python takes effect at the next start: the compiled parser is loaded already")

    def _check_readable(self, name: str, path: Any) -> None:
        if not path:
            return
        try:
            with open(path, "rb"):
                return
        except OSError as error:
            raise ConfigError(f"{name}: expected a file that can be read, got {path!r}: {error.strerror}") from None

    def _say_whose_worker_serves(self) -> None:
        from server_core.plugins import own_name

        wanted = self._values["worker_class"]
        if isinstance(wanted, str) and own_name(wanted) != wanted:
            self.warn(f"worker_class: {wanted} is served by the {own_name(wanted)!r} worker")

    def _check_client_certificates(self) -> None:
        if self.cert_reqs and not self.ca_certs and self.hook("ssl_context") is None:
            self.warn(
                "cert_reqs: no certificate of a client is accepted, because ca_certs names no authorities "
                f"(from {self.source('cert_reqs')})"
            )

    def _check_packages(self) -> None:
        from importlib.util import find_spec

        from server_core.plugins import how_to_install

        for name, wants, package, extra in _PACKAGES:
            if wants(self) and find_spec(package) is None:
                raise ConfigError(f"{name}: {package} is not installed: {how_to_install(extra)}")


class BoundSetting:
    """A setting together with the settings object that holds its value (gunicorn's ``Setting``)."""

    def __init__(self, config: Settings, name: str) -> None:
        self.name = name
        self._config = config

    @property
    def value(self) -> Any:
        """The value now."""
        return self._config.get(self.name)

    def get(self) -> Any:
        """Return the value now."""
        return self.value

    def set(self, value: Any) -> None:
        """Set the value."""
        self._config.set(self.name, value)


_catalogue: Optional[Catalogue] = None


def default_catalogue() -> Catalogue:
    """Return the settings of all installed packages; they are looked up once."""
    global _catalogue
    if _catalogue is None:
        from server_core import plugins

        _catalogue = plugins.catalogue()
    return _catalogue


def working_directory() -> str:
    """Return the current directory by the name the shell knows it (``$PWD``), when that is true."""
    here = os.getcwd()
    named = os.environ.get("PWD", "")
    try:
        same = bool(named) and os.path.samestat(os.stat(named), os.stat(here))
    except OSError:
        return here
    return named if same else here
