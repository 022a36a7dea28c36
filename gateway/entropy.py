"""Randomness as a port: keys, ids and tokens take their bytes here."""

from __future__ import annotations

import os
import random
from typing import Protocol


class Entropy(Protocol):
    """Where random bytes come from."""

    def random_bytes(self, count: int) -> bytes:
        """Return `count` random bytes."""
        ...


class SystemEntropy:
    """The kernel's generator: fit for keys."""

    def random_bytes(self, count: int) -> bytes:
        """Return `count` bytes fit for keys."""
        return os.urandom(count)


class SeededEntropy:
    """A repeatable generator for tests: never fit for keys."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)

    def random_bytes(self, count: int) -> bytes:
        """Return the next `count` bytes of the seeded sequence."""
        return self._random.randbytes(count)
