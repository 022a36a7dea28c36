from __future__ import annotations

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_corpus import captured

from gateway import limits
from gateway.errors import Invalid
from gateway.wire.http import (
    ChunkedDecoder,
    Framing,
    find_head_end,
    parse_head,
    render_chunk_size,
    render_head,
)

SIMPLE = b"GET /b/k?x=1 HTTP/1.1\r\nHost: h\r\nX-Amz-Meta-A:  v  w \r\n\r\n"


def put(*lines: bytes, version: bytes = b"1.1") -> bytes:
    return b"\r\n".join([b"PUT /b/k HTTP/" + version, b"Host: h", *lines, b"", b""])


# --- where a head ends -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_the_end_of_a_head_is_found_in_any_buffer(kind):
    data = b"....\r\n\r\n" + SIMPLE + b"body\r\n\r\n"
    end = len(data) - len(b"body\r\n\r\n")
    assert find_head_end(kind(data), 4, len(data)) == end
    assert find_head_end(kind(data), 4, end) == end
    for cut in range(4, end):
        assert find_head_end(kind(data), 4, cut) is None


def test_what_cannot_be_http_is_handed_on_at_once():
    hello = b"\x16\x03\x01\x02\x00\x01\x00"
    assert find_head_end(hello, 0, len(hello)) == len(hello)
    with pytest.raises(Invalid, match="not HTTP") as caught:
        parse_head(hello)
    assert "TLS" in caught.value.hint


def test_a_head_with_bare_line_feeds_ends_so_that_it_can_be_refused():
    data = b"GET / HTTP/1.1\nHost: h\n\nmore"
    end = find_head_end(data, 0, len(data))
    assert end == len(data) - 4
    with pytest.raises(Invalid, match="CRLF"):
        parse_head(data[:end])


# --- what a head says --------------------------------------------------------------------------


def test_a_simple_head():
    head = parse_head(b"\r\n\r\n" + SIMPLE)
    assert head.method == b"GET"
    assert head.target == b"/b/k?x=1"
    assert head.headers == [(b"host", b"h"), (b"x-amz-meta-a", b"v  w")]
    assert (head.framing, head.length) == (Framing.NONE, 0)
    assert head.keep_alive
    assert not head.expect_continue


def test_values_are_the_bytes_that_were_sent():
    head = parse_head(
        put(b"Transfer-Encoding: Chunked", b"x-amz-meta-\x41: \xc3\xa9\x01", b"X-Empty:")
    )
    assert head.headers[1:] == [
        (b"transfer-encoding", b"Chunked"),
        (b"x-amz-meta-a", b"\xc3\xa9\x01"),
        (b"x-empty", b""),
    ]
    assert (head.framing, head.length) == (Framing.CHUNKED, None)


def test_repeated_headers_are_kept_in_order():
    head = parse_head(put(b"Content-Length: 3", b"a: 1", b"A: 2", b"content-length: 3"))
    assert head.headers[1:] == [
        (b"content-length", b"3"),
        (b"a", b"1"),
        (b"a", b"2"),
        (b"content-length", b"3"),
    ]
    assert head.length == 3


@pytest.mark.parametrize(
    ("lines", "version", "expected"),
    [
        ([b"Expect: 100-continue", b"Content-Length: 1"], b"1.1", True),
        ([b"Expect: 100-Continue", b"Transfer-Encoding: chunked"], b"1.1", True),
        ([b"Expect: 100-continue", b"Content-Length: 0"], b"1.1", True),
        ([b"Expect: 100-continue"], b"1.1", True),
        ([b"Expect: 100-continue", b"Content-Length: 1"], b"1.0", False),
    ],
)
def test_a_client_of_http_1_1_may_wait_for_100_continue(lines, version, expected):
    assert parse_head(put(*lines, version=version)).expect_continue is expected


