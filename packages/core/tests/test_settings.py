"""Settings: declarations, kinds of values, errors, derived values."""

from __future__ import annotations

import ast
import importlib.util
import os
from pathlib import Path

import pytest

from server_core import plugins
from server_core.drive.config import http_config
from server_core.errors import BindError, ConfigError
from server_core.settings import Catalogue, Group, Setting, Settings, references
from server_core.settings import values as kinds
from server_core.settings.config import default_catalogue
from server_core.settings.groups import GROUPS, hooks
from server_http import _compiled

GUNICORN_SETTINGS = """
config wsgi_app bind backlog workers worker_class threads worker_connections max_requests max_requests_jitter timeout
graceful_timeout keepalive asgi_loop asgi_lifespan asgi_disconnect_grace_period websocket_max_message_size http_parser
limit_request_line limit_request_fields limit_request_field_size reload reload_engine reload_extra_files spew
check_config print_config preload_app sendfile reuse_port chdir daemon raw_env pidfile worker_tmp_dir user group umask
initgroups tmp_upload_dir secure_scheme_headers forwarded_allow_ips pythonpath paste raw_paste_global_conf
proxy_protocol proxy_allow_ips protocol uwsgi_allow_ips permit_obsolete_folding strip_header_spaces
permit_unconventional_http_method permit_unconventional_http_version casefold_http_method forwarder_headers header_map
root_path accesslog access_log_format disable_redirect_access_to_syslog errorlog loglevel capture_output logger_class
logconfig logconfig_dict logconfig_json syslog_addr syslog syslog_prefix syslog_facility enable_stdio_inheritance
statsd_host statsd_prefix dogstatsd_tags enable_backlog_metric proc_name default_proc_name keyfile certfile ca_certs
ciphers cert_reqs ssl_version suppress_ragged_eofs do_handshake_on_connect http_protocols http2_cleartext
http2_max_concurrent_streams http2_initial_window_size http2_max_frame_size http2_max_header_list_size dirty_apps
dirty_workers dirty_timeout dirty_threads dirty_graceful_timeout control_socket control_socket_mode
control_socket_disable on_starting on_reload when_ready pre_fork post_fork post_worker_init worker_int worker_abort
pre_exec pre_request post_request child_exit worker_exit nworkers_changed on_exit ssl_context on_dirty_starting
dirty_post_fork dirty_worker_init dirty_worker_exit
"""

GUNICORN_FLAGS = """
-c --config -b --bind --backlog -w --workers -k --worker-class --threads --worker-connections --max-requests
--max-requests-jitter -t --timeout --graceful-timeout --keep-alive --asgi-loop --asgi-lifespan
--asgi-disconnect-grace-period --websocket-max-message-size --http-parser --limit-request-line --limit-request-fields
--limit-request-field_size --reload --reload-engine --reload-extra-file --spew --check-config --print-config --preload
--no-sendfile --reuse-port --chdir -D --daemon -e --env -p --pid --worker-tmp-dir -u --user -g --group -m --umask
--initgroups --forwarded-allow-ips --pythonpath --paste --paster --paste-global --proxy-protocol --proxy-allow-from
--protocol --uwsgi-allow-from --permit-obsolete-folding --strip-header-spaces --permit-unconventional-http-method
--permit-unconventional-http-version --casefold-http-method --forwarder-headers --header-map --root-path
--access-logfile --access-logformat --disable-redirect-access-to-syslog --error-logfile --log-file --log-level
--capture-output --logger-class --log-config --log-config-json --log-syslog-to --log-syslog --log-syslog-prefix
--log-syslog-facility -R --enable-stdio-inheritance --statsd-host --statsd-prefix --dogstatsd-tags
--enable-backlog-metric -n --name --keyfile --certfile --ca-certs --ciphers --cert-reqs --ssl-version
--suppress-ragged-eofs --do-handshake-on-connect --http-protocols --http2-cleartext --http2-max-concurrent-streams
--http2-initial-window-size --http2-max-frame-size --http2-max-header-list-size --dirty-app --dirty-workers
--dirty-timeout --dirty-threads --dirty-graceful-timeout --control-socket --control-socket-mode --no-control-socket
"""


