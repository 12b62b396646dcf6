"""Compare servers: ``make bench``, or ``python benchmarks/run.py --case wsgi-hello --rounds 3`` for a quick look.

Rounds are interleaved: each round asks every server of a case once, so that what else the machine does hits all
alike. Results are kept in ``build/bench``; ``--write`` makes ``docs/performance-table.md`` of them.
"""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List

import figures
import front
import measure
import peers
import plot
import report
from cases import CASES, Case
from servers import SERVERS, Server

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "build" / "bench"
RESULTS = WORK / "results.json"
FIGURES = WORK / "figures.json"
PLOT = ROOT / "docs" / "performance.svg"
PAGE = ROOT / "docs" / "performance-table.md"


def parse(arguments: List[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="benchmarks/run.py", description=__doc__.splitlines()[0])
    parser.add_argument("--case", action="append", help="case or pattern, several times (default: all)")
    parser.add_argument("--server", action="append", help="server or pattern; default: those of the case")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds (default 5)")
    parser.add_argument("--seconds", type=float, default=3, help="seconds of load in each round (default 3)")
    parser.add_argument("--compiled", default=str(compiled()), help="environment of the compiled build")
    parser.add_argument("--interpreted", default=str(interpreted()), help="environment of the interpreted build")
    parser.add_argument("--figures", action="store_true", help="memory, start-up and idle connections instead of cases")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.relative_to(ROOT)} from all kept results")
    parser.add_argument("--list", action="store_true", help="list cases and servers")
    return parser.parse_args(arguments)


def compiled() -> Path:
    """Wheels beside what they serve, as the peers are installed: test tools would cost each start milliseconds."""
    made = ROOT / ".venv-measured"
    return made if made.exists() else ROOT / ".venv-compiled"


def interpreted() -> Path:
    """The editable environment: what ``make test`` made, or one that is there already."""
    made = ROOT / ".venv-dev"
    return made if made.exists() else ROOT / ".venv"


def main(arguments: List[str]) -> int:
    """Run what the command line names."""
    options = parse(arguments)
    if options.list:
        for case in CASES.values():
            print(f"{case.name:20} {case.ours}; {', '.join(case.peers + case.beside)}")
        return 0
    missing = [tool for tool in ("wrk", "h2load", "taskset", "openssl", "nginx") if shutil.which(tool) is None]
    if missing:
        print(f"bench: expected wrk, h2load, taskset, openssl and nginx, missing {missing}", file=sys.stderr)
        return 1
    environments = {
        "peers": peers.environment(),
        "compiled": Path(options.compiled).absolute(),
        "interpreted": Path(options.interpreted).absolute(),
    }
    results = report.load(RESULTS)
    without_cases = (options.figures or options.write) and not options.case
    for name in chosen(options.case, [] if without_cases else list(CASES)):
        case = CASES[name]
        rows = run_case(case, participants(case, options.server), environments, options)
        results[name] = {**results.get(name, {}), **rows}
        report.save(RESULTS, results)
        print(report.HEADER, report.RULE, *report.case_rows(case, rows), sep="\n", flush=True)
    everything = not (options.case or options.server or options.write)
    if options.figures or everything:
        found = figures.measure_all(environments, start, options.rounds)
        report.save_figures(FIGURES, found)
        print(report.figures_table(found))
    if options.write or everything:
        PAGE.write_text(report.page(results, report.load_figures(FIGURES)))
        PLOT.write_text(plot.bars(results))
    return 0


def chosen(patterns: List[str], names: List[str]) -> List[str]:
    """The names that match a pattern; all without patterns.

    Raises:
        SystemExit: a pattern matches nothing.
    """
    for pattern in patterns or ():
        if not fnmatch.filter(names, pattern):
            raise SystemExit(f"bench: expected one of {names}, got {pattern!r}")
    return [name for name in names if not patterns or any(fnmatch.fnmatch(name, pattern) for pattern in patterns)]


def participants(case: Case, patterns: List[str]) -> List[Server]:
    """The servers of a case, narrowed to the command line's; one named in full takes part anywhere in its gateway."""
    names = [case.ours, *case.peers, *case.beside]
    if patterns:
        gateway = SERVERS[case.ours].gateway
        exact = [
            name for name in patterns if name not in names and name in SERVERS and SERVERS[name].gateway == gateway
        ]
        names = [name for name in names if any(fnmatch.fnmatch(name, pattern) for pattern in patterns)] + exact
    return [SERVERS[name] for name in names]


def run_case(
    case: Case, servers: List[Server], environments: Dict[str, Path], options: argparse.Namespace
) -> Dict[str, List[Dict[str, Any]]]:
    """All rounds of one case."""
    rows: Dict[str, List[Dict[str, Any]]] = {server.name: [] for server in servers}
    with contextlib.ExitStack() as stack:
        running = {}
        for server in servers:
            try:
                process = start(server, case, environments)
                stack.callback(process.stop)
                if case.front:
                    socket = WORK / f"{process.port}.sock"
                    stack.enter_context(front.nginx(case.front, socket, process.port, WORK))
                process.wait_until_answering()
                running[server.name] = process
            except (RuntimeError, OSError) as error:
                print(f"bench: {error}", file=sys.stderr)
        for number in range(options.rounds):
            for name, process in running.items():
                if number and (name in case.beside or len(rows[name]) < number):
                    continue  # shown, and not counted: once is enough; or it failed
                load = load_of(case, process.port)
                try:
                    rows[name].append(measure.sample(process, load, options.seconds, not number)._asdict())
                except RuntimeError as error:
                    print(f"bench: {error}", file=sys.stderr)
        if case.load == "wrk":
            for name, process in running.items():
                count_calls(rows[name], process, load_of(case, process.port))
    return {name: samples for name, samples in rows.items() if samples}


def count_calls(samples: List[Dict[str, Any]], process: measure.Running, load: List[str]) -> None:
    """Note the system calls per request beside the last sample."""
    with contextlib.suppress(RuntimeError, OSError, subprocess.TimeoutExpired):
        if samples:
            samples[-1]["calls"] = measure.system_calls(process, load)


def start(
    server: Server, case: Case, environments: Dict[str, Path], workers: int = 1, options: str = ""
) -> measure.Running:
    """Start a server for a case; ``options`` are added to its command."""
    port = measure.free_port()
    WORK.mkdir(parents=True, exist_ok=True)
    environment = environments[server.environment]
    words = {
        "python": environment / "bin" / "python",
        "bin": environment / "bin",
        "app": case.app,
        "port": port,
        "bind": f"127.0.0.1:{port}",
        "socket": WORK / f"{port}.sock",
        "workers": workers,
        "log": WORK / "access.log",
        **measure.certificate(WORK),
    }
    extra = (server.tls if case.tls else "", server.access_log if case.access_log else "", options)
    if None in extra:
        raise RuntimeError(f"{server.name}: has no way to do {case.name}")
    command = " ".join((server.command, *filter(None, extra))).format(**words)
    variables = {"PYTHONPATH": str(ROOT / "benchmarks" / "apps"), "PATH": f"{environment / 'bin'}:{os.environ['PATH']}"}
    return measure.Running(server.name, command, port, variables, WORK / f"{server.name.replace(' ', '-')}.log")


def load_of(case: Case, port: int) -> List[str]:
    """The load generator's command for a case."""
    url = f"{'https' if case.tls else 'http'}://127.0.0.1:{port}/"
    if case.load == "h2load":
        return measure.h2load(url, case.connections)
    if case.load == "websocket":
        return measure.websocket(url, case.connections)
    return measure.wrk(url, case.connections, case.script, case.options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
