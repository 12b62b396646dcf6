"""Names of applications: what is loaded, and what is said when it is not."""

from __future__ import annotations

import sys
import textwrap

import pytest

from server_core import apploader
from server_core.errors import EXIT_APP_LOAD, AppImportError


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write modules of an application and forget them afterwards."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)

    def write(source, name="demo"):
        path = tmp_path / (name.replace(".", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source))
        return path

    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]


APP = "def application(environ, start_response): return []\n"


def test_a_module_alone_means_its_application(module):
    module(APP)
    assert apploader.load("demo").__name__ == "application"


@pytest.mark.parametrize("target", ["demo:holder.inner", " demo : holder.inner "])
def test_attributes_of_attributes_are_found(module, target):
    module("class holder:\n    def inner(environ, start_response): pass\n")
    assert apploader.load(target).__name__ == "inner"


def test_a_submodule_is_imported(module):
    module("", "pkg.__init__")
    module(APP, "pkg.wsgi")
    assert apploader.load("pkg.wsgi").__name__ == "application"


def test_a_factory_is_called_with_literals(module):
    module("def make(name, k=0, extra=()):\n    return lambda e, s: (name, k, extra)\n")
    assert apploader.load("demo:make('a', k=1, extra=[1, {'x': None}])")(1, 2) == ("a", 1, [1, {"x": None}])


def fails(target):
    with pytest.raises(AppImportError) as caught:
        apploader.load(target)
    assert caught.value.exit_status == EXIT_APP_LOAD
    return caught.value


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("demo:make(open('x'))", "expected an attribute name, or a call with literal arguments only after ':'"),
        ("demo:make(**{'a': 1})", "literal arguments only"),
        ("demo:1 + 1", "literal arguments only"),
        ("demo:a b", "expected an attribute name or a call after ':', got 'a b'"),
        ("demo:make()", "the factory does not take these arguments: missing a required argument: 'name'"),
        ("demo:nothing('x')", "expected the factory to return an application, got None"),
        ("demo:number", "expected an application that can be called, got 3"),
        ("demo:number()", "expected a factory that can be called, got 3"),
        ("demo:create_app", "to call it as a factory write 'demo:create_app()'"),
        ("demo:missing", "application 'demo:missing': demo has no 'missing'; did you mean 'demo:app'?"),
        ("demo", "demo has no 'application'; did you mean 'demo:app'?"),
        ("demo.py:app", "expected the name of a module, got 'demo.py'; did you mean 'demo:app'?"),
        ("./pkg/demo.py", "did you mean 'pkg.demo'?"),
        ("no_such_module", "no module named 'no_such_module' (looked in "),
        ("demo.inner.deep", "no module named 'demo.inner', wanted for 'demo.inner.deep'"),
        (":app", "expected the name of a module, got ''"),
    ],
)
def test_a_mistake_in_the_name_is_one_line_with_a_hint(module, target, message):
    module(
        "number = 3\ndef make(name): pass\ndef nothing(x): pass\n"
        "def create_app(): pass\ndef app(e, s): pass\n"
    )  # fmt: skip
    error = fails(target)
    assert message in str(error)
    assert "\n" not in str(error)
    assert error.traceback is None


@pytest.mark.parametrize(
    ("source", "last_line"),
    [
        ("import no_such_dependency", "ModuleNotFoundError: No module named 'no_such_dependency'"),
        ("def f():\n    1 / 0\nf()", "ZeroDivisionError: division by zero"),
        ("def broken(:\n    pass", "SyntaxError: invalid syntax"),
        ("import sys\nsys.exit(5)", "SystemExit: 5"),
    ],
)
def test_a_fault_of_the_user_s_code_comes_with_their_traceback_alone(module, source, last_line):
    path = module(source)
    error = fails("demo")
    assert str(error).startswith("application 'demo': ")
    assert error.traceback.rstrip().endswith(last_line)
    assert str(path) in error.traceback
    assert "apploader" not in error.traceback
    assert "importlib" not in error.traceback


def test_a_fault_inside_a_factory_or_a_lazy_attribute_comes_with_its_traceback(module):
    module("def make():\n    raise KeyError('x')\ndef __getattr__(name):\n    raise AttributeError('lazy ' + name)\n")
    assert "KeyError: 'x'" in fails("demo:make()").traceback
    assert "lazy app" in fails("demo:app").traceback


@pytest.mark.parametrize("form", ["def f(e, s): pass", "async def f(scope, receive, send): pass", "def f(scope): pass",
                                  "def f(*args): pass", "class f:\n    def __init__(self): pass"])  # fmt: skip
def test_every_form_of_application_is_taken(module, form):
    module(form)
    assert callable(apploader.load("demo:f"))


class Flaskish:
    def __call__(self, environ, start_response):
        pass


class Starlettish:
    async def __call__(self, scope, receive, send):
        pass


class Either:
    def __call__(self, *arguments):
        pass


async def asgi(scope, receive, send):
    pass


@pytest.mark.parametrize(
    ("application", "kind"),
    [
        (asgi, "asgi"),
        (Starlettish(), "asgi"),
        (Flaskish(), "wsgi"),
        (lambda environ, start_response: [], "wsgi"),
        (Flaskish().__call__, "wsgi"),
        (Either(), ""),
        (Flaskish, ""),
        (print, ""),
    ],
)
def test_the_interface_is_named_only_when_it_is_certain(application, kind):
    assert apploader.interface(application) == kind
