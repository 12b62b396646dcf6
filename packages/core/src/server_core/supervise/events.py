"""What supervision hears, and what it orders.

Owns: the events (past facts) and actions (verbs) of ``state.step``; data only.
Must not know: who reports an event, who carries an action out. A child is named by a number of our
own, because it exists before its process and must not be mistaken for a later process of the same id.
"""

from __future__ import annotations

from typing import Mapping, Optional, Tuple, Union

from server_http.record import Record

# --- plans ------------------------------------------------------------------------------------


class GroupPlan(Record):
    """How one group of children is to be kept. Durations are seconds, 0 = without limit.

    Args:
        name: ``"http"`` or the name of a service.
        workers: how many children.
        timeout: silence after which a ready child is given up.
        boot_timeout: time from the start to ready.
        graceful_timeout: time to leave after being told to.
        strategy: ``"rolling"`` replaces one after another at a reload, ``"all"`` at once, ``"keep"`` not at all.
        template: children are forked by a template that has loaded the application.
        halts: a child that cannot boot at the first start stops the server.
        rank: order of stopping; a rank is told to leave when the lower ones are gone.
        most: upper bound for the number of children, 0 for none.
        settle: seconds a child serves on after its slot was given up, for connections on their way to it.
        adaptive: the number follows the load, between ``workers`` and ``most``.
    """

    name: str
    workers: int
    timeout: float = 30.0
    boot_timeout: float = 300.0
    graceful_timeout: float = 30.0
    strategy: str = "rolling"
    template: bool = False
    halts: bool = True
    rank: int = 0
    most: int = 0
    settle: float = 0.0
    adaptive: bool = False


class Plan(Record):
    """The groups of one generation, and whether WINCH means "stop the workers" (daemon)."""

    groups: Tuple[GroupPlan, ...]
    daemon: bool = False


# --- events -----------------------------------------------------------------------------------


class Begun(Record):
    """The listeners are open; children may be started."""


class Signalled(Record):
    """A signal arrived, or a command that means the same. ``name`` is without ``SIG``."""

    name: str


class ChildStarted(Record):
    """The process of ``child`` exists."""

    child: int
    pid: int


class SpawnFailed(Record):
    """The process of ``child`` could not be made."""

    child: int
    reason: str


class ChildReady(Record):
    """``child`` is about to serve."""

    child: int


class ChildRetiring(Record):
    """``child`` asks for a successor and serves on."""

    child: int
    reason: str


class ChildExited(Record):
    """The process of ``child`` is gone: by ``code``, or killed by the signal number ``signal``."""

    child: int
    code: int
    signal: int = 0


class Ticked(Record):
    """Time passed.

    Args:
        beats: when each child was last alive, monotonic seconds.
        queued: connections waiting in the backlogs.
    """

    beats: Mapping[int, float]
    queued: int = 0


class ConfigLoaded(Record):
    """New settings are valid, and what they listen on is open."""

    plan: Plan


class ConfigRejected(Record):
    """New settings cannot be used; everything stays as it was."""

    reason: str


class Upgraded(Record):
    """A second arbiter was started as process ``pid``."""

    pid: int


class UpgradeEnded(Record):
    """The second arbiter is gone, or could not be started: we go on alone."""

    reason: str


class ParentGone(Record):
    """The arbiter that started us in an upgrade is gone: we are the only one."""


class ScaleRequested(Record):
    """``count`` children of ``group`` are wanted."""

    group: str
    count: int


class LoadMeasured(Record):
    """The ready children of ``group`` were busy for ``share`` (0 to 1) of the last second or so."""

    group: str
    share: float


class ReplaceRequested(Record):
    """``child`` shall be replaced, its successor ready first."""

    child: int


Event = Union[
    Begun, Signalled, ChildStarted, SpawnFailed, ChildReady, ChildRetiring, ChildExited, Ticked, ConfigLoaded,
    ConfigRejected, Upgraded, UpgradeEnded, ParentGone, ScaleRequested, LoadMeasured,
    ReplaceRequested,
]  # fmt: skip

# --- actions ----------------------------------------------------------------------------------


class Spawn(Record):
    """Start ``child``. ``template`` names the child that forks it; None forks it from the arbiter.

    ``slot`` is the stable slot number, -1 for a template.
    """

    child: int
    group: str
    slot: int
    generation: int
    template: Optional[int] = None


class Kill(Record):
    """Send the signal ``name`` (without ``SIG``) to ``child``."""

    child: int
    name: str


class DumpStacks(Record):
    """Have ``child`` write the Python stacks of its threads."""

    child: int


class ReportSilence(Record):
    """Log that ``child`` was silent for ``seconds``, its running requests and its stacks."""

    child: int
    seconds: float
    booting: bool


class ReportBoot(Record):
    """Log what ``child`` said about its failure to boot."""

    child: int


class Forget(Record):
    """``child`` is gone: fold its counters, call the hooks."""

    child: int


class SetTarget(Record):
    """``group`` is to have ``count`` children; it had ``before`` (None at the start)."""

    group: str
    count: int
    before: Optional[int]


class LoadConfig(Record):
    """Read and check the settings; answer by ConfigLoaded or ConfigRejected."""


class UseConfig(Record):
    """Children are started from the settings of ``generation`` from now on."""

    generation: int


class RefuseDropped(Record):
    """Admit nobody at addresses that the current settings do not have; the old children still drain them."""


class DropConfigs(Record):
    """Settings, listeners and templates of generations other than ``generation`` are not needed any more."""

    generation: int


class RefuseNew(Record):
    """Admit no further connections, keep those that wait."""


class CloseListeners(Record):
    """End listening; ``shared`` sockets live on in another arbiter."""

    shared: bool = False


class Reexec(Record):
    """Start a second arbiter from the files as they are now."""


class Promote(Record):
    """Take over what the first arbiter had: pid file, control socket, the name Master."""


class Resume(Record):
    """Take back what the second arbiter had been given."""


class ReopenLogs(Record):
    """Reopen the log files, here."""


class Notify(Record):
    """Tell the service manager."""

    message: str


class Log(Record):
    """Write a line to the error log. ``level`` is a method of the logger."""

    level: str
    message: str


class Exit(Record):
    """Leave with ``code``; no child is left."""

    code: int


Action = Union[
    Spawn, Kill, DumpStacks, ReportSilence, ReportBoot, Forget, SetTarget, LoadConfig, UseConfig, RefuseDropped,
    DropConfigs, RefuseNew, CloseListeners, Reexec, Promote, Resume, ReopenLogs, Notify, Log, Exit,
]  # fmt: skip
