"""Who makes a request: for now a principal may do everything that its front door offers."""

from __future__ import annotations

from typing import NamedTuple


class Principal(NamedTuple):
    """Whoever a request is made by: a name for logs, and the access key that proved it."""

    name: str
    access_key: str = ""


ANYONE = Principal("anyone")
"""Every caller where no authentication is asked for."""
