"""What the user code of jobs printed: one file an attempt, kept, bounded, and followed live.

A file is `<job>-<attempt>.log`, attempts numbered through the job; its log is all of them in order.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable

from gateway import limits
from gateway.ids import JobId

_WINDOW = 256 * limits.KIB
_TAIL = 4 * limits.KIB


class JobLogs:
    """The logs of a data directory."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._growth: dict[str, asyncio.Event] = {}

    def make(self) -> None:
        """Make the directory, if it is not there."""
        os.makedirs(self._directory, mode=0o700, exist_ok=True)

    def path(self, job: str, number: int) -> str:
        """Return the file of an attempt."""
        return os.path.join(self._directory, f"{job}-{number:05d}.log")

    def say(self, job: str, number: int, text: str) -> None:
        """Add a line of our own to an attempt's log; a full disk swallows it."""
        with contextlib.suppress(OSError), open(self.path(job, number), "ab") as file:
            file.write(f"sidegate: {text}\n".encode())
        self.grew(job)

    def grew(self, job: str) -> None:
        """Wake those who follow a job's log."""
        event = self._growth.pop(job, None)
        if event is not None:
            event.set()

    def tail(self, job: str, number: int) -> str:
        """Return the last lines of an attempt's log on one line, some hundred characters."""
        try:
            with open(self.path(job, number), "rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - _TAIL))
                text = file.read().decode("utf-8", "replace")
        except OSError:
            return ""
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return " | ".join(lines[-limits.LOG_TAIL_LINES :])[-1000:]

    async def read(self, job: JobId, ended: Callable[[], bool] | None) -> AsyncIterator[bytes]:
        """Yield a job's log; with `ended`, go on as it grows until that tells true."""
        places: dict[str, int] = {}
        while True:
            last = ended is None or ended()
            event = self._growth.setdefault(job, asyncio.Event())
            for path in await asyncio.to_thread(self._files, job):
                while data := await asyncio.to_thread(_read_at, path, places.get(path, 0)):
                    places[path] = places.get(path, 0) + len(data)
                    yield data
            if last:
                self.grew(job)  # let go of the event; others that wait look again
                return
            await event.wait()

    def _files(self, job: JobId) -> list[str]:
        try:
            names = [each for each in os.listdir(self._directory) if each.startswith(f"{job}-")]
        except FileNotFoundError:
            return []
        return [os.path.join(self._directory, name) for name in sorted(names)]

    def delete(self, job: JobId) -> None:
        """Remove the logs of a job."""
        for path in self._files(job):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)


def _read_at(path: str, offset: int) -> bytes:
    with open(path, "rb") as file:
        file.seek(offset)
        return file.read(_WINDOW)
