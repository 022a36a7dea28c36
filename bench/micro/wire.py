"""What the wire costs: microseconds of one core for each thing done once a request.

Prints one line an operation; bodies are measured by the MiB, and by the chunk where chunks are as
small as an unkind client can make them.

    python bench/micro/wire.py [--smoke]
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import os
import sys
import timeit
from collections.abc import Callable

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from gateway.digests import HmacSha256
from gateway.limits import KIB, MIB
from gateway.wire import checksums, conditions, dates, ranges, sigv4, xml
from gateway.wire.aws_chunked import AwsChunkedDecoder, Chain
from gateway.wire.http import ChunkedDecoder, find_head_end, parse_head, render_head
from gateway.wire.messages import EmptyBody, Request
from gateway.wire.payload import PayloadMode
from gateway.wire.target import parse_target

DATE = b"20261121T052809Z"
EMPTY = hashlib.sha256().hexdigest().encode()
UNSIGNED_HEAD = (
    b"PUT /bucket/some/key%20with/parts.bin?partNumber=1&uploadId=abcdef HTTP/1.1\r\n"
    b"Host: 127.0.0.1:9000\r\n"
    b"Accept-Encoding: identity\r\n"
    b"x-amz-checksum-crc32: AAAAAA==\r\n"
    b"x-amz-sdk-checksum-algorithm: CRC32\r\n"
    b"User-Agent: Boto3/1.44.5 md/Botocore#1.44.5 ua/2.1 os/linux lang/python#3.11.7\r\n"
    b"Expect: 100-continue\r\n"
    b"X-Amz-Date: " + DATE + b"\r\n"
    b"X-Amz-Content-SHA256: " + EMPTY + b"\r\n"
    b"amz-sdk-invocation-id: 9039edbb-75c9-4bb9-810f-45cb605ba054\r\n"
    b"amz-sdk-request: attempt=1; max=3\r\n"
    b"Content-Length: 5\r\n"
)
SIGNED = [
    b"host",
    b"x-amz-checksum-crc32",
    b"x-amz-content-sha256",
    b"x-amz-date",
    b"x-amz-sdk-checksum-algorithm",
]
RESPONSE = [
    (b"Server", b"Sidegate"),
    (b"x-amz-request-id", b"0123456789ABCDEF"),
    (b"x-amz-id-2", b"0123456789ABCDEF0123456789ABCDEF"),
    (b"ETag", b'"d41d8cd98f00b204e9800998ecf8427e"'),
    (b"Last-Modified", b"Sat, 21 Nov 2026 05:28:09 GMT"),
    (b"Content-Type", b"binary/octet-stream"),
    (b"Accept-Ranges", b"bytes"),
]


def request_of(head_bytes: bytes) -> Request:
    head = parse_head(head_bytes)
    return Request(head.method, head.target, head.headers, EmptyBody(), "0" * 16)


def signed_head() -> bytes:
    request = request_of(UNSIGNED_HEAD + b"\r\n")
    scope = b"20261121/us-east-1/s3/aws4_request"
    canonical = sigv4.canonical_request(request, parse_target(request.target), SIGNED, EMPTY)
    text = sigv4.string_to_sign(DATE, scope, canonical)
    signature = hmac.digest(sigv4.derive_key("SK", b"20261121", b"us-east-1"), text, "sha256")
    return UNSIGNED_HEAD + (
        b"Authorization: AWS4-HMAC-SHA256 Credential=AK/%b, SignedHeaders=%b, Signature=%b\r\n\r\n"
        % (scope, b";".join(SIGNED), signature.hex().encode())
    )


def signed_body(chain: Chain, chunk: bytes, count: int) -> bytes:
    previous = chain.seed
    out = []
    for data in [chunk] * count + [b""]:
        text = b"\n".join(
            (
                b"AWS4-HMAC-SHA256-PAYLOAD",
                chain.date,
                chain.scope,
                previous,
                EMPTY,
                hashlib.sha256(data).hexdigest().encode(),
            )
        )
        previous = chain.key.digest(text).hex().encode()
        out.append(b"%x;chunk-signature=%b\r\n%b\r\n" % (len(data), previous, data))
    return b"".join(out)


class Bench:
    def __init__(self, smoke: bool) -> None:
        self.smoke = smoke

    def run(self, what: str, call: Callable[[], object], number: int, units: float = 1) -> None:
        number, repeat = (1, 1) if self.smoke else (number, 5)
        best = min(timeit.repeat(call, number=number, repeat=repeat)) / number / units
        print(f"{what:<58} {best * 1e6:10.2f} us")


def bench_heads(bench: Bench) -> None:
    raw = signed_head()
    request = request_of(raw)
    target = parse_target(request.target)
    now_ms = dates.parse_amz_date(DATE) or 0
    keys = sigv4.SigningKeys()
    secrets = {"AK": "SK"}
    buffer = bytearray(raw)
    date = b"Sat, 21 Nov 2026 05:28:09 GMT"
    bench.run("find_head_end", lambda: find_head_end(buffer, 0, len(buffer)), 20000)
    bench.run("parse_head", lambda: parse_head(raw), 1000)
    bench.run("render_head", lambda: render_head(200, RESPONSE, date=date, length=5), 20000)
    bench.run("parse_target", lambda: parse_target(request.target), 10000)
    bench.run("sigv4.detect", lambda: sigv4.detect(request, target), 10000)
    bench.run(
        "sigv4.verify, key cached",
        lambda: sigv4.verify(request, target, secrets.get, now_ms, keys),
        3000,
    )
    bench.run(
        "sigv4.verify, key derived",
        lambda: sigv4.verify(request, target, secrets.get, now_ms, sigv4.SigningKeys()),
        3000,
    )
    bench.run("checksums.parse_promise", lambda: checksums.parse_promise(request.headers), 10000)


def bench_values(bench: Bench) -> None:
    http_date = b"Sat, 21 Nov 2026 05:28:09 GMT"
    headers = {b"if-match": b'"d41d8cd98f00b204e9800998ecf8427e"'}
    bench.run("format_http_date", lambda: dates.format_http_date(1_790_000_000_000), 10000)
    bench.run("parse_http_date", lambda: dates.parse_http_date(http_date), 10000)
    bench.run("parse_range", lambda: ranges.parse_range(b"bytes=0-8388607", 1 << 30), 10000)
    bench.run("ReadConditions.parse", lambda: conditions.ReadConditions.parse(headers.get), 10000)


def bench_documents(bench: Bench) -> None:
    def listing() -> bytes:
        writer = xml.Writer("ListBucketResult")
        for number in range(1000):
            writer.begin("Contents")
            writer.text("Key", f"some/prefix/object-{number:06}")
            writer.text("LastModified", "2026-11-21T05:28:09.000Z")
            writer.text("ETag", '"d41d8cd98f00b204e9800998ecf8427e"')
            writer.text("Size", number)
            writer.text("StorageClass", "STANDARD")
            writer.end("Contents")
        return writer.render()

    keys = b"".join(b"<Object><Key>some/key-%d</Key></Object>" % n for n in range(1000))
    delete = b"<Delete>" + keys + b"</Delete>"
    bench.run("write a list of 1,000", listing, 20)
    bench.run("parse a delete of 1,000", lambda: xml.parse(delete, "Delete"), 20)


def bench_bodies(bench: Bench) -> None:
    size = 64 * KIB if bench.smoke else MIB
    chunk = os.urandom(min(64 * KIB, size))
    count = size // len(chunk)
    mib = size / MIB
    plain = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for _ in range(count)) + b"0\r\n\r\n"
    tiny_count = 100 if bench.smoke else 10000
    tiny = b"1\r\na\r\n" * tiny_count + b"0\r\n\r\n"
    key = HmacSha256(bytes(32))
    chain = Chain(key, DATE, b"20261121/us-east-1/s3/aws4_request", b"0" * 64)
    signed = signed_body(chain, chunk, count)

    def http_chunked(data: bytes) -> None:
        buffer = bytearray(data)
        ChunkedDecoder().decode(memoryview(buffer), 0, len(buffer))

    def aws_chunked(mode: PayloadMode, data: bytes, with_chain: Chain | None = None) -> None:
        buffer = bytearray(data)
        decoder = AwsChunkedDecoder(mode, None, with_chain)
        decoder.decode(memoryview(buffer), 0, len(buffer))
        decoder.finish()

    unsigned_mode = PayloadMode.UNSIGNED_CHUNKS_TRAILER
    signed_mode = PayloadMode.SIGNED_CHUNKS
    bench.run("(copying a MiB, part of the next four)", lambda: bytearray(plain), 200, mib)
    bench.run("HTTP chunked, a MiB of 64 KiB", lambda: http_chunked(plain), 200, mib)
    bench.run("aws-chunked unsigned, a MiB", lambda: aws_chunked(unsigned_mode, plain), 200, mib)
    bench.run(
        "aws-chunked signed, not verified, a MiB",
        lambda: aws_chunked(signed_mode, signed),
        200,
        mib,
    )
    bench.run(
        "aws-chunked signed, verified, a MiB",
        lambda: aws_chunked(signed_mode, signed, chain),
        100,
        mib,
    )
    bench.run("HTTP chunked, a chunk of one byte", lambda: http_chunked(tiny), 5, tiny_count)
    bench.run(
        "aws-chunked, a chunk of one byte", lambda: aws_chunked(unsigned_mode, tiny), 5, tiny_count
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="run everything once, tiny")
    bench = Bench(parser.parse_args().smoke)
    bench_heads(bench)
    bench_values(bench)
    bench_documents(bench)
    bench_bodies(bench)


if __name__ == "__main__":
    main()
