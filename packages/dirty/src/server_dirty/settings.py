"""The settings of dirty workers.

Owns: the ``dirty_*`` settings and hooks. Imports nothing but ``server_core.settings``, because it is
imported to parse the command line.
"""

from __future__ import annotations

from typing import Any

from server_core.settings.declare import Group, Setting
from server_core.settings.references import Hook
from server_core.settings.values import Boolean, Integer, ListOf, Seconds, Size, Table, Text, Url


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
        Setting("dirty_queue", Integer(1, 65535), 128,
                "How many calls of one application may wait; one more is refused at once."),
        Setting("dirty_max_memory", Size(), 0,
                "Resident memory above which a dirty worker is replaced, its successor ready first; 0 means never."),
        Setting("dirty_backend", Text("NAME"), "local",
                "Where dirty applications run: local processes, or the name of an installed backend such as ray."),
        Setting("dirty_pickle", Boolean(), False,
                "Let values of other types travel by pickle; only where callers and applications trust one another."),
        Setting("dirty_ray_address", Url("ADDRESS"), "auto",
                "The cluster of dirty_backend = ray: auto for that of this machine, HOST:PORT, or a ray:// address."),
        Setting("dirty_ray_runtime_env", Table(), {},
                "Ray's runtime environment of the applications, such as {'working_dir': '.'} to send their code along.",
                cli=False),
        Setting("dirty_stash", Url("ADDRESS"), "local",
                "Where the stash is kept: local, or a redis:// address shared by several machines."),
        Setting("dirty_stash_size", Size(), 64 * 1024 * 1024,
                "Bytes of all values in the stash; a value that does not fit is refused; 0 means no limit."),
        Setting("dirty_stash_value", Size(), 16 * 1024 * 1024,
                "Bytes of one value in the stash; 0 means no limit."),
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
