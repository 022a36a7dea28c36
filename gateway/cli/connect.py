"""Which way a command goes: to a server it was told of or finds, or into the directory itself.

A client is made lazily, at the first call, so that a command that is refused for its arguments has
opened nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from gateway import config
from gateway.assembly import Assembly
from gateway.backends.directory import read_served, read_token
from gateway.cli.client import Client, HttpClient, LocalClient, Record
from gateway.errors import Denied, Invalid, Reason, Unavailable

_LOCK_PATIENCE_S = 10.0  # another command's hold on the directory is short
_LOCK_RETRY_S = 0.1


def connect(arguments: argparse.Namespace) -> Client:
    """Return the client that a command line asks for; nothing is opened yet."""
    return _Lazy(arguments)


class _Lazy:
    """A client that is opened by its first call."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments
        self._client: Client | None = None
        self._assembly: Assembly | None = None

    async def call(self, name: str, **arguments: Any) -> Record:
        return await (await self._open()).call(name, **arguments)

    async def send(self, name: str, source: BinaryIO, **query: str) -> Record:
        return await (await self._open()).send(name, source, **query)

    async def receive(self, name: str, **query: str) -> AsyncIterator[bytes]:
        async for part in (await self._open()).receive(name, **query):
            yield part

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()
        if self._assembly is not None:
            await self._assembly.close()

    async def _open(self) -> Client:
        if self._client is None:
            self._client = await self._reach()
        return self._client

    async def _reach(self) -> Client:
        data = config.data_directory(self._arguments.data, os.environ)
        url = self._arguments.url or os.environ.get("SIDEGATE_URL")
        if url:
            return HttpClient(_checked_url(url), _token_for(data))
        waited = 0.0
        while True:
            served = read_served(data)
            if served is not None:
                return HttpClient(served.admin_url, _token_for(data))
            try:
                self._assembly = await Assembly.open(data)
            except Unavailable as error:
                if error.reason is not Reason.LOCKED or waited >= _LOCK_PATIENCE_S:
                    raise
                await asyncio.sleep(_LOCK_RETRY_S)
                waited += _LOCK_RETRY_S
                continue
            return LocalClient(self._assembly.admin_handler(), self._assembly.token)


def _checked_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme == "http" and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is none
        usable = False
    if not usable:
        raise Invalid(
            Reason.BAD_USAGE,
            f"{url!r} is not the URL of an admin API",
            "write http://HOST:PORT, as 'sidegate serve' prints it",
        )
    return url.rstrip("/")


def _token_for(data: str) -> str:
    """Return the admin token: of the environment, else of the data directory."""
    token = os.environ.get("SIDEGATE_ADMIN_TOKEN") or read_token(data)
    if not token:
        raise Denied(
            Reason.NOT_ALLOWED,
            f"there is no admin token in {data}",
            "give the server's --data, or set SIDEGATE_ADMIN_TOKEN to what its admin-token says",
        )
    token = token.strip()
    if not token.isascii() or not token.isprintable():
        raise Denied(
            Reason.NOT_ALLOWED,
            "the admin token holds characters that no token has",
            "set SIDEGATE_ADMIN_TOKEN to what the server's admin-token file says",
        )
    return token
