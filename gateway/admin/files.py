"""Calls on objects by path: bytes go in and out by the same writer and reader as over S3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from gateway import limits
from gateway.admin.arguments import Arguments, Record
from gateway.admin.handler import Services
from gateway.admin.records import text_of, time_of
from gateway.errors import Invalid, NotFound, Reason, TooLarge
from gateway.versions.model import ChecksumValue, ObjectAttributes
from gateway.wire.messages import Request, RequestBody, Response

_REMOVE_STEP = limits.DELETE_KEYS_MAX


class BodySource:
    """The bytes of an admin request as an object's: nothing was promised about them."""

    algorithms: ClassVar[frozenset[str]] = frozenset({"CRC64NVME"})

    def __init__(self, body: RequestBody) -> None:
        self._body = body
        self._size = 0

    async def read(self) -> memoryview | None:
        """Return the next window."""
        view = await self._body.read()
        self._size += len(view) if view is not None else 0
        if self._size > limits.OBJECT_SIZE_MAX:
            raise TooLarge(
                Reason.OBJECT_TOO_LARGE, f"an object holds {limits.OBJECT_SIZE_MAX} bytes at most"
            )
        return view

    def check(
        self, size: int, md5: bytes, digests: Mapping[str, bytes]
    ) -> tuple[ChecksumValue, ...]:
        """Return the checksum to keep: S3's default one."""
        del size, md5
        return (ChecksumValue("CRC64NVME", "FULL_OBJECT", digests["CRC64NVME"]),)


def key_of(path: str) -> bytes:
    """Return a path's key."""
    return path.encode("utf-8", "surrogateescape")


async def put(services: Services, arguments: Arguments, request: Request) -> Record:
    """Store the request's body at a path of a branch."""
    view = await services.versions.view(arguments.text("target"))
    key = key_of(arguments.text("path"))
    arguments.done()
    if not key:
        raise Invalid(Reason.BAD_ARGUMENT, "an object needs a path", "write REPO@BRANCH:PATH")
    done = await services.versions.put(view, key, ObjectAttributes(), BodySource(request.body))
    return {
        "path": text_of(key),
        "size": done.record.size,
        "etag": done.record.etag(),
        "new_bytes": done.new_bytes,
        "commit": done.commit,
    }


async def get(services: Services, arguments: Arguments, _: Request) -> Response:
    """Answer with the bytes of an object."""
    view = await services.versions.view(arguments.text("ref"))
    key = key_of(arguments.text("path"))
    arguments.done()
    info = await services.versions.head(view, key)
    size = info.record.size
    body = await services.versions.open(view, info, 0, size)
    return Response(200, [(b"content-type", b"application/octet-stream")], body, size)


async def list_files(services: Services, arguments: Arguments, _: Request) -> Record:
    """List a page of what is under a path: all of it, or one level."""
    view = await services.versions.view(arguments.text("ref"))
    prefix = key_of(arguments.text("path", ""))
    delimiter = b"" if arguments.flag("recursive") else b"/"
    after = key_of(arguments.text("after", ""))
    arguments.done()
    page = await services.versions.list_objects(
        view, prefix, delimiter, after, limits.LIST_KEYS_MAX
    )
    files: list[tuple[bytes, Record]] = [
        (
            key,
            {
                "type": "file",
                "path": text_of(key),
                "size": record.size,
                "etag": record.etag(),
                "modified": time_of(record.mtime_ms),
            },
        )
        for key, record in page.entries
    ]
    files += [
        (name, {"type": "dir", "path": text_of(name), "size": None, "modified": None})
        for name in page.prefixes
    ]
    files.sort(key=lambda pair: pair[0])
    return {
        "files": [record for _, record in files],
        "truncated": page.truncated,
        "next": text_of(page.next),
    }


async def remove(services: Services, arguments: Arguments, _: Request) -> Record:
    """Remove an object, or all under a path."""
    view = await services.versions.view(arguments.text("ref"))
    path = arguments.text("path")
    recursive = arguments.flag("recursive")
    arguments.done()
    if not recursive:
        await services.versions.head(view, key_of(path))
        await services.versions.delete(view, key_of(path))
        return {"files": 1}
    prefix = key_of(path if not path or path.endswith("/") else f"{path}/")
    count = 0
    while True:
        page = await services.versions.list_objects(view, prefix, b"", b"", _REMOVE_STEP)
        keys = [key for key, _ in page.entries]
        for error in await services.versions.delete_many(view, keys):
            if error is not None:
                raise error
        count += len(keys)
        if not page.truncated:
            break
    if not count:
        raise NotFound(Reason.NO_SUCH_KEY, f"there is nothing under {path!r}")
    return {"files": count}


async def copy(services: Services, arguments: Arguments, _: Request) -> Record:
    """Copy an object within or between repos; within a project no data moves."""
    source = await services.versions.view(arguments.text("source_ref"))
    source_key = key_of(arguments.text("source_path"))
    view = await services.versions.view(arguments.text("ref"))
    key = key_of(arguments.text("path"))
    arguments.done()
    info = await services.versions.head(source, source_key)
    done = await services.versions.copy(source, info, view, key, None)
    return {"path": text_of(key), "size": done.record.size, "new_bytes": done.new_bytes}
