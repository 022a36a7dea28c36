"""Requests and bodies over real sockets: framing, order, limits, and what is kept of the stream."""

from __future__ import annotations

import asyncio
import hashlib
import random

import pytest

from gateway import limits
from gateway.server.arenas import Arenas
from gateway.wire.messages import Request, Response

MIB = limits.MIB


async def read_all(request: Request) -> bytes:
    pieces = []
    while (window := await request.body.read()) is not None:
        assert 0 < len(window) <= limits.ARENA_SIZE
        assert not window.readonly
        pieces.append(bytes(window))
        window[:] = bytes(len(window))  # a reader may change its window
    return b"".join(pieces)


async def echo(request: Request) -> Response:
    body = await read_all(request)
    digest = hashlib.md5(body).hexdigest()
    text = f"{request.method.decode()} {request.target.decode()} {len(body)} {digest}".encode()
    return Response(200, [(b"Content-Type", b"text/plain")], text, len(text))


def told(method: str, target: str, body: bytes) -> bytes:
    return f"{method} {target} {len(body)} {hashlib.md5(body).hexdigest()}".encode()


def chunked(body: bytes, sizes: list[int]) -> bytes:
    out = []
    at = turn = 0
    while at < len(body):
        piece = body[at : at + sizes[turn % len(sizes)]]
        out.append(b"%x;ext=1\r\n%b\r\n" % (len(piece), piece))
        at += len(piece)
        turn += 1
    out.append(b"0\r\nx-trailer: 1\r\n\r\n")
    return b"".join(out)


async def test_get_and_head(serve):
    client = await (await serve(echo)).connect()
    answer = await client.ask(b"GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.status == 200
    assert answer.body == told("GET", "/a?b", b"")
    assert answer.headers[b"date"] == b"Tue, 14 Nov 2023 22:13:20 GMT"
    assert answer.headers[b"server"] == b"Sidegate"
    assert b"connection" not in answer.headers
    answer = await client.ask(b"HEAD /a HTTP/1.1\r\nHost: x\r\n\r\n", head=True)
    assert int(answer.headers[b"content-length"]) == len(told("HEAD", "/a", b""))
    answer = await client.ask(b"GET /z HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.body == told("GET", "/z", b"")


async def test_a_request_byte_by_byte(serve):
    client = await (await serve(echo)).connect()
    data = b"\r\nPUT /k HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
    client.writer.get_extra_info("socket")
    for byte in data:
        await client.send(bytes([byte]))
        await asyncio.sleep(0)
    assert (await client.answer()).body == told("PUT", "/k", b"hello")


async def test_chunked_byte_by_byte(serve):
    client = await (await serve(echo)).connect()
    body = b"some words to be cut"
    data = b"PUT /k HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    for byte in data + chunked(body, [3, 1, 7]):
        await client.send(bytes([byte]))
        await asyncio.sleep(0)
    assert (await client.answer()).body == told("PUT", "/k", body)


@pytest.mark.parametrize(
    "size", [1, 4096, 16384, 65535, 65536, 65537, MIB, MIB + 1, 2 * MIB, 5 * MIB + 77]
)
async def test_sizes_by_length_and_chunked_then_the_next_request(serve, size):
    client = await (await serve(echo)).connect()
    body = random.Random(size).randbytes(size)
    head = b"PUT /k HTTP/1.1\r\nHost: x\r\n"
    after = b"GET /after HTTP/1.1\r\nHost: x\r\n\r\n"
    await client.send(b"%bContent-Length: %d\r\n\r\n%b" % (head, size, body) + after)
    assert (await client.answer()).body == told("PUT", "/k", body)
    assert (await client.answer()).body == told("GET", "/after", b"")
    for sizes in ([65536], [8192, 1, 100_000], [3 * MIB]):
        data = chunked(body, sizes)
        await client.send(head + b"Transfer-Encoding: chunked\r\n\r\n" + data + after)
        assert (await client.answer()).body == told("PUT", "/k", body)
        assert (await client.answer()).body == told("GET", "/after", b"")


async def test_empty_bodies(serve):
    client = await (await serve(echo)).connect()
    for framing in (
        b"Content-Length: 0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"\r\n",
    ):
        answer = await client.ask(b"PUT /e HTTP/1.1\r\nHost: x\r\n" + framing)
        assert answer.body == told("PUT", "/e", b"")


async def test_expect_of_an_empty_body_is_answered_first_or_ends_the_connection(serve):
    # Botocore takes an answer without 100 for the first line of the connection's next answer.
    async def handler(request: Request) -> Response:
        status = 404 if request.target == b"/missing" else 200
        return Response(status, [], b"x", 1)

    head = b"PUT %b HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nExpect: 100-continue\r\n\r\n"
    client = await (await serve(handler)).connect()
    assert (await client.ask(head % b"/here")).status == 100
    assert (await client.answer()).status == 200
    assert (await client.ask(head % b"/missing")).status == 404
    assert await client.reader.read() == b""


async def test_pipelined_requests_are_answered_in_order(serve):
    order = []

    async def handler(request: Request) -> Response:
        order.append(request.target)
        await asyncio.sleep(0.002 if len(order) % 2 else 0)
        return await echo(request)

    client = await (await serve(handler)).connect()
    data = expected = b""
    wanted = []
    for number in range(200):
        body = b"x" * (number * 7 % 1000)
        data += b"PUT /%d HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (
            number,
            len(body),
            body,
        )
        wanted.append(told("PUT", f"/{number}", body))
    del expected
    client.writer.write(data)
    for text in wanted:
        assert (await client.answer()).body == text


async def test_pipelining_is_held_back(serve):
    """While a request is answered, no more is read than the inbox holds."""
    gate = asyncio.Event()

    async def handler(request: Request) -> Response:
        await gate.wait()
        return Response(200, [], b"ok", 2)

    served = await serve(handler)
    client = await served.connect()
    client.writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 20_000)
    await asyncio.sleep(0.02)
    assert served.arenas.blocks_used == 1
    assert client.writer.transport.get_write_buffer_size() + 0 >= 0
    gate.set()
    for _ in range(20_000):
        assert (await client.answer()).status == 200


