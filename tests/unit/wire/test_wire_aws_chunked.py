from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_corpus import captured, secret_of

from gateway import limits
from gateway.digests import HmacSha256
from gateway.errors import Denied, Invalid, SidegateError
from gateway.wire import checksums
from gateway.wire.aws_chunked import AwsChunkedDecoder, Chain
from gateway.wire.dates import parse_amz_date
from gateway.wire.http import ChunkedDecoder, Framing
from gateway.wire.payload import PayloadMode, parse_decoded_length, parse_payload
from gateway.wire.sigv4 import SigningKeys, verify

SIGNED = PayloadMode.SIGNED_CHUNKS
SIGNED_TRAILER = PayloadMode.SIGNED_CHUNKS_TRAILER
UNSIGNED = PayloadMode.UNSIGNED_CHUNKS_TRAILER
KEY = b"k" * 32
CHAIN = Chain(HmacSha256(KEY), b"20261121T052809Z", b"20261121/r/s3/aws4_request", b"5" * 64)
EMPTY = hashlib.sha256().hexdigest()


class Signer:
    """Signs chunks straight from the published recipe."""

    def __init__(self) -> None:
        self.previous = CHAIN.seed.decode()

    def chunk(self, data: bytes) -> bytes:
        signature = self._link(
            "AWS4-HMAC-SHA256-PAYLOAD", f"{EMPTY}\n{hashlib.sha256(data).hexdigest()}"
        )
        header = b"%X;chunk-signature=%b\r\n" % (len(data), signature)
        return header + data + b"\r\n" if data else header

    def trailer(self, lines: list[tuple[bytes, bytes]]) -> bytes:
        text = b"".join(name + b":" + value + b"\n" for name, value in lines)
        return self._link("AWS4-HMAC-SHA256-TRAILER", hashlib.sha256(text).hexdigest())

    def _link(self, kind: str, rest: str) -> bytes:
        text = f"{kind}\n{CHAIN.date.decode()}\n{CHAIN.scope.decode()}\n{self.previous}\n{rest}"
        self.previous = hmac.new(KEY, text.encode(), "sha256").hexdigest()
        return self.previous.encode()


def encode(mode, chunks, trailers=(), line_end=b"\r\n", blank=b""):
    chunks = [chunk for chunk in chunks if chunk]
    lines = b"".join(name + b":" + value + line_end + blank for name, value in trailers)
    if mode is UNSIGNED:
        body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
        return body + b"0\r\n" + lines + b"\r\n"
    signer = Signer()
    body = b"".join(signer.chunk(chunk) for chunk in [*chunks, b""])
    if mode is SIGNED:
        return body + b"\r\n"
    signature = signer.trailer(list(trailers))
    return body + lines + b"x-amz-trailer-signature:" + signature + b"\r\n\r\n"


def feed(decoder, data: bytes, cuts=()) -> bytes:
    payload = b""
    begin = 0
    for end in [*sorted({cut for cut in cuts if 0 < cut < len(data)}), len(data)]:
        buffer = bytearray(b"<<<" + data[begin:end] + b">>>")
        decoded = decoder.decode(memoryview(buffer), 3, 3 + end - begin)
        assert decoded.consumed_end == 3 + end - begin
        assert buffer[:3] == b"<<<"
        assert buffer[3 + end - begin :] == b">>>"
        payload += buffer[3 : decoded.payload_end]
        begin = end
    return payload


def decode(mode, data, cuts=(), length=None, chain=CHAIN):
    decoder = AwsChunkedDecoder(mode, length, chain)
    payload = feed(decoder, data, cuts)
    return payload, decoder.finish()


def refused(mode, data, **options) -> SidegateError:
    errors = []
    for cuts in ((), range(len(data))):
        with pytest.raises((Denied, Invalid)) as caught:
            decode(mode, data, cuts, **options)
        errors.append(caught.value.data["s3_code"])
    assert errors[0] == errors[1]
    return caught.value


trailer_lines = st.lists(
    st.tuples(st.sampled_from([b"x-amz-checksum-crc32", b"x-b"]), st.sampled_from([b"v", b"AA=="])),
    max_size=2,
    unique_by=lambda line: line[0],
)


@given(
    st.sampled_from([SIGNED, SIGNED_TRAILER, UNSIGNED]),
    st.lists(st.binary(max_size=40), max_size=5),
    trailer_lines,
    st.sampled_from([b"\r\n", b"\n"]),
    st.sampled_from([b"", b"\r\n"]),
    st.lists(st.integers(0, 900), max_size=12),
    st.booleans(),
)
def test_any_split_gives_the_same(mode, chunks, trailers, line_end, blank, cuts, chained):
    trailers = [] if mode is SIGNED else trailers
    data = encode(mode, chunks, trailers, line_end, blank)
    whole = b"".join(chunks)
    chain = CHAIN if chained else None
    assert decode(mode, data, cuts, len(whole), chain) == (whole, trailers)


