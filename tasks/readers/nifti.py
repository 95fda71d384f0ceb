"""NIfTI-1 and NIfTI-2: .nii, .nii.gz, and pairs of .hdr and .img in a bundle."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segscale.errors import UnreadableImage
from segscale.tasks.affine_choice import AffineName, chosen_geometry
from segscale.tasks.geometry import Geometry
from segscale.tasks.grids import same_spacing
from segscale.tasks.readers.inflation import first_bytes, inflated, is_gzip
from segscale.tasks.readers.members import Files, header_with_files
from segscale.tasks.readers.nifti_header import LARGEST_HEADER, NiftiHeader, parse_header, qform, sform, spacing
from segscale.tasks.readers.picture import DECODED_BYTES_LIMIT
from segscale.tasks.readers.volume import Volume, VolumeReader, exact_bytes, numbers


@dataclass(frozen=True, slots=True)
class Affines:
    """The matrices (4, 4) that lead from an index (i, j, k), fastest first, to mm right, front and head.

    None where their code is 0; NaN throughout where the file says that there is one and gives none.
    """

    sform: NDArray[np.float64] | None
    qform: NDArray[np.float64] | None


@dataclass(frozen=True)
class NiftiReader(VolumeReader):
    """Reader of NIfTI, of both versions and byte orders, compressed by gzip or not, whatever the name says.

    D, H and W are the axes k, j and i as they are stored. Axes of length 1 behind the third are dropped, with a note;
    of an array that has more, one volume is read where `number` says which, else it raises. Complex numbers, single
    bits and colours with alpha raise UnreadableImage. Where sform and qform put voxels to different places, `affine`
    says which one is right.
    """

    number: int | None = None
    """The volume along a fourth axis, from 0 on; None where there must be but one."""
    affine: AffineName | None = None

    suffixes = (".nii", ".nii.gz", ".hdr", ".hdr.gz")

    def volume(self, data: bytes, name: str) -> Volume:
        """What the header says; gzip is inflated as far as that alone."""
        head, files = header_with_files(data, name)
        told = _told(_first_bytes(head, name), self.number, self.affine, name)
        header = told.header
        return Volume(
            shape=told.shape,
            dtype=header.dtype.newbyteorder("="),
            load=partial(_load, _voxel_file(head, files, header, name), header, told.shape, self.number or 0, name),
            slope=header.slope,
            intercept=header.intercept,
            geometry=told.geometry,
            spacing_mm=told.spacing_mm,
            notes=told.notes,
        )


def _first_bytes(head: memoryview, name: str) -> bytes:
    return first_bytes(head, LARGEST_HEADER, name) if is_gzip(head) else bytes(head[:LARGEST_HEADER])


@dataclass(frozen=True, slots=True)
class _Told:
    """What the first bytes of a file tell, by the choice of a volume and of an affine."""

    header: NiftiHeader
    shape: tuple[int, int, int, int]
    geometry: Geometry | None
    spacing_mm: tuple[float, float, float] | None
    notes: tuple[str, ...]


@lru_cache(maxsize=4)  # a file is asked several times for one thing and another
def _told(head: bytes, number: int | None, affine: AffineName | None, name: str) -> _Told:
    header = parse_header(head, name)
    shape, notes = _shape(header, number, name)
    geometry, spacing_mm, said = _place(header, shape[:3], affine, name)
    return _Told(header, shape, geometry, spacing_mm, (*notes, *said))


def _shape(header: NiftiHeader, number: int | None, name: str) -> tuple[tuple[int, int, int, int], tuple[str, ...]]:
    width, height, depth, *more = (*header.sides, 1)[: max(3, len(header.sides))]
    count = math.prod(more)
    sides = " x ".join(map(str, header.sides))
    if count > 1 and (len(more) > 1 and max(more[1:]) > 1):
        raise UnreadableImage(
            f"{name}: an array of {sides} voxels; expected three axes, or four of which the last one counts volumes: "
            "save each volume as a file"
        )
    if count > 1 and number is None:
        raise UnreadableImage(
            f"{name}: {count} volumes in one file, {sides}; expected one: say which with dataset.volume = k (from 0 to "
            f"{count - 1}), or save each as a file"
        )
    if number is not None and not 0 <= number < count:
        raise UnreadableImage(
            f"{name}: dataset.volume = {number}, but it holds {count} volume{'s' * (count > 1)}; expected a number "
            f"from 0 to {count - 1}"
        )
    notes = []
    if count > 1:
        notes.append(f"volume {number} of {count} is read (dataset.volume)")
    elif more:
        notes.append(f"stored as {sides}: the axes of length 1 behind the third are dropped")
    return (depth, height, width, header.channels), tuple(notes)


def _voxel_file(head: memoryview, files: Files, header: NiftiHeader, name: str) -> memoryview:
    if not header.is_pair:
        return head
    images = [file for file_name, file in files.items() if file_name.lower().endswith((".img", ".img.gz"))]
    if len(images) != 1:
        raise UnreadableImage(
            f"{name}: the header of a pair, with {len(images)} files of voxels; expected one .img or .img.gz of the "
            "same name beside it"
        )
    return images[0]


def _load(
    file: memoryview, header: NiftiHeader, shape: tuple[int, int, int, int], number: int, name: str
) -> NDArray[Any]:
    one = math.prod(shape) * header.dtype.itemsize
    n_bytes = math.prod(header.sides) * header.channels * header.dtype.itemsize
    if is_gzip(file):
        if n_bytes > DECODED_BYTES_LIMIT:
            raise UnreadableImage(
                f"{name}: claims {n_bytes} decoded bytes, expected at most {DECODED_BYTES_LIMIT}; save each volume as "
                "a file"
            )
        raw = inflated(file, header.offset + n_bytes, name)[header.offset :]
    else:
        if len(file) < header.offset:
            raise UnreadableImage(
                f"{name}: its voxels begin at byte {header.offset} (vox_offset) of {len(file)}; it is cut off, or its "
                "header is damaged"
            )
        raw = exact_bytes(file[header.offset :], n_bytes, name)
    return numbers(raw[number * one : (number + 1) * one], header.dtype)


def _affines(header: NiftiHeader, name: str) -> Affines:
    try:
        by_quaternion = qform(header, name)
    except UnreadableImage:
        by_quaternion = np.full((4, 4), np.nan)
    return Affines(sform(header), by_quaternion)


def _place(
    header: NiftiHeader, size: tuple[int, int, int], choice: AffineName | None, name: str
) -> tuple[Geometry | None, tuple[float, float, float] | None, tuple[str, ...]]:
    """Geometry, spacing and what has to be said of them."""
    if len(header.sides) == 2:
        return None, None, ("a flat image: where it lies in the patient is not read",)
    unit = () if header.has_unit else ("no unit of length in its header: millimetres are assumed",)
    affines = _affines(header, name)
    if affines.sform is None and affines.qform is None:
        alone = "no affine in its header (sform_code and qform_code are 0): it has voxel sizes and no orientation"
        return None, spacing(header, name), (alone, *unit)
    by_qform = affines.sform is None or (choice == "qform" and affines.qform is not None)
    if by_qform:
        qform(header, name)  # again, for its own sentence where it is none
    geometry = chosen_geometry(affines.sform, affines.qform, size, choice, name)
    assert geometry is not None
    return geometry, geometry.spacing, unit if by_qform else (*unit, *_other_sizes(geometry, header))


def _other_sizes(geometry: Geometry, header: NiftiHeader) -> tuple[str, ...]:
    """A note where the voxel sizes of the header are not those of its sform, which counts."""
    width, height, depth = (float(size) * header.millimetres for size in header.fields["pixdim"][1:4])
    sizes = depth, height, width
    if same_spacing(geometry.spacing, sizes):
        return ()
    given, own = (" x ".join(f"{size:g}" for size in lengths) for lengths in (sizes, geometry.spacing))
    return (f"voxel sizes of {given} mm in its header (pixdim), {own} mm by its sform, which counts",)
