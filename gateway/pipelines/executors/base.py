"""The port of executors: run one command in a workspace of its own, and end it for certain.

An executor knows nothing of pipelines, commits or S3. It makes the folders of an attempt, says
where the user code will see them, runs it, keeps what it prints, and leaves no process behind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Workspace:
    """The folders of one attempt: where they are, and where the user code sees them."""

    directory: str  # of the attempt; holds all the others
    pfs: str  # where inputs are laid out and file output is picked up
    pfs_seen: str  # what the user code calls it: `/pfs` where that can be had
    variables: Mapping[str, str]  # PATH, LANG, HOME, TMPDIR, and PFS_ROOT where it is needed
    notices: tuple[str, ...] = ()  # what could not be kept apart here


@dataclass(frozen=True, slots=True)
class Task:
    """What to run."""

    argv: tuple[str, ...]
    stdin: bytes
    variables: Mapping[str, str]  # the whole environment, nothing is added
    working_dir: str  # as the user code sees it; empty: a private one
    log_path: str  # all that it prints is appended here, `limits.LOG_SIZE_MAX` at most


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended."""

    exit_code: int | None  # 128 + N when signal N ended it; None when it never ran
    reason: str = ""  # what went wrong, when not the code itself: could not start, timed out
    timed_out: bool = False
    stopped: bool = False


class Execution(Protocol):
    """One command under way."""

    async def wait(self, timeout_s: float | None = None) -> Outcome:
        """Wait for its end, and end it when the time is over; no process of it is left then."""
        ...

    async def stop(self) -> None:
        """End it: SIGTERM, `limits.JOB_STOP_GRACE_S`, SIGKILL; `wait` then tells `stopped`."""
        ...


class Executor(Protocol):
    """Where user code runs."""

    async def prepare(self, job: str, attempt: str) -> Workspace:
        """Make the empty folders of an attempt; what an earlier one of that name left is removed.

        Raises:
            Unavailable(DISK_FULL | IO_ERROR): they cannot be made.
        """
        ...

    async def start(
        self, workspace: Workspace, task: Task, on_output: Callable[[], None]
    ) -> Execution:
        """Start a command; `on_output` is called when its log has grown."""
        ...

    async def remove(self, workspace: Workspace) -> None:
        """Remove the folders of an attempt; never fails."""
        ...

    async def clear(self) -> None:
        """Remove what a crashed process left: folders of attempts that nobody runs."""
        ...
