# ruff: noqa: PYI021  (the docstrings of an extension live in its stub, where editors look)
"""MD5 of one stream, and of up to eight streams in the lanes of one vector.

Nothing here locks: one `Md5` belongs to one caller at a time. Buffers are contiguous and must not
change while a call runs; calls of 4 KiB and more run without the interpreter lock.
"""

from collections.abc import Iterable

from typing_extensions import Buffer

class Md5:
    """The state of one stream."""

    def update(self, data: Buffer) -> None:
        """Advance by the bytes of a contiguous buffer."""

    def digest(self) -> bytes:
        """Return the 16 bytes of the digest so far; updating may go on."""

    @property
    def length(self) -> int:
        """Bytes so far."""

def update_lanes(jobs: Iterable[tuple[Md5, Buffer]]) -> None:
    """Advance each state by its bytes, up to eight at once.

    Any number of jobs, of any sizes. A state that occurs more than once takes its bytes in order.
    Nothing has advanced when a job is no `Md5` with a contiguous buffer (TypeError, BufferError).
    """

def kernels() -> tuple[str, ...]:
    """Return the kernels that this machine can run, the fastest last."""

def kernel() -> str:
    """Return the kernel that `update_lanes` uses."""

def select(name: str) -> None:
    """Use one kernel in this process from now on; ValueError when the machine lacks it."""
