"""Fenced blocks of Markdown pages, and what comments before them say about running them.

Owns: the notation. A block of language ``console`` holds commands behind ``$ ``, each followed by the output it shows
(``...`` stands for anything). A block with ``title="FILE"`` is the content of that file. A comment in front of a block
may say ``not run: REASON``, ``run by: TEST FILE``, ``exit code: N``, ``serving: ARGUMENTS`` (a server is started first)
or ``checkout`` (the commands run in the checkout).
Must not know: how commands are run.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Tuple

FENCE = re.compile(
    r"(?P<comments>(?:^ *<!--[^\n]*-->\n+)*)^(?P<indent> *)```(?P<info>[^\n`]*)\n(?P<body>.*?)^(?P=indent)```[ ]*$",
    re.MULTILINE | re.DOTALL,
)
COMMENT = re.compile(r"<!-- (not run|run by|exit code|serving|checkout)(?:: (.*?))? -->")
PROMPT = "$ "


class Command(NamedTuple):
    """One command and the lines it is said to print."""

    text: str
    output: List[str]


class Block(NamedTuple):
    """One fenced block."""

    language: str
    title: str
    body: str
    notes: Dict[str, str]
    line: int

    def commands(self) -> List[Command]:
        """The commands of a console block."""
        found: List[Command] = []
        continued = False
        for line in self.body.splitlines():
            if continued:
                found[-1] = Command(found[-1].text + "\n" + line, [])
            elif line.startswith(PROMPT):
                found.append(Command(line[len(PROMPT) :], []))
            elif line.strip():
                assert found, f"line {self.line}: output before the first command"
                found[-1].output.append(line.strip())
            continued = line.endswith("\\")
        return found


def blocks(page: Path) -> Iterator[Block]:
    """Yield the fenced blocks of a page."""
    text = page.read_text()
    for match in FENCE.finditer(text):
        language, _, options = match["info"].strip().partition(" ")
        title = re.search(r'title="(.*?)"', options)
        notes = {name: value or "" for name, value in COMMENT.findall(match["comments"])}
        body = re.sub(rf"^{match['indent']}", "", match["body"], flags=re.MULTILINE)
        yield Block(language, title[1] if title else "", body, notes, text.count("\n", 0, match.start("info")) + 1)


def shows(expected: List[str], printed: str) -> Tuple[bool, str]:
    """Whether the lines expected stand in the output in their order, ``...`` being anything; and the line missing."""
    lines = [line.strip() for line in printed.splitlines()]
    at = 0
    for line in expected:
        if line == "...":
            continue
        pattern = ".*".join(re.escape(" ".join(part.split())) for part in line.split("..."))
        found = next((i for i in range(at, len(lines)) if _fits(pattern, lines[i])), None)
        if found is None:
            return False, line
        at = found + 1
    return True, ""


def _fits(pattern: str, line: str) -> bool:
    """Whether a line fits; spaces beside ``...`` may be missing or many."""
    loose = re.sub(r"(?:\\ )*\.\*(?:\\ )*", ".*", pattern)
    return re.fullmatch(loose, " ".join(line.split())) is not None
