"""Settings for development and for looking at the configuration."""

from server_core.settings.declare import Group, Setting
from server_core.settings.references import FileOrGlob
from server_core.settings.values import Boolean, Choice, ListOf

GROUP = Group(
    "Debugging",
    [
        Setting("reload", Boolean(), False,
                "Restart workers when a loaded module or an extra file changes (for development)."),
        Setting("reload_engine", Choice("auto", "poll", "watchfiles", also={"inotify": "watchfiles"}), "auto",
                "How changes are found: by watchfiles when it is installed, or by looking once a second (poll)."),
        Setting("reload_extra_files", ListOf(FileOrGlob()), [],
                "A further file or glob pattern to watch; may be given several times.", "--reload-extra-file"),
        Setting("spew", Boolean(), False,
                "Print every line that is executed."),
        Setting("check_config", Boolean(), False,
                "Load the configuration and the application, say whether they are good, and exit."),
        Setting("print_config", Boolean(), False,
                "Print every setting with its value and source, check as --check-config does, and exit."),
    ],
)  # fmt: skip
