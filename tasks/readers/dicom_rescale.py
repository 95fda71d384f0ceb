"""Rescaling of DICOM images: from stored numbers to those that the scanner means, Hounsfield units say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from segscale.errors import UnreadableImage
from segscale.tasks.readers.dicom_file import DicomFile
from segscale.tasks.readers.dicom_pixels import PixelLayout
from segscale.tasks.readers.dicom_planes import group

_INTEGERS: Final = ("uint8", "int8", "int16", "uint16", "int32")


@dataclass(frozen=True, slots=True)
class Rescale:
    """value = stored x slope + intercept."""

    slope: float
    intercept: float

    @property
    def is_whole(self) -> bool:
        """Whether whole numbers stay whole."""
        return self.slope % 1 == 0 and self.intercept % 1 == 0


def read_rescales(file: DicomFile, layout: PixelLayout) -> tuple[Rescale, ...]:
    """Slope and intercept of each frame. UnreadableImage for tables, and where inverting leaves two readings."""
    name, header = file.name, file.header
    if layout.photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise UnreadableImage(
            f"{name}: photometric interpretation {layout.photometric}; expected grey (MONOCHROME1 or 2)"
        )
    if header.get("ModalityLUTSequence"):
        raise UnreadableImage(f"{name}: values by a table (Modality LUT); expected a slope and an intercept")
    rescales = tuple(_rescale(file, frame) for frame in range(layout.frames))
    if layout.photometric == "MONOCHROME1" and any(rescale != Rescale(1.0, 0.0) for rescale in rescales):
        raise UnreadableImage(
            f"{name}: white is 0 (MONOCHROME1) and values are rescaled too: the rescaled values and the inverted ones "
            "differ; expected either"
        )
    return rescales


def common_dtype(slices: Sequence[tuple[PixelLayout, Rescale]]) -> str:
    """Numpy name of the smallest integer type that holds all values of slices, their own if it does; else float32."""
    if not all(rescale.is_whole for _, rescale in slices):
        return "float32"
    ends = [limit * rescale.slope + rescale.intercept for layout, rescale in set(slices) for limit in layout.limits]
    own = {str(layout.dtype.name) for layout, _ in slices}
    candidates: tuple[str, ...] = (*(own if len(own) == 1 else ()), *_INTEGERS)
    fits = (name for name in candidates if np.iinfo(name).min <= min(ends) and max(ends) <= np.iinfo(name).max)
    return next(fits, "float32")


def rescaled(stored: NDArray[Any], rescale: Rescale, layout: PixelLayout, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Values of one frame in `dtype`, of which `common_dtype` says that it holds them; MONOCHROME1 inverted."""
    if layout.photometric == "MONOCHROME1":
        lowest, highest = layout.limits
        return ((lowest + highest) - stored.astype(np.int64)).astype(dtype)
    if rescale == Rescale(1.0, 0.0):
        return stored.astype(dtype, copy=False)
    if dtype.kind == "f":
        return (stored * rescale.slope + rescale.intercept).astype(dtype)
    slope, intercept = int(rescale.slope), int(rescale.intercept)
    # Steps between may leave 32 bits and come back: whole numbers are counted modulo 2^32, and the results fit.
    between = np.int32 if max(abs(slope), abs(intercept)) < 2**31 else np.int64
    values: NDArray[Any] = stored.astype(between)
    np.multiply(values, slope, out=values)
    np.add(values, intercept, out=values)
    return values.astype(dtype, copy=False)


def _rescale(file: DicomFile, frame: int) -> Rescale:
    item = group(file, frame, "PixelValueTransformationSequence")
    slope, intercept = item.get("RescaleSlope"), item.get("RescaleIntercept")
    rescale = Rescale(float(1 if slope in (None, "") else slope), float(0 if intercept in (None, "") else intercept))
    if not math.isfinite(rescale.slope) or not math.isfinite(rescale.intercept) or rescale.slope == 0:
        raise UnreadableImage(
            f"{file.name}: slope {rescale.slope:g} and intercept {rescale.intercept:g}; expected finite numbers and a "
            "slope other than 0"
        )
    return rescale
