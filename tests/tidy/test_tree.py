"""Rules about the tree itself that no linter sees."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70
COLUMNS_MAX = 100
VAGUE = {"utils", "util", "helpers", "helper", "common", "manager", "misc", "base_utils"}
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")


def tracked(*suffixes: str) -> list[Path]:
    """Return the files of the tree with one of these suffixes, generated ones left out."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    return [ROOT / name for name in listed if name.endswith(suffixes) and (ROOT / name).is_file()]


PYTHON = [path for path in tracked(".py") if path.parts[len(ROOT.parts)] in {"gateway", "bench"}]
NATIVE = [path for path in tracked(".pyx", ".pxd", ".c", ".h", ".pyi") if "native" in path.parts]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", PYTHON, ids=name_of)
def test_modules_and_functions_are_short(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= MODULE_LINES_MAX
    long = [
        f"{node.name}: {node.end_lineno - node.lineno + 1} lines"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > FUNCTION_LINES_MAX
    ]
    assert not long


@pytest.mark.parametrize("path", NATIVE, ids=name_of)
def test_native_sources_keep_the_width_and_know_nothing_of_the_gateway(path: Path) -> None:
    for number, line in enumerate(path.read_text().splitlines(), 1):
        assert len(line) <= COLUMNS_MAX, f"line {number}"
        assert not re.match(r"\s*(from|import|cimport)\s+gateway", line), f"line {number}"


def test_every_native_module_has_a_typed_face_and_a_kernel() -> None:
    for path in tracked(".pyx"):
        assert path.with_suffix(".pyi").exists(), f"{path.name} has no .pyi"
        assert path.with_name(f"{path.stem}_impl.c").exists(), f"{path.name} has no kernel"
        assert path.with_name(f"{path.stem}_impl.h").exists(), f"{path.name} has no header"


def test_no_module_has_a_vague_name() -> None:
    assert not [name_of(path) for path in tracked(".py", ".pyx") if path.stem in VAGUE]


def test_nothing_is_left_unfinished() -> None:
    found = [
        f"{name_of(path)}:{number}"
        for path in tracked(".py", ".pyx", ".pyi", ".c", ".h", ".md", ".sh")
        if path != Path(__file__)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if UNFINISHED.search(line)
    ]
    assert not found


def test_every_limit_states_its_reason() -> None:
    source = (ROOT / "gateway/limits.py").read_text().splitlines()
    bare = [
        line
        for line in source
        if re.match(r"[A-Z_]+ = ", line)
        and "#" not in line
        and not re.match(
            r"(KIB|MIB|GIB|TIB|CHUNK_SIZE_\w+|SEGMENT_SIZE_MAX|WRITE_LOW_WATER) ", line
        )
    ]
    assert not bare


def test_no_file_holds_control_characters_or_trailing_blanks() -> None:
    found = [
        f"{name_of(path)}:{number}"
        for path in tracked(".py", ".pyx", ".pyi", ".c", ".h", ".md", ".toml", ".sh")
        for number, line in enumerate(path.read_text().split("\n"), 1)
        if line != line.rstrip() or any(ord(letter) < 32 and letter != "\t" for letter in line)
    ]
    assert not found
