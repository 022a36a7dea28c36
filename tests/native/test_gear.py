"""Cuts against a slow and obvious oracle, and cuts and ids in one pass against both apart."""

from __future__ import annotations

import random
import struct
from itertools import pairwise

import blake3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from native import chunker, ingest

TABLE = random.Random(4).randbytes(2048)
KEY = random.Random(5).randbytes(32)
# min, max, threshold: small, so that each rule of the cuts is met in a few thousand bytes
RULES = [
    (64, 64, 2**64 // 16),
    (64, 65, 2**64 // 16),
    (64, 300, 2**64 // 100),
    (100, 400, 2**64 // 50),
    (128, 1024, 2**64 // 128),
    (256, 2000, 0),
    (77, 500, 2**64 - 1),
]
FULL = (32 * 1024, 256 * 1024, 2**64 // 32768)


def oracle(data: bytes, table: bytes, low: int, high: int, threshold: int) -> list[int]:
    """Return the ends of the chunks that end in `data`, as docs/formats/chunker.md says."""
    gear = struct.unpack("<256Q", table)
    ends = []
    start = 0
    value = 0
    for at, byte in enumerate(data):
        value = (2 * value + gear[byte]) % 2**64
        length = at + 1 - start
        if length >= low and (value < threshold or length == high):
            ends.append(at + 1)
            start = at + 1
    return ends


def scanned(data: bytes, rule: tuple[int, int, int], splits: list[int]) -> list[int]:
    scanner = chunker.Scanner(TABLE, *rule)
    bounds = [0, *splits, len(data)]
    ends = []
    for start, end in pairwise(bounds):
        ends += [start + cut for cut in scanner.feed(memoryview(data)[start:end])]
    assert scanner.pending == len(data) - (ends[-1] if ends else 0)
    return ends


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("content", ["random", "zeros", "text", "two"])
def test_small_rules_agree_with_the_oracle(rule: tuple[int, int, int], content: str) -> None:
    source = random.Random(6)
    data = {
        "random": source.randbytes(30_000),
        "zeros": bytes(30_000),
        "text": b"the same words, the same words, and a number " * 700,
        "two": bytes(source.choice((0, 255)) for _ in range(30_000)),
    }[content]
    assert scanned(data, rule, []) == oracle(data, TABLE, *rule)


def test_the_full_rule_agrees_with_the_oracle() -> None:
    data = random.Random(7).randbytes(1_000_000) + bytes(400_000)
    ends = scanned(data, FULL, [])
    assert ends == oracle(data, TABLE, *FULL)
    assert len(ends) > 8


def test_every_length_has_the_cuts_of_its_prefix() -> None:
    data = random.Random(8).randbytes(2001)
    for rule in RULES:
        expected = oracle(data, TABLE, *rule)
        for size in range(0, 2001, 3):
            assert scanned(data[:size], rule, []) == [end for end in expected if end <= size]


def test_a_hash_looks_back_64_bytes_and_no_further() -> None:
    """Chunks that begin at different places fall into step after a common cut."""
    source = random.Random(9)
    data = source.randbytes(200_000)
    rule = (64, 4096, 2**64 // 256)
    plain = set(scanned(data, rule, []))
    shifted = {end - 1000 for end in scanned(source.randbytes(1000) + data, rule, [])}
    tail = {end for end in plain if end > 20_000}
    assert len(tail & shifted) > 0.99 * len(tail)


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(0, 6000),
    st.lists(st.integers(0, 6000), max_size=30),
    st.sampled_from(RULES),
)
def test_cuts_do_not_depend_on_the_splits(
    seed: int, size: int, splits: list[int], rule: tuple[int, int, int]
) -> None:
    data = random.Random(seed).randbytes(size)
    bounds = sorted(min(split, size) for split in splits)
    assert scanned(data, rule, bounds) == oracle(data, TABLE, *rule)


def test_byte_by_byte() -> None:
    data = random.Random(10).randbytes(3000)
    for rule in RULES:
        assert scanned(data, rule, list(range(1, 3000))) == oracle(data, TABLE, *rule)


def ingested(
    data: bytes, rule: tuple[int, int, int], bounds: list[int]
) -> list[tuple[bytes, bytes]]:
    """Feed the pieces from one reused buffer, which is overwritten after each release."""
    stream = ingest.Stream(TABLE, KEY, *rule)
    window = bytearray(max(1, len(data)))
    found = []
    pieces = list(pairwise([0, *bounds, len(data)]))
    for number, (start, end) in enumerate(pieces):
        window[: end - start] = data[start:end]
        view = memoryview(window)[: end - start]
        cuts = stream.feed(view, number == len(pieces) - 1)
        found += [(name, bytes(chunk)) for name, chunk in cuts]
        stream.release()
        assert stream.pending == end - sum(len(chunk) for _, chunk in found)
        window[:] = b"\xee" * len(window)
    return found


def expected_chunks(data: bytes, rule: tuple[int, int, int]) -> list[tuple[bytes, bytes]]:
    ends = [0, *oracle(data, TABLE, *rule)]
    if ends[-1] != len(data):
        ends.append(len(data))
    chunks = [data[start:end] for start, end in pairwise(ends)]
    return [(blake3.blake3(chunk, key=KEY).digest(), chunk) for chunk in chunks]


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(0, 6000),
    st.lists(st.integers(0, 6000), max_size=12),
    st.sampled_from(RULES),
)
def test_one_pass_cuts_and_names(
    seed: int, size: int, splits: list[int], rule: tuple[int, int, int]
) -> None:
    data = random.Random(seed).randbytes(size)
    bounds = sorted(min(split, size) for split in splits)
    assert ingested(data, rule, bounds) == expected_chunks(data, rule)


def test_one_pass_of_the_full_rule_in_windows() -> None:
    data = random.Random(11).randbytes(1_500_000)
    expected = expected_chunks(data, FULL)
    for step in (10_000, 65_536, 262_144, 1 << 20, len(data)):
        assert ingested(data, FULL, list(range(step, len(data), step))) == expected


def test_a_chunk_may_be_the_longest_and_arrive_in_pieces() -> None:
    rule = (64, 1000, 0)
    data = bytes(4500)
    for step in (1, 7, 999, 1000, 1001):
        found = ingested(data, rule, list(range(step, len(data), step)))
        assert [len(chunk) for _, chunk in found] == [1000] * 4 + [500]


def test_a_stream_is_as_new_after_its_end() -> None:
    stream = ingest.Stream(TABLE, KEY, *RULES[2])
    data = random.Random(12).randbytes(1000)
    first = [name for name, _ in stream.feed(data, True)]
    stream.release()
    assert [name for name, _ in stream.feed(data, True)] == first
    stream.release()
    assert stream.feed(b"", True) == []


def test_the_order_of_calls_is_kept() -> None:
    stream = ingest.Stream(TABLE, KEY, *RULES[2])
    stream.release()
    stream.feed(b"abc", False)
    with pytest.raises(RuntimeError, match="release"):
        stream.feed(b"def", False)
    assert stream.pending == 3


def test_refusals() -> None:
    for make in (
        chunker.Scanner,
        lambda table, *a: ingest.Stream(table, KEY, *a),
    ):
        with pytest.raises(ValueError, match="2048"):
            make(bytes(2047), 64, 128, 1)
        with pytest.raises(ValueError, match="min"):
            make(TABLE, 63, 128, 1)
        with pytest.raises(ValueError, match="min"):
            make(TABLE, 128, 127, 1)
    with pytest.raises(ValueError, match="32 bytes"):
        ingest.Stream(TABLE, b"short", 64, 128, 1)
    with pytest.raises(TypeError):
        ingest.Stream(TABLE, KEY, 64, 128, 1).feed(memoryview(b"abcdef")[::2], True)
