"""The settings of dirty workers.

Owns: the ``dirty_*`` settings and hooks. Imports nothing but ``server_core.settings``, because it is
imported to parse the command line.
"""

from __future__ import annotations

from typing import Any

from server_core.settings.declare import Group, Setting
from server_core.settings.values import Hook, Integer, ListOf, Seconds, Text


def _nothing(*_: Any) -> None:
    """What a hook is when nobody set it."""


DIRTY = Group(
    "Dirty Workers",
    [
        Setting("dirty_apps", ListOf(Text("APP")), [],
                "An application for heavy work, MODULE:CLASS or MODULE:CLASS:N; may be given several times.",
                "--dirty-app"),
        Setting("dirty_workers", Integer(0), 0, "How many processes do heavy work; 0 means none."),
        Setting("dirty_timeout", Seconds(), 300, "How long one call may take; 0 means for ever."),
        Setting("dirty_threads", Integer(1), 1, "How many calls a dirty worker runs at the same time."),
        Setting("dirty_graceful_timeout", Seconds(), 30, "How long calls may finish after a stop or reload."),
    ],
)  # fmt: skip

HOOKS = Group(
    "Dirty Hooks",
    [
        Setting("on_dirty_starting", Hook("arbiter"), _nothing, "Called before dirty workers are made.", cli=False),
        Setting("dirty_post_fork", Hook("arbiter, worker"), _nothing, "Called for each new dirty worker.", cli=False),
        Setting("dirty_worker_init", Hook("worker"), _nothing,
                "Called in a dirty worker that has loaded its applications.", cli=False),
        Setting("dirty_worker_exit", Hook("arbiter, worker"), _nothing,
                "Called when a dirty worker is gone.", cli=False),
    ],
)  # fmt: skip

GROUPS = (DIRTY, HOOKS)
