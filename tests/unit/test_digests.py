"""Digests against hashlib and zlib, CRCs against the slow way."""

from __future__ import annotations

import hashlib
import hmac
import mmap
import random
import zlib
from collections.abc import Callable

import blake3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import digests
from gateway.errors import Invalid, Reason

DATA = random.Random(1).randbytes(200_000)
CHECK = b"123456789"


def slow_crc(data: bytes, polynomial: int, bits: int) -> int:
    """Bit by bit, reflected, with ones in and out: what all three CRCs are."""
    ones = (1 << bits) - 1
    crc = ones
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (polynomial if crc & 1 else 0)
    return crc ^ ones


CRCS: dict[str, tuple[Callable[..., int], Callable[[int, int, int], int], int, int, int]] = {
    "CRC32": (digests.crc32, digests.combine_crc32, 0xEDB88320, 32, 0xCBF43926),
    "CRC32C": (digests.crc32c, digests.combine_crc32c, 0x82F63B78, 32, 0xE3069283),
    "CRC64NVME": (
        digests.crc64nvme,
        digests.combine_crc64nvme,
        0x9A6C9329AC4BC9B5,
        64,
        0xAE8B14860A799888,
    ),
}


@pytest.mark.parametrize("name", CRCS)
def test_crcs_have_the_catalogued_check_value_and_agree_with_the_slow_way(name: str) -> None:
    function, _, polynomial, bits, check = CRCS[name]
    assert function(CHECK) == check == slow_crc(CHECK, polynomial, bits)
    assert function(b"") == 0
    for size in [*range(70), 255, 256, 257, 1000, 4097]:
        data = DATA[size : 2 * size]
        assert function(data) == slow_crc(data, polynomial, bits)


@pytest.mark.parametrize("name", CRCS)
@given(cut=st.integers(0, 5000), size=st.integers(0, 5000))
def test_crcs_continue_and_combine(name: str, cut: int, size: int) -> None:
    function, combine, *_ = CRCS[name]
    cut = min(cut, size)
    first, second = function(DATA[:cut]), function(DATA[cut:size])
    assert function(DATA[cut:size], first) == function(DATA[:size])
    assert combine(first, second, size - cut) == function(DATA[:size])


def test_crc32_is_that_of_zlib() -> None:
    assert digests.crc32(DATA) == zlib.crc32(DATA)


@pytest.mark.parametrize("kind", ["bytes", "bytearray", "view", "read-only map", "map"])
def test_everything_takes_any_contiguous_memory(kind: str) -> None:
    with mmap.mmap(-1, len(DATA)) as mapped:
        mapped[:] = DATA
        view = memoryview(mapped)
        data: bytes | bytearray | memoryview = {
            "bytes": DATA,
            "bytearray": bytearray(DATA),
            "view": memoryview(DATA),
            "read-only map": view.toreadonly(),
            "map": view,
        }[kind]
        assert digests.md5(data) == hashlib.md5(DATA).digest()
        key = bytes(32)
        assert digests.blake3_keyed(key, data) == blake3.blake3(DATA, key=key).digest()
        for function, *_ in CRCS.values():
            assert function(data) == function(DATA)
        for name in digests.CHECKSUM_NAMES:
            one, two = digests.new_checksum(name), digests.new_checksum(name)
            one.update(data)
            two.update(DATA)
            assert one.digest() == two.digest()
        del data
        view.release()


@pytest.mark.parametrize("name", sorted(digests.CHECKSUM_NAMES))
def test_running_checksums(name: str) -> None:
    whole = digests.new_checksum(name)
    whole.update(DATA)
    parts = digests.new_checksum(name)
    for start in range(0, len(DATA), 7777):
        parts.update(DATA[start : start + 7777])
        parts.digest()
    assert parts.digest() == whole.digest()


def test_checksum_values_of_the_check_string() -> None:
    values = {}
    for name in digests.CHECKSUM_NAMES:
        running = digests.new_checksum(name)
        running.update(CHECK)
        values[name] = running.digest()
    assert values == {
        "CRC32": bytes.fromhex("cbf43926"),
        "CRC32C": bytes.fromhex("e3069283"),
        "CRC64NVME": bytes.fromhex("ae8b14860a799888"),
        "SHA1": hashlib.sha1(CHECK).digest(),
        "SHA256": hashlib.sha256(CHECK).digest(),
    }


def test_an_unknown_checksum_is_refused() -> None:
    with pytest.raises(Invalid) as caught:
        digests.new_checksum("CRC16")
    assert caught.value.reason is Reason.BAD_ARGUMENT


def test_md5_lanes() -> None:
    states = [digests.Md5() for _ in range(11)]
    views = [memoryview(DATA)[number : number * 9999] for number in range(11)]
    digests.md5_lanes(list(zip(states, views, strict=True)))
    assert [s.digest() for s in states] == [hashlib.md5(view).digest() for view in views]


def test_derived_keys_differ_by_use_and_material() -> None:
    one = digests.blake3_derive("tests 2025 one", b"salt")
    assert one == blake3.blake3(b"salt", derive_key_context="tests 2025 one").digest()
    assert digests.blake3_derive("tests 2025 two", b"salt") != one
    assert digests.blake3_derive("tests 2025 one", b"other") != one
    assert digests.blake3_derive("tests 2025 one", b"salt", 100)[:32] == one


def test_sha256() -> None:
    running = digests.Sha256()
    running.update(memoryview(DATA))
    assert running.digest() == hashlib.sha256(DATA).digest()


def test_hmac_of_keys_around_the_block_size():
    for size in (0, 1, 32, 63, 64, 65, 200):
        mac = digests.HmacSha256(bytes(range(size)))
        for text in (b"", b"text", bytes(1000)):
            assert mac.digest(text) == hmac.digest(bytes(range(size)), text, "sha256")
