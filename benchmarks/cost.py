"""What counting costs: CPU time per request with the scoreboard and metrics, beside the same server without them.

Owns: a copy of the server whose scoreboard writes nothing of a request, the rounds (both servers in each, in turns),
and the verdict.
Must not know: how fast other servers are.

    python benchmarks/cost.py --python .venv-compiled/bin/python --tools .venv-build/bin/python

On a machine that has other things to do, rounds differ by more than what is measured. ``--instructions`` counts
instead, with valgrind's callgrind: the instructions of the worker for a request, and those of them that write the
scoreboard.

There is no setting that turns the scoreboard off. One side therefore runs a copy of ``server_core`` in which the
methods of ``scoreboard.record`` that a request calls are empty, compiled like the real ones, so that nothing but
their work is missing. The other side also serves metrics, which are scraped once a second. Both sides take the time a
request waited: that is part of serving it, and costs a comparison.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import http.client
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any, Dict, List, Tuple

from measure import Running, free_port, sample, started, wrk

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "packages" / "core" / "src"
RECORD = "server_core.scoreboard.record"
EMPTIED = ("begin", "finish", "count", "shed")
PROMISED = 0.02  # of the CPU time of a request
CONNECTIONS = 32
CASES = {
    "sync": "-k sync wsgi_apps:hello",
    "gthread": "-k gthread --threads 4 wsgi_apps:hello",
    "asgi": "-k asgi asgi_apps:hello",
}
FEW, MANY = 200, 1200  # requests of the two runs whose difference counts
SLOW_SECONDS = 180.0  # until a server under valgrind begins or has ended
TOTAL = re.compile(r"(\d+) \(100\.0%\) +PROGRAM TOTALS")
RECORDED = re.compile(r"(\d+) \( *[\d.]+%\) +\S*ThreadRecord_\d*(begin|finish) ")
COMPILE = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import hatch_build
print(*hatch_build.compile_modules(Path(sys.argv[2]), [sys.argv[3]], Path(sys.argv[4])))
"""


def output(*words: object) -> str:
    """Run a command and return what it printed."""
    return subprocess.run([str(word) for word in words], check=True, text=True, stdout=subprocess.PIPE).stdout.strip()


def emptied(text: str) -> str:
    """Return the source of the record with the methods that a request calls doing nothing."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name == "ThreadRecord":
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and method.name in EMPTIED:
                    method.body = ast.parse("return 0").body
    return ast.unparse(tree)


def copy_without(options: argparse.Namespace, work: Path) -> Path:
    """Make a copy of the installed ``server_core`` that counts nothing; return the folder it is in."""
    installed = Path(output(options.python, "-c", "import server_core; print(server_core.__file__)")).parent
    place = Path(*RECORD.split("."))
    shutil.copytree(installed, work / "site" / "server_core", ignore=shutil.ignore_patterns("__pycache__"))
    extensions = list((work / "site" / place.parent).glob(f"{place.name}.*.so"))
    source = emptied((SOURCES / place).with_suffix(".py").read_text())
    (work / "site" / place).with_suffix(".py").write_text(source)
    if extensions:
        shutil.copytree(SOURCES, work / "sources", ignore=shutil.ignore_patterns("__pycache__"))
        (work / "sources" / place).with_suffix(".py").write_text(source)
        (work / "compiled").mkdir()
        made = output(options.tools, "-c", COMPILE, ROOT / "tools", work / "sources", RECORD, work / "compiled")
        shutil.copy(made.splitlines()[-1], extensions[0])
    return work / "site"


def measure(options: argparse.Namespace, case: str, without: Path, work: Path) -> Dict[str, List[float]]:
    """Return the CPU time per request of both sides in each round, microseconds."""
    ports = {"with": free_port(), "without": free_port()}
    metrics = free_port()
    command = f"{options.python} -m server_cli {CASES[case]} --log-level warning --no-control-socket -b 127.0.0.1"
    found: Dict[str, List[float]] = {name: [] for name in ports}
    sides: Dict[str, Any] = {
        "with": Running("with", f"{command}:{ports['with']} --metrics-bind 127.0.0.1:{metrics}", ports["with"], {},
                        work / "with.log"),
        "without": Running("without", f"{command}:{ports['without']}", ports["without"],
                           {"PYTHONPATH": str(without)}, work / "without.log"),
    }  # fmt: skip
    done = threading.Event()
    with started(sides["with"]), started(sides["without"]):
        threading.Thread(target=scrape, args=(metrics, done), daemon=True).start()
        for turn in range(options.rounds):
            # Who comes first changes, so that what the machine does meanwhile hits both alike.
            for name in sorted(sides, reverse=turn % 2 == 0):
                load = wrk(f"http://127.0.0.1:{ports[name]}/", CONNECTIONS, "", "")
                found[name].append(sample(sides[name], load, options.seconds).cpu)
        done.set()
    return found


def count_instructions(options: argparse.Namespace, case: str, work: Path) -> Tuple[float, float]:
    """Return the instructions of the worker per request in user space, and those of them in the scoreboard's record."""
    totals, records = zip(*(profile(options, case, requests, work) for requests in (FEW, MANY)))
    return (totals[1] - totals[0]) / (MANY - FEW), (records[1] - records[0]) / (MANY - FEW)


