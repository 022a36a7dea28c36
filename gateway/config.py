"""Settings: what a user may choose, with where each comes from.

A flag stands over its environment variable, and that over the default. Nothing else in the project
reads the environment.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.errors import Invalid, Reason

S3_LISTEN = "127.0.0.1:30600"
ADMIN_LISTEN = "127.0.0.1:30650"


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a port; port 0 picks a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Tell whether only this machine can reach it."""
        return self.host in {"localhost", "::1"} or self.host.startswith("127.")


def address(text: str) -> Address:
    """Parse `HOST:PORT`, `[v6]:PORT` or `:PORT` (every interface)."""
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise Invalid(
            Reason.BAD_USAGE,
            f"{text!r} is not an address",
            "write HOST:PORT, such as 127.0.0.1:30600",
        )
    return Address(host or "0.0.0.0", int(port))


@dataclass(frozen=True, slots=True)
class Serve:
    """Settings of `sidegate serve`."""

    listen: Address
    admin_listen: Address
    auth: str = "none"  # none or keys
    domain: str = ""  # of virtual-host style bucket addresses; empty: none
    insecure: bool = False
    pipelines: bool = True
    job_listen: str = "127.0.0.1"
    job_advertise: str | None = None

    def check(self) -> None:
        """Refuse settings that contradict each other or open the store to strangers.

        Raises:
            Invalid(BAD_USAGE): with what to change.
        """
        if self.auth == "none" and not self.listen.is_loopback and not self.insecure:
            raise Invalid(
                Reason.BAD_USAGE,
                f"--auth none on {self.listen} would let anyone on the network read and write",
                "use --auth keys, listen on 127.0.0.1, or give --insecure",
            )
        if not self.admin_listen.is_loopback and not self.insecure:
            raise Invalid(
                Reason.BAD_USAGE,
                f"the admin API on {self.admin_listen} can run code and is not encrypted",
                "listen on 127.0.0.1, or give --insecure",
            )


def data_directory(flag: str | None, environ: Mapping[str, str]) -> str:
    """Return the data directory: `--data`, SIDEGATE_DATA, or the user's own."""
    if flag == "":
        raise Invalid(Reason.BAD_USAGE, "--data is empty", "name a directory")
    chosen = flag or environ.get("SIDEGATE_DATA")
    if chosen:
        return os.path.abspath(chosen)
    home = environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    return os.path.join(home, "sidegate")
