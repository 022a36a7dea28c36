"""Responses, slow and absent peers, and the end of a listener."""

from __future__ import annotations

import asyncio
import gc
import logging
import ssl
import weakref

import pytest

from gateway import limits
from gateway.clock import ManualClock
from gateway.entropy import SeededEntropy
from gateway.errors import Busy, Invalid, Reason, Unavailable
from gateway.server.arenas import Arenas
from gateway.server.listener import Listener
from gateway.server.timeouts import Timeouts
from gateway.wire.messages import Request, Response

MIB = limits.MIB
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def put(size: int, *more: bytes) -> bytes:
    lines = b"".join(line + b"\r\n" for line in more)
    return b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n%b\r\n" % (size, lines)


class Stream:
    """A body of numbered pieces that tells what became of it."""

    def __init__(self, count: int, size: int, fail_at: int = -1) -> None:
        self.count = count
        self.size = size
        self.fail_at = fail_at
        self.produced = 0
        self.closed = 0

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> memoryview:
        if self.produced == self.fail_at:
            raise OSError("the disk is on fire")
        if self.produced == self.count:
            raise StopAsyncIteration
        self.produced += 1
        return memoryview(bytes([self.produced % 256]) * self.size)

    async def aclose(self) -> None:
        self.closed += 1

    def whole(self) -> bytes:
        return b"".join(bytes([i % 256]) * self.size for i in range(1, self.count + 1))


def answering(response: Response):
    async def handler(request: Request) -> Response:
        return response

    return handler


