"""Structures: where the parts of a file end and where its numbers stand, so that damage meets what readers rely on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

INTEGER, FLOAT, TEXT, FITTED = "i", "f", "text", "fitted"


@dataclass(frozen=True, slots=True)
class Number:
    """A number that is stored in a file."""

    start: int
    stop: int
    kind: str
    """INTEGER or FLOAT of the bytes; TEXT; or FITTED, a text in which no more and no fewer characters have room."""
    order: str = "<"


@dataclass(frozen=True, slots=True)
class Structure:
    """The parts of one file."""

    cuts: tuple[int, ...]
    """Where one begins, ascending."""
    numbers: tuple[Number, ...]


def _structure(data: bytes, cuts: list[int], numbers: list[Number]) -> Structure:
    return Structure(
        tuple(sorted({cut for cut in (0, *cuts, len(data)) if 0 <= cut <= len(data)})),
        tuple(number for number in numbers if 0 <= number.start < number.stop <= len(data)),
    )


def integers(order: str, *places: tuple[int, int]) -> list[Number]:
    """Whole numbers by their places and widths in bytes."""
    return [Number(start, start + width, INTEGER, order) for start, width in places]


def without(data: bytes) -> Structure:
    """Of bytes in which nothing is looked for: sixteenths."""
    return _structure(data, [len(data) * part // 16 for part in range(17)], [])


def of_png(data: bytes) -> Structure:
    cuts, numbers, place = [8], integers(">", (16, 4), (20, 4), (24, 1), (25, 1), (28, 1)), 8
    while place + 12 <= len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        numbers += integers(">", (place, 4))
        cuts += [place, place + 8, place + 8 + length]
        place += 12 + length
    return _structure(data, cuts, numbers)


def of_jpeg(data: bytes) -> Structure:
    """Of JPEG, JPEG-LS and lossless JPEG: each marker before the entropy-coded bytes."""
    cuts, numbers, place = [2], [], 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker, length = data[place + 1], int.from_bytes(data[place + 2 : place + 4], "big")
        cuts += [place, place + 4]
        numbers += integers(">", (place + 2, 2), (place + 1, 1))
        if 0xC0 <= marker <= 0xCF or marker >= 0xF7:
            numbers += integers(">", (place + 4, 1), (place + 5, 2), (place + 7, 2), (place + 9, 1), (place + 11, 1))
        else:
            numbers += integers(">", *((place + 4 + step, 1) for step in range(min(length - 2, 8))))
        place += 2 + length
    return _structure(data, [*cuts, place], numbers)


def of_jpeg_2000(data: bytes) -> Structure:
    start = data.index(b"\xff\x4f")
    numbers = integers(">", *((start + 8 + 4 * k, 4) for k in range(8)), (start + 40, 2))
    cuts, place = [start, start + 2], start + 2
    while place + 4 <= len(data) and data[place : place + 2] not in (b"\xff\x93", b"\xff\xd9"):
        length = int.from_bytes(data[place + 2 : place + 4], "big")
        numbers += integers(">", (place + 2, 2), *((place + 4 + step, 1) for step in range(min(length - 2, 12))))
        cuts += [place, place + 4]
        place += 2 + length
    return _structure(data, [*cuts, place], numbers)


def of_tiff(data: bytes) -> Structure:
    order = "little" if data[:2] == b"II" else "big"
    sign, is_big = "<" if order == "little" else ">", 43 in data[2:4]
    wide, count_bytes, entry_bytes = (8, 8, 20) if is_big else (4, 2, 12)
    link = 8 if is_big else 4
    cuts, numbers = [2, 4, 8], []
    place = int.from_bytes(data[link : link + wide], order)  # type: ignore[arg-type]
    while 0 < place < len(data):
        numbers += integers(sign, (link, wide), (place, count_bytes))
        entries = int.from_bytes(data[place : place + count_bytes], order)  # type: ignore[arg-type]
        first = place + count_bytes
        for entry in range(first, first + entries * entry_bytes, entry_bytes):
            cuts.append(entry)
            numbers += integers(sign, (entry, 2), (entry + 2, 2), (entry + 4, wide), (entry + 4 + wide, wide))
            numbers += integers(sign, (entry + 4 + wide, 2))
        link = first + entries * entry_bytes
        cuts += [place, link, link + wide]
        place = int.from_bytes(data[link : link + wide], order)  # type: ignore[arg-type]
    return _structure(data, cuts, numbers)


def of_zip(data: bytes) -> Structure:
    numbers, cuts = [], []
    widths = {
        b"PK\x03\x04": ((4, 2), (6, 2), (8, 2), (14, 4), (18, 4), (22, 4), (26, 2), (28, 2)),
        b"PK\x01\x02": ((8, 2), (10, 2), (16, 4), (20, 4), (24, 4), (28, 2), (30, 2), (32, 2), (42, 4)),
        b"PK\x05\x06": ((4, 2), (8, 2), (10, 2), (12, 4), (16, 4), (20, 2)),
    }
    for match in re.finditer(rb"PK(\x03\x04|\x01\x02|\x05\x06)", data):
        cuts += [match.start(), match.end()]
        numbers += integers("<", *((match.start() + at, width) for at, width in widths[match[0]]))
    return _structure(data, cuts, numbers)


def of_npy(data: bytes) -> Structure:
    end = data.index(b"\n") + 1
    texts = [
        Number(match.start(), match.end(), TEXT) for match in re.finditer(rb"\d+", data[:end]) if match.start() > 9
    ]
    return _structure(data, [6, 8, 10, end], [*integers("<", (6, 1), (8, 2)), *texts])


def of_lines(data: bytes) -> Structure:
    """Of a header of text lines, as those of NRRD and MetaImage, and what follows it."""
    ends = [match.end() for match in re.finditer(rb"\n\n|ElementDataFile = .*\n", data)] or [len(data)]
    head = data[: ends[0]]
    texts = [Number(*match.span(), TEXT) for match in re.finditer(rb"-?\d+(\.\d+)?", head) if match.start() > 8]
    words = [Number(*match.span(1), TEXT) for match in re.finditer(rb"[=:] (.+)\n", head)]
    return _structure(data, [*(match.end() for match in re.finditer(rb"\n", head)), ends[0]], [*texts, *words])


def of_gzip(data: bytes) -> Structure:
    end = len(data)
    return _structure(data, [2, 3, 10, end - 8, end - 4], integers("<", (2, 1), (3, 1), (end - 8, 4), (end - 4, 4)))


def of_nifti(data: bytes) -> Structure:
    from nibabel.nifti1 import header_dtype as fields_of_1
    from nibabel.nifti2 import header_dtype as fields_of_2

    layout: Any = fields_of_1 if int.from_bytes(data[:4], "little") == 348 else fields_of_2
    cuts, numbers = [layout.itemsize, layout.itemsize + 4], []
    for kind, offset in (field[:2] for field in layout.fields.values()):
        cuts.append(offset)
        if kind.base.kind in "iuf":
            width = kind.base.itemsize
            form = FLOAT if kind.base.kind == "f" else INTEGER
            numbers += [Number(at, at + width, form) for at in range(offset, offset + kind.itemsize, width)]
    return _structure(data, cuts, numbers)


_LONG = (b"OB", b"OW", b"OF", b"OD", b"OL", b"SQ", b"UC", b"UN", b"UR", b"UT")
_ITEMS = (b"\xfe\xff\x00\xe0", b"\xfe\xff\x0d\xe0", b"\xfe\xff\xdd\xe0")


def of_dicom(data: bytes) -> Structure:
    """Of a file in explicit little-endian elements, those of sequences and frames among them."""
    cuts, numbers, place, is_in_pixels = [128], [], 132, False
    while place + 8 <= len(data):
        cuts.append(place)
        is_in_pixels = is_in_pixels or data[place : place + 4] == b"\xe0\x7f\x10\x00"
        if data[place : place + 4] in _ITEMS:
            numbers += integers("<", (place + 4, 4))
            length, value = int.from_bytes(data[place + 4 : place + 8], "little"), place + 8
            place = value + length if is_in_pixels and length < len(data) else value  # others hold elements
            cuts.append(value)
            continue
        kind = data[place + 4 : place + 6]
        width = 4 if kind in _LONG else 2
        value = place + (12 if width == 4 else 8)
        length = int.from_bytes(data[value - width : value], "little")
        numbers += integers("<", (value - width, width), (place, 2))
        if kind == b"US":
            numbers += integers("<", (value, 2))
        if kind in (b"IS", b"DS"):
            texts = re.finditer(rb"[^\\ ]+", data[value : value + length])
            numbers += [Number(value + text.start(), value + text.end(), FITTED) for text in texts]
        if kind in (b"CS", b"UI"):
            numbers.append(Number(value, value + length, FITTED))
        cuts.append(value)
        place = value if kind == b"SQ" or length == 0xFFFFFFFF else value + length
    return _structure(data, cuts, numbers)
