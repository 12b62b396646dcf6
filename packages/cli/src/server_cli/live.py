"""The live view of ``serverctl top``, drawn with Textual.

Owns: the screens, their keys, and how numbers become text and curves.
Must not know: how numbers travel: a source gives them (``top.Source``).
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, Callable, ClassVar, Dict, List, Optional, Protocol, Sequence, Tuple

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import DataTable, Footer, Static

from server_cli.tables import octets, seconds
from server_core.control.protocol import ControlError

CURVE = 60  # seconds of the curves


class ServerSource(Protocol):
    """What the view asks a server for; each method may wait, and raises ControlError."""

    def top(self) -> Dict[str, Any]:
        """The overview (``server_core.control.overview``)."""

    def replace(self, pid: int) -> None:
        """Replace a worker."""

    def reload(self) -> None:
        """Load settings and code again."""

    def stack(self, pid: int) -> str:
        """The stacks of a worker."""


# The curves: title, column of the history, the figure of now, what stands below it.
Numbers = Dict[str, Any]
Describe = Callable[[Numbers, Numbers], str]
CURVES: Sequence[Tuple[str, str, Describe, Describe]] = (
    ("Requests/s", "rate", lambda now, _: number(now["rate"]),
     lambda now, server: f"{number(now['errors'])} 5xx/s, {server['requests']:,} in all"),
    ("Latency", "p95", lambda now, _: f"{milliseconds(now['p50'])}",
     lambda now, _: f"95 %: {milliseconds(now['p95'])}  99 %: {milliseconds(now['p99'])}"),
    ("Busy", "busy", lambda now, _: percent(now["busy"]),
     lambda now, server: f"{now['workers']} of {server['workers_target']} workers, {octets(now['memory'])}"),
    ("In flight", "running", lambda now, _: f"{now['running']}",
     lambda now, _: f"{now['connections']} connections, {now['waiting']} waiting"),
)  # fmt: skip


def number(value: float) -> str:
    """Return a rate."""
    return f"{value:,.1f}" if value < 10 else f"{value:,.0f}"


def percent(value: float) -> str:
    """Return a share as percent."""
    return f"{value * 100:.0f} %"


def milliseconds(value: Optional[float]) -> str:
    """Return a short duration."""
    if value is None:
        return "-"
    return f"{value * 1000:.1f} ms" if value < 0.1 else f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"


WORKERS = ("group", "slot", "pid", "state", "up", "req/s", "requests", "running", "conns", "busy", "memory")
REQUESTS = ("age", "pid", "group", "request")


BLOCKS = " \u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588"  # eighths


def bars(values: Sequence[float], top: float, width: int, height: int) -> str:
    """Return the last values as columns of blocks that begin at zero, the newest to the right.

    Args:
        top: the value of a full column; 0 takes the highest.
        width, height: in characters.
    """
    shown = list(values)[-width:]
    full = (len(BLOCKS) - 1) * height
    levels = [round(full * min(1.0, value / (top or max(shown) or 1.0))) for value in shown]
    rows = [
        "".join(BLOCKS[min(len(BLOCKS) - 1, max(0, level - (len(BLOCKS) - 1) * below))] for level in levels)
        for below in reversed(range(height))
    ]
    return "\n".join(row.rjust(width) for row in rows)


class Bars(Static):
    """The curve of the last minute."""

    def __init__(self, top: float) -> None:
        super().__init__(classes="bars")
        self._top = top
        self.values: List[float] = []

    def render(self) -> Text:
        """As many columns as there is room for."""
        return Text(bars(self.values, self._top, self.size.width, self.size.height))

    def show(self, values: List[float]) -> None:
        """Show new numbers."""
        self.values = values
        self.refresh()


class Curve(Vertical):
    """A figure with its curve."""

    def __init__(self, title: str, top: float) -> None:
        super().__init__(classes="curve")
        self._title = title
        self._figure = Static(classes="figure")
        self._line = Bars(top)
        self._detail = Static(classes="detail")

    def compose(self) -> ComposeResult:
        """Its parts, from top to bottom."""
        yield Static(self._title, classes="title")
        yield self._figure
        yield self._line
        yield self._detail

    def show(self, figure: str, values: List[float], detail: str) -> None:
        """Show new numbers."""
        self._figure.update(figure)
        self._line.show(values)
        self._detail.update(detail)


class StackScreen(ModalScreen[None]):
    """The stacks of one worker, until a key is pressed."""

    BINDINGS: ClassVar[List[BindingType]] = [Binding("escape,q,s", "dismiss", "Back")]

    def __init__(self, title: str, text: str) -> None:
        super().__init__()
        self._title = title
        self._text = text

    def compose(self) -> ComposeResult:
        """A frame that scrolls."""
        with VerticalScroll(id="stack") as frame:
            frame.border_title = self._title
            yield Static(Text(self._text))
        yield Footer()


class QuestionScreen(ModalScreen[bool]):
    """A question that y answers with yes and other keys with no."""

    BINDINGS: ClassVar[List[BindingType]] = [
        Binding("y", "answer(True)", "Yes"),
        Binding("n,escape,q", "answer(False)", "No"),
    ]

    def __init__(self, question: str) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        """The question in the middle."""
        yield Static(Text(f"{self._question}  (y/n)"), id="question")

    def action_answer(self, answer: bool) -> None:
        """Leave with the answer."""
        self.dismiss(answer)


class LiveView(App[None]):
    """The view.

    Args:
        source: gives numbers and carries orders out.
        interval: seconds between two looks.
    """

    TITLE = "serverctl top"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #head { height: 1; background: $panel; padding: 0 1; }
    #curves { height: 6; margin: 1 0 0 0; }
    .curve { padding: 0 1; }
    .title, .detail { color: $text-muted; height: 1; }
    .figure { text-style: bold; height: 1; }
    .bars { height: 2; color: $primary; }
    #workers { height: 1fr; min-height: 5; margin: 1 0 0 0; }
    #requests { height: 1fr; min-height: 4; }
    DataTable { border-top: solid $panel; border-title-color: $text; }
    #stack { border: round $primary; margin: 1 3; padding: 0 1; background: $surface; }
    QuestionScreen { align: center middle; }
    #question { width: auto; border: round $warning; padding: 1 3; background: $surface; }
    """
    BINDINGS: ClassVar[List[BindingType]] = [
        Binding("q", "quit", "Quit"),
        Binding("k", "recycle", "Recycle worker"),
        Binding("s", "stack", "Stack"),
        Binding("r", "reload", "Reload"),
        Binding("p", "pause", "Pause"),
        Binding("tab", "app.focus_next", "Other table", show=False),
    ]

    def __init__(self, source: ServerSource, interval: float) -> None:
        super().__init__()
        self._source = source
        self._interval = interval
        self._curves = [Curve(title, top=1.0 if column == "busy" else 0.0) for title, column, *_ in CURVES]
        self._paused = False
        self._asking = asyncio.Lock()  # one question at a time on the connection
        self._before: Tuple[float, Dict[int, int]] = (0.0, {})

    def compose(self) -> ComposeResult:
        """The head, the curves, both tables, the keys."""
        yield Static(id="head")
        yield Horizontal(*self._curves, id="curves")
        workers: DataTable[Any] = DataTable(id="workers", cursor_type="row")
        workers.border_title = "Workers"
        yield workers
        requests: DataTable[Any] = DataTable(id="requests", cursor_type="row")
        yield requests
        yield Footer()

    async def on_mount(self) -> None:
        """Begin to look."""
        self.query_one("#workers", DataTable).add_columns(*WORKERS)
        self.query_one("#requests", DataTable).add_columns(*REQUESTS)
        self.query_one("#workers", DataTable).focus()
        await self.look()
        self.set_interval(self._interval, self.look)

    async def look(self) -> None:
        """Ask for numbers and show them; what was shown stays while nobody answers."""
        if self._paused:
            return
        try:
            found = await self._ask(self._source.top)
        except ControlError as error:
            self._head(Text(f"no answer: {error}", "bold red"))
            return
        self._show(found)

    async def _ask(self, method: Callable[..., Any], *args: Any) -> Any:
        async with self._asking:
            return await asyncio.to_thread(method, *args)

    # --- showing --------------------------------------------------------------------------------

    def _head(self, text: Text) -> None:
        self.query_one("#head", Static).update(text)

    def _show(self, found: Numbers) -> None:
        server, now = found["server"], found["now"]
        word, style = ("stopping", "yellow") if server["stopping"] else ("ready", "green")
        if not server["ready"] and not server["stopping"]:
            word, style = "not ready", "red"
        self._head(
            Text.assemble(
                (server["name"], "bold"), "  ", (word, f"bold {style}"),
                f"  {server['worker_class']}, up {seconds(server['uptime'])}, {server['reloads']} reloads, "
                f"arbiter {server['pid']}" + ("  (paused)" if self._paused else ""),
            )
        )  # fmt: skip
        columns, rows = found["history"]["columns"], found["history"]["rows"][-CURVE:]
        for curve, (_, column, figure, detail) in zip(self._curves, CURVES):
            values = [float(row[columns.index(column)] or 0.0) for row in rows]
            curve.show(figure(now, server), values, detail(now, server))
        self._fill("#workers", [str(row["pid"]) for row in found["workers"]], self._worker_rows(found["workers"]))
        self.query_one("#requests", DataTable).border_title = f"Requests now running: {found['requests_running']}"
        self._fill("#requests", None, [_request(row) for row in found["requests"]])

    def _worker_rows(self, rows: List[Numbers]) -> List[List[Any]]:
        at, before = self._before
        moment = time.monotonic()
        self._before = (moment, {row["pid"]: row["requests"] for row in rows})
        shown = []
        for row in rows:
            known = before.get(row["pid"])
            rate = "-" if known is None else number(max(0, row["requests"] - known) / max(0.001, moment - at))
            state = f"{row['state']}, {row['retiring']}" if row["retiring"] else row["state"]
            values = (row["group"], row["slot"], row["pid"], state, seconds(row["uptime"]), rate,
                      f"{row['requests']:,}", row["running"], row["connections"], percent(row["busy"]),
                      octets(row["memory"]))  # fmt: skip
            style = "" if row["state"] == "ready" else "yellow"
            shown.append([Text(str(value), style, justify="left" if i in (0, 3) else "right")
                          for i, value in enumerate(values)])  # fmt: skip
        return shown

    def _fill(self, name: str, keys: Optional[List[str]], rows: List[List[Any]]) -> None:
        """Put rows into a table, with the cursor where it was."""
        table = self.query_one(name, DataTable)
        line, scrolled = table.cursor_row, table.scroll_y
        chosen = self._chosen() if keys else None
        table.clear()
        for index, row in enumerate(rows):
            table.add_row(*row, key=keys[index] if keys else None)
        if keys and chosen is not None and str(chosen) in keys:
            line = keys.index(str(chosen))
        table.move_cursor(row=min(line, max(0, len(rows) - 1)), animate=False, scroll=False)
        table.scroll_to(y=scrolled, animate=False)

    def _chosen(self) -> Optional[int]:
        """Return the process id of the worker under the cursor."""
        table = self.query_one("#workers", DataTable)
        if not table.is_valid_row_index(table.cursor_row):
            return None
        key = table.coordinate_to_cell_key((table.cursor_row, 0)).row_key.value  # type: ignore[arg-type]
        return int(key) if key else None

    # --- keys -----------------------------------------------------------------------------------

    def action_pause(self) -> None:
        """Look no more, or again."""
        self._paused = not self._paused
        self.notify("paused" if self._paused else "going on")

    def action_recycle(self) -> None:
        """Replace the worker under the cursor, when that is meant."""
        pid = self._chosen()
        if pid is not None:
            self._order(f"Replace worker {pid}? Its successor is ready before it leaves.", self._source.replace, pid)

    def action_reload(self) -> None:
        """Reload the server, when that is meant."""
        self._order("Load settings and code again, and replace every worker?", self._source.reload)

    def _order(self, question: str, method: Callable[..., None], *args: Any) -> None:
        async def decided(meant: Optional[bool]) -> None:
            if meant:
                await self._carry_out(method, *args)

        self.push_screen(QuestionScreen(question), decided)

    async def _carry_out(self, method: Callable[..., None], *args: Any) -> None:
        try:
            await self._ask(method, *args)
        except ControlError as error:
            self.notify(str(error), severity="error")
        else:
            self.notify("done" if not args else f"asked for: {args[0]}")

    async def action_stack(self) -> None:
        """Show the stacks of the worker under the cursor."""
        pid = self._chosen()
        if pid is None:
            return
        try:
            text = await self._ask(self._source.stack, pid)
        except ControlError as error:
            self.notify(str(error), severity="error")
            return
        self.push_screen(StackScreen(f"worker {pid}", text))


def _request(row: Numbers) -> List[Any]:
    style = "bold red" if row["age"] >= 10 else "yellow" if row["age"] >= 1 else ""
    age = Text(seconds(row["age"]), style, justify="right")
    return [age, Text(str(row["pid"]), justify="right"), Text(row["group"]), Text(row["request"])]
