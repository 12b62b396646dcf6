"""Where settings come from: TOML files, Python files, variables with arguments, command lines.

Owns: finding and reading these, their precedence, and what an unknown name in each leads to.
Must not know: what a setting means. Whoever calls gives the directory to look in.

From the weakest to the strongest: defaults and single variables (``PORT`` ...), ``[tool.server]`` of
pyproject.toml or server.toml, server.conf.py or else gunicorn.conf.py, ``SERVER_CMD_ARGS`` or else
``GUNICORN_CMD_ARGS``, the command line. ``-c FILE`` stands in for all files.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import shlex
import sys
import types
from typing import Any, Dict, List, Mapping, Optional, Tuple

from server_core import compat
from server_core.apploader import user_traceback
from server_core.errors import ConfigError
from server_core.settings import commandline
from server_core.settings.declare import Values

PYTHON_FILES = ("server.conf.py", "gunicorn.conf.py")
ARGUMENT_VARIABLES = ("SERVER_CMD_ARGS", "GUNICORN_CMD_ARGS")
COMMAND_LINE = "command line"
_NO_PYTHON = (".yaml", ".yml", ".json", ".ini", ".cfg")  # what may well be Python to the letter, and set nothing


def read_default_files(cfg: Values, directory: str) -> List[str]:
    """Apply the config files of ``directory``; returns the names of those that were read."""
    read = []
    toml = find_toml(cfg, directory)
    if toml is not None:
        apply_table(cfg, *toml)
        read.append(toml[1])
    for name in PYTHON_FILES:
        path = os.path.join(directory, name)
        if os.path.isfile(path):
            read_python_file(cfg, path, name)
            read.append(name)
            break
    return read


def read_named_file(cfg: Values, location: str, directory: str) -> None:
    """Apply the file or module that ``-c`` names: PATH, file:PATH or python:MODULE."""
    if location.startswith("python:"):
        read_python_module(cfg, location[len("python:") :])
        return
    path = _existing(location, directory)
    name = location[len("file:") :] if location.startswith("file:") else location
    if name.endswith(".toml"):
        table = read_toml(path, name)
        apply_table(cfg, table.get("tool", {}).get("server", table), name)
    else:
        if name.endswith(_NO_PYTHON):
            cfg.warn(f"config file {name}: read as Python; expected a name that ends in .py, or in .toml for TOML")
        read_python_file(cfg, path, name)


def _existing(location: str, directory: str) -> str:
    """Return the path of PATH or file:PATH; raises ConfigError when there is no such file."""
    name = location[len("file:") :] if location.startswith("file:") else location
    path = os.path.join(directory, name)
    if not os.path.isfile(path):
        what = "is a directory" if os.path.isdir(path) else "is not there"
        raise ConfigError(f"config: expected a file, got {name!r}, which {what} (in {directory})")
    return path


# --- TOML ---------------------------------------------------------------------------------------


def find_toml(cfg: Values, directory: str) -> Optional[Tuple[Dict[str, Any], str]]:
    """Return the table of server.toml, or else of ``[tool.server]`` in pyproject.toml, and its name."""
    own = os.path.join(directory, "server.toml")
    project = os.path.join(directory, "pyproject.toml")
    table = None
    if os.path.isfile(project) and _mentions_us(project):
        table = read_toml(project, "pyproject.toml").get("tool", {}).get("server")
    if os.path.isfile(own):
        if table is not None:
            cfg.warn("pyproject.toml: [tool.server] is not read, because server.toml is there")
        return read_toml(own, "server.toml"), "server.toml"
    return None if table is None else (table, "pyproject.toml [tool.server]")


def _mentions_us(path: str) -> bool:
    """Whether a pyproject.toml has a table of ours: most have not, and need no TOML reader."""
    with open(path, encoding="utf-8", errors="replace") as file:
        return "tool.server" in file.read()


def read_toml(path: str, name: str) -> Dict[str, Any]:
    """Return the content of a TOML file; raises ConfigError."""
    reader = _toml_reader(name)
    try:
        with open(path, "rb") as file:
            return dict(reader.load(file))
    except OSError as error:
        raise ConfigError(f"config file {name}: expected a file that can be read: {error.strerror}") from None
    except (reader.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"config file {name}: expected TOML: {error}") from None


def _toml_reader(name: str) -> Any:
    """Return ``tomllib``, or ``tomli`` before Python 3.11, where it must be installed."""
    for module in ("tomllib", "tomli"):
        if importlib.util.find_spec(module) is not None:
            return importlib.import_module(module)
    version = ".".join(map(str, sys.version_info[:2]))
    raise ConfigError(
        f"config file {name}: expected Python 3.11 or the package tomli to read TOML, got Python {version} without "
        "it: pip install tomli"
    )


def apply_table(cfg: Values, table: Any, name: str) -> None:
    """Set every key of a TOML table; dashes in keys count as underscores."""
    if not isinstance(table, dict):
        raise ConfigError(f"config file {name}: expected a table, got {table!r}")
    for key, value in table.items():
        cfg.set(key.replace("-", "_"), value, name)


# --- Python ---------------------------------------------------------------------------------------


def read_python_file(cfg: Values, path: str, name: str) -> None:
    """Run a Python config file and set every global whose name is a setting."""
    apply_module(cfg, _globals_of_file(path, name), name)


def read_python_module(cfg: Values, name: str) -> None:
    """Import a module and set every global whose name is a setting."""
    apply_module(cfg, _globals_of_module(name), name)


def globals_of(location: str, directory: str) -> Mapping[str, Any]:
    """Return the globals of the Python file or module that ``-c`` would name, without setting anything.

    Raises:
        ConfigError: it is not there, or raises.
    """
    if location.startswith("python:"):
        return _globals_of_module(location[len("python:") :])
    return _globals_of_file(_existing(location, directory), location)


def _globals_of_file(path: str, name: str) -> Mapping[str, Any]:
    loader = compat.ConfigLoader("__config__", path)
    spec = importlib.util.spec_from_loader("__config__", loader)
    assert spec is not None, path  # noqa: S101  # a loader was given
    module = importlib.util.module_from_spec(spec)
    sys.modules["__config__"] = module
    _run(lambda: loader.exec_module(module), name)
    return vars(module)


def _globals_of_module(name: str) -> Mapping[str, Any]:
    sys.modules.pop(name, None)  # a reload reads it afresh
    _run(lambda: importlib.import_module(name), name)
    return dict(vars(sys.modules[name]))


def _run(execute: Any, name: str) -> None:
    """Run the user's code with gunicorn's import paths at hand; raises ConfigError with a traceback."""
    try:
        with compat.gunicorn_imports():
            execute()
    except OSError as error:
        if error.filename and os.path.basename(str(error.filename)) == os.path.basename(name):
            raise ConfigError(f"config file {name}: expected a file that can be read: {error.strerror}") from None
        _fail(name, error)
    except (Exception, SystemExit) as error:  # whatever the user's file raises is reported with its traceback
        _fail(name, error)


def _fail(name: str, error: BaseException) -> None:
    failure = ConfigError(f"config file {name}: {type(error).__name__}: {error}")
    failure.traceback = user_traceback(error)
    raise failure from error


def apply_module(cfg: Values, names: Mapping[str, Any], name: str) -> None:
    """Set the settings among a module's globals and report names that look like a mistake.

    Raises:
        ConfigError: a value is wrong; or, in a file that was written for this server, a name is.
    """
    for key, value in names.items():
        setting = None if key.startswith("__") else cfg.catalogue.find(key)
        if setting is not None and not isinstance(value, types.ModuleType):
            cfg.set(setting.name, value, name)
        elif key in cfg.catalogue.missing and not isinstance(value, types.ModuleType):
            cfg.warn(cfg.catalogue.unknown(key, name))
        else:
            _report_mistake(cfg, key, names, name)


def _report_mistake(cfg: Values, key: str, names: Mapping[str, Any], name: str) -> None:
    """Report a global whose name is nearly a setting's; others are the file's own business."""
    value = names[key]
    if key.startswith("_") or key.isupper() or isinstance(value, (types.ModuleType, type)):
        return
    if getattr(value, "__module__", "__config__") not in ("__config__", name) and callable(value):
        return  # a function that was imported
    import difflib

    near = difflib.get_close_matches(key, list(cfg.catalogue.by_name), 1, 0.85)
    if not near or key.startswith(near[0] + "_") or key.endswith("_" + near[0]):
        return
    if near[0] in names:
        return  # a helper variable: the setting that is nearly called so is set, too
    message = cfg.catalogue.unknown(key, name)
    if os.path.basename(name).startswith("server"):
        raise ConfigError(f"{message}; a name of your own may begin with an underscore")
    cfg.warn(message)


# --- arguments ------------------------------------------------------------------------------------


def arguments_of_environment(cfg: Values, environ: Mapping[str, str]) -> Tuple[Dict[str, Any], str]:
    """Return what ``SERVER_CMD_ARGS`` (or else ``GUNICORN_CMD_ARGS``) sets, and the variable's name."""
    present = [name for name in ARGUMENT_VARIABLES if environ.get(name, "").strip()]
    if not present:
        return {}, ""
    name = present[0]
    if len(present) > 1:
        cfg.warn(f"{present[1]}: not read, because {name} is set")
    try:
        words = shlex.split(environ[name])
    except ValueError as error:
        raise ConfigError(f"{name}: expected arguments as in a shell, got {environ[name]!r}: {error}") from None
    values, positional = commandline.parse(cfg.catalogue, words, name)
    if positional:
        raise ConfigError(f"{name}: expected options only, got {positional[0]!r}")
    return values, name
