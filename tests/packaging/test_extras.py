"""What each extra brings, and how large it is; ``EXTRAS_TABLE=docs/reference/extras.md`` writes the page."""

from __future__ import annotations

import json
import os
import re
import sys
import zipfile
from pathlib import Path
from typing import Dict, List, NamedTuple

import pytest

from support.distributions import OURS, ROOT, Environment, make_environment, run, third_parties

if sys.version_info < (3, 11):
    pytest.skip("reads pyproject.toml with tomllib", allow_module_level=True)
import tomllib

PAGE = ROOT / "docs" / "reference" / "extras.md"
HEAD = """\
<!-- Written by tests/packaging/test_extras.py with EXTRAS_TABLE=docs/reference/extras.md. -->
# What each extra installs

`pip install server-cli` brings three distributions and no third party. Each extra adds what it needs and nothing else.
Sizes are those of installed files in KiB, on CPython {python} for {platform}; our own without compiled modules, which
add about 7 MiB.

| install | brings beside `server-cli`, `server-core`, `server-http` | ours | third parties |
|---|---|---:|---:|
"""
BARE = ("`server-cli`", "`server-core`", "`server-http`")
#: Not resolved here: hundreds of MiB.
TOO_LARGE = {"ray": "`server-dirty`, `ray` and what it needs"}


class Brought(NamedTuple):
    """What an installation brings: names, and octets of installed files."""

    names: List[str]
    ours: int
    others: int


def extras() -> Dict[str, List[str]]:
    """The extras of server-cli that are resolved here, and what each requires."""
    table = tomllib.loads((ROOT / "packages" / "cli" / "pyproject.toml").read_text())
    found = table["project"]["optional-dependencies"]
    return {name: required for name, required in found.items() if name not in TOO_LARGE}


def outside() -> List[str]:
    """The third-party requirements of all our extras and packages, to be downloaded."""
    required = set()
    for path in (ROOT / "packages").glob("*/pyproject.toml"):
        project = tomllib.loads(path.read_text())["project"]
        optional = project.get("optional-dependencies", {})
        for name, requirements in [("", project.get("dependencies", [])), *optional.items()]:
            if name not in TOO_LARGE:
                required.update(r for r in requirements if not r.startswith("server-"))
    return sorted(required)


@pytest.fixture(scope="module")
def brought(pure_wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Dict[str, Brought]:
    """What each extra would install, resolved without any index."""
    environment = make_environment(tmp_path_factory.mktemp("resolve") / "venv")
    others = third_parties(tmp_path_factory.mktemp("resolve") / "others", environment, outside())
    return {extra: resolve(environment, extra, pure_wheels, others) for extra in ["", *extras()]}


def resolve(environment: Environment, extra: str, ours: Path, others: Path) -> Brought:
    wanted = f"server-cli[{extra}]" if extra else "server-cli"
    options = ["--dry-run", "--quiet", "--no-index", "--find-links", ours, "--find-links", others, "--report", "-"]
    report = json.loads(run([*environment.pip, "install", *options, wanted]))
    sizes = {}
    for item in report["install"]:
        name = re.sub(r"[-_.]+", "-", item["metadata"]["name"]).lower()
        wheel = Path(item["download_info"]["url"].removeprefix("file://"))
        with zipfile.ZipFile(wheel) as archive:
            sizes[name] = sum(entry.file_size for entry in archive.infolist())
    own = sum(size for name, size in sizes.items() if name in OURS)
    return Brought(sorted(sizes), own, sum(sizes.values()) - own)


def test_the_bare_server_is_three_wheels_and_nothing_else(brought):
    assert brought[""].names == ["server-cli", "server-core", "server-http"]
    assert brought[""].others == 0
    assert brought[""].ours < 2 << 20


def test_each_extra_brings_what_its_page_says(brought):
    if os.environ.get("EXTRAS_TABLE"):
        (ROOT / os.environ["EXTRAS_TABLE"]).write_text(page(brought))
    written = dict(re.findall(r"^\| `server-cli(?:\[(\w+)\])?` \| (.*?) \|", PAGE.read_text(), re.MULTILINE))
    assert set(written) == {*brought, *TOO_LARGE}
    for extra, found in brought.items():
        # What third parties require of one another is theirs to change; the page tells how it was.
        mine = {f"`{name}`" for name in found.names if name in OURS} - set(BARE)
        assert extra == "all" or mine <= set(written[extra].split(", ")), extra
        assert all(f"`{name}`" in written[extra] for name in direct(extra)), extra


def test_the_extra_all_brings_what_the_others_bring(brought):
    single = {name for extra, found in brought.items() if extra != "all" for name in found.names}
    assert set(brought["all"].names) == single


def direct(extra: str) -> List[str]:
    """The third parties that an extra of server-cli names itself, by way of the packages of ours that it names."""
    found = []
    for requirement in extras().get(extra, []):
        name, options = re.fullmatch(r"([\w-]+)(?:\[(.*?)\])?.*", requirement).groups()
        if not name.startswith("server-"):
            found.append(name)
        elif extra != "all" and options:
            project = tomllib.loads((ROOT / "packages" / name[len("server-") :] / "pyproject.toml").read_text())
            for option in options.split(","):
                found += [re.match(r"[\w-]+", r)[0] for r in project["project"]["optional-dependencies"][option]]
    return found


def names(extra: str, found: Brought) -> str:
    """What is brought, as the page has it."""
    if extra == "all":
        return "all of the above"
    return ", ".join(f"`{name}`" for name in found.names if f"`{name}`" not in BARE) or "nothing"


def page(brought: Dict[str, Brought]) -> str:
    version = ".".join(map(str, sys.version_info[:2]))
    lines = [HEAD.format(python=version, platform=sys.platform)]
    for extra, found in brought.items():
        label = f"server-cli[{extra}]" if extra else "server-cli"
        lines.append(f"| `{label}` | {names(extra, found)} | {found.ours >> 10} | {found.others >> 10} |\n")
    lines += [f"| `server-cli[{extra}]` | {text} | | hundreds of MiB |\n" for extra, text in TOO_LARGE.items()]
    return "".join(lines)
