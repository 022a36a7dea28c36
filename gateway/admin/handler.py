"""The admin API: a bearer token, a call by name, JSON in and out.

It can run code (a pipeline is code), so it always wants the token of the data directory, also on a
loopback address. Every failure is answered as `{"error": {kind, reason, message, hint}}` with a
status that fits, and raised again by the client as what it was.
"""

from __future__ import annotations

import hmac
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from gateway import __version__, limits
from gateway.admin.arguments import Arguments, Record
from gateway.admin.router import Call, route
from gateway.errors import Denied, Invalid, Kind, NotFound, Reason, SidegateError, TooLarge
from gateway.pipelines.service import Pipelines
from gateway.versions.store import Versions
from gateway.wire.messages import Request, Response

_LOG = logging.getLogger(__name__)

STATUS: Final[Mapping[Kind, int]] = {
    Kind.NOT_FOUND: 404,
    Kind.CONFLICT: 409,
    Kind.PRECONDITION: 412,
    Kind.INVALID: 400,
    Kind.DENIED: 403,
    Kind.TOO_LARGE: 413,
    Kind.BUSY: 503,
    Kind.UNSUPPORTED: 501,
    Kind.CORRUPT: 500,
    Kind.UNAVAILABLE: 503,
}
_JSON = (b"content-type", b"application/json")


@dataclass(frozen=True, slots=True)
class Services:
    """What the calls work on."""

    versions: Versions
    pipelines: Pipelines


Action = Callable[[Services, Arguments, Request], Awaitable[Record | Response]]


class AdminHandler:
    """Answers the requests of the admin API."""

    def __init__(self, services: Services, token: str, actions: Mapping[str, Action]) -> None:
        self._services = services
        self._authorization = b"Bearer " + token.encode()
        self._actions = actions

    async def __call__(self, request: Request) -> Response:
        """Answer one request; never raises."""
        try:
            answer = await self._answer(request)
        except SidegateError as error:
            if error.kind is Kind.CORRUPT:
                _LOG.error("%s", error.line())
            return _failure(STATUS[error.kind], error.kind, error.reason, error.message, error.hint)
        except Exception as error:
            _LOG.exception("admin request %s failed", request.id)
            message = f"internal error: {type(error).__name__}: {error}"
            return _failure(500, Kind.UNAVAILABLE, Reason.IO_ERROR, message, "see the server's log")
        if isinstance(answer, Response):
            return answer
        return _json_response(200, answer)

    async def _answer(self, request: Request) -> Record | Response:
        call = route(request.method, request.target)
        if call.name == "health":
            return {"status": "ok", "version": __version__}
        self._authorize(request)
        action = self._actions.get(call.name)
        if action is None:
            raise NotFound(Reason.NO_SUCH_FILE, f"there is no call {call.name!r}")
        arguments = Arguments(await _values(call, request))
        return await action(self._services, arguments, request)

    def _authorize(self, request: Request) -> None:
        shown = request.header(b"authorization") or b""
        if not hmac.compare_digest(shown, self._authorization):
            raise Denied(
                Reason.NOT_ALLOWED,
                "the admin token is missing or wrong",
                "it stands in the admin-token file of the server's data directory",
            )


async def _values(call: Call, request: Request) -> Mapping[str, object]:
    """Return the arguments: of the query where the body is bytes, of the JSON body elsewhere."""
    if request.method != b"POST":
        return call.query
    body = bytearray()
    while (view := await request.body.read()) is not None:
        body += view
        if len(body) > limits.XML_BODY_MAX:
            raise TooLarge(
                Reason.LIMIT, f"the arguments are larger than {limits.XML_BODY_MAX} bytes"
            )
    try:
        values = json.loads(body) if body else {}
    except (ValueError, RecursionError):
        raise Invalid(Reason.BAD_ARGUMENT, "the body of the call is not JSON") from None
    if not isinstance(values, dict):
        raise Invalid(Reason.BAD_ARGUMENT, "the body of the call is not a JSON object")
    return values


def _failure(status: int, kind: Kind, reason: Reason, message: str, hint: str) -> Response:
    told = {"kind": kind.value, "reason": reason.value, "message": message, "hint": hint}
    return _json_response(status, {"error": told})


def _json_response(status: int, record: Record) -> Response:
    body = json.dumps(record).encode("ascii")  # escapes keep keys that are not UTF-8
    return Response(status, [_JSON], body, len(body))