@settings(max_examples=30)
@given(st.data())
def test_no_changed_byte_of_a_signed_body_passes(data):
    chunks = data.draw(st.lists(st.binary(min_size=1, max_size=30), max_size=3))
    body = bytearray(encode(SIGNED_TRAILER, chunks, [(b"x-a", b"v")]))
    place = data.draw(st.integers(0, len(body) - 5))
    change = data.draw(st.integers(1, 255))
    before = bytes(body)
    body[place] ^= change
    if bytes(body).lower() == before.lower() or not {before[place], body[place]} - set(b" \t\r\n"):
        return
    length = sum(map(len, chunks))
    try:
        payload, trailers = decode(SIGNED_TRAILER, bytes(body), length=length)
    except (Invalid, Denied):
        return
    assert (payload, trailers) == (b"".join(chunks), [(b"x-a", b"v")])


@given(
    st.sampled_from([SIGNED, SIGNED_TRAILER, UNSIGNED]),
    st.lists(
        st.sampled_from([b"0", b"1", b"5", b"\r\n", b"\n", b"hello", b";chunk-signature=", b"a:b"])
        | st.binary(max_size=5),
        max_size=12,
    ),
    st.lists(st.integers(0, 60), max_size=5),
    st.none() | st.integers(0, 10),
)
def test_whatever_arrives_is_decoded_or_refused_alike_in_any_split(mode, pieces, cuts, length):
    data = b"".join(pieces)

    def outcome(cuts) -> object:
        try:
            return decode(mode, data, cuts, length, chain=None)
        except (Invalid, Denied) as error:
            return error.data["s3_code"]

    assert outcome(cuts) == outcome(())


# --- captured bodies ---------------------------------------------------------------------------


def test_every_captured_body_decodes_to_what_it_promises():
    keys = SigningKeys()
    seen: dict[tuple[PayloadMode, Framing], int] = {}
    checked = 0
    for request in captured():
        payload = parse_payload(request.request.header(b"x-amz-content-sha256"))
        if request.body is None or not payload.mode.chunked:
            continue
        now_ms = parse_amz_date(request.request.header(b"x-amz-date"))
        chain = verify(request.request, request.target, secret_of, now_ms, keys).chain
        place = (payload.mode, request.head.framing)
        seen[place] = seen.get(place, 0) + 1
        length = parse_decoded_length(request.request.header(b"x-amz-decoded-content-length"))
        promise = checksums.parse_promise(request.head.headers, trailers=payload.mode.trailer)
        for step in (1 << 20, 4096, 61):
            if len(request.body) > 200_000 and step < 4096:
                continue
            decoder = AwsChunkedDecoder(payload.mode, length, chain)
            plain = _decode_nested(request, decoder, step)
            digest = checksums.take_trailers(promise, decoder.finish())
            assert len(plain) == length, str(request)
            if digest is not None:
                assert digest == _digest(promise.algorithm.name, plain), str(request)
                checked += 1
    assert seen == {
        (UNSIGNED, Framing.CHUNKED): 6,
        (SIGNED, Framing.CONTENT_LENGTH): 6,
        (SIGNED, Framing.CHUNKED): 2,
        (SIGNED_TRAILER, Framing.CONTENT_LENGTH): 1,
    }
    assert checked >= 2 * 7


def _decode_nested(request, decoder, step):
    outer = ChunkedDecoder() if request.head.framing is Framing.CHUNKED else None
    plain = b""
    for begin in range(0, len(request.body), step):
        region = bytearray(request.body[begin : begin + step])
        end = len(region)
        if outer is not None:
            end = outer.decode(memoryview(region), 0, end).payload_end
        plain += region[: decoder.decode(memoryview(region), 0, end).payload_end]
    assert outer is None or outer.done
    return plain


def _digest(name: str, data: bytes) -> bytes:
    from awscrt import checksums as crt

    if name == "CRC64NVME":
        return crt.crc64nvme(data).to_bytes(8, "big")
    return {"CRC32": crt.crc32, "CRC32C": crt.crc32c}[name](data).to_bytes(4, "big")


# --- observed tails ----------------------------------------------------------------------------

CHECKSUM = (b"x-amz-checksum-crc32", b"NhCmhg==")


@pytest.mark.parametrize(
    "tail",
    [
        b"x-amz-checksum-crc32:NhCmhg==\r\n\r\n",
        b"x-amz-checksum-crc32:NhCmhg==\r\n",
        b"x-amz-checksum-crc32:NhCmhg==",
        b"x-amz-checksum-crc32:NhCmhg==\n\r\n\r\n",
        b"\r\nX-Amz-Checksum-CRC32: NhCmhg== \n\n",
    ],
)
def test_tails_of_unsigned_bodies(tail):
    assert decode(UNSIGNED, b"5\r\nhello\r\n0\r\n" + tail, length=5) == (b"hello", [CHECKSUM])


def test_a_tail_with_blank_lines_between_trailer_and_signature():
    signer = Signer()
    body = signer.chunk(b"hello") + signer.chunk(b"")
    body += b"x-amz-checksum-crc32:NhCmhg==\n\r\n"
    body += b"x-amz-trailer-signature:" + signer.trailer([CHECKSUM]) + b"\r\n\r\n"
    assert decode(SIGNED_TRAILER, body, length=5) == (b"hello", [CHECKSUM])


