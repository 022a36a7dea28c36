"""The admin API as a stranger meets it: it wants its token, and says what is wrong with a call."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.integration.served import Server, running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("admin") / "data") as server:
        yield server


def ask(
    server: Server, method: str, path: str, body: bytes = b"", token: str | None = None
) -> tuple[int, dict[str, object]]:
    where = urlsplit(server.admin_url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=30)
    if token is None:
        token = (server.data / "admin-token").read_text().strip()
    connection.request(method, path, body, {"Authorization": f"Bearer {token}"})
    answer = connection.getresponse()
    told = json.loads(answer.read())
    connection.close()
    return answer.status, told


def test_health_needs_no_token(server: Server) -> None:
    assert ask(server, "GET", "/health", token="")[1]["status"] == "ok"


def test_the_token_is_private_and_wanted(server: Server) -> None:
    assert (server.data / "admin-token").stat().st_mode & 0o777 == 0o600
    for token in ("", "wrong"):
        status, told = ask(server, "POST", "/v1/repo.list", b"{}", token=token)
        assert status == 403
        assert "admin-token" in str(told)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "says"),
    [
        ("GET", "/", b"", 404, "S3 answers"),
        ("POST", "/v1/repo.frobnicate", b"{}", 404, "frobnicate"),
        ("GET", "/v1/repo.list", b"", 400, "POST"),
        ("POST", "/v1/repo.create", b"{", 400, "not JSON"),
        ("POST", "/v1/repo.create", b"[]", 400, "object"),
        ("POST", "/v1/repo.create", b"[" * 100_000, 400, "not JSON"),
        ("POST", "/v1/repo.create", b"{}", 400, "'repo' is missing"),
        ("POST", "/v1/repo.create", b'{"repo": 3}', 400, "not a string"),
        ("POST", "/v1/repo.create", b'{"repo": "x", "colour": 1}', 400, "colour"),
        ("POST", "/v1/commit.list", b'{"ref": "x", "limit": 0}', 400, "limit"),
        ("POST", "/v1/repo.inspect", b'{"repo": "nothing"}', 404, "nothing"),
        ("PUT", "/v1/file?target=nothing&path=x", b"data", 404, "nothing"),
        ("GET", "/v1/file?ref=nothing&path=x", b"", 404, "nothing"),
    ],
)
def test_a_call_that_is_wrong_says_so(
    server: Server, method: str, path: str, body: bytes, status: int, says: str
) -> None:
    found, told = ask(server, method, path, body)
    assert found == status
    assert says in str(told["error"])
