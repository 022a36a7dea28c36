"""Access keys: from the key that a request names to the secret it must be signed with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gateway.access.principal import Principal
from gateway.errors import Invalid, Reason

ROOT_ACCESS_KEY: Final = "SIDEGATE_ROOT_ACCESS_KEY"
ROOT_SECRET_KEY: Final = "SIDEGATE_ROOT_SECRET_KEY"


class Credentials:
    """The access keys that are accepted. Secrets are held in memory and never shown."""

    __slots__ = ("_principals", "_secrets")

    def __init__(self, secrets: Mapping[str, str], root: str = "") -> None:
        """Accept the keys of `secrets`; `root` is the one that is the administrator's."""
        self._secrets = dict(secrets)
        self._principals = {
            key: Principal("root" if key == root else key, key) for key in self._secrets
        }

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Credentials:
        """Read the root key, which may do everything and is never stored.

        Raises:
            Invalid(BAD_USAGE): one of the two variables is missing or empty.
        """
        access_key = environment.get(ROOT_ACCESS_KEY, "")
        secret = environment.get(ROOT_SECRET_KEY, "")
        if not access_key or not secret:
            missing = ROOT_SECRET_KEY if access_key else ROOT_ACCESS_KEY
            raise Invalid(
                Reason.BAD_USAGE,
                f"authentication by keys needs a root key, and {missing} is not set",
                f"set {ROOT_ACCESS_KEY} and {ROOT_SECRET_KEY}",
            )
        return cls({access_key: secret}, access_key)

    def secret(self, access_key: str) -> str | None:
        """Return the secret of an access key, or None when there is no such key."""
        return self._secrets.get(access_key)

    def principal(self, access_key: str) -> Principal:
        """Return who an access key belongs to; the key must be one that `secret` knows."""
        return self._principals[access_key]

    def __repr__(self) -> str:
        return f"Credentials({len(self._secrets)} keys)"
