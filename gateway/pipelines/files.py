"""Inputs as files, and files as output: what lies under the job's `pfs` folder.

A file input is laid out before the user code starts: the objects of the datum, each at its key. A
key that cannot be a path there (an empty component, `..`, a file where others need a folder) fails
the job with its name, rather than leaving it out. What the user code leaves under `out` becomes the
output, unless that is S3's; links into the job's own folders are followed.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from typing import BinaryIO

from gateway import limits
from gateway.errors import Invalid, Reason, Unavailable
from gateway.pipelines.executors.base import Workspace
from gateway.versions.model import ChecksumValue, ObjectAttributes, ObjectRecord
from gateway.versions.store import Versions
from gateway.versions.views import BucketView

_PAGE = limits.LIST_KEYS_MAX


async def keys_of(versions: Versions, view: BucketView) -> AsyncIterator[bytes]:
    """Yield the keys of a view, in order."""
    after = b""
    while True:
        page = await versions.list_objects(view, b"", b"", after, _PAGE)
        for key, _ in page.entries:
            yield key
        if not page.truncated:
            return
        after = page.next


async def lay_out(versions: Versions, view: BucketView, item: str, folder: str) -> None:
    """Write the objects of a datum's item below `folder`: all (""), one, or those below a path.

    Raises:
        Invalid(BAD_ARGUMENT): a key cannot be a path.
        Unavailable(DISK_FULL | IO_ERROR): the files cannot be written.
    """
    await asyncio.to_thread(os.makedirs, folder, exist_ok=True)
    wanted = item.encode("utf-8", "surrogateescape")
    below = wanted + b"/"
    after = b""
    while True:
        page = await versions.list_objects(view, wanted, b"", after, _PAGE)
        for key, record in page.entries:
            if not wanted or key == wanted or key.startswith(below):
                await _lay_out_one(versions, view, key, record, folder)
        if not page.truncated:
            return
        after = page.next


async def _lay_out_one(
    versions: Versions, view: BucketView, key: bytes, record: ObjectRecord, folder: str
) -> None:
    path = _path_of(key, folder)
    try:
        if key.endswith(b"/"):  # a folder, as some clients mark it
            await asyncio.to_thread(os.makedirs, path, exist_ok=True)
            return
        file = await asyncio.to_thread(_create, path)
        try:
            info = await versions.head(view, key)
            body = await versions.open(view, info, 0, record.size)
            if isinstance(body, AsyncIterator):
                async for part in body:
                    await asyncio.to_thread(file.write, part)
            else:
                await asyncio.to_thread(file.writelines, body)
        finally:
            await asyncio.to_thread(file.close)
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        raise _no_path(key, "a file of that name is where a folder is needed") from None
    except OSError as error:
        raise _failed(error, path) from error


def _create(path: str) -> BinaryIO:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    return open(path, "xb")


def _path_of(key: bytes, folder: str) -> str:
    name = key.removesuffix(b"/")
    parts = name.split(b"/")
    if b"\x00" in key or any(part in {b"", b".", b".."} for part in parts):
        raise _no_path(key, "it has an empty component, a dot component or a NUL")
    if any(len(part) > 255 for part in parts):
        raise _no_path(key, "a component is longer than 255 bytes")
    return os.path.join(folder, os.fsdecode(name))


def _no_path(key: bytes, why: str) -> Invalid:
    name = key.decode("utf-8", "replace")
    return Invalid(
        Reason.BAD_ARGUMENT, f"object {name!r} cannot be a file: {why}", "read that input by S3"
    )


def _failed(error: OSError, path: str) -> Unavailable:
    reason = Reason.DISK_FULL if error.errno in {28, 122} else Reason.IO_ERROR  # ENOSPC, EDQUOT
    return Unavailable(reason, f"{path}: {error.strerror or error}")


class FileSource:
    """The bytes of a file, as a source of an object."""

    algorithms: frozenset[str] = frozenset()

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._window = memoryview(bytearray(limits.WINDOW_MIN))

    async def read(self) -> memoryview | None:
        """Return the next window; valid until the next call."""
        count = await asyncio.to_thread(_read_into, self._file, self._window)
        return self._window[:count] if count else None

    def check(
        self,
        size: int,  # noqa: ARG002
        md5: bytes,  # noqa: ARG002
        digests: Mapping[str, bytes],  # noqa: ARG002
    ) -> tuple[ChecksumValue, ...]:
        """Promise nothing and store nothing: a file has no checksum of its own."""
        return ()


def _read_into(file: BinaryIO, window: memoryview) -> int:
    filled = 0
    while filled < len(window):
        count = file.readinto(window[filled:])  # type: ignore[attr-defined]
        if not count:
            break
        filled += count
    return filled


async def take_in(
    versions: Versions,
    view: BucketView,
    workspace: Workspace,
    taken: Collection[bytes],
    on_file: Callable[[bytes], None],
) -> None:
    """Store the files below the job's `out` folder as objects of `view`.

    Raises:
        Invalid(BAD_ARGUMENT): what lies there is no file, or another datum wrote that key.
        Unavailable(IO_ERROR): it cannot be read.
    """
    root = os.path.join(workspace.pfs, "out")
    for key, path in await asyncio.to_thread(_walk, root, workspace):
        if key in taken:
            raise two_wrote(key)
        try:
            file = await asyncio.to_thread(open, path, "rb", 0)
        except OSError as error:
            raise _failed(error, path) from error
        try:
            await versions.put(view, key, ObjectAttributes(), FileSource(file))
        finally:
            await asyncio.to_thread(file.close)
        on_file(key)


def two_wrote(key: bytes) -> Invalid:
    """Return the error for a key that two datums of a job have written."""
    name = key.decode("utf-8", "replace")
    return Invalid(
        Reason.BAD_ARGUMENT,
        f"two datums wrote {name!r}",
        "let each write keys of its own, such as below its input's name",
    )


def _walk(root: str, workspace: Workspace) -> list[tuple[bytes, str]]:
    """Return the files below `root` with their keys, in order."""
    found: list[tuple[bytes, str]] = []
    for folder, folders, names in os.walk(root):
        for name in [*names, *(each for each in folders if _is_link(folder, each))]:
            path = os.path.join(folder, name)
            key = os.fsencode(os.path.relpath(path, root))
            target = _follow(path, workspace)
            mode = os.stat(target).st_mode
            if not stat.S_ISREG(mode):
                what = "a link to a folder" if stat.S_ISDIR(mode) else "no ordinary file"
                raise Invalid(
                    Reason.BAD_ARGUMENT,
                    f"out/{os.fsdecode(key)} is {what}",
                    "leave only files and folders under out",
                )
            found.append((key, target))
    return sorted(found)


def _is_link(folder: str, name: str) -> bool:
    return os.path.islink(os.path.join(folder, name))


def _follow(path: str, workspace: Workspace) -> str:
    """Return what a path leads to, as the user code saw it; only its own folders count."""
    for _ in range(16):
        if not os.path.islink(path):
            break
        target = os.readlink(path)
        if target == workspace.pfs_seen or target.startswith(workspace.pfs_seen + "/"):
            target = workspace.pfs + target.removeprefix(workspace.pfs_seen)
        path = os.path.normpath(os.path.join(os.path.dirname(path), target))
    real = os.path.realpath(path)
    inside = real.startswith(os.path.realpath(workspace.pfs) + "/")
    if not inside or not os.path.exists(real):
        raise Invalid(
            Reason.BAD_ARGUMENT,
            f"{path} leads nowhere, or out of the job's own folders",
            "copy the file instead of linking it",
        )
    return real
