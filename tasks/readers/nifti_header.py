"""Headers of NIfTI-1 and NIfTI-2: what the 348 or 540 bytes say, checked.

Layout and quaternions are nibabel's; voxels are never read by it. Source: the NIfTI-1 and NIfTI-2 data format
specifications (nifti1.h, nifti2.h).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from segscale.errors import UnreadableImage

_SIZES = {348: 1, 540: 2}
LARGEST_HEADER = max(_SIZES)
_ALONE: Final = {1: b"n+1\0", 2: b"n+2\0\r\n\x1a\n"}
_PAIRED: Final = {1: b"ni1\0", 2: b"ni2\0\r\n\x1a\n"}
_RGB = 128
_TYPES: Final = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", _RGB: "u1",
    256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8",
}  # fmt: skip
_REFUSED: Final = {
    1: "single bits", 32: "complex numbers", 1536: "floats of 128 bits", 1792: "complex numbers",
    2048: "complex numbers", 2304: "colours with alpha",
}  # fmt: skip
_MILLIMETRES: Final = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
_LARGEST_OFFSET = 2**31
_ROUNDING = 1e-5


@dataclass(frozen=True, slots=True)
class NiftiHeader:
    """What a NIfTI header says."""

    sides: tuple[int, ...]
    """Lengths of the stored axes, fastest first: 2 to 7."""
    dtype: np.dtype[Any]
    """Of a stored number, with its byte order."""
    channels: int
    """3 for colours, else 1."""
    is_pair: bool
    """Whether the voxels are in a file of their own."""
    offset: int
    """Where they begin in their file, in bytes."""
    slope: float
    intercept: float
    fields: Any
    """nibabel's header, for the affines."""
    millimetres: float
    """Of a unit of length."""
    has_unit: bool


def parse_header(head: bytes, name: str) -> NiftiHeader:
    """The header at the start of `head`; UnreadableImage where it is none, or says what cannot be."""
    version, order = _version(head, name)
    fields = _fields(head, version, order)
    magic = bytes(head[344:348]) if version == 1 else bytes(head[4:12])
    if magic not in (_ALONE[version], _PAIRED[version]):
        raise UnreadableImage(
            f"{name}: not a NIfTI file, whatever its name says: its magic is {magic!r}, expected {_ALONE[version]!r} "
            f"or {_PAIRED[version]!r} (Analyze files have none, and do not say which side is left): convert it"
        )
    is_pair = magic == _PAIRED[version]
    unit = int(fields["xyzt_units"]) & 7
    slope, intercept = _scaling(float(fields["scl_slope"]), float(fields["scl_inter"]), name)
    code = int(fields["datatype"])
    dtype = _dtype(code, order, name)
    return NiftiHeader(
        sides=_sides(fields, name),
        dtype=dtype,
        channels=3 if code == _RGB else 1,
        is_pair=is_pair,
        offset=_offset(float(fields["vox_offset"]), 0 if is_pair else (352 if version == 1 else 544), name),
        slope=1.0 if code == _RGB else slope,  # colours are not scaled, by the specification
        intercept=0.0 if code == _RGB else intercept,
        fields=fields,
        millimetres=_unit(unit, name),
        has_unit=unit != 0,
    )


def sform(header: NiftiHeader) -> NDArray[np.float64] | None:
    """The matrix (4, 4) from an index (i, j, k) to mm right, front and head; None where its code is 0."""
    with np.errstate(invalid="ignore"):  # NaN in an affine is found by whoever makes a geometry of it
        affine = header.fields.get_sform(coded=True)[0]
    return None if affine is None else _in_millimetres(affine, header)


def qform(header: NiftiHeader, name: str) -> NDArray[np.float64] | None:
    """The same of the quaternion; UnreadableImage where it, or the voxel sizes that it needs, are none."""
    if int(header.fields["qform_code"]) <= 0:
        return None
    spacing(header, name)
    numbers = [float(header.fields[f"{kind}_{axis}"]) for kind, axes in (("quatern", "bcd"),) for axis in axes]
    numbers += [float(header.fields[f"qoffset_{axis}"]) for axis in "xyz"]
    if not all(map(math.isfinite, numbers)) or math.hypot(*numbers[:3]) > 1 + _ROUNDING:
        raise UnreadableImage(
            f"{name}: the quaternion of its qform is none: b, c, d = {_shown(numbers[:3])}, offset "
            f"{_shown(numbers[3:])}; expected finite numbers, b, c and d of a length of at most 1: save it again with "
            "the geometry of its scanner"
        )
    sign = float(header.fields["pixdim"][0])
    if sign not in (-1.0, 0.0, 1.0):
        raise UnreadableImage(
            f"{name}: pixdim[0] is {sign:g}, which says whether its qform is mirrored; expected 1 or -1 (0 counts as 1)"
        )
    fields = header.fields.copy()
    fields["pixdim"][0] = sign or 1.0  # 0 means 1, by the specification
    # What has just passed as a quaternion may be a little longer than 1 by the rounding of its type.
    fields.quaternion_threshold = -3 * _ROUNDING
    return _in_millimetres(fields.get_qform(coded=True)[0], header)


