"""Logging configurations of the user (settings ``logconfig_dict``, ``logconfig_json``, ``logconfig``).

Owns: what they are laid over, how they are applied, what is said of one that is wrong.
Must not know: the handlers that the server makes itself.

Imported when one of the settings is there: ``logging.config`` is much to carry for those who have none.
"""

from __future__ import annotations

import copy
import logging.config
import os
import traceback
from typing import Any, Callable, Dict

from server_core.errors import ConfigError
from server_core.log.setup import DATE_FORMAT, ERROR_FORMAT

CONFIG_DEFAULTS: Dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "root": {"level": "INFO", "handlers": ["console"]},
    "loggers": {
        "gunicorn.error": {
            "level": "INFO", "handlers": ["error_console"], "propagate": True, "qualname": "gunicorn.error",
        },
        "gunicorn.access": {
            "level": "INFO", "handlers": ["console"], "propagate": True, "qualname": "gunicorn.access",
        },
    },
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": "generic", "stream": "ext://sys.stdout"},
        "error_console": {"class": "logging.StreamHandler", "formatter": "generic", "stream": "ext://sys.stderr"},
    },
    "formatters": {
        "generic": {"format": ERROR_FORMAT, "datefmt": DATE_FORMAT, "class": "logging.Formatter"},
    },
}  # fmt: skip


def apply(cfg: Any) -> None:
    """Apply the one of the settings that is set; of several the first, in the order of ``_APPLIED_BY``.

    Raises:
        ConfigError: it is no logging configuration, or its file cannot be read.
    """
    name, use = next(item for item in _APPLIED_BY.items() if getattr(cfg, item[0]))
    try:
        use(getattr(cfg, name))
    except ConfigError:
        raise
    except Exception as error:  # whatever logging.config and the classes it makes raise
        cause = error.__cause__ or error
        failure = ConfigError(f"{name}: expected a logging configuration: {error}: {cause} (from {cfg.source(name)})")
        if isinstance(cause, (KeyError, ValueError)):
            raise failure from None
        failure.traceback = traceback.format_exc()
        raise failure from error


def _apply_dict(config: Dict[str, Any]) -> None:
    logging.config.dictConfig(merged(config))


def _apply_json(path: str) -> None:
    logging.config.dictConfig(merged(_read_json(path)))


def _apply_ini(path: str) -> None:
    defaults = dict(CONFIG_DEFAULTS, __file__=os.path.abspath(path), here=os.path.dirname(os.path.abspath(path)))
    logging.config.fileConfig(path, defaults=defaults, disable_existing_loggers=False)


_APPLIED_BY: Dict[str, Callable[[Any], None]] = {
    "logconfig_dict": _apply_dict,
    "logconfig_json": _apply_json,
    "logconfig": _apply_ini,
}


def merged(config: Dict[str, Any]) -> Dict[str, Any]:
    """Return a ``dictConfig`` over ``CONFIG_DEFAULTS``, key by key of the first level, as gunicorn does.

    Default handlers and formatters stay beside those of ``config``: the default root logger names them.
    """
    result = copy.deepcopy(CONFIG_DEFAULTS)
    result.update(config)
    for key in ("handlers", "formatters"):
        result[key] = {**CONFIG_DEFAULTS[key], **config.get(key, {})}
    return result


def _read_json(path: str) -> Dict[str, Any]:
    import json

    try:
        with open(path, encoding="utf-8") as file:
            loaded = json.load(file)
    except OSError as error:
        raise ConfigError(f"logconfig_json: expected a file that can be read, got {path!r}: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(f"logconfig_json: expected JSON in {path!r}: {error}") from None
    if not isinstance(loaded, dict):
        raise ConfigError(f"logconfig_json: expected a JSON object in {path!r}, got {type(loaded).__name__}")
    return loaded