@pytest.mark.parametrize("name", GUNICORN_SETTINGS.split())
def test_every_gunicorn_setting_is_known_and_its_default_is_acceptable(name):
    setting = default_catalogue().get(name)
    initial = setting.initial()
    assert initial is None or setting.parse(initial, "default") == initial


def test_every_gunicorn_flag_is_known_once():
    flags = [flag for setting in default_catalogue() for flag in (*setting.flags, setting.negative_flag) if flag]
    assert not set(GUNICORN_FLAGS.split()) - set(flags)
    assert len(flags) == len(set(flags))


def test_every_setting_says_what_it_is():
    for setting in default_catalogue():
        assert setting.help[0].isupper() or setting.help.split()[0].endswith(("=VALUE", "NAME", "auto")), setting.name
        assert setting.help.rstrip().endswith("."), setting.name
        assert setting.section


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("workers", "many", "workers: expected an integer >= 1, got 'many' (from server.conf.py)"),
        ("workers", 0, "workers: expected an integer >= 1, got 0 (from server.conf.py)"),
        ("workers", True, "workers: expected an integer >= 1, got True (from server.conf.py)"),
        ("timeout", -1, "timeout: expected seconds >= 0, got -1 (from server.conf.py)"),
        ("reload", "perhaps", "reload: expected true or false, got 'perhaps' (from server.conf.py)"),
        ("header_map", "keep", "header_map: expected one of drop, refuse, dangerous, got 'keep' (from server.conf.py)"),
        ("raw_env", ["A"], "raw_env: expected a list, each KEY=VALUE, got ['A'] (from server.conf.py)"),
        ("chdir", "/no/such", "chdir: expected a directory that exists, got '/no/such' (from server.conf.py)"),
        ("user", "nobody!", "user: expected the name or number of a user, got 'nobody!' (from server.conf.py)"),
        ("user", 99999999999, "user: expected the name or number of a user, got 99999999999 (from server.conf.py)"),
        ("group", "4294967295",
         "group: expected the name or number of a group, got '4294967295' (from server.conf.py)"),
        ("request_id_header", "X Id",
         "request_id_header: expected the name of a header field, got 'X Id' (from server.conf.py)"),
        ("when_ready", 3, "when_ready: expected a function that takes (server), got 3 (from server.conf.py)"),
        ("proxy_protocol", "v3", "proxy_protocol: expected one of off, v1, v2, auto, got 'v3' (from server.conf.py)"),
        ("max_memory", "2t",
         "max_memory: expected a size in bytes such as 65536 or '64k', got '2t' (from server.conf.py)"),
        ("worker", 3, "worker: expected the name of a setting, did you mean 'workers'? (from server.conf.py)"),
        ("colour", 3, "colour: expected the name of a setting (from server.conf.py)"),
    ],
)  # fmt: skip
def test_an_error_says_what_was_expected_what_came_and_from_where(name, value, message):
    with pytest.raises(ConfigError) as caught:
        Settings.make().set(name, value, "server.conf.py")
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("kind", "given", "result"),
    [
        (kinds.Integer(), "0x10", 16),
        (kinds.Integer(), 4.0, 4),
        (kinds.FileMode(), "0022", 0o22),
        (kinds.FileMode(), "0o600", 0o600),
        (kinds.FileMode(), 0o600, 0o600),
        (kinds.Size(), "64k", 65536),
        (kinds.Size(), "1 GiB", 1024**3),
        (kinds.Size(), 12, 12),
        (kinds.Seconds(), "2.5", 2.5),
        (kinds.Seconds(), "30", 30),
        (kinds.Boolean(), "Yes", True),
        (kinds.Boolean(), "off", False),
        (kinds.Text(), "  a ", "a"),
        (kinds.ListOf(kinds.Text()), "one", ["one"]),
        (kinds.ListOf(kinds.Text()), ("one", "two"), ["one", "two"]),
        (kinds.ListOf(kinds.Text(), ","), "a, b,", ["a", "b"]),
        (references.Networks(), "10.0.0.0/8,::1", ["10.0.0.0/8", "::1"]),
        (references.Networks(), "*", ["*"]),
        (references.HostPort(8125), "Localhost", ("localhost", 8125)),
        (references.HostPort(8125), "[::1]:9", ("::1", 9)),
        (references.HostPort(8125), "unix:99", ("unix", 99)),
        (references.HostPort(8125), "unix:///run/s", "/run/s"),
        (references.UserId(), "0", 0),
        (references.UserId(), "root", 0),
        (references.UserId(), None, os.geteuid()),
        (kinds.Choice("off", "auto", also={True: "auto"}), True, "auto"),
        (references.ClassRef(), lambda: dict, dict),
    ],
)
def test_kinds_take_what_files_and_command_lines_hold(kind, given, result):
    assert kind.parse(given) == result


