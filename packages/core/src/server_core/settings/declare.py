"""The settings engine: what a setting is, and values of settings with their sources.

Owns: ``Setting``, ``Group``, ``Catalogue`` (all known settings) and ``Values`` of them.
Must not know: which settings exist, files, command lines, and the process environment beyond the
mapping it is given.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterable, Iterator, Mapping, Optional, Sequence, Tuple

from server_core.errors import ConfigError
from server_core.settings.references import Hook
from server_core.settings.values import Boolean, Kind, Unacceptable

DEFAULT = "default"


class Computed:
    """A default that depends on the process; ``text`` is what the reference prints for it."""

    __slots__ = ("function", "text")

    def __init__(self, text: str, function: Callable[[], Any]) -> None:
        self.text = text
        self.function = function

    def __repr__(self) -> str:
        return self.text


class Setting:
    """One declaration, from which the flag, the config key and all else are derived.

    Args:
        name: the key in a config file; ``--name-with-dashes`` is always a flag of it.
        kind: what values it takes.
        default: its value when nobody sets it; may be ``Computed``.
        help: one or two sentences; the first line is shown by ``--help``.
        flags: further flags beside the derived one; a boolean also has ``--no-name``.
        env: an environment variable that gives the default, for example ``WEB_CONCURRENCY``.
        env_format: how the variable's text becomes a value, ``"{}"`` as it is.
        aliases: further keys for config files.
        const: the value of the flag when it is given bare.
        cli: False when there is no flag at all.
        inert: why the setting has no effect; a warning says so when it is set.
    """

    def __init__(
        self,
        name: str,
        kind: Kind,
        default: Any,
        help: str,  # noqa: A002  # the word that argparse uses for it
        *flags: str,
        env: str = "",
        env_format: str = "{}",
        aliases: Sequence[str] = (),
        const: Any = None,
        cli: bool = True,
        inert: str = "",
    ) -> None:
        self.name = name
        self.kind = kind
        self.default = default
        self.help = help
        self.env = env
        self.env_format = env_format
        self.aliases = tuple(aliases)
        self.const = const
        self.inert = inert
        self.section = ""
        self.flags = self._all_flags(flags) if cli else ()

    def _all_flags(self, extra: Tuple[str, ...]) -> Tuple[str, ...]:
        derived = "--" + self.name.replace("_", "-")
        return (*(flag for flag in extra if flag != derived), derived)

    @property
    def negative_flag(self) -> str:
        """The flag that sets a boolean to false, or ``""``."""
        return "--no-" + self.name.replace("_", "-") if isinstance(self.kind, Boolean) and self.flags else ""

    @property
    def is_hook(self) -> bool:
        """Whether the setting is a function called at an occasion."""
        return isinstance(self.kind, Hook)

    def parse(self, value: Any, source: str) -> Any:
        """Return ``value`` converted and checked; raises ConfigError naming ``source``."""
        unset = self.default is None or isinstance(self.default, Computed)
        if value is None and unset and not self.kind.none_allowed:
            return self.initial()
        try:
            return self.kind.parse(value)
        except Unacceptable as error:
            expects = error.detail or self.kind.expects
            raise ConfigError(f"{self.name}: expected {expects}, got {value!r} (from {source})") from None

    def initial(self) -> Any:
        """Return the default, computed now where it depends on the process."""
        value = self.default.function() if isinstance(self.default, Computed) else self.default
        return value.copy() if isinstance(value, (list, dict)) else value


class Group:
    """The settings of one section, as a package's ``server.settings`` entry point lists them.

    Args:
        section: the heading in ``--help`` and the reference.
        settings: the declarations.
        note: a sentence below the heading.
    """

    def __init__(self, section: str, settings: Sequence[Setting], note: str = "") -> None:
        self.section = section
        self.settings = tuple(settings)
        self.note = note
        for setting in self.settings:
            setting.section = section


class Catalogue:
    """All known settings, by name and alias.

    Args:
        groups: in the order of the reference.
        missing: for a setting of a package that is not installed, what to install; looked up only, never listed.
    """

    def __init__(self, groups: Iterable[Group], missing: Optional[Mapping[str, str]] = None) -> None:
        self.groups = tuple(groups)
        self.missing = {} if missing is None else missing
        self.by_name: Dict[str, Setting] = {}
        self._aliases: Dict[str, str] = {}
        for group in self.groups:
            for setting in group.settings:
                if setting.name in self.by_name:
                    raise ConfigError(f"setting {setting.name!r}: declared twice (in {group.section!r})")
                self.by_name[setting.name] = setting
                self._aliases.update(dict.fromkeys(setting.aliases, setting.name))

    def __iter__(self) -> Iterator[Setting]:
        return iter(self.by_name.values())

    def find(self, name: str) -> Optional[Setting]:
        """Return the setting called ``name`` or aliased so, in any case, or None."""
        for key in (name, name.lower()):
            setting = self.by_name.get(self._aliases.get(key, key))
            if setting is not None:
                return setting
        return None

    def get(self, name: str, source: str = "") -> Setting:
        """Return the setting called ``name``; raises ConfigError with a hint."""
        setting = self.find(name)
        if setting is None:
            raise ConfigError(self.unknown(name, source))
        return setting

    def unknown(self, name: str, source: str) -> str:
        """Return the message for a name that is no setting here."""
        where = f" (from {source})" if source else ""
        if name in self.missing:
            return f"{name}: the setting is not installed: {self.missing[name]}{where}"
        import difflib

        close = difflib.get_close_matches(name.lower(), [*self.by_name, *self._aliases], 1, 0.7)
        hint = f", did you mean {close[0]!r}?" if close else ""
        return f"{name}: expected the name of a setting{hint}{where}"


class Values:
    """Values of all settings of a catalogue, read as attributes (``cfg.workers``).

    Raises ConfigError for a value that its setting does not take, AttributeError with a hint for a
    name that is none.
    """

    def __init__(self, catalogue: Catalogue, environ: Optional[Mapping[str, str]] = None) -> None:
        self.__dict__.update(catalogue=catalogue, warnings=[], _values={}, _sources={})
        for setting in catalogue:
            self._values[setting.name] = setting.initial()
            self._sources[setting.name] = DEFAULT
            text = (environ or {}).get(setting.env) if setting.env else None
            if text:
                self.set(setting.name, setting.env_format.format(text), f"environment {setting.env}")

    catalogue: Catalogue
    warnings: list[str]
    _values: Dict[str, Any]
    _sources: Dict[str, str]

    def set(self, name: str, value: Any, source: str = "code") -> None:
        """Set ``name`` (or an alias of it) to ``value``; raises ConfigError."""
        setting = self.catalogue.get(name, source)
        self._values[setting.name] = setting.parse(value, source)
        self._sources[setting.name] = source
        if setting.inert:
            self.warn(f"{setting.name}: {setting.inert} (from {source})")

    def warn(self, message: str) -> None:
        """Keep a warning for the log, which does not exist yet while settings are read."""
        if message not in self.warnings:
            self.warnings.append(message)

    def update(self, values: Mapping[str, Any], source: str) -> None:
        """Set several names at once, as ``set`` does."""
        for name, value in values.items():
            self.set(name, value, source)

    def get(self, name: str, default: Any = None) -> Any:
        """Return the value of ``name``, or ``default`` when its package is not installed."""
        return self._values.get(name, default)

    def source(self, name: str) -> str:
        """Return where the value of ``name`` came from, ``"default"`` when nobody set it."""
        return self._sources[self.catalogue.get(name).name]

    def is_set(self, name: str) -> bool:
        """Whether anybody set ``name``."""
        return self._sources.get(name, DEFAULT) != DEFAULT

    def hook(self, name: str) -> Optional[Callable[..., Any]]:
        """Return the hook ``name`` when somebody set it, so that hot paths skip the others."""
        function: Callable[..., Any] = self._values[name]
        return function if self.is_set(name) else None

    def copy(self) -> Values:
        """Return settings of the same values, independent of these."""
        twin = type(self).__new__(type(self))
        twin.__dict__.update(
            catalogue=self.catalogue,
            warnings=list(self.warnings),
            _values=dict(self._values),
            _sources=dict(self._sources),
        )
        return twin

    def items(self) -> Iterator[Tuple[Setting, Any, str]]:
        """Yield each setting with its value and source, in the order of the catalogue."""
        for setting in self.catalogue:
            yield setting, self._values[setting.name], self._sources[setting.name]

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["_values"][name]
        except KeyError:
            pass
        if name.startswith("__"):
            raise AttributeError(name)
        setting = self.catalogue.find(name)
        if setting is None:
            raise AttributeError(self.catalogue.unknown(name, "an attribute of the settings"))
        return self._values[setting.name]

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{name}: settings are changed by set(name, value)")
