"""The names of requests: what a client reports and a log line shows."""

from __future__ import annotations

from gateway.entropy import Entropy

_ID_SIZE = 8
_IDS_AT_ONCE = 64  # one system call for so many


class RequestIds:
    """Random names for requests: 16 upper-case hex digits."""

    def __init__(self, entropy: Entropy) -> None:
        self._entropy = entropy
        self._ready: list[str] = []

    def next(self) -> str:
        """Return a fresh one; randomness is drawn for many at once."""
        if not self._ready:
            text = self._entropy.random_bytes(_ID_SIZE * _IDS_AT_ONCE).hex().upper()
            step = _ID_SIZE * 2
            self._ready = [text[at : at + step] for at in range(0, len(text), step)]
        return self._ready.pop()
