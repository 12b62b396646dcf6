"""From ``MODULE:ATTRIBUTE`` to the application object.

Owns: the three forms of an application's name, and the errors that say which part is wrong.
Must not know: settings, workers, what the application is used for.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any, Dict, List, NoReturn, Optional, Set, Tuple

from server_core.errors import AppImportError

if TYPE_CHECKING:
    import ast

CO_VARARGS, CO_COROUTINE = 0x04, 0x80  # of ``inspect``
DEFAULT_ATTRIBUTE = "application"
_OUR_DIRECTORY = os.path.dirname(os.path.abspath(__file__))
MOST_SHOWN = 8  # names of a module in an error
_CUSTOMARY = ("application", "app", "api", "asgi", "wsgi", "create_app", "make_app")


def load(target: str) -> Any:
    """Return the application ``target`` names.

    Args:
        target: ``module`` (its ``application``), ``module:attr``, ``module:attr.attr`` or
            ``module:factory('literal', k=1)``.

    Raises:
        AppImportError: with a hint, and with the user's traceback only where their code failed.
    """
    module_name, _, expression = target.partition(":")
    attributes, call = _parse(target, expression.strip() or DEFAULT_ATTRIBUTE)
    module = _import(module_name.strip(), target)
    found = _attribute(module, attributes, target)
    if call is not None:
        found = _called(found, call, target)
    return _checked(found, target, was_called=call is not None)


Call = Tuple[List[Any], Dict[str, Any]]


def _parse(target: str, expression: str) -> Tuple[List[str], Optional[Call]]:
    """Return the attribute names and, for a factory, its literal arguments."""
    names = expression.split(".")
    if all(name.isidentifier() for name in names):
        return names, None
    import ast

    try:
        node = ast.parse(expression, mode="eval").body
        if isinstance(node, ast.Call):
            return _names(node.func), _literals(node)
        return _names(node), None
    except SyntaxError:
        expects = "an attribute name or a call"
    except ValueError:
        expects = "an attribute name, or a call with literal arguments only"
    raise AppImportError(f"application {target!r}: expected {expects} after ':', got {expression!r}")


def _literals(node: ast.Call) -> Call:
    """Return the arguments of a call; raises ValueError when one is not a literal."""
    import ast

    if any(key.arg is None for key in node.keywords):
        raise ValueError("** is not a literal")
    keywords = {str(key.arg): ast.literal_eval(key.value) for key in node.keywords}
    return [ast.literal_eval(argument) for argument in node.args], keywords


def _names(node: ast.expr) -> List[str]:
    import ast

    if isinstance(node, ast.Name):
        return [node.id]
    if isinstance(node, ast.Attribute):
        return [*_names(node.value), node.attr]
    raise ValueError(ast.dump(node))


def _import(name: str, target: str) -> Any:
    _refuse_file_name(name, target)
    try:
        importlib.import_module(name)
        return sys.modules[name]
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            _missing_module(name, error.name, target)
        _user_error(f"application {target!r}: {name} needs a module that is not there: {error}", error)
    except Exception as error:  # whatever the user's module raises is reported with its traceback
        _user_error(f"application {target!r}: importing {name} failed: {_summary(error)}", error)
    except SystemExit as error:
        _user_error(f"application {target!r}: importing {name} called sys.exit({error.code!r})", error)


def _refuse_file_name(name: str, target: str) -> None:
    """Refuse paths, the commonest mistake, with the module name that was meant."""
    if not (name.endswith(".py") or "/" in name or not name):
        return
    meant = name[:-3] if name.endswith(".py") else name
    meant = meant.strip("./").replace("/", ".")
    attribute = target.partition(":")[2]
    hint = f"; did you mean {meant + (':' + attribute if attribute else '')!r}?" if meant else ""
    raise AppImportError(f"application {target!r}: expected the name of a module, got {name!r}{hint}")


def _missing_module(name: str, missing: str, target: str) -> NoReturn:
    where = os.getcwd()
    hint = f" (looked in {where} and the installed packages; --chdir or --pythonpath add a directory)"
    wanted = "" if missing == name else f", wanted for {name!r}"
    raise AppImportError(f"application {target!r}: no module named {missing!r}{wanted}{hint}") from None


def _attribute(module: Any, names: List[str], target: str) -> Any:
    found, path = module, module.__name__
    for name in names:
        try:
            found = getattr(found, name)
        except AttributeError as error:
            if error.__traceback__ is not None and error.__traceback__.tb_next is not None:
                _user_error(f"application {target!r}: {path}.{name} failed: {_summary(error)}", error)
            raise AppImportError(f"application {target!r}: {path} has no {name!r}{_candidates(module, name)}") from None
        path = f"{path}.{name}"
    return found


def _candidates(module: Any, wanted: str) -> str:
    """Return a hint at what the module has that could be an application, and which of it was probably meant."""
    there = [name for name in vars(module) if _could_serve(module, name)]
    if not there:
        return f"; {module.__name__} offers nothing that can be called"
    import difflib

    close = difflib.get_close_matches(wanted, there, 1)
    meant = [*close, *(name for name in _CUSTOMARY if name in there)]
    hint = f"; did you mean {module.__name__ + ':' + meant[0] + _parentheses(meant[0])!r}?" if meant else ""
    shown = [name + _parentheses(name) for name in there[:MOST_SHOWN]]
    more = f" and {len(there) - MOST_SHOWN} more" if len(there) > MOST_SHOWN else ""
    return f"{hint}{'' if hint else ';'} {module.__name__} offers {', '.join(shown)}{more}"


def _could_serve(module: Any, name: str) -> bool:
    """Whether an attribute is an application or a factory, by its look: called by the module's own name for it."""
    import inspect

    value = getattr(module, name, None)
    if name.startswith("_") or not callable(value):
        return False
    if inspect.isroutine(value) or inspect.isclass(value):  # those that were imported are not meant
        return bool(getattr(value, "__module__", None) == module.__name__)
    return True