async def test_windows_lie_in_an_arena_and_are_full(serve):
    sizes = []

    async def handler(request: Request) -> Response:
        while (window := await request.body.read()) is not None:
            sizes.append(len(window))
        return Response(200)

    client = await (await serve(handler)).connect()
    body = bytes(3 * MIB + 5)
    await client.ask(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    assert sizes == [MIB, MIB, MIB, 5]


async def test_expect_is_answered_at_the_first_read(serve):
    gate = asyncio.Event()

    async def handler(request: Request) -> Response:
        await gate.wait()
        return await echo(request)

    client = await (await serve(handler)).connect()
    for size in (10, 100_000, 3 * MIB):
        body = bytes(size)
        gate.clear()
        await client.send(
            b"PUT /e HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
            % size
        )
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.reader.read(1), 0.01)
        gate.set()
        assert (await client.answer()).status == 100
        assert (await client.ask(body)).body == told("PUT", "/e", body)


async def test_expect_is_not_answered_when_the_body_is_here_already(serve):
    client = await (await serve(echo)).connect()
    head = b"PUT /e HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
    answer = await client.ask(head + b"hello")
    assert answer.status == 200


async def refuse(request: Request) -> Response:
    return Response(403, [], b"no", 2)


async def test_early_answer_to_expect_closes_without_100(serve):
    client = await (await serve(refuse)).connect()
    answer = await client.ask(
        b"PUT /e HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
    )
    assert answer.status == 403
    assert answer.headers[b"connection"] == b"close"
    assert await client.at_end()


@pytest.mark.parametrize("size", [5, 100_000, limits.EARLY_ERROR_DRAIN_MAX])
async def test_a_short_unread_body_is_swallowed(serve, size):
    served = await serve(refuse)
    client = await served.connect()
    for _ in range(3):
        await client.send(b"PUT /e HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size)
        answer = await client.answer()
        assert answer.status == 403
        assert b"connection" not in answer.headers
        await client.send(bytes(size))
    client.writer.write_eof()
    assert await client.at_end()


async def test_a_short_chunked_unread_body_keeps_the_connection(serve):
    client = await (await serve(refuse)).connect()
    for _ in range(2):
        answer = await client.ask(
            b"PUT /e HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            + chunked(b"hello", [2])
        )
        assert answer.status == 403
        assert b"connection" not in answer.headers


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 12000000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n"]
)
async def test_a_long_unread_body_ends_the_connection_but_not_the_answer(serve, framing):
    served = await serve(refuse)
    client = await served.connect()
    client.writer.write(b"PUT /e HTTP/1.1\r\nHost: x\r\n" + framing)
    piece = b"186a0\r\n" + bytes(100_000) + b"\r\n" if b"chunked" in framing else bytes(100_000)
    for _ in range(119):
        client.writer.write(piece)
    await client.writer.drain()  # all of it is taken: no reset
    answer = await client.answer()
    assert answer.status == 403
    assert answer.headers[b"connection"] == b"close"
    assert await client.at_end()
    await client.close()
    await served.quiet()