@pytest.mark.parametrize("size", [0, 65536, 1 << 40])
def test_a_shown_value_is_what_a_config_file_could_say(size):
    assert eval(kinds.Size().show(size)) == size  # noqa: S307  # our own text
    assert kinds.FileMode().show(0o22) == "0o022"


def test_hooks_are_checked_for_the_arguments_they_take():
    class Callable:
        def __call__(self, server):
            return server

    for function in (lambda server: 1, lambda *any_of_them: 1, Callable(), Callable().__call__, print):
        Settings.make(when_ready=function)
    for function in (lambda: 1, lambda a, b: 1):
        with pytest.raises(ConfigError, match=r"a function that takes \(server\)"):
            Settings.make(when_ready=function)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_post_request_may_take_two_to_four_arguments(count):
    seen = []
    forms = {
        2: lambda worker, req: seen.append((worker, req)),
        3: lambda worker, req, environ: seen.append((worker, req, environ)),
        4: lambda worker, req, environ, resp: seen.append((worker, req, environ, resp)),
    }
    Settings.make(post_request=forms[count]).post_request("w", "q", "e", "p")
    assert seen == [("w", "q", "e", "p")[:count]]


def test_a_hook_may_be_named_by_its_dotted_path():
    assert Settings.make(when_ready="os.path.basename").when_ready is os.path.basename
    with pytest.raises(ConfigError, match="the dotted path of a function"):
        Settings.make(when_ready="os.path.nothing_there")
    with pytest.raises(ConfigError, match="a dotted path such as"):
        Settings.make(when_ready="basename")


def test_a_hook_nobody_set_is_skipped_by_hot_paths_but_can_be_called():
    cfg = Settings.make()
    assert cfg.hook("post_fork") is None
    assert cfg.post_fork is hooks.nothing
    assert cfg.post_fork(None, None) is None
    set_one = Settings.make(post_fork=lambda server, worker: "called")
    assert set_one.hook("post_fork")(None, None) == "called"


def test_values_are_attributes_and_know_their_source():
    cfg = Settings.from_environ({"PORT": "9000", "WEB_CONCURRENCY": "3", "FORWARDED_ALLOW_IPS": "*"})
    assert (cfg.bind, cfg.workers, cfg.forwarded_allow_ips) == (["0.0.0.0:9000"], 3, ["*"])
    assert cfg.source("bind") == "environment PORT"
    assert cfg.source("threads") == "default"
    cfg.set("workers", "5", "command line")
    assert (cfg.workers, cfg.source("workers")) == (5, "command line")


def test_an_environment_variable_that_is_wrong_is_named():
    with pytest.raises(ConfigError, match=r"got 'x' \(from environment WEB_CONCURRENCY\)"):
        Settings.from_environ({"WEB_CONCURRENCY": "x"})


def test_an_attribute_that_is_no_setting_gets_a_hint():
    with pytest.raises(AttributeError, match="did you mean 'workers'"):
        _ = Settings.make().wrokers
    with pytest.raises(AttributeError, match="set"):
        Settings.make().workers = 3


def test_names_are_found_in_any_case_and_by_alias():
    cfg = Settings.make()
    cfg.update({"Workers": 2, "PRELOAD": True}, "a file")
    assert (cfg.workers, cfg.preload_app, cfg.preload) == (2, True, True)


def test_none_stands_for_the_default_only_where_that_depends_or_is_none():
    cfg = Settings.make(user=None, pidfile=None, chdir=None)
    assert cfg.uid == os.geteuid()
    with pytest.raises(ConfigError):
        Settings.make(timeout=None)


def test_defaults_are_not_shared():
    Settings.make().bind.append("x")
    assert Settings.make().bind == ["127.0.0.1:8000"]