def _parentheses(name: str) -> str:
    return "()" if name.startswith(("create", "make", "get_")) else ""


def _called(factory: Any, call: Call, target: str) -> Any:
    arguments, keywords = call
    if not callable(factory):
        raise AppImportError(f"application {target!r}: expected a factory that can be called, got {factory!r}")
    import inspect

    try:
        inspect.signature(factory).bind(*arguments, **keywords)
    except TypeError as error:
        raise AppImportError(f"application {target!r}: the factory does not take these arguments: {error}") from None
    except ValueError:
        pass  # a built-in without a signature: the call itself will say
    try:
        return factory(*arguments, **keywords)
    except Exception as error:  # as for importing
        _user_error(f"application {target!r}: the factory failed: {_summary(error)}", error)


def _checked(found: Any, target: str, was_called: bool) -> Any:
    if found is None or not callable(found):
        what = "the factory to return an application" if was_called else "an application that can be called"
        raise AppImportError(f"application {target!r}: expected {what}, got {found!r}")
    if isinstance(found, FunctionType) and not was_called and not _takes_a_request(found):
        import inspect

        raise AppImportError(
            f"application {target!r}: expected a callable with the arguments of WSGI or ASGI, got {found.__name__}"
            f"{inspect.signature(found)}; to call it as a factory write {target + '()'!r}"
        )
    return found


def _takes_a_request(function: Any) -> bool:
    """Whether a function could be called as WSGI (2), ASGI (3) or the old ASGI 2 (1)."""
    return any(_takes(function, count) for count in (2, 3, 1))


def _takes(called: Any, count: int) -> bool:
    """Whether ``called`` can be called with ``count`` arguments; False when that cannot be known.

    Plain functions and methods are looked at here, because the import of ``inspect`` costs every worker more than all
    other checks together.
    """
    function = getattr(called, "__func__", called)
    if isinstance(function, FunctionType) and not function.__dict__:  # where decorators say what they stand for
        code = function.__code__
        most = code.co_argcount - (function is not called)
        least = most - len(function.__defaults__ or ())
        named = code.co_kwonlyargcount > len(function.__kwdefaults__ or ())
        return not named and least <= count and (count <= most or bool(code.co_flags & CO_VARARGS))
    import inspect

    try:
        inspect.signature(called).bind(*[None] * count)
    except (TypeError, ValueError):
        return False
    return True


def _is_coroutine_function(called: Any) -> bool:
    function = getattr(called, "__func__", called)
    if isinstance(function, FunctionType) and not function.__dict__:
        return bool(function.__code__.co_flags & CO_COROUTINE)
    import inspect

    return bool(inspect.iscoroutinefunction(called))


def interface(application: Any) -> str:
    """Return ``"asgi"`` or ``"wsgi"`` when the application is certainly of that kind, else ``""``."""
    if isinstance(application, type):
        return ""
    plain = isinstance(application, (FunctionType, MethodType))
    called = application if plain else getattr(application, "__call__", application)  # noqa: B004
    if _is_coroutine_function(application if plain else called):
        return "asgi"
    return "wsgi" if _takes(called, 2) and not _takes(called, 3) else ""


def _user_error(message: str, error: BaseException) -> NoReturn:
    raise AppImportError(message, user_traceback(error)) from error


def _summary(error: BaseException) -> str:
    return "".join(traceback.format_exception_only(type(error), error)).strip().splitlines()[-1]


def user_traceback(error: BaseException) -> str:
    """Return the formatted traceback of ``error`` without the frames of this server and of importlib
    above the user's own code."""
    frame = error.__traceback__
    while frame is not None and _is_ours(frame.tb_frame.f_code.co_filename):
        frame = frame.tb_next
    return "".join(traceback.format_exception(type(error), error, frame))


def files_of(error: BaseException) -> Set[str]:
    """Return the user's source files that an error of ``load`` came from: saving one may mend it."""
    found = set()
    cause: Optional[BaseException] = error.__cause__
    while cause is not None:
        if isinstance(cause, SyntaxError) and cause.filename:
            found.add(os.path.abspath(cause.filename))
        for frame, _ in traceback.walk_tb(cause.__traceback__):
            if not _is_ours(frame.f_code.co_filename):
                found.add(os.path.abspath(frame.f_code.co_filename))
        cause = cause.__cause__ or cause.__context__
    return found


def _is_ours(filename: str) -> bool:
    return filename.startswith((_OUR_DIRECTORY + os.sep, "<frozen importlib", importlib.__path__[0]))
