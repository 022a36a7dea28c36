"""A bounded memory of decoded records: those used last stay.

What is cached is immutable and named by its content, so an entry is never stale, and losing one
costs a read.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, Protocol, TypeVar


class Weighed(Protocol):
    """Something that knows its size in memory."""

    id: bytes
    weight: int  # bytes, roughly


T = TypeVar("T", bound=Weighed)


class Cache(Generic[T]):
    """Values by id, up to a weight in all; the least recently used go first."""

    def __init__(self, weight_max: int) -> None:
        self._values: OrderedDict[bytes, T] = OrderedDict()
        self._weight_max = weight_max
        self._weight = 0

    def get(self, value_id: bytes) -> T | None:
        """Return the value of that id if it is here, and note that it was used."""
        value = self._values.get(value_id)
        if value is not None:
            self._values.move_to_end(value_id)
        return value

    def put(self, value: T) -> None:
        """Take a value in, and let others go for it if need be."""
        if value.id in self._values:
            return
        self._values[value.id] = value
        self._weight += value.weight
        while self._weight > self._weight_max and len(self._values) > 1:
            _, dropped = self._values.popitem(last=False)
            self._weight -= dropped.weight

    @property
    def weight(self) -> int:
        """Weight of all that is held, in bytes."""
        return self._weight
