"""What a caller of a dirty application can meet.

Owns: the error classes, and how they travel as plain dictionaries.
Must not know: sockets, processes.

The names and attributes are those gunicorn users catch. An error that the application raised
arrives as ``DirtyAppError`` and, where the class is known on this side, as that class too: both
``except DirtyAppError`` and ``except ValueError`` work.
"""

from __future__ import annotations

import builtins
import sys
from functools import lru_cache
from typing import Any, Dict, Optional, Type, TypeVar

TEXT_MAX = 1 << 20
"""Characters of an error's message, and of its traceback, that travel."""


class DirtyError(Exception):
    """Base of every error of a dirty call.

    Args:
        message: one line for people.
        details: plain values for programs; they travel with the error.
    """

    def __init__(self, message: str, details: Optional[Dict[str, Any]] = None) -> None:
        Exception.__init__(self, message)
        self.message = message
        self.details: Dict[str, Any] = dict(details or {})

    def __str__(self) -> str:
        return str(self.message)  # an application may have given any object

    def to_dict(self) -> Dict[str, Any]:
        """Return the error as plain values; ``from_dict`` is the way back."""
        # An error of an application is of a class made for it (``application_error``) when it passes through.
        kind = "DirtyAppError" if isinstance(self, DirtyAppError) else type(self).__name__
        return {"error_type": kind, "message": self.message, "details": self.details}

    @staticmethod
    def from_dict(data: Dict[str, Any]) -> DirtyError:
        """Return the error that ``to_dict`` described; an unknown type becomes ``DirtyError``."""
        details = dict(data.get("details") or {})
        message = str(data.get("message", ""))
        if data.get("error_type") == "DirtyAppError":
            return application_error(message, details)
        cls = _KNOWN.get(str(data.get("error_type")), DirtyError)
        return cls(message, details)


class _Detail:
    """An attribute that reads one of the error's details; None where it is not known."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, error: Optional[DirtyError], owner: Any = None) -> Any:
        return None if error is None else error.details.get(self._name)


class DirtyTimeoutError(DirtyError, TimeoutError):
    """No answer in time. ``timeout`` is the limit in seconds."""

    timeout = _Detail("timeout")


class DirtyConnectionError(DirtyError, ConnectionError):
    """The pool cannot be reached. ``socket_path`` says where it was looked for."""

    socket_path = _Detail("socket_path")


class DirtyBusyError(DirtyError):
    """The queue of the application ``app_path`` is full; the call was not taken. Try again later."""

    app_path = _Detail("app_path")


class DirtyWorkerError(DirtyError):
    """The worker ``worker_id`` (a process id, where it is known) ended before it answered."""

    worker_id = _Detail("worker_id")
    traceback = _Detail("traceback")


class DirtyAppError(DirtyError):
    """The application ``app_path`` raised in ``action``.

    ``error_class`` names its exception as ``module.QualifiedName``, ``traceback`` is the worker's, as text.
    """

    app_path = _Detail("app_path")
    action = _Detail("action")
    error_class = _Detail("error_class")
    traceback = _Detail("traceback")


class DirtyAppNotFoundError(DirtyError, LookupError):
    """No application ``app_path`` is served."""

    app_path = _Detail("app_path")


class DirtyNoWorkersAvailableError(DirtyError):
    """The application ``app_path`` is known and nobody listens for its calls."""

    app_path = _Detail("app_path")


class DirtyProtocolError(DirtyError):
    """The other side sent what is not a frame of this protocol, or a value cannot travel."""


_KNOWN: Dict[str, Type[DirtyError]] = {}

Known = TypeVar("Known", bound=Type[DirtyError])


def register(cls: Known) -> Known:
    """Let errors of ``cls`` arrive as what they are; a class decorator."""
    _KNOWN[cls.__name__] = cls
    return cls


for _cls in (
    DirtyError, DirtyTimeoutError, DirtyConnectionError, DirtyBusyError, DirtyWorkerError, DirtyAppNotFoundError,
    DirtyNoWorkersAvailableError, DirtyProtocolError,
):  # fmt: skip
    register(_cls)


def describe(error: BaseException, app_path: str, action: str, traceback: str) -> Dict[str, Any]:
    """Return what a caller is told of an exception that an application raised.

    Args:
        error: the exception.
        app_path: the application, ``"module:Class"``.
        action: the action that was called.
        traceback: the formatted traceback.
    """
    message = _travelling(_text(error))
    if isinstance(error, DirtyError):
        return {**error.to_dict(), "message": message}
    cls = type(error)
    details = {
        "app_path": app_path,
        "action": action,
        "error_class": f"{cls.__module__}.{cls.__qualname__}",
        "traceback": _travelling(traceback),
    }
    return {"error_type": "DirtyAppError", "message": message, "details": details}


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as failure:  # the application's own ``__str__`` may raise anything
        return f"(no text: its __str__ raised {type(failure).__name__})"


def _travelling(text: str) -> str:
    """Return ``text`` as it can be sent: of bounded length, lone surrogates (of file names) escaped."""
    return text[:TEXT_MAX].encode("utf-8", "backslashreplace").decode("utf-8")


def application_error(message: str, details: Dict[str, Any]) -> DirtyAppError:
    """Return a ``DirtyAppError`` that also is an instance of the class the application raised."""
    cls = _combined(_find_class(str(details.get("error_class", ""))))  # type: ignore[arg-type]  # classes are hashable
    try:
        return cls(message, details)
    except Exception:  # a class that is not made of a text (ExceptionGroup); the details have its name
        return DirtyAppError(message, details)


def _find_class(path: str) -> Optional[Type[Exception]]:
    """Look ``module.Name`` up among the modules that are already imported: an error never imports."""
    module_name, _, name = path.rpartition(".")
    module = builtins if module_name == "builtins" else sys.modules.get(module_name)
    found = getattr(module, name, None)
    if isinstance(found, type) and issubclass(found, Exception) and not issubclass(found, DirtyError):
        return found
    return None


@lru_cache(maxsize=256)
def _combined(cls: Optional[Type[Exception]]) -> Type[DirtyAppError]:
    """Return a class that is both ``DirtyAppError`` and ``cls``, or ``DirtyAppError`` alone."""
    if cls is None or cls is Exception:
        return DirtyAppError
    try:
        return type(cls.__name__, (DirtyAppError, cls), {"__module__": __name__})
    except TypeError:  # a class of another memory layout, or one that forbids subclasses
        return DirtyAppError
