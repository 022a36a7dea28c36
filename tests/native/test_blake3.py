"""Keyed BLAKE3 against the `blake3` package, every kernel."""

from __future__ import annotations

import mmap
import random
from collections.abc import Iterator

import blake3 as oracle
import pytest

from native import blake3

DATA = random.Random(2).randbytes(5_000_000)
KEY = bytes(range(32))


@pytest.fixture(params=blake3.kernels())
def kernel(request: pytest.FixtureRequest) -> Iterator[str]:
    before = blake3.kernel()
    blake3.select(request.param)
    yield request.param
    blake3.select(before)


def same(data: bytes | memoryview, key: bytes = KEY) -> bool:
    return blake3.keyed(key, data) == oracle.blake3(data, key=key).digest()


def test_every_length_to_5100(kernel: str) -> None:
    view = memoryview(DATA)
    assert [size for size in range(5101) if not same(view[:size])] == []


def test_around_every_chunk_to_40_chunks(kernel: str) -> None:
    view = memoryview(DATA)[3:]
    sizes = [1024 * chunks + delta for chunks in range(1, 41) for delta in (-1, 0, 1, 64, 65)]
    assert [size for size in sizes if not same(view[:size])] == []


def test_a_grid_to_300000(kernel: str) -> None:
    view = memoryview(DATA)[1:]
    sizes = [*range(0, 300_001, 4099)]
    sizes += [(1 << bits) + delta for bits in range(10, 19) for delta in (-1, 0, 1, 1023, 1025)]
    assert [size for size in sizes if not same(view[:size])] == []


def test_runs_of_256_chunks_meet_as_the_tree_says(kernel: str) -> None:
    run = 256 * 1024
    view = memoryview(DATA)
    sizes = [run * runs + delta for runs in range(1, 18) for delta in (0, 1, 1024, 100_000)]
    assert [size for size in sizes if not same(view[:size])] == []


def test_keys_and_contents_matter(kernel: str) -> None:
    source = random.Random(3)
    for size in (0, 1, 1024, 20_000):
        for _ in range(10):
            assert same(source.randbytes(size), source.randbytes(32))
    assert same(bytes(100_000))
    assert same(b"\xff" * 100_000)


def test_inputs_at_odd_addresses_and_in_mapped_memory(kernel: str) -> None:
    for offset in range(65):
        assert same(memoryview(DATA)[offset : offset + 9000])
    with mmap.mmap(-1, 65_536) as mapped:
        mapped[:] = DATA[:65_536]
        with memoryview(mapped) as view:
            assert same(view)


def test_nothing_behind_the_input_is_read_into_the_result(kernel: str) -> None:
    """The same bytes with other neighbours have the same digest."""
    for size in (1, 63, 65, 1023, 1025, 7 * 1024 + 5, 8 * 1024 + 1, 17 * 1024 - 1):
        one = bytearray(DATA[:size]) + b"\x00" * 2000
        two = bytearray(DATA[:size]) + b"\xff" * 2000
        left = blake3.keyed(KEY, memoryview(one)[:size])
        assert left == blake3.keyed(KEY, memoryview(two)[:size])


def test_refusals() -> None:
    for size in (0, 31, 33):
        with pytest.raises(ValueError, match="32 bytes"):
            blake3.keyed(bytes(size), b"")
    with pytest.raises(TypeError):
        blake3.keyed(KEY, "text")  # type: ignore[arg-type]
    with pytest.raises((BufferError, ValueError)):
        blake3.keyed(KEY, memoryview(DATA)[:100:2])
    with pytest.raises(ValueError, match="no BLAKE3 kernel"):
        blake3.select("quantum")
