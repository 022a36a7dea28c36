"""Answers that the server gives by itself, before or instead of a handler.

They have the shape of S3's errors, because that is what almost every client here can read.
"""

from __future__ import annotations

import enum
import html

from gateway.errors import Reason, SidegateError
from gateway.wire.messages import Response


class Fault(enum.Enum):
    """Status, S3 code and sentence of what can go wrong without a handler."""

    BAD_REQUEST = (400, "BadRequest", "The HTTP request could not be parsed.")
    INCOMPLETE_BODY = (400, "IncompleteBody", "The body could not be read to its end.")
    HEAD_TOO_LARGE = (
        400,
        "RequestHeaderSectionTooLarge",
        "Your request header section exceeds the maximum allowed request header section size.",
    )
    TIMEOUT = (
        400,
        "RequestTimeout",
        "Your socket connection to the server was not read from or written to in time.",
    )
    INTERNAL = (500, "InternalError", "We encountered an internal error. Please try again.")
    NOT_IMPLEMENTED = (501, "NotImplemented", "The request uses HTTP that is not implemented.")
    TOO_MANY = (503, "SlowDown", "Too many connections are open. Please reduce your request rate.")
    BAD_VERSION = (505, "HttpVersionNotSupported", "Only HTTP/1.1 and HTTP/1.0 are spoken here.")


_BY_STATUS = {
    431: Fault.HEAD_TOO_LARGE,
    501: Fault.NOT_IMPLEMENTED,
    505: Fault.BAD_VERSION,
}


def fault_of(error: SidegateError) -> Fault:
    """Return the fault that answers an error in what a client sent."""
    if error.reason is Reason.TIMEOUT:
        return Fault.TIMEOUT
    if error.reason is Reason.INCOMPLETE_BODY:
        return Fault.INCOMPLETE_BODY
    status = error.data.get("status")
    return (
        _BY_STATUS.get(status, Fault.BAD_REQUEST)
        if isinstance(status, int)
        else (Fault.BAD_REQUEST)
    )


def render_fault(fault: Fault, request_id: str, detail: str = "", *, close: bool) -> Response:
    """Return the response that tells a client of `fault`.

    Args:
        fault: what went wrong.
        request_id: as the logs name the request.
        detail: what exactly, for a person; any text.
        close: whether the connection ends with it.
    """
    status, code, sentence = fault.value
    if detail:
        printable = "".join(char if char.isprintable() else "?" for char in detail)
        sentence = f"{sentence} ({printable})"
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{code}</Code><Message>{html.escape(sentence, quote=False)}</Message>"
        f"<RequestId>{request_id}</RequestId></Error>"
    )
    body = text.encode()
    headers = [
        (b"Content-Type", b"application/xml"),
        (b"x-amz-request-id", request_id.encode()),
    ]
    return Response(status, headers, body, len(body), close=close)
