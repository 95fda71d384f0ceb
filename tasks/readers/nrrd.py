"""NRRD: .nrrd, and .nhdr with the files of its voxels in a bundle."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from numpy.typing import NDArray

from segscale.errors import UnreadableImage
from segscale.tasks.readers.header_fields import joined
from segscale.tasks.readers.inflation import BZIP2, DEFLATE, inflated
from segscale.tasks.readers.members import found_files, header_with_files
from segscale.tasks.readers.nrrd_header import NrrdHeader, parse_header
from segscale.tasks.readers.nrrd_place import place_of
from segscale.tasks.readers.text_numbers import decimal_numbers, hexadecimal_bytes
from segscale.tasks.readers.volume import Volume, VolumeReader, exact_bytes, numbers


class NrrdReader(VolumeReader):
    """Reader of NRRD, versions 1 to 5: raw, text, hexadecimal, gzip and bzip2; one data file, a pattern or a list.

    D, H and W are the axes of space as they are stored, slowest first. A place in the patient needs a space that is
    one of LPS, RAS and LAS, directions and an origin, in millimetres where no unit is given; of other files the spacing
    is read. Numbers are those stored: `old min` and `old max` are passed over, as the format has it.
    """

    suffixes = (".nrrd", ".nhdr")

    def volume(self, data: bytes, name: str) -> Volume:
        """What the header says."""
        head, files = header_with_files(data, name)
        header = parse_header(head, name)
        place = place_of(header, name)
        sources = found_files(header.data_files, files, name) or [head[header.data_at :]]
        return Volume(
            shape=place.shape,
            dtype=header.dtype.newbyteorder("="),
            load=partial(joined, sources, math.prod(header.sides), partial(_numbers, header=header, name=name), name),
            geometry=place.geometry,
            spacing_mm=place.spacing_mm,
            notes=place.notes,
        )


def nrrd_data_files(data: bytes, name: str) -> tuple[str, ...]:
    """The names of the files beside a header that hold its voxels, as it gives them; none where they follow it."""
    return parse_header(memoryview(data), name).data_files


def _numbers(source: memoryview, count: int, header: NrrdHeader, name: str) -> NDArray[Any]:
    n_bytes = count * header.dtype.itemsize
    rest = _behind_lines(source, header.line_skip, name)
    match header.encoding:
        case "gzip" | "bzip2":  # bytes are skipped of what was compressed, lines before
            codec = DEFLATE if header.encoding == "gzip" else BZIP2
            raw = inflated(rest, header.byte_skip + n_bytes, name, codec)[header.byte_skip :]
        case "raw" if header.byte_skip == -1:
            raw = exact_bytes(rest[max(0, len(rest) - n_bytes) :], n_bytes, name)
        case "raw":
            raw = exact_bytes(rest[header.byte_skip :], n_bytes, name)
        case "hex":
            raw = exact_bytes(hexadecimal_bytes(rest[header.byte_skip :], name), n_bytes, name)
        case _:
            return decimal_numbers(rest[header.byte_skip :], count, header.dtype, name)
    return numbers(raw, header.dtype)


def _behind_lines(source: memoryview, count: int, name: str) -> memoryview:
    if not count:
        return source
    text, place = bytes(source), 0
    for _ in range(count):
        place = text.find(b"\n", place) + 1
        if not place:
            raise UnreadableImage(f"{name}: its header skips {count} lines (line skip); the file has fewer")
    return source[place:]