@pytest.mark.parametrize(
    ("lines", "version", "expected"),
    [
        ([], b"1.1", True),
        ([b"Connection: Keep-Alive"], b"1.1", True),
        ([b"Connection: te, Close"], b"1.1", False),
        ([b"Connection: te", b"Connection: close"], b"1.1", False),
        ([], b"1.0", False),
        ([b"Connection: keep-alive"], b"1.0", False),
    ],
)
def test_keep_alive(lines, version, expected):
    head = parse_head(put(*lines, version=version))
    assert head.keep_alive is expected
    assert head.version == version


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (put(b"Content-Length: 3", b"Transfer-Encoding: chunked"), 400),
        (put(b"Content-Length: 3", b"Content-Length: 4"), 400),
        (put(b"Content-Length: 3, 4"), 400),
        (put(b"Content-Length:"), 400),
        (put(b"Content-Length: -1"), 400),
        (put(b"Content-Length: +1"), 400),
        (put(b"Content-Length: 0x1"), 400),
        (put(b"Content-Length: 1 1"), 400),
        (put(b"Content-Length: 99999999999999999999"), 400),
        (put(b"Transfer-Encoding: gzip"), 501),
        (put(b"Transfer-Encoding: gzip, chunked"), 501),
        (put(b"Transfer-Encoding: chunked, chunked"), 501),
        (put(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"), 501),
        (put(b"Transfer-Encoding: chunked", version=b"1.0"), 400),
        (put(version=b"2.0"), 505),
        (put(version=b"1.2"), 505),
        (b"PRI * HTTP/2.0\r\n\r\n", 505),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET /\r\n\r\n", 400),
        (b"GET  / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"GET /\xc3\xa9 HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"GET * HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"GET k HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (put(b"A : b"), 400),
        (put(b" A: b"), 400),
        (put(b"A: b", b"\tc"), 400),
        (put(b"A: b\rc"), 400),
        (put(b"A: b\nc: d"), 400),
        (put(b"A: b\x00c"), 400),
        (put(b"no colon"), 400),
        (put(b": empty"), 400),
        (put(*[b"a: b"] * (limits.HEADER_COUNT_MAX + 1)), 431),
        (b"GET / HTTP/1.1\r\nHost: h\r\n", 400),
        (b"\r\n", 400),
        (b"", 400),
    ],
)
def test_ambiguous_and_malformed_heads_are_refused(raw, status):
    with pytest.raises(Invalid) as caught:
        parse_head(raw)
    assert caught.value.data["status"] == status


def test_the_other_forms_of_targets():
    assert parse_head(b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n").target == b"*"
    absolute = parse_head(b"GET http://h/b/k HTTP/1.1\r\nHost: h\r\n\r\n")
    assert absolute.target == b"http://h/b/k"


def test_captured_heads_agree_with_h11():
    for request in captured():
        connection = h11.Connection(h11.SERVER)
        connection.receive_data(request.raw_head)
        event = connection.next_event()
        assert isinstance(event, h11.Request)
        head = request.head
        assert (head.method, head.target) == (event.method, event.target)
        assert head.headers == list(event.headers), str(request)
        assert find_head_end(request.raw_head, 0, len(request.raw_head)) == len(request.raw_head)


tokens = st.text("abcXYZ09-_.!~*", min_size=1, max_size=12).map(str.encode)
values = st.binary(max_size=20)


@given(st.lists(st.tuples(tokens, values), max_size=6), st.sampled_from([b"1.1", b"1.0"]))
def test_accepts_nothing_that_h11_refuses_and_reads_the_rest_alike(headers, version):
    lines = [name + b":" + value for name, value in headers]
    raw = put(*lines, version=version)
    connection = h11.Connection(h11.SERVER)
    try:
        connection.receive_data(raw)
        event = connection.next_event()
    except h11.RemoteProtocolError:
        event = None
    try:
        head = parse_head(raw)
    except Invalid:
        return
    assert isinstance(event, h11.Request)
    assert head.headers == list(event.headers)


# --- chunked bodies ----------------------------------------------------------------------------


def encode_chunked(chunks: list[bytes], extension: bytes = b"", trailer: bytes = b"") -> bytes:
    framed = b"".join(
        b"%x" % len(chunk) + extension + b"\r\n" + chunk + b"\r\n" for chunk in chunks if chunk
    )
    return framed + b"0" + extension + b"\r\n" + trailer + b"\r\n"


def feed(decoder, data: bytes, cuts: list[int]) -> tuple[bytes, int, bool]:
    """Decode `data` in the pieces that `cuts` make, each at an odd place of a larger buffer."""
    payload = b""
    begin = 0
    done = False
    for end in [*sorted({cut for cut in cuts if 0 < cut < len(data)}), len(data)]:
        buffer = bytearray(b"<<<" + data[begin:end] + b">>>")
        decoded = decoder.decode(memoryview(buffer), 3, 3 + end - begin)
        payload += buffer[3 : decoded.payload_end]
        assert buffer[:3] == b"<<<"
        assert buffer[3 + end - begin :] == b">>>"
        done = decoded.done
        if decoded.consumed_end < 3 + end - begin:
            assert done
            return payload, begin + decoded.consumed_end - 3, done
        begin = end
    return payload, len(data), done


@given(
    st.lists(st.binary(max_size=40), max_size=6),
    st.sampled_from([b"", b";a=b", b" ", b' ;x="y"']),
    st.sampled_from([b"", b"x-t: 1\r\n", b"a:b\r\nc:d\r\n"]),
    st.lists(st.integers(0, 300), max_size=12),
)
def test_any_split_gives_the_same_payload(chunks, extension, trailer, cuts):
    data = encode_chunked(chunks, extension, trailer)
    payload, consumed, done = feed(ChunkedDecoder(), data + b"GET /", cuts)
    assert done
    assert payload == b"".join(chunks)
    assert consumed == len(data)


@given(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=5))
def test_whatever_arrives_the_chunked_decoder_agrees_with_h11(data, cuts):
    data = b"5\r\nhello\r\n" + data
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(put(b"Transfer-Encoding: chunked"))
    connection.next_event()
    connection.receive_data(data)
    theirs = b""
    try:
        while isinstance(event := connection.next_event(), h11.Data):
            theirs += event.data
    except h11.RemoteProtocolError:
        event = None
    try:
        payload, _, done = feed(ChunkedDecoder(), data, cuts)
    except Invalid:
        assert not isinstance(event, h11.EndOfMessage)
        return
    assert payload.startswith(theirs)
    assert not done or isinstance(event, h11.EndOfMessage)


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n",
        b"x\r\n",
        b"-1\r\n",
        b"0x1\r\n",
        b"1_0\r\n",
        b" 1\r\na\r\n",
        b"1\na\r\n",
        b"1\r\nab\r\n",
        b"1\r\na\n",
        b"11111111111111111\r\n",
        b"1;" + b"e" * limits.CHUNK_HEADER_SIZE_MAX,
        b"0\r\nno colon\r\n",
        b"0\r\n" + b"a:b\r\n" * limits.TRAILER_SIZE_MAX,
        b"0\r\na:b\n\r\n",
    ],
)
def test_wrong_chunked_framing_is_refused(data):
    for cuts in ([], list(range(len(data)))):
        with pytest.raises(Invalid):
            feed(ChunkedDecoder(), data, cuts)


