"""Mutations: how one file of a seed is damaged, each told in words."""

from __future__ import annotations

import struct
from collections.abc import Callable
from itertools import pairwise
from random import Random

from tests.tasks.readers.fuzz.structures import FITTED, FLOAT, INTEGER, Number, Structure

Mutation = tuple[str, Callable[[bytes], bytes]]
"""What is done, in words, and the doing of it."""

_TEXTS = (
    b"", b"0", b"1", b"-1", b"2", b"3", b"4", b"255", b"65535", b"2147483647", b"2147483648", b"9223372036854775807",
    b"18446744073709551616", b"1e308", b"1e999", b"1e-310", b"nan", b"-inf", b"0.5", b"1_0", b"0x10", b"x", b"1 2",
    "\u0663".encode(), b"\xff\xfe", b"%d", b"LIST", b"true", b"float", b"double", b"9" * 5000,
)  # fmt: skip
_FLOATS = (0.0, -0.0, 1.0, -1.0, 0.5, 1e-30, 1e30, 3.4e38, float("nan"), float("inf"), float("-inf"), 2.0**31, 352.0)


def cuts(structure: Structure) -> list[Mutation]:
    """The file cut off at every boundary of its parts."""
    return [_cut(end) for end in structure.cuts[:-1]]


def changes(structure: Structure) -> list[Mutation]:
    """Cut off beside every boundary, every part left out and doubled, every number set to every value."""
    ends = structure.cuts
    beside = sorted({end + step for end in ends for step in (-1, 1) if 0 <= end + step < ends[-1]} - set(ends))
    found = [_cut(end) for end in beside]
    for start, stop in pairwise(ends):
        found += [_part(start, stop, 0), _part(start, stop, 2)]
    for number in structure.numbers:
        found += [_set(number, value) for value in _values(number)]
    return found


def drawn(random: Random, data: bytes, structure: Structure, other: bytes, other_cuts: tuple[int, ...]) -> Mutation:
    """One more, by chance: bits, bytes, stretches, or the end of another file behind the beginning of this one."""
    place = random.randrange(max(1, len(data)))
    match random.randrange(7):
        case 0 | 1:
            bit = random.randrange(8)
            return f"bit {bit} of byte {place} flipped", lambda old: _put(
                old, place, bytes([_at(old, place) ^ 1 << bit])
            )
        case 2:
            width = random.choice((1, 2, 4, 8))
            written = random.choice(_integers(width)).to_bytes(width, random.choice(("little", "big")))
            return f"byte {place} on set to {written.hex()}", lambda old: _put(old, place, written)
        case 3:
            length = random.randrange(1, 64)
            noise = random.randbytes(length) if random.randrange(2) else bytes([random.choice((0, 255))]) * length
            return f"byte {place} on set to {noise.hex()}", lambda old: _put(old, place, noise)
        case 4:
            noise = random.randbytes(random.randrange(1, 16))
            return f"{noise.hex()} put in at byte {place}", lambda old: old[:place] + noise + old[place:]
        case 5:
            cut, tail = random.choice(structure.cuts), random.choice(other_cuts)
            return f"from byte {cut} on another file from its byte {tail} on", lambda old: old[:cut] + other[tail:]
        case _:
            return _cut(place)


def _integers(width: int) -> tuple[int, ...]:
    most = 256**width - 1
    return tuple(
        sorted({value & most for value in (0, 1, 2, 3, -1, 255, 65535, 2**31 - 1, 2**31, 2**63 - 1, 2**63, most // 2)})
    )


def _values(number: Number) -> list[bytes]:
    width = number.stop - number.start
    if number.kind == INTEGER:
        order = "little" if number.order == "<" else "big"
        return [value.to_bytes(width, order) for value in _integers(width)]  # type: ignore[arg-type]
    if number.kind == FLOAT:
        letter = "f" if width == 4 else "d"
        return [struct.pack(number.order + letter, value) for value in _FLOATS]
    if number.kind == FITTED:
        return sorted({text[:width].ljust(width) for text in _TEXTS})
    return list(_TEXTS)


def _cut(end: int) -> Mutation:
    return f"cut off at byte {end}", lambda old: old[:end]


def _part(start: int, stop: int, times: int) -> Mutation:
    what = "left out" if times == 0 else "doubled"
    return f"bytes {start} to {stop} {what}", lambda old: old[:start] + old[start:stop] * times + old[stop:]


def _set(number: Number, value: bytes) -> Mutation:
    shown = value[:40].decode("latin-1") if number.kind not in (INTEGER, FLOAT) else value.hex()
    start, stop = number.start, number.stop
    return f"the number at byte {start} set to {shown!r}", lambda old: old[:start] + value + old[stop:]


def _at(data: bytes, place: int) -> int:
    return data[place] if place < len(data) else 0


def _put(data: bytes, place: int, written: bytes) -> bytes:
    return data[:place] + written + data[place + len(written) :]