async def test_a_body_half_read_then_refused(serve):
    async def handler(request: Request) -> Response:
        assert await request.body.read() is not None
        return Response(403, [], b"no", 2)

    served = await serve(handler)
    client = await served.connect()
    body = bytes(MIB + 100_000)
    for _ in range(2):
        await client.send(
            b"PUT /e HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        )
        assert (await client.answer()).status == 403
    assert served.arenas.arenas_used == 0


BAD_HEADS = [
    (b"BREW / HTTP/2.7\r\nHost: x\r\n\r\n", 505, b"HttpVersionNotSupported"),
    (b"GET /\r\n\r\n", 400, b"BadRequest"),
    (b"\x16\x03\x01\x02\x00\x01\x00", 400, b"TLS"),
    (b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400, b"BadRequest"),
    (
        b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
        501,
        b"NotImplemented",
    ),
    (
        b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        400,
        b"BadRequest",
    ),
    (
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"x-pad: " + b"y" * 100 * 1024,
        400,
        b"RequestHeaderSectionTooLarge",
    ),
    (
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"x-pad: yyyyyyyyyyyyyyyyyy\r\n" * 4096 + b"\r\n",
        400,
        b"RequestHeaderSectionTooLarge",
    ),
]


@pytest.mark.parametrize(("data", "status", "code"), BAD_HEADS)
async def test_bad_heads_are_answered_and_end_the_connection(serve, data, status, code):
    served = await serve(echo)
    client = await served.connect()
    client.writer.write(data)
    answer = await client.answer()
    assert answer.status == status
    assert code in answer.body
    assert answer.headers[b"content-type"] == b"application/xml"
    assert answer.headers[b"connection"] == b"close"
    assert len(answer.headers[b"x-amz-request-id"]) == 16
    assert await client.at_end()
    await client.close()
    await served.quiet()


async def test_a_head_of_almost_64_kib(serve):
    client = await (await serve(echo)).connect()
    pad = b"".join(b"x-pad-%d: %b\r\n" % (i, b"y" * 6000) for i in range(10))
    for _ in range(2):
        answer = await client.ask(b"GET /p HTTP/1.1\r\nHost: x\r\n" + pad + b"\r\n")
        assert answer.status == 200


async def test_bad_chunk_framing(serve):
    client = await (await serve(echo)).connect()
    answer = await client.ask(
        b"PUT /e HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n"
    )
    assert answer.status == 400
    assert b"IncompleteBody" in answer.body
    assert await client.at_end()


async def test_bad_chunk_framing_in_the_arena(serve):
    served = await serve(echo)
    client = await served.connect()
    piece = b"186a0\r\n" + bytes(100_000) + b"\r\n"
    client.writer.write(
        b"PUT /e HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + piece * 30 + b"zz\r\n"
    )
    answer = await client.answer()
    assert answer.status == 400
    assert await client.at_end()


async def test_http_1_0_closes(serve):
    client = await (await serve(echo)).connect()
    answer = await client.ask(b"GET /o HTTP/1.0\r\n\r\n")
    assert answer.body == told("GET", "/o", b"")
    assert await client.at_end()


async def test_connection_close_is_honoured(serve):
    client = await (await serve(echo)).connect()
    answer = await client.ask(b"GET /o HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.headers[b"connection"] == b"close"
    assert await client.at_end()


async def test_uploads_wait_for_an_arena(serve):
    """With a budget of one arena, two uploads take turns; a small body needs none."""
    arenas = Arenas(budget=64 * 1024, arena_size=64 * 1024)
    served = await serve(echo, arenas=arenas)
    first, second, third = [await served.connect() for _ in range(3)]
    body = random.Random(1).randbytes(200_000)
    head = b"PUT /k HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
    await first.send(head + body[:100_000])
    while arenas.arenas_used == 0:
        await asyncio.sleep(0.001)
    await second.send(head)
    second.writer.write(body)
    while arenas.waiting == 0:
        await asyncio.sleep(0.001)
    small = await third.ask(b"PUT /s HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")
    assert small.body == told("PUT", "/s", b"abc")
    await first.send(body[100_000:])
    assert (await first.answer()).body == told("PUT", "/k", body)
    assert (await second.answer()).body == told("PUT", "/k", body)


async def test_a_slow_handler_holds_the_client_back(serve):
    """With both halves full and the handler busy, the socket is not read."""
    gate = asyncio.Event()
    seen = []

    async def handler(request: Request) -> Response:
        window = await request.body.read()
        seen.append(len(window or b""))
        await gate.wait()
        while (window := await request.body.read()) is not None:
            seen.append(len(window))
        return Response(200)

    arenas = Arenas(budget=1 << 20, arena_size=64 * 1024)
    client = await (await serve(handler, arenas=arenas)).connect()
    size = 40 * MIB
    client.writer.write(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size)
    client.writer.write(bytes(size))
    await asyncio.sleep(0.03)
    assert seen == [32 * 1024]
    assert client.writer.transport.get_write_buffer_size() > 0
    gate.set()
    assert (await client.answer()).status == 200
    assert sum(seen) == size