def test_sizes_in_either_case():
    assert feed(ChunkedDecoder(), b"A\r\n0123456789\r\n0a\r\n0123456789\r\n000\r\n\r\n", [])[2]


# --- response heads ----------------------------------------------------------------------------

DATE = b"Sun, 06 Nov 1994 08:49:37 GMT"
header_values = st.binary(max_size=30).filter(lambda v: not set(v) & set(b"\0\r\n\t\v\f "))
response_headers = st.lists(st.tuples(tokens.map(lambda t: b"x-" + t), header_values), max_size=8)


def h11_response(status, headers, reason):
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    connection.next_event()
    return connection.send(h11.Response(status_code=status, headers=headers, reason=reason))


@given(response_headers, st.integers(0, 2**63), st.booleans())
def test_response_heads_are_those_of_h11_byte_for_byte(headers, length, close):
    added = [(b"Date", DATE)] + ([(b"Connection", b"close")] if close else [])

    expected = h11_response(200, [*headers, *added, (b"Content-Length", b"%d" % length)], b"OK")
    assert render_head(200, headers, date=DATE, length=length, close=close) == expected

    chunked = [*headers, *added, (b"Transfer-Encoding", b"chunked")]
    expected = h11_response(206, chunked, b"Partial Content")
    assert render_head(206, headers, date=DATE, chunked=True, close=close) == expected

    expected = h11_response(304, headers + added, b"Not Modified")
    assert render_head(304, headers, date=DATE, close=close) == expected


@given(response_headers, st.integers(200, 599))
def test_a_response_head_is_understood_by_a_client(headers, status):
    head = render_head(status, headers, date=DATE, length=0)
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("host", "h")]))
    client.receive_data(head)
    event = client.next_event()
    assert isinstance(event, h11.Response)
    assert event.status_code == status
    lower = [(name.lower(), value) for name, value in headers]
    assert list(event.headers) == [*lower, (b"date", DATE), (b"content-length", b"0")]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"a", b"b\r\nSet-Cookie: x"),
        (b"a", b"b\nc"),
        (b"a", b"b\rc"),
        (b"a", b"b\0c"),
        (b"a b", b"c"),
        (b"", b"c"),
        (b"a:", b"c"),
        (b"a\r\nb", b"c"),
        (b"a\n", b"c"),
    ],
)
def test_nothing_is_injected_into_a_head(name, value):
    with pytest.raises(Invalid):
        render_head(200, [(name, value)], date=DATE, length=0)


def test_chunks_of_a_response():
    assert render_chunk_size(255) == b"ff\r\n"


@settings(max_examples=20)
@given(st.binary(min_size=1, max_size=5000), st.lists(st.integers(0, 5000), max_size=5))
def test_large_regions_move_as_a_whole(payload, cuts):
    data = encode_chunked([payload, payload])
    assert feed(ChunkedDecoder(), data, cuts)[0] == payload * 2