@pytest.mark.parametrize("size", [0, 1, 16_384, 16_385, 600_000, 5 * MIB])
async def test_bodies_in_memory(serve, size):
    data = bytes(range(256)) * (size // 256 + 1)
    data = data[:size]
    view = memoryview(data)
    views = [view[at : at + 50_000] for at in range(0, size, 50_000)]
    for body in (data, [view], views):
        client = await (await serve(answering(Response(200, [], body, size)))).connect()
        for _ in range(2):
            answer = await client.ask(GET)
            assert int(answer.headers[b"content-length"]) == size
            assert answer.body == data
        answer = await client.ask(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", head=True)
        assert int(answer.headers[b"content-length"]) == size


async def test_a_wrong_announcement_of_a_body_in_memory_is_set_right(serve):
    client = await (await serve(answering(Response(200, [], b"abc", 7)))).connect()
    assert (await client.ask(GET)).body == b"abc"


@pytest.mark.parametrize("status", [204, 304])
async def test_no_body_with_204_and_304(serve, status):
    served = await serve(answering(Response(status, [], b"oops", 4)))
    client = await served.connect()
    for _ in range(2):
        answer = await client.ask(GET)
        assert answer.status == status
        assert (b"content-length" in answer.headers) == (status == 304)


async def test_head_announces_and_closes_the_stream(serve):
    stream = Stream(3, 10)
    client = await (await serve(answering(Response(200, [], stream, 30)))).connect()
    for _ in range(2):
        answer = await client.ask(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", head=True)
        assert answer.headers[b"content-length"] == b"30"
    assert stream.produced == 0
    assert stream.closed == 2


@pytest.mark.parametrize("size", [1, 1000, MIB + 1])
async def test_streams_of_known_and_unknown_length(serve, size):
    for announced in (True, False):
        streams: list[Stream] = []

        async def handler(request: Request, known: bool = announced, kept=streams) -> Response:
            kept.append(Stream(20, size))
            return Response(200, [], kept[-1], 20 * size if known else None)

        client = await (await serve(handler)).connect()
        for _ in range(2):
            answer = await client.ask(GET)
            assert (b"content-length" in answer.headers) == announced
            assert answer.body == streams[-1].whole()
        await client.send(b"GET / HTTP/1.0\r\n\r\n")
        answer = await client.answer()
        assert b"transfer-encoding" not in answer.headers
        assert answer.body == streams[-1].whole()
        assert [stream.closed for stream in streams] == [1, 1, 1]


@pytest.mark.parametrize(("length", "chunks"), [(100, 9), (100, 11), (None, 5)])
async def test_a_stream_that_breaks_its_word_is_cut(serve, caplog, length, chunks):
    stream = Stream(chunks, 10, fail_at=-1 if length else 4)
    client = await (await serve(answering(Response(200, [], stream, length)))).connect()
    await client.send(GET)
    data = await client.reader.read()
    assert data.startswith(b"HTTP/1.1 200")
    if length:
        assert len(data.partition(b"\r\n\r\n")[2]) < length or chunks > 10
        assert len(data.partition(b"\r\n\r\n")[2]) <= length
    assert not data.endswith(b"0\r\n\r\n")
    assert stream.closed == 1
    assert "broke off" in caplog.text


async def test_a_stream_that_fails_at_once_is_answered(serve, caplog):
    stream = Stream(5, 10, fail_at=0)
    client = await (await serve(answering(Response(200, [], stream, 50)))).connect()
    answer = await client.ask(GET)
    assert answer.status == 500
    assert b"InternalError" in answer.body
    assert b"fire" not in answer.body
    assert "on fire" in caplog.text
    assert stream.closed == 1


async def test_a_handler_that_raises(serve, caplog):
    async def handler(request: Request) -> Response:
        raise ZeroDivisionError("secret")

    client = await (await serve(handler)).connect()
    for _ in range(2):
        answer = await client.ask(GET)
        assert answer.status == 500
        assert b"InternalError" in answer.body
        assert b"secret" not in answer.body
    assert "secret" in caplog.text


async def test_a_header_that_would_split_the_response(serve, caplog):
    response = Response(200, [(b"x-evil", b"a\r\nSet-Cookie: b")], b"x", 1)
    client = await (await serve(answering(response))).connect()
    answer = await client.ask(GET)
    assert answer.status == 500


async def test_a_slow_reader_holds_the_producer_back(serve):
    stream = Stream(2000, 64 * 1024)
    served = await serve(answering(Response(200, [], stream, 2000 * 64 * 1024)))
    client = await served.connect(rcvbuf=8192, limit=1024)
    await client.send(GET)
    before = -1
    while before != stream.produced:  # until nothing moves any more
        before = stream.produced
        await asyncio.sleep(0.03)
    # What the kernel's send buffer takes, and the queue, and one slice.
    assert stream.produced * stream.size <= 6 * MIB + limits.WRITE_HIGH_WATER + MIB
    client.reset()
    await served.quiet()
    assert stream.closed == 1


async def test_a_reader_that_takes_nothing_is_cut_off(serve):
    stream = Stream(2000, 64 * 1024)
    served = await serve(
        answering(Response(200, [], stream, 2000 * 64 * 1024)),
        timeouts=Timeouts(write_stall_s=0.02),
    )
    client = await served.connect(rcvbuf=8192, limit=1024)
    await client.send(GET)
    await served.quiet()
    assert stream.closed == 1


async def test_a_head_that_does_not_end(serve):
    served = await serve(answering(Response(200)), timeouts=Timeouts(head_s=0.02))
    client = await served.connect()
    await client.send(b"GET / HTTP/1.1\r\nHo")
    answer = await client.answer()
    assert answer.status == 400
    assert b"RequestTimeout" in answer.body
    assert await client.at_end()


async def test_dripping_does_not_prolong_a_head(serve):
    served = await serve(answering(Response(200)), timeouts=Timeouts(head_s=0.03))
    client = await served.connect()
    await client.send(b"GET / HTTP/1.1\r\n")
    for _ in range(200):
        if client.reader._buffer:
            break
        client.writer.write(b"a: b\r\n")
        await asyncio.sleep(0.003)
    assert (await client.answer()).status == 400


async def test_an_idle_connection_is_closed(serve):
    served = await serve(answering(Response(200)), timeouts=Timeouts(idle_s=0.02))
    fresh, used = await served.connect(), await served.connect()
    assert (await used.ask(GET)).status == 200
    assert await fresh.at_end()
    assert await used.at_end()
    assert served.arenas.blocks_used == 0


async def raising(request: Request) -> Response:
    while await request.body.read() is not None:
        pass
    return Response(200)


@pytest.mark.parametrize("size", [100, 100_000])
async def test_a_body_that_stalls(serve, size):
    served = await serve(raising, timeouts=Timeouts(body_stall_s=0.02))
    client = await served.connect()
    await client.send(put(size) + bytes(10))
    answer = await client.answer()
    assert answer.status == 400
    assert b"RequestTimeout" in answer.body
    assert await client.at_end()


@pytest.mark.parametrize("size", [1000, 100_000])
async def test_a_body_that_drips(serve, size):
    times = Timeouts(body_stall_s=5, body_rate_min=10_000, body_rate_window_s=0.04)
    client = await (await serve(raising, timeouts=times)).connect()
    await client.send(put(size))
    for _ in range(200):
        if client.reader._buffer:
            break
        client.writer.write(b"a")
        await asyncio.sleep(0.003)
    answer = await client.answer()
    assert answer.status == 400
    assert b"RequestTimeout" in answer.body


@pytest.mark.parametrize("dripping", [False, True])
async def test_who_sends_nothing_makes_way_for_who_waits(serve, dripping):
    """The one arena is held by a client that sleeps, or drips; another upload gets it soon."""
    arenas = Arenas(budget=64 * 1024, arena_size=64 * 1024)
    times = Timeouts(body_crowded_s=0.05, body_crowded_rate_min=1_000_000)
    served = await serve(raising, arenas=arenas, timeouts=times)
    sleeper, other = await served.connect(), await served.connect()
    await sleeper.send(put(100_000) + bytes(1000))
    while arenas.arenas_used == 0:
        await asyncio.sleep(0.001)
    other.writer.write(put(100_000) + bytes(100_000))
    for _ in range(1000 if dripping else 0):
        if sleeper.reader._buffer:
            break
        sleeper.writer.write(b"a")
        await asyncio.sleep(0.003)
    answer = await sleeper.answer()
    assert answer.status == 400
    assert b"RequestTimeout" in answer.body
    assert (await other.answer()).status == 200


async def test_who_sends_nothing_keeps_its_place_while_nobody_waits(serve):
    times = Timeouts(body_crowded_s=0.01, body_crowded_rate_min=1_000_000)
    client = await (await serve(raising, timeouts=times)).connect()
    await client.send(put(100_000) + bytes(1000))
    await asyncio.sleep(0.05)
    assert (await client.ask(bytes(99_000))).status == 200


async def test_the_time_a_handler_takes_is_not_the_clients(serve):
    async def handler(request: Request) -> Response:
        while await request.body.read() is not None:
            await asyncio.sleep(0.03)
        return Response(200)

    times = Timeouts(body_stall_s=0.02, body_rate_min=10_000_000, body_rate_window_s=0.02)
    client = await (await serve(handler, timeouts=times)).connect()
    assert (await client.ask(put(3 * MIB) + bytes(3 * MIB))).status == 200


@pytest.mark.parametrize("reset", [True, False])
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GET / HT",
        put(10),
        put(10) + b"abc",
        put(100_000),
        put(100_000) + bytes(50_000),
        put(9 * MIB) + bytes(3 * MIB),
        b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"PUT / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n",
    ],
)
async def test_a_client_that_leaves_before_the_end(serve, data, reset):
    raised = []

    async def handler(request: Request) -> Response:
        try:
            while await request.body.read() is not None:
                pass
        except Invalid as error:
            raised.append(error.reason)
            raise
        return Response(200)

    served = await serve(handler)
    client = await served.connect()
    await client.send(data)
    await asyncio.sleep(0.005)
    if reset:
        client.reset()
    else:
        await client.close()
    await served.quiet()
    assert set(raised) <= {Reason.INCOMPLETE_BODY}
    assert bool(raised) == data.startswith(b"PUT")


async def test_a_handler_is_not_cancelled_when_its_client_leaves(serve):
    entered, gate, done = asyncio.Event(), asyncio.Event(), asyncio.Event()
    stream = Stream(3, 10)

    async def handler(request: Request) -> Response:
        entered.set()
        await gate.wait()
        done.set()
        return Response(200, [], stream, 30)

    served = await serve(handler)
    client = await served.connect()
    await client.send(GET)
    await entered.wait()
    client.reset()
    await asyncio.sleep(0.01)
    assert served.listener.connections == 1
    gate.set()
    await done.wait()
    await served.quiet()
    assert stream.closed == 1
    assert stream.produced == 0


async def test_a_client_that_leaves_during_the_answer(serve, caplog):
    caplog.set_level(logging.ERROR)
    stream = Stream(100_000, 64 * 1024)
    served = await serve(answering(Response(200, [], stream, stream.count * stream.size)))
    client = await served.connect()
    await client.send(GET)
    await client.reader.read(100_000)
    client.reset()
    await served.quiet()
    assert stream.closed == 1
    assert stream.produced < stream.count
    assert not caplog.records


async def test_a_half_closed_client_gets_its_answer(serve):
    served = await serve(raising)
    client = await served.connect()
    await client.send(put(5) + b"hello" + GET)
    client.writer.write_eof()
    assert (await client.answer()).status == 200
    assert (await client.answer()).status == 200
    assert await client.at_end()
    await served.quiet()


async def test_a_response_may_be_made_of_the_request(serve):
    """A handler that answers while it reads: windows go out before the last has come in."""

    async def handler(request: Request) -> Response:
        async def pieces():
            while (window := await request.body.read()) is not None:
                yield memoryview(bytes(window))

        return Response(200, [], pieces(), request.body.length)

    client = await (await serve(handler)).connect()
    body = bytes(range(256)) * 12_000
    client.writer.write(put(len(body)) + body)
    assert (await client.answer()).body == body


async def test_views_are_let_go(serve):
    class Owner(bytearray):
        pass

    owner = Owner(5 * MIB)
    alive = weakref.ref(owner)
    bodies = [[memoryview(owner)]]
    del owner

    async def handler(request: Request) -> Response:
        return Response(200, [], bodies.pop(), 5 * MIB)

    client = await (await serve(handler)).connect()
    assert len((await client.ask(GET)).body) == 5 * MIB
    await asyncio.sleep(0.01)
    gc.collect()
    assert alive() is None


async def test_too_many_connections(serve):
    served = await serve(answering(Response(200)), connections_max=2)
    first, second = await served.connect(), await served.connect()
    assert (await first.ask(GET)).status == 200
    assert (await second.ask(GET)).status == 200
    third = await served.connect()
    third.writer.write(GET)
    answer = await third.answer()
    assert answer.status == 503
    assert b"SlowDown" in answer.body
    assert await third.at_end()
    await third.close()
    await first.close()
    while served.listener.connections > 1:
        await asyncio.sleep(0.001)
    fourth = await served.connect()
    assert (await fourth.ask(GET)).status == 200


async def test_drain_lets_requests_finish(serve):
    entered, gate = asyncio.Event(), asyncio.Event()

    async def handler(request: Request) -> Response:
        entered.set()
        await gate.wait()
        return Response(200, [], b"done", 4)

    served = await serve(handler)
    idle, busy = await served.connect(), await served.connect()
    await busy.send(GET + GET)
    await entered.wait()
    draining = asyncio.ensure_future(served.listener.drain(10))
    assert await idle.at_end()
    with pytest.raises(OSError):
        await served.connect()
    assert not draining.done()
    gate.set()
    answer = await busy.answer()
    assert answer.body == b"done"
    assert answer.headers[b"connection"] == b"close"
    assert await busy.at_end()
    await busy.close()
    await draining


async def test_drain_cuts_what_takes_too_long(serve):
    entered, gate = asyncio.Event(), asyncio.Event()
    finished = []

    async def handler(request: Request) -> Response:
        entered.set()
        await gate.wait()
        finished.append(1)
        return Response(200)

    served = await serve(handler)
    client = await served.connect()
    await client.send(GET)
    await entered.wait()
    draining = asyncio.ensure_future(served.listener.drain(0.01))
    assert await client.at_end()
    assert not finished
    gate.set()  # in the time of grace: the handler was not cancelled
    await draining
    assert finished


async def test_close_cancels_a_handler_that_hangs(serve):
    entered = asyncio.Event()

    async def handler(request: Request) -> Response:
        entered.set()
        await asyncio.Event().wait()
        return Response(200)

    served = await serve(handler, timeouts=Timeouts(abort_grace_s=0.01))
    client = await served.connect()
    await client.send(GET)
    await entered.wait()
    await served.listener.close()
    assert served.listener.connections == 0


async def test_a_port_in_use(serve):
    served = await serve(answering(Response(200)))
    clock, entropy = ManualClock(), SeededEntropy()
    second = Listener(raising, "127.0.0.1", served.port, clock=clock, entropy=entropy)
    with pytest.raises(Unavailable) as caught:
        await second.start()
    assert caught.value.reason is Reason.PORT_IN_USE
    assert str(served.port) in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(("host", "port"), [("203.0.113.1", 0), ("127.0.0.1", 99_999)])
async def test_an_address_that_cannot_be_bound(host, port):
    listener = Listener(raising, host, port, clock=ManualClock(), entropy=SeededEntropy())
    with pytest.raises(Invalid) as caught:
        await listener.start()
    assert caught.value.reason is Reason.BAD_ARGUMENT


async def test_tls(serve, certificate):
    key, cert = certificate
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(cert, key)
    client_side = ssl.create_default_context(cafile=cert)
    secure = []

    async def handler(request: Request) -> Response:
        secure.append(request.secure)
        size = 0
        while (window := await request.body.read()) is not None:
            size += len(window)
        body = bytes(3 * MIB) if request.method == b"GET" else b"%d" % size
        return Response(200, [], [memoryview(body)], len(body))

    served = await serve(handler, tls=server_side)
    client = await served.connect(client_side)
    assert (await client.ask(GET)).body == bytes(3 * MIB)
    for size in (10, 100_000, 5 * MIB):
        client.writer.write(put(size) + bytes(size))
        assert (await client.answer()).body == b"%d" % size
    client.writer.write(put(30) + bytes(30) + GET)
    assert (await client.answer()).body == b"30"
    assert len((await client.answer()).body) == 3 * MIB
    assert all(secure)
    client.writer.write(b"BAD\r\n\r\n")
    assert (await client.answer()).status == 400
    await client.close()
    await served.quiet()


async def test_busy_is_what_a_stalled_read_raises(serve):
    caught = []

    async def handler(request: Request) -> Response:
        try:
            await request.body.read()
        except Busy as error:
            caught.append(error.reason)
        return Response(503, [], b"slow", 4)

    served = await serve(handler, timeouts=Timeouts(body_stall_s=0.01))
    client = await served.connect()
    await client.send(put(10))
    answer = await client.answer()
    assert answer.status == 503
    assert answer.headers[b"connection"] == b"close"
    assert caught == [Reason.TIMEOUT]
