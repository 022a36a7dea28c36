"""MD5 against hashlib, every kernel."""

from __future__ import annotations

import hashlib
import mmap
import random
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from native import md5

DATA = random.Random(1).randbytes(300_000)


@pytest.fixture(params=md5.kernels())
def kernel(request: pytest.FixtureRequest) -> Iterator[str]:
    before = md5.kernel()
    md5.select(request.param)
    yield request.param
    md5.select(before)


def test_rfc_1321_appendix() -> None:
    suite = {
        b"": "d41d8cd98f00b204e9800998ecf8427e",
        b"a": "0cc175b9c0f1b6a831c399e269772661",
        b"abc": "900150983cd24fb0d6963f7d28e17f72",
        b"message digest": "f96b697d7cb7938d525a2f31aaf161d0",
        b"abcdefghijklmnopqrstuvwxyz": "c3fcd3d76192e4007dfb496cca67e13b",
        b"1234567890" * 8: "57edf4a22be3c955ac49da2e2107b67a",
    }
    for data, digest in suite.items():
        state = md5.Md5()
        state.update(data)
        assert state.digest().hex() == digest


def test_scalar_of_every_length() -> None:
    for size in range(2001):
        state = md5.Md5()
        state.update(DATA[:size])
        assert state.digest() == hashlib.md5(DATA[:size]).digest()
        assert state.length == size


def test_lanes_of_every_length(kernel: str) -> None:
    for first in range(0, 2001, 8):
        states = [md5.Md5() for _ in range(8)]
        sizes = range(first, first + 8)
        md5.update_lanes((state, DATA[:size]) for state, size in zip(states, sizes, strict=True))
        for state, size in zip(states, sizes, strict=True):
            assert state.digest() == hashlib.md5(DATA[:size]).digest()


def test_lanes_of_a_grid_up_to_70000(kernel: str) -> None:
    sizes = [*range(0, 70_001, 997), 65_535, 65_536, 65_537]
    for offset in (0, 1, 31):
        states = [md5.Md5() for _ in sizes]
        views = [memoryview(DATA)[offset : offset + size] for size in sizes]
        md5.update_lanes(list(zip(states, views, strict=True)))
        for state, view in zip(states, views, strict=True):
            assert state.digest() == hashlib.md5(view).digest()


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.lists(
            st.tuples(
                st.integers(0, 11), st.integers(0, 5000) | st.sampled_from([64, 128, 40_000])
            ),
            max_size=20,
        ),
        max_size=6,
    ),
    st.sampled_from(md5.kernels()),
)
def test_any_jobs_in_any_batches(batches: list[list[tuple[int, int]]], name: str) -> None:
    """Streams at different places, of different sizes, also several times in one batch."""
    before = md5.kernel()
    md5.select(name)
    try:
        states = [md5.Md5() for _ in range(12)]
        oracle = [hashlib.md5() for _ in range(12)]
        for batch in batches:
            jobs = []
            for number, (stream, size) in enumerate(batch):
                view = memoryview(DATA)[number * 7 : number * 7 + size]
                jobs.append((states[stream], view))
                oracle[stream].update(view)
            md5.update_lanes(jobs)
        for state, expected in zip(states, oracle, strict=True):
            assert state.digest() == expected.digest()
    finally:
        md5.select(before)


def test_digest_does_not_end_the_stream() -> None:
    state = md5.Md5()
    state.update(b"ab")
    assert state.digest() == hashlib.md5(b"ab").digest()
    state.update(b"c")
    assert state.digest() == hashlib.md5(b"abc").digest()


def test_length_beyond_32_bits() -> None:
    """512 MiB and more: the count of bits passes 2^32."""
    state, expected = md5.Md5(), hashlib.md5()
    block = memoryview(DATA)[: 1 << 18]
    for _ in range(2050):
        expected.update(block)
        state.update(block)
    assert state.length > 1 << 29
    assert state.digest() == expected.digest()


def test_takes_mapped_and_writable_memory() -> None:
    with mmap.mmap(-1, 8192) as mapped:
        mapped[:5000] = DATA[:5000]
        with memoryview(mapped) as view, view[:5000] as part:
            state = md5.Md5()
            md5.update_lanes([(state, part)])
    assert state.digest() == hashlib.md5(DATA[:5000]).digest()


def test_a_bad_job_advances_nothing() -> None:
    state = md5.Md5()
    with pytest.raises(TypeError):
        md5.update_lanes([(state, b"x"), (None, b"y")])  # type: ignore[list-item]
    with pytest.raises((BufferError, ValueError)):
        md5.update_lanes([(state, b"x"), (state, memoryview(DATA)[::2])])
    with pytest.raises(TypeError):
        md5.update_lanes([(state, "text")])  # type: ignore[list-item]
    assert state.length == 0
    md5.update_lanes([])


def test_a_kernel_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="no MD5 kernel"):
        md5.select("quantum")


def test_threads_do_not_disturb_each_other() -> None:
    failures: list[int] = []

    def work(seed: int) -> None:
        source = random.Random(seed)
        for _ in range(20):
            sizes = [source.randrange(30_000) for _ in range(8)]
            states = [md5.Md5() for _ in sizes]
            md5.update_lanes([(s, DATA[:n]) for s, n in zip(states, sizes, strict=True)])
            for state, size in zip(states, sizes, strict=True):
                if state.digest() != hashlib.md5(DATA[:size]).digest():
                    failures.append(size)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
