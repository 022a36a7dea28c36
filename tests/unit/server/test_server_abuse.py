"""Many clients that do everything wrong at once; afterwards nothing is left."""

from __future__ import annotations

import asyncio
import contextlib
import random
import ssl

from gateway.errors import SidegateError
from gateway.server.arenas import Arenas
from gateway.server.timeouts import Timeouts
from gateway.wire.messages import Request, Response

TIMES = Timeouts(
    head_s=0.05,
    idle_s=0.05,
    body_stall_s=0.05,
    write_stall_s=0.05,
    linger_s=0.05,
)


async def whimsical(request: Request) -> Response:
    """Read all, some or nothing, and answer much, little or not."""
    seed = sum(request.target)
    if seed % 3:
        windows = 0
        while await request.body.read() is not None:
            windows += 1
            if seed % 3 == 1 and windows == 2:
                break
    if seed % 7 == 0:
        raise SystemError("whim")

    async def stream():
        for _ in range(seed % 50):
            yield memoryview(bytes(50_000))
        if seed % 5 == 0:
            raise OSError("whim")

    if seed % 2:
        return Response(200, [], stream(), None if seed % 4 == 1 else seed % 50 * 50_000)
    return Response(200, [], bytes(seed), seed, close=seed % 6 == 0)


def request(dice: random.Random) -> bytes:
    target = b"/%d" % dice.randrange(10_000)
    size = dice.choice([0, 1, 500, 20_000, 70_000, 300_000, 1_500_000])
    expect = b"Expect: 100-continue\r\n" if dice.random() < 0.2 else b""
    if dice.random() < 0.3:
        return b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % target
    if dice.random() < 0.05:
        return dice.randbytes(100)
    head = b"PUT %b HTTP/1.1\r\nHost: x\r\n%b" % (target, expect)
    if dice.random() < 0.5:
        return head + b"Content-Length: %d\r\n\r\n" % size + bytes(size)
    body = b""
    while size:
        piece = min(size, dice.randrange(1, 100_000))
        body += b"%x\r\n%b\r\n" % (piece, bytes(piece))
        size -= piece
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + body + b"0\r\n\r\n"


async def abuse(served, seed: int) -> None:
    dice = random.Random(seed)
    client = await served.connect(rcvbuf=dice.choice([4096, 1 << 20]))
    data = b"".join(request(dice) for _ in range(dice.randrange(1, 4)))
    data = data[: int(len(data) * dice.choice([1, 1, 1, dice.random()]))]
    reading = None
    if dice.random() < 0.7:
        reading = asyncio.ensure_future(client.reader.read(-1))
    with contextlib.suppress(ConnectionError, TimeoutError, RuntimeError):
        while data:
            count = dice.choice([1, 100, 10_000, 1_000_000])
            client.writer.write(data[:count])
            await asyncio.wait_for(client.writer.drain(), 5)
            data = data[count:]
            if dice.random() < 0.01:
                break
    match dice.randrange(4):
        case 0:
            client.reset()
        case 1:
            with contextlib.suppress(OSError, RuntimeError):  # uvloop's, when it is closed already
                client.writer.write_eof()
        case 2:
            client.writer.transport.abort()
    if reading is not None:
        with contextlib.suppress(ConnectionError, TimeoutError):
            await asyncio.wait_for(reading, 5)


async def test_abuse_leaves_nothing_behind(serve, caplog):
    caplog.set_level("ERROR")
    arenas = Arenas(budget=1 << 20, arena_size=256 * 1024)
    served = await serve(whimsical, timeouts=TIMES, arenas=arenas)
    for turn in range(4):
        seeds = range(turn * 30, turn * 30 + 30)
        results = await asyncio.gather(
            *(abuse(served, seed) for seed in seeds), return_exceptions=True
        )
        assert not [
            error
            for error in results
            if error is not None and not isinstance(error, (OSError, TimeoutError, SidegateError))
        ]
    for client in served.clients:
        client.writer.transport.abort()
    await served.quiet()
    assert arenas.arenas_used == 0
    assert arenas.blocks_used == 0
    assert arenas.waiting == 0
    messages = {record.getMessage().partition(" ")[0] for record in caplog.records}
    assert messages <= {"request", "a", "the"}  # the whims, and no failure of a connection itself


async def test_a_slow_handler_holds_a_tls_client_back(serve, certificate):
    key, cert = certificate
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(cert, key)
    total = 0

    async def handler(request: Request) -> Response:
        nonlocal total
        while (window := await request.body.read()) is not None:
            total += len(window)
            await asyncio.sleep(0.001)
        return Response(200)

    arenas = Arenas(budget=64 * 1024, arena_size=64 * 1024)
    served = await serve(handler, tls=server_side, arenas=arenas)
    client = await served.connect(ssl.create_default_context(cafile=cert))
    client.writer.write(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n")
    client.writer.write(bytes(3_000_000))
    assert (await client.answer()).status == 200
    assert total == 3_000_000