def spacing(header: NiftiHeader, name: str) -> tuple[float, float, float]:
    """The voxel sizes (pixdim) in mm, along D, H and W; UnreadableImage for 0, negative numbers and NaN."""
    sizes = [float(size) for size in header.fields["pixdim"][1:4]]
    if not all(math.isfinite(size) and size > 0 for size in sizes):
        raise UnreadableImage(
            f"{name}: its voxel sizes (pixdim) are {_shown(sizes)}; expected numbers above 0: save it again with the "
            "spacing of its scanner"
        )
    width, height, depth = (size * header.millimetres for size in sizes)
    return depth, height, width


def _version(head: bytes, name: str) -> tuple[int, str]:
    if not head:
        raise UnreadableImage(f"{name}: the file is empty (0 bytes); expected a NIfTI file")
    for order in "<>":
        size = int.from_bytes(head[:4], "little" if order == "<" else "big")
        if size in _SIZES:
            if len(head) < size:
                raise UnreadableImage(f"{name}: cut off: {len(head)} of the {size} bytes of a NIfTI header")
            return _SIZES[size], order
    raise UnreadableImage(
        f"{name}: not a NIfTI file, whatever its name says: it starts with {head[:8]!r}; expected the size of a "
        "header, 348 or 540, as the first number"
    )


def _fields(head: bytes, version: int, order: str) -> Any:
    from nibabel.nifti1 import Nifti1Header, Nifti1PairHeader  # a third of a second, for NIfTI alone
    from nibabel.nifti2 import Nifti2Header

    kind: type[Nifti1PairHeader] = Nifti1Header if version == 1 else Nifti2Header
    size = 348 if version == 1 else 540
    return kind(bytes(head[:size]), endianness=order, check=False)


def _sides(fields: Any, name: str) -> tuple[int, ...]:
    dim = [int(number) for number in fields["dim"]]
    count = dim[0]
    if not 1 <= count <= 7:
        raise UnreadableImage(f"{name}: claims {count} axes (dim[0]); expected 2 to 4")
    sides = dim[1 : 1 + count]
    if min(sides) < 1 or count < 2:
        raise UnreadableImage(
            f"{name}: claims an array of {' x '.join(map(str, sides))} voxels (dim); expected 2 to 4 sides, none below "
            "1"
        )
    return tuple(sides)


def _dtype(code: int, order: str, name: str) -> np.dtype[Any]:
    if code in _TYPES:
        return np.dtype(order + _TYPES[code])
    raise UnreadableImage(
        f"{name}: holds {_REFUSED.get(code, 'numbers of an unknown type')} (datatype {code}); expected integers of 8 "
        "to 64 bits, floats of 32 or 64, or RGB of 8 bits: save it as one of these"
    )


def _offset(offset: float, least: int, name: str) -> int:
    if not (least <= offset <= _LARGEST_OFFSET and offset == int(offset)):
        raise UnreadableImage(
            f"{name}: its voxels begin at byte {offset:g} (vox_offset); expected a whole number from {least} on: its "
            "header is damaged, or written by a faulty program"
        )
    return int(offset)


def _scaling(slope: float, intercept: float, name: str) -> tuple[float, float]:
    """Slope and intercept; 0 and NaN for a slope say that numbers are not scaled."""
    if slope == 0 or math.isnan(slope):
        return 1.0, 0.0
    if not (math.isfinite(slope) and math.isfinite(intercept)):
        raise UnreadableImage(
            f"{name}: its numbers are scaled by scl_slope {slope:g} and scl_inter {intercept:g}; expected finite "
            "numbers"
        )
    return slope, intercept


def _unit(unit: int, name: str) -> float:
    if unit not in _MILLIMETRES:
        raise UnreadableImage(
            f"{name}: its unit of length has the code {unit} (xyzt_units); expected 1, 2 or 3: metres, millimetres or "
            "micrometres (0 for none)"
        )
    return _MILLIMETRES[unit]


def _in_millimetres(affine: NDArray[Any], header: NiftiHeader) -> NDArray[np.float64]:
    scaled = np.array(affine, np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        scaled[:3] *= header.millimetres
    return scaled


def _shown(numbers: list[float]) -> str:
    return f"({', '.join(f'{number:g}' for number in numbers)})"
