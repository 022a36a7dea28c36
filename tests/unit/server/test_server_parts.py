"""The parts of the server without a socket: the inbox, the timer, the budget of arenas."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gateway import limits
from gateway.entropy import SeededEntropy
from gateway.server.arenas import Arenas
from gateway.server.inbox import Inbox
from gateway.server.lifecycle import StopSignals, drain_all, run
from gateway.server.request_ids import RequestIds
from gateway.server.timeouts import Watch

ROOT = Path(__file__).resolve().parents[3]


def put(inbox: Inbox, data: bytes) -> None:
    while data:
        room = inbox.room()
        count = min(len(room), len(data))
        room[:count] = data[:count]
        inbox.end += count
        data = data[count:]
        if inbox.full and data:
            inbox.reserve(inbox.available + len(data))


def held(inbox: Inbox) -> bytes:
    return bytes(inbox.view[inbox.start : inbox.end])


def test_an_inbox_has_a_block_only_while_bytes_lie_in_it():
    arenas = Arenas()
    inbox = Inbox(arenas)
    assert arenas.blocks_used == 0
    put(inbox, b"abcdef")
    assert arenas.blocks_used == 1
    inbox.consume(2)
    assert held(inbox) == b"cdef"
    inbox.consume(4)
    assert arenas.blocks_used == 0
    assert inbox.available == 0


def test_an_inbox_moves_its_bytes_only_when_it_must():
    arenas = Arenas()
    inbox = Inbox(arenas)
    data = os.urandom(limits.HEAD_BLOCK_SIZE)
    put(inbox, data)
    assert inbox.full
    inbox.consume(1000)
    first = inbox.block
    inbox.reserve(limits.HEAD_BLOCK_SIZE)
    assert inbox.block is first
    assert inbox.start == 0
    assert held(inbox) == data[1000:]
    inbox.reserve(limits.HEAD_BLOCK_SIZE + 1)
    assert len(inbox.block) == limits.HEAD_SIZE_MAX
    assert held(inbox) == data[1000:]
    inbox.append(memoryview(bytes(limits.MIB)))
    assert held(inbox) == data[1000:] + bytes(limits.MIB)
    assert arenas.blocks_used == 1
    inbox.close()
    assert arenas.blocks_used == 0


def test_a_lent_block_is_neither_moved_nor_reused():
    arenas = Arenas()
    inbox = Inbox(arenas)
    put(inbox, b"x" * 100 + b"next")
    lent = inbox.lend(100)
    inbox.consume(4)
    assert arenas.blocks_used == 1  # though nothing is left in it
    put(inbox, os.urandom(limits.HEAD_BLOCK_SIZE - 104))
    inbox.reserve(limits.HEAD_BLOCK_SIZE)
    assert bytes(lent) == b"x" * 100
    inbox.take_back()
    inbox.consume(inbox.available)
    assert arenas.blocks_used == 0
    fresh = arenas.take_block(1)
    fresh[:100] = b"y" * 100
    assert bytes(lent) == b"x" * 100
    arenas.give_block(fresh)


async def test_arenas_are_handed_on_in_order():
    arenas = Arenas(budget=8192, arena_size=4096)
    first, second = await arenas.acquire(), await arenas.acquire()
    waiting = [asyncio.ensure_future(arenas.acquire()) for _ in range(3)]
    await asyncio.sleep(0)
    assert arenas.waiting == 3
    waiting[0].cancel()
    await asyncio.sleep(0)
    arenas.release(first)
    assert await waiting[1] is first
    arenas.release(second)
    waiting[2].cancel()  # in the same turn as it was given: it must not be lost
    with pytest.raises(asyncio.CancelledError):
        await waiting[2]
    arenas.release(first)
    assert arenas.arenas_used == 0
    assert await asyncio.wait_for(arenas.acquire(), 1) is not None


def test_arenas_refuse_a_budget_of_nothing():
    for budget, size in ((10, 20), (10, 3), (10, 0)):
        with pytest.raises(ValueError):
            Arenas(budget, size)


async def test_a_watch_keeps_one_timer_and_fires_once():
    loop = asyncio.get_running_loop()
    fired = []
    watch = Watch(loop, lambda: fired.append(loop.time()))
    began = loop.time()
    watch.expect_within(0.01)
    for _ in range(1000):
        watch.expect_within(0.03)  # later: no new timer
    await asyncio.sleep(0.015)
    assert not fired
    while not fired:
        await asyncio.sleep(0.005)
    assert fired[0] - began >= 0.028
    watch.expect_within(10)
    watch.expect_within(0.005)  # nearer: a new timer
    while len(fired) < 2:
        await asyncio.sleep(0.005)
    watch.expect_within(0.005)
    watch.clear()
    await asyncio.sleep(0.01)
    assert len(fired) == 2
    watch.expect_within(0.005)
    watch.stop()
    await asyncio.sleep(0.01)
    assert len(fired) == 2


def test_request_ids_are_sixteen_upper_case_hex_digits_and_differ():
    ids = RequestIds(SeededEntropy())
    made = [ids.next() for _ in range(1000)]
    assert len(set(made)) == 1000
    assert all(len(name) == 16 and set(name) <= set("0123456789ABCDEF") for name in made)


class Endless:
    """A listener that takes as long as it is given."""

    def __init__(self) -> None:
        self.times: list[float] = []

    async def drain(self, timeout_s: float = 1.0) -> None:
        self.times.append(timeout_s)
        if timeout_s:
            await asyncio.Event().wait()


async def test_a_second_signal_leaves_no_more_time():
    listener = Endless()
    with StopSignals() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        await stop.asked()
        draining = asyncio.ensure_future(drain_all([listener], stop, 30))
        await asyncio.sleep(0)
        assert not draining.done()
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.wait_for(draining, 5)
    assert listener.times == [30, 0.0]


def test_run_runs_on_uvloop():
    async def main() -> str:
        return type(asyncio.get_running_loop()).__module__

    assert run(main()) == "uvloop"


def test_the_benchmark_runs():
    done = subprocess.run(
        [sys.executable, "bench/run.py", "--trivial", "--smoke"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 8


async def test_an_arena_beyond_those_kept_gives_its_pages_back_at_once():
    arenas = Arenas(budget=(limits.ARENAS_FREE_MAX + 1) * 4096, arena_size=4096)
    taken = [await arenas.acquire() for _ in range(limits.ARENAS_FREE_MAX + 1)]
    for arena in taken:
        arena.view[:] = b"x" * 4096
        arenas.release(arena)
    assert bytes(taken[0].view[:1]) == b"x"  # kept as it was
    assert bytes(taken[-1].view) == bytes(4096)  # a view outlives it, its pages do not
