"""The names, signatures and attributes that users of gunicorn's dirty workers have in their code."""

from __future__ import annotations

import inspect

import pytest

import server_dirty
from server_dirty import errors, stash
from server_dirty.settings import GROUPS

NAMES = [
    "DirtyApp", "DirtyClient", "get_dirty_client", "get_dirty_client_async", "close_dirty_client",
    "close_dirty_client_async", "set_dirty_socket_path", "DirtyError", "DirtyTimeoutError", "DirtyConnectionError",
    "DirtyWorkerError", "DirtyAppError", "DirtyAppNotFoundError", "DirtyProtocolError", "stash",
]  # fmt: skip

CLIENT = {
    "connect", "execute", "stream", "close", "connect_async", "execute_async", "stream_async", "close_async",
    "__enter__", "__exit__", "__aenter__", "__aexit__",
}  # fmt: skip

STASH = {
    "put": ["table", "key", "value"], "get": ["table", "key", "default"], "delete": ["table", "key"],
    "keys": ["table", "pattern"], "clear": ["table"], "info": ["table"], "ensure": ["table"],
    "exists": ["table", "key"], "delete_table": ["table"], "tables": [], "table": ["name"],
}  # fmt: skip

SETTINGS = {
    "dirty_apps": [], "dirty_workers": 0, "dirty_timeout": 300, "dirty_threads": 1, "dirty_graceful_timeout": 30,
}  # fmt: skip
HOOKS = ["on_dirty_starting", "dirty_post_fork", "dirty_worker_init", "dirty_worker_exit"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_of_the_package_is_there(name):
    assert getattr(server_dirty, name) is not None
    assert name in server_dirty.__all__


def test_applications_have_the_methods_and_the_attribute():
    assert server_dirty.DirtyApp.workers is None
    assert {"init", "__call__", "close"} <= set(vars(server_dirty.DirtyApp))
    assert list(inspect.signature(server_dirty.DirtyApp.__call__).parameters) == ["self", "action", "args", "kwargs"]


def test_clients_have_the_methods_and_their_timeouts():
    assert set(vars(server_dirty.DirtyClient)) >= CLIENT
    for function in (server_dirty.get_dirty_client, server_dirty.get_dirty_client_async):
        assert inspect.signature(function).parameters["timeout"].default == 30.0
    assert list(inspect.signature(server_dirty.DirtyClient).parameters) == ["socket_path", "timeout"]


@pytest.mark.parametrize("name", sorted(STASH))
def test_the_stash_has_the_function(name):
    given = list(inspect.signature(getattr(stash, name)).parameters)
    assert given[: len(STASH[name])] == STASH[name]


def test_the_stash_has_the_client_and_the_errors():
    parameters = inspect.signature(stash.StashClient).parameters
    assert (list(parameters), parameters["timeout"].default) == (["socket_path", "timeout"], 30.0)
    assert issubclass(stash.StashTableNotFoundError, stash.StashError)
    assert issubclass(stash.StashKeyNotFoundError, stash.StashError)
    assert issubclass(stash.StashError, errors.DirtyError)


@pytest.mark.parametrize(
    ("error", "attributes"),
    [
        (errors.DirtyTimeoutError, ["timeout"]),
        (errors.DirtyConnectionError, ["socket_path"]),
        (errors.DirtyWorkerError, ["worker_id", "traceback"]),
        (errors.DirtyAppError, ["app_path", "action", "traceback"]),
        (errors.DirtyNoWorkersAvailableError, ["app_path"]),
        (errors.DirtyAppNotFoundError, ["app_path"]),
        (errors.DirtyProtocolError, []),
        (stash.StashTableNotFoundError, []),
        (stash.StashFullError, []),
    ],
)
def test_an_error_keeps_its_class_and_attributes_on_its_way(error, attributes):
    sent = error("text", {name: f"a {name}" for name in attributes})
    back = errors.DirtyError.from_dict(sent.to_dict())
    assert type(back) is error
    assert str(back) == back.message == "text"
    assert [getattr(back, name) for name in attributes] == [f"a {name}" for name in attributes]


def test_an_error_of_an_application_passes_through_a_second_application():
    first = errors.DirtyError.from_dict(errors.describe(ValueError("deep"), "a:A", "act", "trace"))
    again = errors.DirtyError.from_dict(errors.describe(first, "b:B", "call", "other"))
    assert isinstance(again, errors.DirtyAppError)
    assert isinstance(again, ValueError)
    assert (again.app_path, again.traceback) == ("a:A", "trace")


def test_the_settings_and_hooks_are_there():
    settings = {setting.name: setting for group in GROUPS for setting in group.settings}
    assert {name: settings[name].default for name in SETTINGS} == SETTINGS
    assert all(name in settings for name in HOOKS)
