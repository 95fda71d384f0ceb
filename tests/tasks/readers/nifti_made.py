"""NIfTI files as nibabel writes them, and with single fields of their headers as no program should."""

from __future__ import annotations

from typing import Any

import numpy as np
from nibabel.nifti1 import Nifti1Header, Nifti1Image
from nibabel.nifti1 import header_dtype as fields_of_1
from nibabel.nifti2 import Nifti2Header, Nifti2Image
from nibabel.nifti2 import header_dtype as fields_of_2
from numpy.typing import NDArray

AFFINE = np.array([[-0.8, 0, 0, 10.0], [0, 0.5, 0, -20.0], [0, 0, 2.5, 30.0], [0, 0, 0, 1.0]])


def nifti(
    array: NDArray[Any], affine: NDArray[np.float64] | None = AFFINE, *, version: int = 1, order: str = "<"
) -> bytes:
    """The bytes of a .nii file of an array whose axes are slowest first, in mm, with sform and qform alike."""
    image_type, header_type = ((Nifti1Image, Nifti1Header), (Nifti2Image, Nifti2Header))[version - 1]
    header = header_type(endianness=order)
    header.set_data_dtype(array.dtype)
    header.set_xyzt_units("mm")
    image = image_type(array.T, affine, header)
    if affine is not None:
        image.set_qform(affine, code=1)
        image.set_sform(affine, code=1)
    data: bytes = image.to_bytes()
    return data


def changed(data: bytes, *, version: int = 1, order: str = "<", **fields: Any) -> bytes:
    """A file with these fields of its header set to bytes, a number, or numbers by their places in the field."""
    layout = (fields_of_1, fields_of_2)[version - 1].newbyteorder(order)
    assert layout.fields is not None
    found = bytearray(data)
    for field, value in fields.items():
        kind, offset = layout.fields[field][:2]
        if not isinstance(value, dict):
            encoded = np.array(value, kind.base).tobytes()
            found[offset : offset + len(encoded)] = encoded
            continue
        for place, one in value.items():
            start = offset + place * kind.base.itemsize
            found[start : start + kind.base.itemsize] = np.array(one, kind.base).tobytes()
    return bytes(found)
