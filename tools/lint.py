"""Run every check of the code, and say which failed.

Owns: the list of checks. Their settings are in the root ``pyproject.toml``.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Dict, List, Union

ROOT = Path(__file__).resolve().parent.parent
TOOLS = Path(sys.executable).parent
PACKAGES = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("packages/*/src/*") if path.is_dir())

CHECKS: Dict[str, List[Union[str, Path]]] = {
    "style": [TOOLS / "ruff", "check", "."],
    "format": [TOOLS / "ruff", "format", "--check", "."],
    "types": [TOOLS / "mypy", *PACKAGES],
    "layers": [TOOLS / "lint-imports"],
}


def main(names: list[str]) -> int:
    """Run the checks named, or all; 1 when one failed."""
    failed = []
    for name in names or CHECKS:
        command = [str(word) for word in CHECKS[name]]
        began = time.monotonic()
        done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL)
        verdict = "failed" if done.returncode else "passed"
        print(f"lint: {name} {verdict} in {time.monotonic() - began:.1f} s", flush=True)
        if done.returncode:
            failed.append(name)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
