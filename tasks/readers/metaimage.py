"""MetaImage: .mha, and .mhd with the files of its voxels in a bundle."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, Final

from numpy.typing import NDArray

from segscale.errors import UnreadableImage
from segscale.tasks.geometry import Geometry, from_directions
from segscale.tasks.readers.header_fields import joined
from segscale.tasks.readers.inflation import inflated
from segscale.tasks.readers.members import found_files, header_with_files
from segscale.tasks.readers.metaimage_header import MetaImageHeader, numbers_of, parse_header
from segscale.tasks.readers.text_numbers import decimal_numbers
from segscale.tasks.readers.volume import Volume, VolumeReader, exact_bytes, numbers

_MATRIX = ("transformmatrix", "rotation", "orientation")
_OFFSET = ("offset", "position", "origin")
_MILLIMETRES: Final = {"": 1.0, "?": 1.0, "mm": 1.0, "cm": 10.0, "um": 0.001}
_IDENTITY = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]


class MetaImageReader(VolumeReader):
    """Reader of MetaImage: binary or text, compressed or not, in one file, a pattern or a list of files.

    D, H and W are the axes as they are stored, slowest first. Positions are taken to the left, back and head, in
    millimetres where no unit is given, and TransformMatrix as the directions of the axes one after the other, as ITK
    has it. Axes of length 1 behind the third are dropped, with a note.
    """

    suffixes = (".mha", ".mhd")

    def volume(self, data: bytes, name: str) -> Volume:
        """What the header says."""
        head, files = header_with_files(data, name)
        header = parse_header(head, name)
        shape, notes = _shape(header, name)
        geometry, spacing_mm, said = _place(header, name)
        sources = found_files(header.data_files, files, name) or [head[header.data_at :]]
        return Volume(
            shape=shape,
            dtype=header.dtype.newbyteorder("="),
            load=partial(joined, sources, math.prod(shape), partial(_numbers, header=header, name=name), name),
            geometry=geometry,
            spacing_mm=spacing_mm,
            notes=(*header.notes, *notes, *said),
        )


def metaimage_data_files(data: bytes, name: str) -> tuple[str, ...]:
    """The names of the files beside a header that hold its voxels, as it gives them; none where they follow it."""
    return parse_header(memoryview(data), name).data_files


def _shape(header: MetaImageHeader, name: str) -> tuple[tuple[int, int, int, int], tuple[str, ...]]:
    width, height, depth, *more = (*header.sides, 1)[: max(3, len(header.sides))]
    sides = " x ".join(map(str, header.sides))
    if any(side > 1 for side in more):
        raise UnreadableImage(
            f"{name}: an array of {sides} voxels; expected two or three axes: save each volume as a file"
        )
    notes = (f"stored as {sides}: the axes of length 1 behind the third are dropped",) if more else ()
    return (depth, height, width, header.channels), notes


def _place(
    header: MetaImageHeader, name: str
) -> tuple[Geometry | None, tuple[float, float, float] | None, tuple[str, ...]]:
    """Geometry, spacing and what has to be said of them."""
    count = len(header.sides)
    if count == 2:
        return None, None, ("a flat image: where it lies in the patient is not read",)
    if count > 3:
        return None, None, (f"{count} axes in its header: where it lies in the patient is not read",)
    unit = header.fields.get("distanceunits", "").lower()
    if unit not in _MILLIMETRES:
        raise UnreadableImage(f"{name}: its DistanceUnits are {unit[:100]!r}; expected mm, cm or um")
    scale = _MILLIMETRES[unit]
    # What older programs called the size of a voxel counts where there is no spacing, as in MetaIO.
    spacing = numbers_of(header.fields, ("elementspacing", "elementsize"), 3, name)
    matrix = numbers_of(header.fields, _MATRIX, 9, name)
    offset = numbers_of(header.fields, _OFFSET, 3, name)
    if spacing is None:
        return None, None, ("no ElementSpacing in its header: neither spacing nor place in the patient",)
    if not all(math.isfinite(length) and length > 0 for length in spacing):
        raise UnreadableImage(
            f"{name}: its ElementSpacing is {' '.join(f'{length:g}' for length in spacing)}; expected millimetres "
            "above 0"
        )
    width, height, depth = (length * scale for length in spacing)
    if matrix is None or offset is None:
        lacking = " and ".join(word for word, one in (("TransformMatrix", matrix), ("Offset", offset)) if one is None)
        return None, (depth, height, width), (f"no place in the patient (its header lacks {lacking})",)
    _check_centre(header, matrix, name)
    directions = [matrix[3 * axis : 3 * axis + 3] for axis in (2, 1, 0)]
    geometry = from_directions(directions, (depth, height, width), [number * scale for number in offset], name)
    return geometry, geometry.spacing, ()


def _check_centre(header: MetaImageHeader, matrix: list[float], name: str) -> None:
    centre = numbers_of(header.fields, ("centerofrotation",), 3, name)
    if centre and any(centre) and matrix != _IDENTITY:
        raise UnreadableImage(
            f"{name}: its axes are turned around CenterOfRotation {' '.join(f'{number:g}' for number in centre)}, "
            "which some programs reckon with and ITK does not; expected 0 0 0: save it again with its Offset alone"
        )


def _numbers(source: memoryview, count: int, header: MetaImageHeader, name: str) -> NDArray[Any]:
    n_bytes = count * header.dtype.itemsize
    if header.is_text:
        return decimal_numbers(source, count, header.dtype, name)
    if header.is_compressed:
        return numbers(inflated(source, n_bytes, name), header.dtype)
    start = header.skip if header.skip >= 0 else max(0, len(source) - n_bytes)
    return numbers(exact_bytes(source[start:], n_bytes, name), header.dtype)
