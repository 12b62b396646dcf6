"""Settings of the control socket."""

from server_core.settings.declare import Group, Setting
from server_core.settings.values import Boolean, FileMode, Text

GROUP = Group(
    "Control",
    [
        Setting("control_socket", Text("PATH"), None,
                "The socket serverctl talks to; without it $XDG_RUNTIME_DIR/server.ctl, or ~/.server/server.ctl."),
        Setting("control_socket_mode", FileMode(), 0o600, "The permissions of the control socket."),
        Setting("control_socket_disable", Boolean(), False, "Make no control socket.", "--no-control-socket"),
    ],
)  # fmt: skip
