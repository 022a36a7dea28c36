"""Access keys."""

from __future__ import annotations

import pytest

from gateway.access.keys import Credentials
from gateway.errors import Invalid


def test_root_key_from_the_environment() -> None:
    found = Credentials.from_environment(
        {"SIDEGATE_ROOT_ACCESS_KEY": "a/k", "SIDEGATE_ROOT_SECRET_KEY": "s"}
    )
    assert found.secret("a/k") == "s"
    assert found.secret("other") is None
    assert found.principal("a/k").name == "root"
    assert "'s'" not in repr(found)


@pytest.mark.parametrize(
    ("environment", "missing"),
    [
        ({}, "SIDEGATE_ROOT_ACCESS_KEY"),
        ({"SIDEGATE_ROOT_ACCESS_KEY": "a"}, "SIDEGATE_ROOT_SECRET_KEY"),
        ({"SIDEGATE_ROOT_ACCESS_KEY": "", "SIDEGATE_ROOT_SECRET_KEY": "s"}, "ACCESS_KEY"),
    ],
)
def test_a_missing_variable_is_named(environment: dict[str, str], missing: str) -> None:
    with pytest.raises(Invalid, match=missing):
        Credentials.from_environment(environment)
