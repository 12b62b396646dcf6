"""Settings of process titles."""

from server_core.settings.declare import Group, Setting
from server_core.settings.values import Text

GROUP = Group(
    "Process Naming",
    [
        Setting("proc_name", Text("NAME"), None,
                "The name of the processes in ps and top (extra setproctitle).", "-n", "--name"),
        Setting("default_proc_name", Text("NAME"), "server", "The name when proc_name is not set.", cli=False),
    ],
)  # fmt: skip