def test_a_copy_is_independent():
    cfg = Settings.make(workers=2)
    twin = cfg.copy()
    twin.set("workers", 3)
    assert (cfg.workers, twin.workers) == (2, 3)


def reads_of_settings():
    """Names that the packages' code reads of a ``cfg`` or writes as a text, declarations aside."""
    found = set()
    holders = {"cfg", "_cfg", "conf", "config", "settings"}
    for package in sorted(
        {point.value.partition(".")[0].partition(":")[0] for point in plugins.plugins(plugins.SETTINGS)}
        | {"server_core", "server_cli"}
    ):
        spec = importlib.util.find_spec(package)
        for path in Path(spec.submodule_search_locations[0]).rglob("*.py"):
            if path.name == "settings.py" or "groups" in path.parts:
                continue
            derived = path.parts[-2:] == ("settings", "config.py")
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Attribute):
                    holder = getattr(node.value, "attr", getattr(node.value, "id", ""))
                    if holder in holders or (derived and holder == "self"):
                        found.add(node.attr)
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.add(node.value)
    return found


def test_every_setting_is_read_or_says_that_it_has_no_effect():
    read = reads_of_settings()
    assert len(read) > 500
    assert [setting.name for setting in default_catalogue() if setting.name not in read and not setting.inert] == []


def test_the_python_parser_is_for_a_process_that_has_not_loaded_the_compiled_one(monkeypatch):
    monkeypatch.setattr(_compiled, "loaded_modules", lambda package: [])
    settings = Settings.make(http_parser="python")
    settings.validate()
    assert settings.warnings == []
    monkeypatch.setattr(_compiled, "loaded_modules", lambda package: ["server_http.h1.scan"])
    settings.validate()
    assert "at the next start" in settings.warnings[0]


def test_a_setting_without_effect_warns_when_it_is_set():
    cfg = Settings.make(ssl_version=2)
    assert cfg.warnings == [
        "ssl_version: has no effect: the TLS versions are chosen by Python, or by the ssl_context hook (from code)"
    ]


def test_threads_turn_sync_into_gthread():
    assert Settings.make().worker_class_str == "sync"
    assert Settings.make(threads=4).worker_class_str == "gthread"
    assert Settings.make(threads=4, worker_class="asgi").worker_class_str == "asgi"


def test_an_address_that_is_none_says_where_it_came_from():
    cfg = Settings.from_environ({"PORT": "abc"})
    with pytest.raises(ConfigError, match=r"^bind: expected .*, got '0.0.0.0:abc' \(from environment PORT\)$"):
        _ = cfg.address


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ConfigError("workers: no"), "workers: no (from code)"),
        (ConfigError("worker class 'x': no"), "worker class 'x': no (from code)"),
        (ConfigError("reporter: no"), "reporter: no (from code)"),
        (ConfigError("workers: no (from elsewhere)"), "workers: no (from elsewhere)"),
        (ConfigError("threads: nobody set it"), "threads: nobody set it"),
        (ConfigError("whatever: no setting"), "whatever: no setting"),
        (BindError("127.0.0.1:80: cannot listen"), "127.0.0.1:80: cannot listen (from code)"),
    ],
)
def test_errors_of_settings_say_where_the_value_came_from(error, text):
    cfg = Settings.make(workers=2, worker_class="x", reporters="x", bind="127.0.0.1:80")
    with pytest.raises(type(error)) as caught, cfg.located(), cfg.located():
        raise error
    assert str(caught.value) == text


def test_contradictions_are_refused(tmp_path):
    key = tmp_path / "key.pem"
    key.write_text("")
    with pytest.raises(ConfigError, match="certfile: expected a file, because keyfile is set"):
        Settings.make(keyfile=str(key)).validate()
    with pytest.raises(ConfigError, match=r"certfile: expected a file that can be read, got '/no.pem'.*from code"):
        Settings.make(certfile="/no.pem").validate()
    with pytest.raises(ConfigError, match="certfile: expected a file, because cert_reqs is set"):
        Settings.make(cert_reqs=2).validate()
    with pytest.raises(ConfigError, match="workers_max"):
        Settings.make(workers=4, workers_max=2).validate()


