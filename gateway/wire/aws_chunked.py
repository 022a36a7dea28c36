"""aws-chunked: the framing inside a body, with chunk signatures and trailers, decoded in place.

    signed:    HEX ";chunk-signature=" 64HEX CRLF data CRLF ... "0;chunk-signature=" 64HEX CRLF
    unsigned:  HEX CRLF data CRLF ... "0" CRLF
    then, in the trailer modes, lines `name:value`; in the signed one also x-amz-trailer-signature

The bytes may arrive split anywhere: this framing often stands inside HTTP's own chunked framing,
whose boundaries mean nothing here. Chunk sizes come in either case. Everything after the last chunk
belongs to the trailer, up to the end of the body: clients end its lines with CRLF or LF and put
blank lines between them.

With a chain, each chunk is hashed while it streams and its signature is compared at its end, so
payload is handed on before it is proven. Nothing may be published before `finish` has returned.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
from typing import NamedTuple, NoReturn

from gateway import limits
from gateway.digests import HmacSha256
from gateway.errors import Denied, Invalid, Reason
from gateway.wire.checksums import malformed_trailer
from gateway.wire.http import Decoded, find_line_end
from gateway.wire.payload import PayloadMode

_HEX_DIGITS = frozenset(b"0123456789abcdefABCDEF")
_SIZE_DIGITS_MAX = 16
_SIGNATURE_SIZE = 64
_EXTENSION = b"chunk-signature="
_TRAILER_SIGNATURE = b"x-amz-trailer-signature"
_EMPTY_SHA256 = hashlib.sha256().hexdigest().encode()


class Chain(NamedTuple):
    """What the signatures of the chunks are made with; the seed signs the head.

    `date` is X-Amz-Date, `scope` is `YYYYMMDD/region/s3/aws4_request`, `seed` is 64 hex digits.
    """

    key: HmacSha256
    date: bytes
    scope: bytes
    seed: bytes


class _State(enum.Enum):
    HEADER = 0
    DATA = 1
    DATA_END = 2
    TRAILER = 3


class AwsChunkedDecoder:
    """Takes aws-chunked framing away, in place, from regions of any split."""

    __slots__ = (
        "_chain",
        "_hash",
        "_left",
        "_line",
        "_mode",
        "_previous",
        "_room",
        "_signature",
        "_size",
        "_state",
    )

    def __init__(
        self, mode: PayloadMode, decoded_length: int | None, chain: Chain | None = None
    ) -> None:
        """Begin a body.

        Args:
            mode: one with `chunked` true.
            decoded_length: what x-amz-decoded-content-length says, or None to accept any.
            chain: verifies signatures in the signed modes; without it they are only read.
        """
        if not mode.chunked:
            raise ValueError(f"{mode} is not aws-chunked")
        self._mode = mode
        self._room = decoded_length
        self._chain = chain if mode.signed_chunks else None
        self._previous = chain.seed if chain else b""
        self._state = _State.HEADER
        self._left = 0  # bytes of the current chunk still to come
        self._size = 0  # of all chunks announced so far
        self._line = bytearray()  # a line of which the end has not arrived, or the trailer
        self._signature = b""
        self._hash = hashlib.sha256()

    @property
    def size(self) -> int:
        """Payload bytes announced so far."""
        return self._size

    def decode(self, view: memoryview, start: int, end: int) -> Decoded:
        """Move the payload found in `view[start:end]` to the front of that region.

        All of the region is consumed; `done` says that the last chunk has been seen.

        Raises:
            Invalid(INCOMPLETE_BODY): the framing is wrong (IncompleteBody).
            Denied(NOT_ALLOWED): a chunk's signature is wrong (SignatureDoesNotMatch).
        """
        position = out = start
        while position < end:
            if self._state is _State.DATA:
                size = min(self._left, end - position)
                piece = view[position : position + size]
                if self._chain is not None:
                    self._hash.update(piece)
                if out != position:
                    view[out : out + size] = piece
                out += size
                position += size
                self._left -= size
                if not self._left:
                    self._end_chunk()
                    if end - position >= 2 and view[position] == 13 and view[position + 1] == 10:
                        position += 2
                        self._state = _State.HEADER
            elif self._state is _State.TRAILER:
                self._line += view[position:end]
                if len(self._line) > limits.TRAILER_SIZE_MAX:
                    raise malformed_trailer("the trailer is too long")
                position = end
            else:
                position = self._read_line(view, position, end)
        return Decoded(out, position, self._state is _State.TRAILER)

    def finish(self) -> list[tuple[bytes, bytes]]:
        """Return the trailers (lower-case names), when the body has ended.

        Raises:
            Invalid(INCOMPLETE_BODY): it ended early, or is not as long as announced.
            Invalid(BAD_ARGUMENT): the trailer is malformed (MalformedTrailerError).
            Denied(NOT_ALLOWED): the trailer's signature is wrong (SignatureDoesNotMatch).
        """
        if self._state is not _State.TRAILER:
            _incomplete("the body ended inside a chunk")
        if self._room is not None and self._size != self._room:
            _incomplete("the chunks are shorter than x-amz-decoded-content-length")
        if not self._mode.trailer:
            if self._line.strip(b"\r\n"):
                _incomplete("bytes after the last chunk")
            return []
        return self._finish_trailer()

    # --- lines ---------------------------------------------------------------------------------

    def _read_line(self, view: memoryview, position: int, end: int) -> int:
        """Take bytes up to the end of a line, and act on it when it is whole."""
        bound = 2 if self._state is _State.DATA_END else limits.CHUNK_HEADER_SIZE_MAX
        room = bound - len(self._line)
        piece, newline = find_line_end(view, position, min(end, position + room))
        if newline < 0:
            if len(piece) == room:
                _incomplete("a chunk header is too long, or a chunk does not end where it should")
            self._line += piece
            return position + len(piece)
        line = piece[: newline + 1]
        if self._line:
            line = bytes(self._line) + line
            self._line.clear()
        if not line.endswith(b"\r\n"):
            _incomplete("a chunk header does not end with CRLF")
        if self._state is _State.HEADER:
            self._begin_chunk(line[:-2])
        elif len(line) == 2:
            self._state = _State.HEADER
        else:
            _incomplete("a chunk does not end where it should")
        return position + newline + 1

    def _begin_chunk(self, line: bytes) -> None:
        digits, _, extension = line.partition(b";")
        if not 0 < len(digits) <= _SIZE_DIGITS_MAX or not _HEX_DIGITS.issuperset(digits):
            _incomplete("a chunk size is not a number")
        if self._mode.signed_chunks:
            signature = extension.removeprefix(_EXTENSION)
            if (
                len(signature) != _SIGNATURE_SIZE
                or len(extension) != _SIGNATURE_SIZE + len(_EXTENSION)
                or not _HEX_DIGITS.issuperset(signature)
            ):
                _incomplete("a chunk has no signature")
            self._signature = signature
        self._left = int(digits, 16)
        self._size += self._left
        if self._room is not None and self._size > self._room:
            _incomplete("the chunks are longer than x-amz-decoded-content-length")
        if self._left:
            self._state = _State.DATA
        else:
            self._end_chunk()
            self._state = _State.TRAILER

    def _end_chunk(self) -> None:
        self._state = _State.DATA_END
        if self._chain is None:
            return
        text = b"\n".join(
            (
                b"AWS4-HMAC-SHA256-PAYLOAD",
                self._chain.date,
                self._chain.scope,
                self._previous,
                _EMPTY_SHA256,
                self._hash.hexdigest().encode("ascii"),
            )
        )
        self._verify(text, self._signature)
        self._hash = hashlib.sha256()

    def _verify(self, text: bytes, provided: bytes) -> None:
        """Compare a signature with that of `text`; it then signs the next link."""
        chain = self._chain
        if chain is None:
            return
        expected = chain.key.digest(text).hex().encode("ascii")
        if not hmac.compare_digest(expected, provided):
            raise Denied(
                Reason.NOT_ALLOWED,
                "The request signature we calculated does not match the signature you provided. "
                "Check your key and signing method.",
                "a chunk's or the trailer's signature is wrong",
                s3_code="SignatureDoesNotMatch",
                xml={
                    "StringToSign": text.decode("ascii"),
                    "SignatureProvided": provided.decode("latin-1"),
                },
            )
        self._previous = expected

    # --- trailer -------------------------------------------------------------------------------

    def _finish_trailer(self) -> list[tuple[bytes, bytes]]:
        trailers: list[tuple[bytes, bytes]] = []
        signature: bytes | None = None
        for line in self._line.split(b"\n"):
            text = bytes(line).strip(b" \t\r")
            if not text:
                continue
            name, colon, value = text.partition(b":")
            name = name.strip(b" \t").lower()
            if not colon or not name or signature is not None:
                raise malformed_trailer("a line is not `name:value`, or follows the signature")
            if name == _TRAILER_SIGNATURE:
                signature = value.strip(b" \t")
            else:
                trailers.append((name, value.strip(b" \t")))
        if self._mode is PayloadMode.SIGNED_CHUNKS_TRAILER:
            self._verify_trailer(trailers, signature)
        elif signature is not None:
            raise malformed_trailer("a signature in an unsigned trailer")
        return trailers

    def _verify_trailer(self, trailers: list[tuple[bytes, bytes]], signature: bytes | None) -> None:
        if signature is None:
            raise malformed_trailer("the trailer has no signature")
        if self._chain is None:
            return
        canonical = b"".join(name + b":" + value + b"\n" for name, value in trailers)
        text = b"\n".join(
            (
                b"AWS4-HMAC-SHA256-TRAILER",
                self._chain.date,
                self._chain.scope,
                self._previous,
                hashlib.sha256(canonical).hexdigest().encode("ascii"),
            )
        )
        self._verify(text, signature)


def _incomplete(detail: str) -> NoReturn:
    raise Invalid(
        Reason.INCOMPLETE_BODY,
        "You did not provide the number of bytes specified by the Content-Length HTTP header.",
        detail,
        s3_code="IncompleteBody",
    )
