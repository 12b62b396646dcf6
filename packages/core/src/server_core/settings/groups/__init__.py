"""The settings of the core, one file per section, in the order of ``--help``."""

from server_core.settings.groups import (
    config_file,
    control,
    debugging,
    hooks,
    http2,
    limits,
    listeners,
    logs,
    mechanics,
    metrics,
    naming,
    timeouts,
    tls,
    workers,
)

GROUPS = (
    config_file.GROUP,
    listeners.GROUP,
    workers.GROUP,
    timeouts.GROUP,
    limits.GROUP,
    debugging.GROUP,
    mechanics.GROUP,
    mechanics.PEERS,
    logs.GROUP,
    metrics.GROUP,
    naming.GROUP,
    tls.GROUP,
    http2.GROUP,
    control.GROUP,
    hooks.GROUP,
)
