"""Every command in the README files and the documentation is run, in an environment of wheels of this checkout."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import textwrap
from pathlib import Path
from types import TracebackType
from typing import Iterator, List, Optional, Tuple, Type

import pytest

from docs.blocks import FENCE, Block, Command, blocks, shows
from support import free_port, processes_marked
from support.distributions import ROOT, Environment, make_environment
from support.net import until

PAGES = sorted(
    path.relative_to(ROOT)
    for pattern in ("*.md", "docs/**/*.md", "packages/*/README.md", "deploy/*.md", "examples/**/*.md", "fuzz/*.md")
    for path in ROOT.glob(pattern)
)
SHELLS = ("bash", "sh", "shell", "zsh", "")
TOOLS = "server|serverctl|pip|curl|make|git|hatch"  # what a command begins with, where none may stand
SECONDS = 60
PID = "4711"  # stands for the process id of a worker

# What a page finds in its folder when it brings nothing of its own.
FILES = {
    "app.py": """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"Hello, World!\\n"]
""",
    "main.py": """
async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": b"Hello, World!\\n"})
""",
}
PIP = """#!/bin/sh
exec "{python}" -m pip --python "{target}" "$@"
"""


@pytest.fixture(scope="module")
def site(pure_wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The six from wheels; third parties are those of the tests, so that installing an extra fetches nothing."""
    environment = make_environment(tmp_path_factory.mktemp("docs") / "venv")
    environment.install("--no-deps", *sorted(pure_wheels.glob("*.whl")))
    here = sysconfig.get_path("purelib", vars={"base": str(environment.path), "platbase": str(environment.path)})
    (Path(here) / "third-parties.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = environment.path / "bin" / "pip"
    pip.write_text(PIP.format(python=sys.executable, target=environment.python))
    pip.chmod(0o755)
    django = environment.path / "bin" / "django-admin"
    django.write_text(f'#!/bin/sh\nexec "{environment.python}" -m django "$@"\n')
    django.chmod(0o755)
    return environment


class Reader:
    """Somebody who types what a page says, as a context manager: a folder, its servers, its ports."""

    def __init__(self, site: Environment, wheels: Path, folder: Path) -> None:
        self.folder = folder
        self.ports = {number: str(free_port()) for number in ("8000", "8443", "9100")}
        self.mark = f"docs-{folder.name}-{os.getpid()}"
        self.server: Optional[subprocess.Popen[bytes]] = None
        self.log = folder.with_suffix(".log")
        env = {
            name: value for name, value in os.environ.items() if not name.startswith(("SERVER_", "GUNICORN_", "PIP_"))
        }
        self.env = {
            **env, "PATH": f"{site.path / 'bin'}:{env['PATH']}", "XDG_RUNTIME_DIR": str(folder), "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(wheels), "PIP_DISABLE_PIP_VERSION_CHECK": "1", "SPT_NOENV": "1", "NO_COLOR": "1",
            "SERVER_TEST_MARK": self.mark, "MAKEFLAGS": "", "PIP_NO_BUILD_ISOLATION": "0",
        }  # fmt: skip
        folder.mkdir()
        for name, text in FILES.items():
            (folder / name).write_text(text)

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        try:
            if error is None:
                self.stop()
                until(lambda: not processes_marked(self.mark), 10.0, "no process left behind")
        finally:
            for pid in processes_marked(self.mark):
                os.kill(pid, signal.SIGKILL)

    def here(self, text: str) -> str:
        """A text with the ports of this page, and a worker's process id."""
        for number, port in self.ports.items():
            text = re.sub(rf"(?<=[:= ]){number}\b", port, text)
        if PID in text and self.server is not None:
            text = text.replace(PID, re.findall(r"Booting worker with pid: (\d+)", self.log.read_text())[-1])
        return text

    def write(self, block: Block) -> None:
        """Write the file that a block is."""
        path = self.folder / block.title
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(re.sub(r"\b(8000|8443|9100)\b", lambda found: self.ports[found[1]], block.body))

    def run(self, command: Command, block: Block) -> None:
        """Run one command; a server is left running until the next one or the end of the page."""
        code = int(block.notes.get("exit code", "0"))
        if code:
            self.stop()
        elif serves(command.text):
            self.serve(shlex.split(self.here(command.text)))
            return
        where = ROOT if "checkout" in block.notes else self.folder
        done = subprocess.run(
            ["bash", "-c", self.here(command.text)], cwd=str(where), env=self.env, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=SECONDS, text=True,
        )  # fmt: skip
        assert done.returncode == code, f"$ {command.text} ended with {done.returncode}\n{done.stdout}{self._log()}"
        good, missing = shows([self.here(line) for line in command.output], done.stdout)
        assert good, f"$ {command.text} does not print {missing!r}\n{done.stdout}{self._log()}"

    def serve(self, words: List[str]) -> None:
        """Start a server in the background, in place of the one before; wait until a worker is ready."""
        self.stop()
        with self.log.open("wb") as log:
            self.server = subprocess.Popen(
                words, cwd=str(self.folder), env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

        def booted() -> bool:
            assert self.server is not None
            assert self.server.poll() is None, f"$ {shlex.join(words)} has ended\n{self._log()}"
            return "Booting worker" in self.log.read_text()

        until(booted, 20.0, f"{shlex.join(words)} serves")

    def stop(self) -> None:
        """Stop the server; it ends well."""
        if self.server is not None:
            self.server.terminate()
            assert self.server.wait(20.0) == 0, self._log()
            self.server = None

    def _log(self) -> str:
        return f"\n--- server\n{self.log.read_text()}" if self.log.exists() else ""


def serves(command: str) -> bool:
    """Whether a command is a server that stays."""
    words = command.split()
    ends = {"migrate", "--version", "--help", "--check-config", "--print-config", "-v", "-h"}
    return words[0] == "server" and not ends & set(words) and "|" not in words


def has_commands(page: Path) -> bool:
    """Whether the page has commands that are run."""
    return any(
        block.language == "console" and not {"not run", "run by"} & set(block.notes) for block in blocks(ROOT / page)
    )


@pytest.mark.parametrize("page", [page for page in PAGES if has_commands(page)], ids=str)
def test_every_command_of_the_page_does_what_it_says(page, site, pure_wheels, tmp_path):
    if shutil.which("curl") is None or shutil.which("openssl") is None:
        pytest.skip("curl and openssl are not installed")
    with Reader(site, pure_wheels, tmp_path / "reader") as reader:
        for block in blocks(ROOT / page):
            if block.title:
                reader.write(block)
            if "serving" in block.notes:
                reader.serve(
                    ["server", *shlex.split(block.notes["serving"]), "--bind", f"127.0.0.1:{reader.ports['8000']}"]
                )
            if block.language == "console" and not {"not run", "run by"} & set(block.notes):
                for command in block.commands():
                    if command.text.startswith("server ") and "--bind" not in command.text and serves(command.text):
                        command = command._replace(text=with_bind(command.text, reader))
                    reader.run(command, block)


def with_bind(command: str, reader: Reader) -> str:
    """The command on a free port, where its config file does not say another."""
    files = [reader.folder / name for name in ("server.conf.py", "gunicorn.conf.py")]
    if any("bind" in path.read_text() for path in files if path.exists()):
        return command
    return f"{command} --bind 127.0.0.1:8000"


def everywhere() -> Iterator[Tuple[Path, Block]]:
    """Yield each fenced block with its page."""
    for page in PAGES:
        for block in blocks(ROOT / page):
            yield page, block


def test_commands_that_are_not_run_say_why_and_are_good_shell():
    for page, block in everywhere():
        where = f"{page}:{block.line}"
        assert block.language not in SHELLS or "not run" in block.notes or not looks_like_commands(block), (
            f"{where}: commands stand in blocks of the language console, behind '$ '"
        )
        if "not run" in block.notes:
            assert len(block.notes["not run"]) > 10, f"{where}: expected a reason"
        if "run by" in block.notes:
            test = ROOT / re.split(r"[ ,]", block.notes["run by"])[0]
            assert test.is_file(), f"{where}: no {test}"
        if block.language == "console":
            script = "\n".join(command.text for command in block.commands())
            done = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True)
            assert done.returncode == 0, f"{where}: {done.stderr}"
            for target in re.findall(r"^make (?:-\S+ )?([a-z-]+)", script, re.MULTILINE):
                assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), (
                    f"{where}: make {target}"
                )


def compiles(text: str, where: str) -> None:
    """Compile a block as a module, or, when it returns or awaits, as the body of a function."""
    try:
        compile(text, where, "exec")
    except SyntaxError:
        compile("async def block():\n" + textwrap.indent(text, "    "), where, "exec")


def looks_like_commands(block: Block) -> bool:
    """Whether a block holds what somebody would type."""
    return re.search(rf"^\$? ?({TOOLS}) ", block.body, re.MULTILINE) is not None


def test_no_commands_hide_outside_of_fenced_blocks():
    for page in PAGES:
        outside = FENCE.sub("", (ROOT / page).read_text())
        assert re.findall(rf"^ {{4,}}\$? ?(?:{TOOLS}) .*", outside, re.MULTILINE) == [], page


def test_python_and_toml_in_the_pages_can_be_read():
    for page, block in everywhere():
        if block.language == "python" and "--8<--" not in block.body:
            compiles(block.body, f"{page}:{block.line}")
        if block.language == "toml" and "--8<--" not in block.body and sys.version_info >= (3, 11):
            import tomllib

            tomllib.loads(block.body)
