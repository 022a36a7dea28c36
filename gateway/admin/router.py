"""Which call an admin request names. Pure.

`POST /v1/<noun>.<verb>` with a JSON object of arguments answers with a JSON object; the few calls
that carry bytes are `PUT /v1/file` (body: the file) and `GET /v1/file`, `GET /v1/log` (answer: the
bytes), with their arguments in the query. `GET /health` needs no token.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote

from gateway.errors import Invalid, NotFound, Reason


@dataclass(frozen=True, slots=True)
class Call:
    """One call: its name and the arguments of its query."""

    name: str
    query: dict[str, str]


def route(method: bytes, target: bytes) -> Call:
    """Return the call that a request line names.

    Raises:
        NotFound(NO_SUCH_FILE): there is nothing at that path.
        Invalid(BAD_ARGUMENT): the method does not fit the path, or the target is not ASCII.
    """
    try:
        path, _, query_text = target.decode("ascii").partition("?")
    except UnicodeDecodeError:
        raise Invalid(Reason.BAD_ARGUMENT, "the request target is not ASCII") from None
    query = dict(parse_qsl(query_text, keep_blank_values=True))
    verb = method.decode("ascii", "replace")
    if path == "/health":
        return Call("health", query)
    if path in {"/v1/file", "/v1/log"}:
        name = {
            ("PUT", "/v1/file"): "file.put",
            ("GET", "/v1/file"): "file.get",
            ("GET", "/v1/log"): "job.log",
        }.get((verb, path))
        if name is None:
            raise Invalid(Reason.BAD_ARGUMENT, f"{verb} is not offered at {path}")
        return Call(name, query)
    if not path.startswith("/v1/") or path.count("/") != 2:
        raise NotFound(
            Reason.NO_SUCH_FILE,
            f"there is nothing at {unquote(path)}",
            "this is the admin API of sidegate; S3 answers at the other address",
        )
    if verb != "POST":
        raise Invalid(Reason.BAD_ARGUMENT, f"{verb} is not offered at {path}", "use POST")
    return Call(unquote(path.removeprefix("/v1/")), query)