def test_no_trailer_at_all_is_legal_when_unsigned():
    assert decode(UNSIGNED, b"0\r\n\r\n", length=0) == (b"", [])
    assert decode(UNSIGNED, b"0\r\n", length=0) == (b"", [])


def test_an_empty_signed_body():
    body = encode(SIGNED, [])
    assert len(body) == 86
    assert decode(SIGNED, body, length=0) == (b"", [])


# --- errors ------------------------------------------------------------------------------------

S = b"0" * 64


@pytest.mark.parametrize(
    ("mode", "data"),
    [
        (UNSIGNED, b""),
        (UNSIGNED, b"0"),
        (UNSIGNED, b"x\r\n"),
        (UNSIGNED, b"-1\r\n"),
        (UNSIGNED, b"\r\n"),
        (UNSIGNED, b"5\nhello"),
        (UNSIGNED, b"5\r\nhell"),
        (UNSIGNED, b"5\r\nhello0\r\n\r\n"),
        (UNSIGNED, b"5\r\nhello\n0\r\n\r\n"),
        (UNSIGNED, b"5\r\nhello\r\n"),
        (UNSIGNED, b"4\r\nhell\r\n0\r\n\r\n"),
        (UNSIGNED, b"6\r\nhello!\r\n0\r\n\r\n"),
        (UNSIGNED, b"ffffffffffffffff\r\n"),
        (UNSIGNED, b"5" * 17 + b"\r\n"),
        (UNSIGNED, b"5;" + b"e" * limits.CHUNK_HEADER_SIZE_MAX),
        (SIGNED, b"5\r\nhello\r\n"),
        (SIGNED, b"5;chunk-signature=00\r\nhello\r\n"),
        (SIGNED, b"5;signature=" + S + b"\r\nhello\r\n"),
        (SIGNED, b"5;" + S + b"\r\nhello\r\n"),
        (SIGNED, b"5;chunk-signature=" + b"g" * 64 + b"\r\nhello\r\n"),
        (SIGNED, b"5;chunk-signature=" + S + b";x\r\nhello\r\n"),
    ],
)
def test_broken_framing_is_an_incomplete_body(mode, data):
    assert refused(mode, data, length=5).data["s3_code"] == "IncompleteBody"


def test_junk_after_a_signed_body_without_trailer():
    data = encode(SIGNED, [b"hello"]) + b"junk"
    assert refused(SIGNED, data, length=5).data["s3_code"] == "IncompleteBody"


def test_too_much_payload_is_noticed_before_it_is_handed_on():
    decoder = AwsChunkedDecoder(UNSIGNED, 5)
    with pytest.raises(Invalid):
        decoder.decode(memoryview(bytearray(b"6\r\n")), 0, 3)


@pytest.mark.parametrize("place", [0, 1])
def test_a_wrong_chunk_signature_fails_at_that_chunk(place):
    signer = Signer()
    chunks = [signer.chunk(b"hello"), signer.chunk(b"")]
    head, mark, rest = chunks[place].partition(b"chunk-signature=")
    chunks[place] = head + mark + S + rest[64:]
    data = b"".join(chunks) + b"\r\n"
    error = refused(SIGNED, data, length=5)
    assert error.data["s3_code"] == "SignatureDoesNotMatch"
    assert error.data["xml"]["StringToSign"].startswith("AWS4-HMAC-SHA256-PAYLOAD\n")
    assert decode(SIGNED, data, length=5, chain=None) == (b"hello", [])


def test_a_wrong_trailer_signature():
    data = encode(SIGNED_TRAILER, [b"hello"], [CHECKSUM]).replace(b"NhCmhg==", b"AAAAAA==")
    error = refused(SIGNED_TRAILER, data, length=5)
    assert error.data["s3_code"] == "SignatureDoesNotMatch"
    assert error.data["xml"]["StringToSign"].startswith("AWS4-HMAC-SHA256-TRAILER\n")


@pytest.mark.parametrize(
    ("mode", "tail"),
    [
        (UNSIGNED, b"no colon\r\n"),
        (UNSIGNED, b":v\r\n"),
        (UNSIGNED, b"x-amz-trailer-signature:00\r\n"),
        (UNSIGNED, b"a:b\r\n" * limits.TRAILER_SIZE_MAX),
        (SIGNED_TRAILER, b"a:b\r\n"),
        (SIGNED_TRAILER, b"x-amz-trailer-signature:" + S + b"\r\na:b\r\n"),
    ],
)
def test_malformed_trailers(mode, tail):
    data = b"0\r\n" if mode is UNSIGNED else Signer().chunk(b"")
    assert refused(mode, data + tail, length=0).data["s3_code"] == "MalformedTrailerError"


def test_only_chunked_modes_have_a_decoder():
    with pytest.raises(ValueError, match="not aws-chunked"):
        AwsChunkedDecoder(PayloadMode.UNSIGNED, 0)