def test_client_certificates_that_nobody_signs_are_warned_of(tmp_path):
    file = tmp_path / "any.pem"
    file.write_text("")
    cfg = Settings.make(certfile=str(file), cert_reqs=1)
    cfg.validate()
    assert cfg.warnings == [
        "cert_reqs: no certificate of a client is accepted, because ca_certs names no authorities (from code)"
    ]
    for more in ({"ca_certs": str(file)}, {"ssl_context": lambda config, factory: factory()}, {"cert_reqs": 0}):
        cfg = Settings.make(**{"certfile": str(file), "cert_reqs": 1, **more})
        cfg.validate()
        assert cfg.warnings == []


def test_the_fast_parser_needs_a_compiled_build(monkeypatch):
    monkeypatch.setattr(_compiled, "compiled_modules", lambda package: ["server_http.h1.scan"])
    Settings.make(http_parser="fast").validate()
    monkeypatch.setattr(_compiled, "compiled_modules", lambda package: [])
    with pytest.raises(ConfigError, match="http_parser: expected a compiled build"):
        Settings.make(http_parser="fast").validate()


def test_h2_without_tls_is_warned_of():
    pytest.importorskip("h2")
    cfg = Settings.make(http_protocols="h2,h1")
    cfg.validate()
    assert "no effect without TLS" in cfg.warnings[0]


@pytest.mark.parametrize(
    ("values", "missing"),
    [
        ({"http_protocols": "h2"}, "http_protocols: h2 is not installed: pip install 'server-cli[http2]'"),
        ({"application_metrics": True},
         "application_metrics: prometheus_client is not installed: pip install 'server-cli[metrics]'"),
        ({"reload": True, "reload_engine": "watchfiles"},
         "reload_engine: watchfiles is not installed: pip install 'server-cli[reload]'"),
    ],
)  # fmt: skip
def test_a_setting_without_its_package_says_what_to_install(monkeypatch, values, missing):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError) as caught:
        Settings.make(**values).validate()
    assert str(caught.value) == f"{missing} (from code)"
    Settings.make(reload_engine="watchfiles").validate()  # which nothing asks for


def test_gunicorn_s_view_of_a_setting():
    cfg = Settings.make(workers=3)
    assert cfg.settings["workers"].get() == 3
    cfg.settings["workers"].set("4")
    assert cfg.settings["workers"].value == cfg.workers == 4
    assert Settings.make(raw_env=["A=1", "B=x=y"]).env == {"A": "1", "B": "x=y"}


def test_a_setting_of_an_absent_package_says_what_to_install():
    catalogue = Catalogue(GROUPS, {"dirty_workers": "pip install 'server-cli[dirty]'"})
    with pytest.raises(ConfigError, match=r"dirty_workers: the setting is not installed: pip install .*\[dirty\]"):
        Settings(catalogue).set("dirty_workers", 2, "server.toml")


def test_two_groups_cannot_declare_one_setting():
    group = Group("Mine", [Setting("workers", kinds.Integer(), 1, "Mine.")])
    with pytest.raises(ConfigError, match="declared twice"):
        Catalogue([*GROUPS, group])


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("local", "'local'"),
        ("redis://cache:6379/0", "'redis://cache:6379/0'"),
        ("redis://:pass:w@rd@cache:6379/0", "'redis://:***@cache:6379/0'"),
        ("unix://user:password@/run/redis?db=1", "'unix://user:***@/run/redis?db=1'"),
        ("rediss://cache/0?password=secret&db=1", "'rediss://cache/0?password=***&db=1'"),
    ],
)
def test_a_password_in_a_url_is_not_shown(url: str, shown: str) -> None:
    assert kinds.Url().show(url) == shown


@pytest.mark.parametrize("value", ["600", "660", "440", "777", 660, 777, -1, "0800"])
def test_permissions_that_were_meant_as_octal_are_refused(value):
    with pytest.raises(ConfigError, match="expected permission bits such as 0o022 or 0640"):
        Settings.make(unix_socket_mode=value)


def test_no_number_of_header_fields_is_the_largest_as_with_gunicorn():
    assert http_config(Settings.make(limit_request_fields=0)).limits.header_count == 32768
    assert http_config(Settings.make(limit_request_fields=3)).limits.header_count == 3
