"""Unsigned LEB128 numbers: the lengths inside object records and tree nodes.

Seven bits a byte, lowest first, the top bit set on all but the last byte. Only the shortest form
of a number is accepted, so that one value has one encoding.
"""

from __future__ import annotations

from gateway.errors import Corrupt, Reason

_BYTES_MAX = 10  # 64 bits
_SMALL = tuple(bytes((n,)) for n in range(128))


def encode_varint(number: int) -> bytes:
    """Return `number` (0 or more) in as few bytes as it takes."""
    if number < 128:
        return _SMALL[number]
    out = bytearray()
    while number >= 128:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def decode_varint(data: bytes, position: int) -> tuple[int, int]:
    """Return the number at `position` and the position after it.

    Raises:
        Corrupt(DAMAGED): the data ends within the number, or it is not in its shortest form.
    """
    number = shift = 0
    for index in range(position, min(position + _BYTES_MAX, len(data))):
        byte = data[index]
        number |= (byte & 0x7F) << shift
        if byte < 128:
            if byte == 0 and index > position:
                break
            return number, index + 1
        shift += 7
    raise Corrupt(Reason.DAMAGED, "a number is cut off or not in its shortest form")
