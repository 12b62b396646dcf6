"""The live view, driven by Textual's own pilot."""

from __future__ import annotations

import asyncio
from typing import Any, Callable, Coroutine, Dict, List

import pytest

pytest.importorskip("textual")

from rich.text import Text
from textual.pilot import Pilot
from textual.widgets import DataTable, Static

from server_cli.live import Curve, LiveView, QuestionScreen, StackScreen, bars, milliseconds
from server_core.control.history import COLUMNS
from server_core.control.protocol import ControlError


def worker(pid: int, **more: Any) -> Dict[str, Any]:
    row = {"group": "http", "slot": 0, "pid": pid, "state": "ready", "uptime": 61.0, "requests": 10, "running": 1,
           "connections": 3, "busy": 0.25, "memory": 20 << 20, "retiring": ""}  # fmt: skip
    return {**row, **more}


class FakeServer:
    """A server that answers what is put into it and keeps what it was asked for."""

    def __init__(self) -> None:
        self.workers = [worker(101), worker(102, slot=1)]
        self.requests = [{"age": 12.5, "pid": 101, "group": "http", "request": "GET /slow?a=[b]"}]
        self.asked: List[Any] = []
        self.fails = ""

    def top(self) -> Dict[str, Any]:
        self._fail()
        now = {**dict.fromkeys(COLUMNS, 1), "rate": 123.4, "p50": 0.0042, "p95": None, "busy": 0.5, "memory": 1 << 20}
        return {
            "server": {"name": "shop:app", "stopping": False, "ready": True, "worker_class": "sync", "uptime": 70,
                       "reloads": 2, "pid": 100, "requests": 4000, "workers_target": 2},
            "now": now,
            "history": {"columns": list(COLUMNS), "rows": [[float(n)] * len(COLUMNS) for n in range(5)]},
            "workers": self.workers,
            "requests": self.requests,
            "requests_running": len(self.requests),
        }  # fmt: skip

    def replace(self, pid: int) -> None:
        self._fail()
        self.asked.append(("replace", pid))

    def reload(self) -> None:
        self.asked.append("reload")

    def stack(self, pid: int) -> str:
        self.asked.append(("stack", pid))
        return f"Thread of {pid}\n  File [app.py] in app"

    def _fail(self) -> None:
        if self.fails:
            raise ControlError(self.fails)


def play(scene: Callable[[LiveView, FakeServer, Pilot[None]], Coroutine[Any, Any, None]]) -> None:
    """Run the view of a fake server and let ``scene`` press keys; looks happen only when it asks for them."""

    async def run() -> None:
        server = FakeServer()
        view = LiveView(server, interval=3600)
        async with view.run_test(size=(120, 40)) as pilot:
            await pilot.pause()
            await scene(view, server, pilot)

    asyncio.run(run())


def cells(view: LiveView, name: str) -> List[List[str]]:
    table = view.query_one(name, DataTable)
    rows = [table.get_row_at(index) for index in range(table.row_count)]
    return [[cell.plain if isinstance(cell, Text) else str(cell) for cell in row] for row in rows]


def head(view: LiveView) -> str:
    return str(view.screen_stack[0].query_one("#head", Static).render())


def test_workers_requests_and_figures_are_shown():
    async def scene(view, server, pilot):
        assert cells(view, "#workers")[1] == [
            "http", "1", "102", "ready", "1m01s", "-", "10", "1", "3", "25 %", "20.0M",
        ]  # fmt: skip
        assert cells(view, "#requests") == [["12.5s", "101", "http", "GET /slow?a=[b]"]]
        assert "shop:app" in head(view)
        assert "ready" in head(view)
        figures = [str(curve._figure.render()) for curve in view.query(Curve)]
        assert all(text in shown for text, shown in zip(["123", "4.2 ms", "50 %", "1"], figures))
        assert view.query(Curve)[0]._line.values == [0.0, 1.0, 2.0, 3.0, 4.0]

    play(scene)


def test_rates_come_from_two_looks_and_the_cursor_stays_with_its_worker():
    async def scene(view, server, pilot):
        await pilot.press("down")
        server.workers = [worker(103), worker(102, requests=1_000_000)]
        await view.look()
        assert cells(view, "#workers")[0][5] == "-"
        assert float(cells(view, "#workers")[1][5].replace(",", "")) > 0
        assert view._chosen() == 102
        server.workers = [worker(102), worker(104, state="booting"), worker(105, retiring="max_requests")]
        await view.look()
        assert view._chosen() == 102
        assert cells(view, "#workers")[2][3] == "ready, max_requests"

    play(scene)


@pytest.mark.parametrize(("answer", "asked"), [("y", [("replace", 102)]), ("n", []), ("escape", [])])
def test_a_worker_is_recycled_when_that_is_meant(answer, asked):
    async def scene(view, server, pilot):
        await pilot.press("down", "k")
        assert isinstance(view.screen, QuestionScreen)
        await pilot.press(answer)
        await pilot.pause()
        assert server.asked == asked

    play(scene)


def test_a_reload_is_asked_for():
    async def scene(view, server, pilot):
        await pilot.press("r", "y")
        await pilot.pause()
        assert server.asked == ["reload"]

    play(scene)


def test_stacks_are_shown_as_they_are_and_left_by_a_key():
    async def scene(view, server, pilot):
        await pilot.press("s")
        await pilot.pause()
        assert isinstance(view.screen, StackScreen)
        assert "File [app.py] in app" in str(view.screen.query_one("#stack Static", Static).render())
        await pilot.press("escape")
        assert not isinstance(view.screen, StackScreen)
        assert server.asked == [("stack", 101)]

    play(scene)


def test_a_server_that_is_gone_is_told_of_and_found_again():
    async def scene(view, server, pilot):
        server.fails = "nobody listens"
        await view.look()
        assert "no answer: nobody listens" in head(view)
        await pilot.press("k", "y")
        await pilot.pause()
        assert server.asked == []
        server.fails = ""
        await view.look()
        assert "no answer" not in head(view)

    play(scene)


def test_nothing_moves_while_it_is_paused():
    async def scene(view, server, pilot):
        await pilot.press("p")
        server.workers = []
        await view.look()
        assert len(cells(view, "#workers")) == 2
        await pilot.press("p")
        await view.look()
        assert cells(view, "#workers") == []
        await pilot.press("k", "s")  # nobody is there
        assert server.asked == []

    play(scene)


@pytest.mark.parametrize(
    ("seconds", "shown"), [(None, "-"), (0.0042, "4.2 ms"), (0.25, "250 ms"), (1.25, "1.2 s"), (75, "75.0 s")]
)
def test_durations_are_short(seconds, shown):
    assert milliseconds(seconds) == shown


@pytest.mark.parametrize(
    ("values", "top", "shown"),
    [
        ([0, 1, 2], 0, ["    \u2588", "   \u2588\u2588"]),
        ([0, 0], 0, ["     ", "     "]),
        ([], 0, ["     ", "     "]),
        ([9, 9, 9, 9, 0, 8, 8], 8, ["\u2588\u2588 \u2588\u2588", "\u2588\u2588 \u2588\u2588"]),
        ([1, 1, 1, 1, 1], 16, ["     ", "\u2581" * 5]),
    ],
)
def test_curves_begin_at_zero_and_end_at_the_right(values, top, shown):
    assert bars(values, top, width=5, height=2).split("\n") == shown