def profile(options: argparse.Namespace, case: str, requests: int, work: Path) -> Tuple[int, int]:
    """Return all instructions of a worker that answers so many requests, and those spent for the record."""
    port = free_port()
    command = (
        f"valgrind -q --tool=callgrind --trace-children=yes --callgrind-out-file={work}/calls.%p {options.python} "
        f"-m server_cli {CASES[case]} --log-level error --no-control-socket --timeout 0 -b 127.0.0.1:{port}"
    )
    server = Running("callgrind", command, port, {}, work / "callgrind.log")
    try:
        ask(port, requests)
    finally:
        server.process.terminate()
        server.process.wait(SLOW_SECONDS)  # it writes what it counted
    found = []
    for path in work.glob("calls.*"):
        text = output("callgrind_annotate", "--inclusive=yes", "--threshold=100", path).replace(",", "")
        spent: Dict[str, int] = {}
        for number, name in RECORDED.findall(text):
            # A call by Python's way has a wrapper, whose count includes the function's.
            spent[name] = max(spent.get(name, 0), int(number))
        total = TOTAL.search(text)
        found.append((int(total.group(1)) if total else 0, sum(spent.values())))
        path.unlink()
    return max(found, key=lambda pair: pair[1])  # the arbiter records nothing


def ask(port: int, requests: int) -> None:
    """Wait for a server, and send it requests one after another on one connection."""
    until = time.monotonic() + SLOW_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            break
        except ConnectionRefusedError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=SLOW_SECONDS)) as connection:
        for _ in range(requests):
            connection.request("GET", "/")
            connection.getresponse().read()


def scrape(port: int, done: threading.Event) -> None:
    """Ask for metrics once a second."""
    while not done.wait(1.0):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            answer.read()


def compare_times(options: argparse.Namespace, case: str, work: Path) -> float:
    """Print and return by how much the scoreboard raises the CPU time of a request."""
    found = measure(options, case, copy_without(options, work), work)
    rises = [counted / bare - 1 for counted, bare in zip(found["with"], found["without"])]
    rise = statistics.median(rises)
    middle = {name: statistics.median(values) for name, values in found.items()}
    shown = ", ".join(f"{value:+.1%}" for value in sorted(rises))
    print(
        f"{case}: {middle['with']:.2f} us with, {middle['without']:.2f} us without: {rise:+.1%} ({shown})", flush=True
    )
    return rise


def compare_instructions(options: argparse.Namespace, case: str, work: Path) -> float:
    """Print and return which part of the instructions of a request the scoreboard has."""
    work.mkdir()
    total, record = count_instructions(options, case, work)
    share = record / (total - record)
    print(
        f"{case}: {total:,.0f} instructions for a request, {record:,.0f} of them for the scoreboard: {share:+.1%}",
        flush=True,
    )
    return share


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable, help="the interpreter of the build that is measured")
    parser.add_argument(
        "--tools", default=sys.executable, help="an interpreter of its version that has the build tools"
    )
    parser.add_argument("--case", action="append", choices=list(CASES), help="several times; default: all")
    parser.add_argument("--rounds", type=int, default=7, help="rounds, both sides in each (default 7)")
    parser.add_argument("--seconds", type=float, default=2, help="seconds of load for each side of a round (default 2)")
    parser.add_argument("--instructions", action="store_true", help="count instructions instead (valgrind; compiled)")
    options = parser.parse_args()
    options.python = os.path.abspath(options.python)  # the servers run in another folder; a link must stay one
    compare = compare_instructions if options.instructions else compare_times
    with tempfile.TemporaryDirectory() as directory:
        rises = [compare(options, case, Path(directory, case)) for case in options.case or CASES]
    kept = max(rises) <= PROMISED
    print(f"promised at most {PROMISED:.0%}: {'kept' if kept else 'NOT KEPT'}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
