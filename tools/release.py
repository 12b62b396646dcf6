"""Say whether a package can be released as it stands, and by which tag.

Owns: what a release of one package needs: a version that its changelog describes, and that no tag has. Each package is
released by itself; its tag names it and its version, as ``server-http-v0.2.0``.
Must not know: how anything is built or published.

    python3 tools/release.py http          prints the tag, or what is missing
    python3 tools/release.py --tag http    makes it
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import List

ROOT = Path(__file__).resolve().parent.parent


def version_of(package: Path) -> str:
    """The version in the package's ``version.py``."""
    (path,) = package.glob("src/*/version.py")
    found = re.search(r'^__version__ = "(.*)"$', path.read_text(), re.MULTILINE)
    if found is None:
        raise SystemExit(f"{path}: expected __version__, got none")
    return found[1]


def problems(package: Path, tags: List[str]) -> List[str]:
    """What keeps the package from being released."""
    version, name = version_of(package), f"server-{package.name}"
    headings = re.findall(r"^## (.*)$", (package / "CHANGELOG.md").read_text(), re.MULTILINE)
    found = []
    if not headings or headings[0].split()[0] != version:
        found.append(f"CHANGELOG.md: expected its first section to be {version}, got {headings[:1]}")
    elif "unreleased" in headings[0]:
        found.append(f"CHANGELOG.md: expected a date for {version}, got {headings[0]!r}")
    if f"{name}-v{version}" in tags:
        found.append(f"version: expected one above {version}, which has a tag")
    return found


def git(*arguments: str) -> str:
    """The output of a git command."""
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def main(arguments: List[str]) -> int:
    """Print the tag and what is missing for it; 1 when something is."""
    make = arguments[:1] == ["--tag"]
    names = arguments[make:]
    packages = {path.name: path for path in (ROOT / "packages").iterdir() if (path / "pyproject.toml").exists()}
    if len(names) != 1 or names[0] not in packages:
        print(f"release: expected one of {', '.join(sorted(packages))}, got {' '.join(names)!r}", file=sys.stderr)
        return 2
    package = packages[names[0]]
    tag = f"server-{package.name}-v{version_of(package)}"
    found = problems(package, git("tag", "--list").split())
    for problem in found:
        print(f"{tag}: {problem}", file=sys.stderr)
    if make and not found:
        git("tag", "--annotate", "--message", tag, tag)
    print(tag)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
