"""Settings about where settings and the application are."""

from server_core.settings.declare import Group, Setting
from server_core.settings.values import Text

GROUP = Group(
    "Config File",
    [
        Setting("config", Text("FILE"), None,
                "The config file: PATH, file:PATH or python:MODULE; a Python file, or TOML by its suffix. "
                "Without it server.conf.py (or gunicorn.conf.py) and [tool.server] of pyproject.toml (or server.toml) "
                "of the working directory are read.", "-c"),
        Setting("wsgi_app", Text("APP"), None,
                "The application as MODULE, MODULE:ATTRIBUTE or MODULE:FACTORY('literal', k=1), when the command "
                "line names none.", aliases=("app",), cli=False),
    ],
)  # fmt: skip
