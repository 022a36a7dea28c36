"""Every benchmark runs, tiny: what it prints is not judged, only that it can."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench.__main__ import PROGRAMS

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_benchmark_runs(program: str) -> None:
    done = subprocess.run(
        [sys.executable, program, "--smoke"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout


def test_every_program_in_the_folder_is_run() -> None:
    found = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "bench").rglob("*.py")
        if "--smoke" in path.read_text() and path.name not in {"__main__.py", "__init__.py"}
    }
    assert found == set(PROGRAMS)
