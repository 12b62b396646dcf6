"""Settings of the listening sockets."""

from server_core.settings.declare import Group, Setting
from server_core.settings.values import Boolean, FileMode, Integer, ListOf, Text, UrlPath

GROUP = Group(
    "Server Socket",
    [
        Setting("bind", ListOf(Text("ADDRESS")), ["127.0.0.1:8000"],
                "An address to listen on: HOST, HOST:PORT, [V6]:PORT, unix:PATH, fd://N, systemd:NAME; may be given "
                "several times.",
                "-b", env="PORT", env_format="0.0.0.0:{}"),
        Setting("backlog", Integer(1, 2**31 - 1), 2048,
                "How many connections may wait to be accepted, listen(2)."),
        Setting("reuse_port", Boolean(), False,
                "Give every worker its own socket on the same port (SO_REUSEPORT). The arbiter binds and keeps them."),
        Setting("socket_owner", Text("USER:GROUP"), "",
                "The owner of unix sockets; without it the user and group of the workers."),
        Setting("unix_socket_mode", FileMode(), None,
                "The permissions of unix sockets; without it umask decides."),
        Setting("health_path", UrlPath(empty=True), "",
                "Answer GET on livez and readyz below this path without the application: '/' makes it /livez and "
                "/readyz, '/-/' makes it /-/livez. Empty answers neither."),
        Setting("protocol", Text("NAME"), "http",
                "What clients of the listeners speak: http, uwsgi, or a protocol that a plugin brings."),
    ],
)  # fmt: skip
