"""The arguments of a call: JSON values taken out by name and type, nothing left over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.errors import Invalid, Reason

Json = Any
Record = dict[str, Json]


class Arguments:
    """The named arguments of one call. Each is taken once; `done` refuses what is left."""

    def __init__(self, values: Mapping[str, Json]) -> None:
        self._left = {name: value for name, value in values.items() if value is not None}

    def text(self, name: str, default: str | None = None) -> str:
        """Take a string.

        Raises:
            Invalid(BAD_ARGUMENT): it is missing without a default, or is not a string.
        """
        value = self._left.pop(name, default)
        if value is None:
            raise Invalid(Reason.BAD_ARGUMENT, f"the argument {name!r} is missing")
        if not isinstance(value, str):
            raise Invalid(Reason.BAD_ARGUMENT, f"the argument {name!r} is not a string")
        return value

    def maybe(self, name: str) -> str | None:
        """Take a string that may be missing."""
        return self.text(name) if name in self._left else None

    def flag(self, name: str) -> bool:
        """Take a boolean; missing is false."""
        value = self._left.pop(name, False)
        if value in (True, "true", "1"):
            return True
        if value in (False, "false", "0", ""):
            return False
        raise Invalid(Reason.BAD_ARGUMENT, f"the argument {name!r} is not true or false")

    def number(self, name: str, default: float | None = None) -> float | None:
        """Take a number that may be missing."""
        value = self._left.pop(name, default)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise Invalid(Reason.BAD_ARGUMENT, f"the argument {name!r} is not a number")
        return value

    def texts(self, name: str) -> list[str]:
        """Take a list of strings; missing is empty."""
        value = self._left.pop(name, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise Invalid(Reason.BAD_ARGUMENT, f"the argument {name!r} is not a list of strings")
        return value

    def done(self) -> None:
        """Refuse arguments that nothing took, so that a misspelt one is not ignored."""
        if self._left:
            names = ", ".join(sorted(self._left))
            raise Invalid(Reason.BAD_ARGUMENT, f"unknown arguments: {names}")
