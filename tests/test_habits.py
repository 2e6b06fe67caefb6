"""What the repository promises about itself."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

SHOW = "python3 -m venv .venv && .venv/bin/pip install -q . && .venv/bin/phinops demo --for 60s"
TEST = "python3 -m venv .venv && .venv/bin/pip install -q uv && .venv/bin/uv sync -q && .venv/bin/pytest"


def test_the_readme_gives_the_two_commands_of_a_newcomer() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert SHOW in readme
    assert TEST in readme
    assert readme.index(SHOW) < readme.index(TEST)


def test_ci_sets_up_with_the_readme_s_second_command() -> None:
    setup, _, _ = TEST.rpartition(" && ")
    assert setup in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


@pytest.mark.parametrize("script", ["run", "long"])
def test_a_ci_script_can_be_read_by_bash_and_run(script: str) -> None:
    path = ROOT / ".ci" / script
    subprocess.run(["bash", "-n", str(path)], check=True)
    assert path.stat().st_mode & 0o111


def test_the_lock_names_public_addresses_only() -> None:
    lock = (ROOT / "uv.lock").read_text(encoding="utf-8")
    hosts = set(re.findall(r"[a-z]+://([^/\"]*)", lock))
    assert hosts == {"pypi.org", "files.pythonhosted.org"}


def test_the_licence_is_in_full() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License\n                           Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
