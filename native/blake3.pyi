# ruff: noqa: PYI021  (the docstrings of an extension live in its stub, where editors look)
"""Keyed BLAKE3 in one shot."""

from typing_extensions import Buffer

def keyed(key: bytes, data: Buffer) -> bytes:
    """Return the 32 bytes of keyed BLAKE3 of a contiguous buffer.

    Calls of 16 KiB and more run without the interpreter lock; the buffer must not change meanwhile.
    ValueError when the key has not 32 bytes.
    """

def kernels() -> tuple[str, ...]:
    """Return the kernels that this machine can run, the fastest last."""

def kernel() -> str:
    """Return the kernel in use."""

def select(name: str) -> None:
    """Use one kernel in this process from now on; ValueError when the machine lacks it."""
