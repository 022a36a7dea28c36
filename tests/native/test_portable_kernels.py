"""The kernels as another machine gets them: compiled without the vectors of x86-64, and checked.

Called through ctypes, which lets the interpreter lock go: here two of them really run at once.
"""

from __future__ import annotations

import ctypes
import hashlib
import random
import shutil
import subprocess
import sysconfig
import threading
from pathlib import Path

import blake3
import pytest

NATIVE = Path(__file__).resolve().parents[2] / "native"
STRICT = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O2", "-fPIC", "-shared"]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    compiler = shutil.which((sysconfig.get_config_var("CC") or "cc").split()[0]) or shutil.which(
        "cc"
    )
    if compiler is None:
        pytest.skip("there is no C compiler")
    target = tmp_path_factory.mktemp("portable") / "kernels.so"
    sources = sorted(str(path) for path in NATIVE.glob("*_impl.c"))
    command = [compiler, *STRICT, "-DSIDEGATE_PORTABLE", *sources, "-o", str(target)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return ctypes.CDLL(str(target))


def test_only_the_portable_kernels_are_offered(library: ctypes.CDLL) -> None:
    assert [library.blake3_can(kernel) for kernel in range(3)] == [1, 0, 0]
    assert [library.md5_can(kernel) for kernel in range(3)] == [1, 0, 0]
    assert library.blake3_best() == 0


def test_blake3(library: ctypes.CDLL) -> None:
    data = random.Random(1).randbytes(600_000)
    key = bytes(range(32))
    out = ctypes.create_string_buffer(32)
    for size in (0, 1, 64, 1024, 1025, 5000, 65_536, 262_145, 600_000):
        library.blake3_keyed(0, key, data, ctypes.c_size_t(size), out)
        assert out.raw == blake3.blake3(data[:size], key=key).digest()


def test_md5(library: ctypes.CDLL) -> None:
    data = random.Random(2).randbytes(5000)
    state = ctypes.create_string_buffer(128)
    out = ctypes.create_string_buffer(16)
    library.md5_start(state)
    for start in range(0, 5000, 77):
        piece = data[start : start + 77]
        library.md5_update(state, piece, ctypes.c_size_t(len(piece)))
    library.md5_finish(state, out)
    assert out.raw == hashlib.md5(data).digest()


class Entry(ctypes.Structure):
    """`index_entry` of native/index_impl.h."""

    _fields_ = (
        ("prefix", ctypes.c_uint8 * 16),
        ("segment", ctypes.c_uint32),
        ("offset", ctypes.c_uint32),
        ("length", ctypes.c_uint32),
        ("found", ctypes.c_int),
    )


@pytest.mark.parametrize("lengths", ["kept", "changed"])
def test_a_reader_beside_a_writer_sees_whole_entries(library: ctypes.CDLL, lengths: str) -> None:
    """Each location of the one id repeats one number: a torn read would show two.

    As long as the length stays, as that of named content does, the entry is always there.
    """
    count = 20_000
    table = (ctypes.c_uint8 * (64 * 32))()
    slots = ctypes.c_uint64(64)
    entries = ctypes.c_size_t(count)
    written, seen = (Entry * count)(), (Entry * count)()
    for number, entry in enumerate(written):
        entry.segment = entry.offset = number
        entry.length = number if lengths == "changed" else 7
    assert library.index_put(table, slots, written, ctypes.c_size_t(1)) == 1
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            library.index_put(table, slots, written, entries)

    writer = threading.Thread(target=write)
    writer.start()
    found = torn = 0
    try:
        for _ in range(30):
            library.index_get(table, slots, seen, entries)
            for entry in seen:
                if entry.found:
                    found += 1
                    length = entry.segment if lengths == "changed" else 7
                    torn += not (entry.segment == entry.offset and entry.length == length)
    finally:
        stop.set()
        writer.join()
    assert torn == 0
    assert found == 30 * count or (lengths == "changed" and found > 0)
