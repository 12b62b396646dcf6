"""Applications described by PasteDeploy files.

Owns: loading ``FILE.ini#SECTION`` and the ``paste.server_runner`` entry point.
Must not know: what PasteDeploy does with the file; it is imported only when it is asked for.
"""

from __future__ import annotations

import importlib
import os
from typing import Any, Dict

from server_core.apploader import user_traceback
from server_core.errors import AppImportError


def load_paste(cfg: Any) -> Any:
    """Return the application of the settings ``paste`` and ``raw_paste_global_conf``; raises AppImportError."""
    location, _, section = cfg.paste.partition("#")
    path = os.path.abspath(os.path.expanduser(location))
    try:
        deploy = importlib.import_module("paste.deploy")
        return deploy.loadapp(f"config:{path}", name=section or None, global_conf=cfg.paste_global_conf)
    except ImportError as error:
        if error.name in ("paste", "paste.deploy"):
            raise AppImportError("paste: PasteDeploy is not installed: pip install PasteDeploy") from None
        raise AppImportError(f"paste: loading {location} failed: {error}", user_traceback(error)) from error
    except Exception as error:  # whatever the application's factory raises is reported with its traceback
        raise AppImportError(f"paste: loading {location} failed: {error}", user_traceback(error)) from error


def serve(app: Any, global_conf: Dict[str, str], **local_conf: Any) -> None:
    """Serve ``app`` for a ``[server:main]`` section that says ``use = egg:server-core#main``.

    Args:
        global_conf: PasteDeploy's ``[DEFAULT]`` section.
        local_conf: settings by name; ``host`` and ``port`` make up ``bind``.
    """
    from server_core.app import run

    settings = {key: value for key, value in local_conf.items() if key not in ("host", "port")}
    if "bind" in settings:
        settings["bind"] = [part.strip() for part in settings["bind"].split(",")]
    elif "port" in local_conf or "host" in local_conf:
        settings["bind"] = f"{local_conf.get('host', '127.0.0.1')}:{local_conf.get('port', 8000)}"
    if "__file__" in global_conf:
        settings.setdefault("default_proc_name", global_conf["__file__"])
    run(app, **settings)
