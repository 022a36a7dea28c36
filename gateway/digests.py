"""Digests and checksums: one face for all of them, and the door to the native kernels.

Every function takes `bytes` or any contiguous view, of mapped memory too, copies nothing, and lets
the interpreter lock go when the buffer is long. There are no threads here: a state belongs to one
caller at a time, and who wants two cores brings the thread.

MD5 names what S3 clients compare (ETag). Keyed BLAKE3 names what the store holds. The CRCs are S3's
checksums and, CRC32C, the guard of our own formats. CRCs of neighbours combine without a second
look at the bytes; digests do not.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import blake3 as _blake3
from awscrt import checksums as _crt

from gateway.errors import Invalid, Reason
from native import blake3 as _native_blake3
from native import md5 as _native_md5

Buffer = bytes | bytearray | memoryview

_crc32: Callable[[Buffer, int], int] = zlib.crc32
_crc32c: Callable[[Buffer, int], int] = _crt.crc32c
_crc64nvme: Callable[[Buffer, int], int] = _crt.crc64nvme

Md5 = _native_md5.Md5

_HMAC_BLOCK: Final = 64  # bytes of a block of SHA-256


class Checksum(Protocol):
    """A running checksum."""

    def update(self, view: Buffer, /) -> None:
        """Advance by the bytes of a contiguous view."""
        ...

    def digest(self) -> bytes:
        """Return the value so far, a CRC as big-endian bytes; updating may go on."""
        ...


def md5(data: Buffer) -> bytes:
    """Return the 16 bytes of MD5 of one buffer."""
    state = Md5()
    state.update(data)
    return state.digest()


def md5_lanes(jobs: Sequence[tuple[Md5, memoryview]]) -> None:
    """Advance each state by its bytes, up to eight states at once; any number of jobs.

    A state that occurs twice takes its bytes in order. The views must not change meanwhile.
    """
    _native_md5.update_lanes(jobs)


class HmacSha256:
    """HMAC-SHA256 (RFC 2104) under one key, for many short texts.

    The key's two blocks are hashed once. `hmac.digest` does it for each text, and lets go of the
    interpreter lock for microseconds of work: where other threads wait for it, that costs fifty.
    """

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        block = (key if len(key) <= _HMAC_BLOCK else hashlib.sha256(key).digest()).ljust(
            _HMAC_BLOCK, b"\0"
        )
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))

    def digest(self, text: bytes) -> bytes:
        """Return the 32 bytes that authenticate a text."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(text)
        outer.update(inner.digest())
        return outer.digest()


def blake3_keyed(key: bytes, data: Buffer) -> bytes:
    """Return the 32 bytes of BLAKE3 of one buffer under a key of 32 bytes."""
    return _native_blake3.keyed(key, data)


def blake3_derive(context: str, material: bytes, length: int = 32) -> bytes:
    """Derive a key of `length` bytes from secret material, for the use that `context` names.

    The context is a constant of the program, never data (BLAKE3 specification, derive_key mode).
    """
    digest: bytes = _blake3.blake3(material, derive_key_context=context).digest(length=length)
    return digest


def crc32(data: Buffer, crc: int = 0) -> int:
    """Continue the CRC32 of zlib and S3 over one buffer."""
    return _crc32(data, crc)


def crc32c(data: Buffer, crc: int = 0) -> int:
    """Continue a CRC32C (Castagnoli) over one buffer."""
    return _crc32c(data, crc)


def crc64nvme(data: Buffer, crc: int = 0) -> int:
    """Continue a CRC64NVME over one buffer."""
    return _crc64nvme(data, crc)


def combine_crc32(first: int, second: int, second_size: int) -> int:
    """Return the CRC32 of two neighbours, from theirs and the size of the second."""
    combined: int = _crt.combine_crc32(first, second, second_size)
    return combined


def combine_crc32c(first: int, second: int, second_size: int) -> int:
    """Return the CRC32C of two neighbours, from theirs and the size of the second."""
    combined: int = _crt.combine_crc32c(first, second, second_size)
    return combined


def combine_crc64nvme(first: int, second: int, second_size: int) -> int:
    """Return the CRC64NVME of two neighbours, from theirs and the size of the second."""
    combined: int = _crt.combine_crc64nvme(first, second, second_size)
    return combined


class Sha256:
    """A running SHA-256."""

    __slots__ = ("_state",)

    def __init__(self) -> None:
        self._state = hashlib.sha256()

    def update(self, view: Buffer, /) -> None:
        """Advance by the bytes of a contiguous view."""
        self._state.update(view)

    def digest(self) -> bytes:
        """Return the 32 bytes so far."""
        return self._state.digest()


class _Sha1:
    """A running SHA-1: S3 offers it as a checksum; it guards nothing of ours."""

    __slots__ = ("_state",)

    def __init__(self) -> None:
        self._state = hashlib.sha1(usedforsecurity=False)

    def update(self, view: Buffer, /) -> None:
        self._state.update(view)

    def digest(self) -> bytes:
        return self._state.digest()


class _Crc:
    """A running CRC of four or eight bytes."""

    __slots__ = ("_function", "_size", "_value")

    def __init__(self, function: Callable[[Buffer, int], int], size: int) -> None:
        self._function = function
        self._size = size
        self._value = 0

    def update(self, view: Buffer, /) -> None:
        self._value = self._function(view, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._size, "big")


_CHECKSUMS: Final[dict[str, Callable[[], Checksum]]] = {
    "CRC32": lambda: _Crc(_crc32, 4),
    "CRC32C": lambda: _Crc(_crc32c, 4),
    "CRC64NVME": lambda: _Crc(_crc64nvme, 8),
    "SHA1": _Sha1,
    "SHA256": Sha256,
}

CHECKSUM_NAMES: Final = frozenset(_CHECKSUMS)


def new_checksum(name: str) -> Checksum:
    """Start a checksum by its S3 name, one of `CHECKSUM_NAMES`; Invalid (BAD_ARGUMENT) else."""
    start = _CHECKSUMS.get(name)
    if start is None:
        raise Invalid(
            Reason.BAD_ARGUMENT,
            f"{name!r} is not a checksum",
            f"use one of {', '.join(sorted(_CHECKSUMS))}",
            name=name,
        )
    return start()
