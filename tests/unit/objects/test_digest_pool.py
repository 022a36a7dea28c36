"""The MD5 pool: every state gets its own bytes, in order, and closing loses nothing."""

from __future__ import annotations

import asyncio
import hashlib
import random

import pytest

from gateway.digests import Md5
from gateway.errors import Reason, Unavailable
from gateway.objects.digest_pool import DigestPool


async def test_streams_side_by_side():
    rng = random.Random(4)
    pool = DigestPool()

    async def stream(count: int) -> bool:
        state, expected = Md5(), hashlib.md5()
        for _ in range(count):
            data = rng.randbytes(rng.randrange(1, 200_000))
            expected.update(data)
            await pool.submit(state, memoryview(data))
        return state.digest() == expected.digest()

    assert all(await asyncio.gather(*[stream(i % 7) for i in range(25)]))
    pool.close()


async def test_a_failure_reaches_who_submitted():
    pool = DigestPool()
    with pytest.raises((TypeError, AttributeError, ValueError)):
        await pool.submit(object(), memoryview(b"x"))  # type: ignore[arg-type]
    state = Md5()
    await pool.submit(state, memoryview(b"abc"))
    assert state.digest().hex() == "900150983cd24fb0d6963f7d28e17f72"
    pool.close()


async def test_closing_finishes_what_was_submitted():
    pool = DigestPool()
    states = [Md5() for _ in range(30)]
    waiting = [pool.submit(state, memoryview(bytes(300_000))) for state in states]
    pool.close()
    await asyncio.gather(*waiting)
    assert {state.digest() for state in states} == {hashlib.md5(bytes(300_000)).digest()}
    with pytest.raises(Unavailable) as caught:
        pool.submit(Md5(), memoryview(b""))
    assert caught.value.reason is Reason.SHUTTING_DOWN
