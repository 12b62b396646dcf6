"""The documentation as a site: built with warnings as errors, and no page older than the code it is drawn from."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from types import ModuleType

import pytest

from support.distributions import ROOT


def tool(name: str) -> ModuleType:
    """A module of ``tools``."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_and_the_figures_are_those_of_the_code():
    for path, text in tool("reference").pages().items():
        assert (ROOT / "docs" / path).read_text() == text, f"docs/{path} is stale: make reference"


def test_the_site_is_built_without_a_warning(tmp_path):
    pytest.importorskip("material")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=str(ROOT), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "site" / "how-to" / "kubernetes.html").is_file()


def test_a_figure_has_every_state_and_every_transition_of_its_table():
    text = tool("figures").draw("demo", ["a", "b", "c"], [("a", "b", "go"), ("a", "b", "run"), ("c", "a", "back")])
    assert [state for state in "abc" if f">{state}</text>" in text] == ["a", "b", "c"]
    assert text.count("marker-end") == 2
    assert ">go, run</text>" in text
    assert "viewBox" in text


def test_links_of_the_readme_lead_to_files():
    for page in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "deploy/README.md"):
        text = (ROOT / page).read_text()
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
            assert ((ROOT / page).parent / target).exists(), f"{page}: {target}"
