"""Requests built by hand, and bodies that arrive in given windows."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence

from gateway import digests
from gateway.s3.body import BodySource
from gateway.versions.model import ChecksumValue
from gateway.wire.messages import EmptyBody, Request


class Windows:
    """A body that arrives in these windows."""

    def __init__(self, windows: Sequence[bytes], length: int | None) -> None:
        self._windows = list(windows)
        self.length = length
        self.reads = 0

    async def read(self) -> memoryview | None:
        self.reads += 1
        return memoryview(bytearray(self._windows.pop(0))) if self._windows else None


def request(
    headers: Mapping[str, str] | None = None,
    body: bytes | Sequence[bytes] | None = None,
    *,
    method: bytes = b"PUT",
    target: bytes = b"/b/k",
    length: int | None = -1,
) -> Request:
    """Build a request; a body in windows without a length is chunked."""
    pairs = [(name.encode(), value.encode("latin-1")) for name, value in (headers or {}).items()]
    if body is None:
        return Request(method, target, pairs, EmptyBody(), "0123456789ABCDEF")
    windows = [body] if isinstance(body, bytes) else list(body)
    total = sum(map(len, windows)) if length == -1 else length
    if total is None:
        pairs.append((b"transfer-encoding", b"chunked"))
    else:
        pairs.append((b"content-length", b"%d" % total))
    return Request(
        method, target, pairs, Windows([w for w in windows if w], total), "0123456789ABCDEF"
    )


async def drain(source: BodySource) -> tuple[bytes, tuple[ChecksumValue, ...]]:
    """Do what the writer of objects does with a source."""
    data = b""
    while (view := await source.read()) is not None:
        assert len(view)
        data += bytes(view)
    values: dict[str, bytes] = {}
    for name in source.algorithms:
        checksum = digests.new_checksum(name)
        checksum.update(data)
        values[name] = checksum.digest()
    return data, source.check(len(data), hashlib.md5(data).digest(), values)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def crc32(data: bytes) -> str:
    return b64(digests.crc32(data).to_bytes(4, "big"))


def frame(data: bytes, size: int, trailer: str = "") -> bytes:
    """Return unsigned aws-chunked framing."""
    out = b""
    for start in range(0, len(data), size):
        piece = data[start : start + size]
        out += b"%x\r\n%b\r\n" % (len(piece), piece)
    return out + b"0\r\n" + (trailer.encode() + b"\r\n" if trailer else b"") + b"\r\n"
