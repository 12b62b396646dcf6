"""Discovery: what is found, what is refused, and what an error says."""

from __future__ import annotations

import importlib.metadata
import sys
import textwrap
import zipfile

import pytest

from server_core import plugins
from server_core.distributions import entry_points
from server_core.errors import ConfigError, PluginError, UsageError
from server_core.settings import Settings, commandline, sources


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A directory on the import path into which distributions can be put."""
    monkeypatch.syspath_prepend(str(tmp_path))
    plugins.forget()
    before = set(sys.modules)

    def add(name, entry_points="", modules=None, version="1.0", folder=None):
        info = tmp_path / f"{folder or name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(textwrap.dedent(entry_points))
        for module, source in (modules or {}).items():
            (tmp_path / f"{module}.py").write_text(textwrap.dedent(source))

    yield add
    plugins.forget()
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_the_shipped_workers_are_found():
    assert {"sync", "gthread", "asgi", "gevent", "eventlet"} <= set(plugins.names(plugins.WORKERS))


def test_the_scan_happens_once(monkeypatch):
    plugins.forget()
    plugins.plugins(plugins.WORKERS)
    monkeypatch.setattr(plugins, "entry_points", lambda _prefix: pytest.fail("scanned again"))
    plugins.plugins(plugins.SERVICES)


def test_a_third_party_worker_is_found_by_name(site):
    site(
        "some-worker",
        "[server.workers]\nspecial = some_worker:Special\n",
        {"some_worker": "class Special: server_api = 1"},
    )
    assert plugins.worker_class("special").__name__ == "Special"


def test_the_first_of_two_distributions_of_one_name_counts(site, tmp_path, monkeypatch):
    site("twice-there", "[server.workers]\nw = one_place:W\n")
    again = tmp_path / "again"
    (again / "Twice.There-2.0.dist-info").mkdir(parents=True)
    (again / "Twice.There-2.0.dist-info" / "entry_points.txt").write_text("[server.workers]\nw = other_place:W\n")
    monkeypatch.syspath_prepend(str(again))
    plugins.forget()
    assert plugins.find(plugins.WORKERS, "w").value == "other_place:W"


def test_distributions_in_zip_files_are_found(tmp_path, monkeypatch):
    path = tmp_path / "packed.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("packed-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: packed\nVersion: 1.0\n")
        file.writestr("packed-1.0.dist-info/entry_points.txt", "[server.workers]\nw = packed:W\n")
    monkeypatch.syspath_prepend(str(path))
    plugins.forget()
    assert plugins.find(plugins.WORKERS, "w").distribution == "packed"
    plugins.forget()


def test_the_scan_finds_what_the_standard_library_finds():
    expected = set()
    for distribution in importlib.metadata.distributions():
        for point in distribution.entry_points:
            if point.group.startswith("server."):
                expected.add(
                    (point.group, point.name, point.value, distribution.metadata["Name"], distribution.version)
                )
    assert {tuple(point) for point in entry_points("server.")} == expected


def test_two_plugins_of_one_name_are_refused_naming_both(site):
    site("first-one", "[server.workers]\nclash = first:W\n")
    site("second-one", "[server.workers]\nclash = second:W\n", version="2.0")
    with pytest.raises(PluginError, match=r"worker class 'clash'.*first-one 1.0 and second-one 2.0"):
        plugins.find(plugins.WORKERS, "clash")


def test_a_name_that_an_extra_brings_says_which(monkeypatch):
    monkeypatch.setattr(plugins, "_found", {plugins.WORKERS: []})
    with pytest.raises(PluginError) as caught:
        plugins.worker_class("gevent")
    assert str(caught.value) == "worker class 'gevent' is not installed: pip install 'server-cli[gevent]'"


def test_an_unknown_name_lists_the_known_and_the_nearest():
    with pytest.raises(PluginError, match=r"expected one of .*sync.* got 'synk', did you mean 'sync'"):
        plugins.find(plugins.WORKERS, "synk")


def test_a_plugin_for_another_api_is_refused_with_both_numbers(site):
    site("old-one", "[server.workers]\nold = old_one:W\n", {"old_one": "class W:\n    server_api = 7\n"})
    with pytest.raises(PluginError, match=f"'old' of old-one 1.0: expected plugin API {plugins.API}, got 7"):
        plugins.worker_class("old")


def test_a_number_that_a_plugin_inherits_says_nothing(site):
    inherited = "from server_core.workers.sync import SyncWorker\n\nclass W(SyncWorker):\n    pass\n"
    site("silent", "[server.workers]\nsilent = silent_one:W\n", {"silent_one": inherited})
    expected = f"'silent' of silent 1.0: expected server_api = {plugins.API} in the class W, got none"
    with pytest.raises(PluginError, match=expected):
        plugins.worker_class("silent")


def test_an_import_error_inside_a_plugin_keeps_its_traceback(site):
    site("broken", "[server.workers]\nbroken = broken_one:W\n", {"broken_one": "import no_such_module_at_all\n"})
    with pytest.raises(ModuleNotFoundError) as caught:
        plugins.worker_class("broken")
    assert caught.value.name == "no_such_module_at_all"


@pytest.mark.parametrize(
    ("value", "message"),
    [("there:Nope", "module 'there' has no attribute 'Nope'"), ("nowhere.at_all:W", "no module named 'nowhere'")],
)
def test_an_entry_point_that_leads_nowhere_is_refused_naming_its_distribution(site, value, message):
    site("astray", f"[server.workers]\nastray = {value}\n", {"there": ""})
    with pytest.raises(PluginError, match=f"plugin 'astray' of astray 1.0: {message}"):
        _ = Settings.make(worker_class="astray").worker_class  # which is looked up as an attribute itself


def test_an_attribute_that_a_plugin_itself_misses_keeps_its_traceback(site):
    site("amiss", "[server.workers]\namiss = amiss_one:W\n", {"amiss_one": "import os\nos.no_such_attribute\n"})
    with pytest.raises(PluginError, match=r"plugin 'amiss' of amiss 1.0: .*no_such_attribute") as caught:
        plugins.worker_class("amiss")
    assert "amiss_one.py" in caught.value.traceback


def test_a_number_of_another_type_looks_like_one(site):
    site("textual-one", "[server.workers]\nt = textual_one:W\n", {"textual_one": "class W: server_api = '1'"})
    with pytest.raises(PluginError, match="expected plugin API 1, got '1'"):
        plugins.worker_class("t")


def test_dotted_paths_and_classes_work(site):
    site("x", modules={"my_workers": "class W:\n    pass\n"})
    assert plugins.worker_class("my_workers.W").__name__ == "W"
    assert plugins.worker_class("my_workers:W").__name__ == "W"
    assert plugins.worker_class(dict) is dict


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("no_such_package.module.Class", "no module named 'no_such_package'"),
        ("os.path.NoSuchClass", "has no attribute 'NoSuchClass'"),
        ("os.path.join", "expected a class"),
    ],
)
def test_a_dotted_path_that_leads_nowhere_says_where_it_ends(path, message):
    with pytest.raises(PluginError, match=message):
        plugins.worker_class(path)


def test_an_egg_uri_of_gunicorn_names_ours():
    assert plugins.worker_class("egg:gunicorn#gthread") is plugins.worker_class("gthread")


def test_egg_uris_look_into_one_distribution_in_both_groups(site):
    modules = {"egg_one": "class A: pass\nclass B: pass"}
    site("Egg-One", "[server.workers]\na = egg_one:A\n[gunicorn.workers]\nb = egg_one:B\n", modules)
    assert plugins.worker_class("egg:egg-one#a").__name__ == "A"
    assert plugins.worker_class("egg:Egg_One#b").__name__ == "B"
    with pytest.raises(PluginError, match="has no entry point 'c'"):
        plugins.worker_class("egg:egg-one#c")
    with pytest.raises(PluginError, match="'nowhere' is not installed"):
        plugins.worker_class("egg:nowhere#c")


def test_settings_groups_are_added_and_broken_ones_left_out(site):
    site(
        "good-settings",
        "[server.settings]\ngood = good_settings:GROUP\n",
        {
            "good_settings": """
        from server_core.settings import Group, Setting
        from server_core.settings.values import Integer
        GROUP = Group("Good", [Setting("good_number", Integer(), 7, "A number.")])
    """
        },
    )
    site("bad-settings", "[server.settings]\nbad = bad_settings:GROUP\n", {"bad_settings": "1 / 0"})
    site(
        "twin-settings",
        "[server.settings]\ntwin = twin_settings:GROUP\n",
        {
            "twin_settings": """
        from server_core.settings import Group, Setting
        from server_core.settings.values import Integer
        GROUP = Group("Twin", [Setting("workers", Integer(), 7, "A number.")])
    """
        },
    )
    site("odd-settings", "[server.settings]\nodd = odd_settings:GROUP\n", {"odd_settings": "GROUP = [3]"})
    site("no-settings", "[server.settings]\nno = no_settings:GROUP\n", {"no_settings": "GROUP = 4"})
    catalogue = plugins.catalogue()
    assert Settings(catalogue).good_number == 7
    found = "\n".join(plugins.problems())
    assert "'bad' of bad-settings cannot be imported: ZeroDivisionError" in found
    assert "'Twin' of twin-settings is left out: 'workers' is already declared by server-cli" in found
    assert "'odd' of odd-settings: expected server_core.settings.Group, got 3" in found
    assert "'no' of no-settings: expected server_core.settings.Group, got 4" in found
    plugins.forget()


def test_a_setting_of_a_package_that_is_absent_says_what_to_install(monkeypatch):
    monkeypatch.setattr(plugins, "_found", {plugins.SETTINGS: []})
    catalogue = plugins.catalogue()
    install = r"is not installed: pip install 'server-cli\[dirty\]' \(from a\)"
    with pytest.raises(ConfigError, match=f"dirty_workers: the setting {install}"):
        Settings(catalogue).set("dirty_workers", 2, "a")
    with pytest.raises(UsageError, match=f"--dirty-app: the option {install}"):
        commandline.parse(catalogue, ["--dirty-app", "a:B"], "a")
    cfg = Settings(catalogue)
    sources.apply_module(cfg, {"dirty_workers": 2}, "a")
    assert len(cfg.warnings) == 1
    assert "dirty_workers: the setting is not installed" in cfg.warnings[0]


def test_a_mistyped_setting_of_a_package_that_is_there_is_not_said_to_be_absent():
    with pytest.raises(ConfigError, match="dirty_wokers: expected the name of a setting, did you mean 'dirty_workers'"):
        Settings(plugins.catalogue()).set("dirty_wokers", 2, "a")


def test_a_group_without_names_takes_dotted_paths():
    with pytest.raises(PluginError, match="logger class: expected a dotted path, got 'foo'"):
        plugins.logger_class("foo")


def test_a_logger_class_without_the_contract_of_a_logger_is_refused():
    with pytest.raises(PluginError, match=r"expected a class like server_core\.log\.setup\.Logger, got <class"):
        plugins.logger_class("collections.OrderedDict")


@pytest.mark.parametrize(
    ("foreign", "ours"),
    [
        ("gunicorn.workers.sync.SyncWorker", "sync"),
        ("gunicorn.workers.gthread.ThreadWorker", "gthread"),
        ("uvicorn.workers.UvicornWorker", "asgi"),
        ("uvicorn.workers.UvicornH11Worker", "asgi"),
        ("uvicorn_worker.UvicornWorker", "asgi"),
    ],
)
def test_workers_of_others_are_served_by_ours_with_one_line(foreign, ours):
    cfg = Settings.make(worker_class=foreign)
    cfg.validate()
    assert cfg.worker_class_str == ours
    assert plugins.worker_class(foreign) is plugins.worker_class(ours)
    assert cfg.warnings == [f"worker_class: {foreign} is served by the {ours!r} worker"]


OPTIONS = {
    "loop": "uvloop",
    "ws_ping_interval": 5,
    "headers": [],
    "http": "httptools",
    "proxy_headers": True,
    "access_log": False,
}


def test_a_subclass_of_a_foreign_worker_is_told_the_settings():
    foreign = type("UvicornWorker", (), {"__module__": "uvicorn.workers", "CONFIG_KWARGS": {"loop": "auto"}})
    mine = type("MyWorker", (foreign,), {"CONFIG_KWARGS": OPTIONS})
    with pytest.raises(PluginError) as caught:
        plugins.worker_class(mine)
    message = str(caught.value)
    assert "derives from uvicorn.workers.UvicornWorker" in message
    assert "worker_class = 'asgi'" in message
    assert "asgi_loop = 'uvloop' for 'loop'" in message
    assert "ws_ping_interval = 5 for 'ws_ping_interval'" in message
    assert "drop 'headers'" in message
    assert "drop 'http'" in message
    assert "forwarded_hops = 1 for 'proxy_headers'" in message
    assert "drop 'access_log'" in message


def test_setup_of_a_worker_class_is_left_to_the_worker_process():
    calls = []
    worker = type("W", (), {"setup": classmethod(lambda cls: calls.append(cls))})
    assert plugins.worker_class(worker) is worker
    assert not calls
