"""What readers of medical volumes share: a header that was understood, and how its numbers become a picture."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segscale.errors import UnreadableImage
from segscale.tasks.geometry import Geometry
from segscale.tasks.grids import Grid
from segscale.tasks.readers.picture import Header, Picture, check_size, native_pixels, picture_dtype

_PLANES_BYTES = 2**24
"""Of stored numbers, made others at once."""
_EXACT = 2.0**53
"""Up to which float64 holds every whole number."""


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume whose header is read and whose voxels are not."""

    shape: tuple[int, int, int, int]
    """(D, H, W, C), the stored axes, slowest first; channels 1 or 3."""
    dtype: np.dtype[Any]
    """Of the stored numbers, in native byte order."""
    load: Callable[[], NDArray[Any]]
    """The stored numbers, as many as `shape` says; UnreadableImage where they are not there."""
    slope: float = 1.0
    """What a number means is slope x stored + intercept."""
    intercept: float = 0.0
    geometry: Geometry | None = None
    spacing_mm: tuple[float, float, float] | None = None
    """Along D, H and W; where there is a geometry, its own."""
    notes: tuple[str, ...] = ()
    series_id: str | None = None
    """Of a DICOM series its UID, hashed."""
    frame_of_reference_id: str | None = None
    is_drawn: bool = False
    """Whether it is a segmentation, which lies where the image lies that it was drawn on."""

    @property
    def grid(self) -> Grid:
        """Where its voxels lie, as far as the file says."""
        depth, height, width, _ = self.shape
        size = depth, height, width
        return Grid(size, self.geometry, self.spacing_mm, self.series_id, self.frame_of_reference_id)

    @property
    def is_scaled(self) -> bool:
        """Whether the stored numbers are not what they mean."""
        return (self.slope, self.intercept) != (1.0, 0.0)

    @property
    def meant_dtype(self) -> np.dtype[Any]:
        """Of the numbers as they are meant: as stored, or float64 where these are scaled."""
        return np.dtype(np.float64) if self.is_scaled else self.dtype

    def stored(self) -> NDArray[Any]:
        """The stored numbers (D, H, W, C), C-contiguous, in native byte order; perhaps not to be written to."""
        return native_pixels(self.load()).reshape(self.shape)

    def meant(self) -> NDArray[Any]:
        """The numbers as they are meant, of `meant_dtype`."""
        return self.as_meant(self.stored())

    def as_meant(self, stored: NDArray[Any]) -> NDArray[Any]:
        """The same of some of its stored numbers."""
        return _as_meant(stored, self.slope, self.intercept) if self.is_scaled else stored

    def labels(self, name: str) -> NDArray[Any]:
        """Label values, (D, H, W, C): as stored, or, where these are scaled, the whole numbers that they mean."""
        self._check_size(name)
        return _whole_numbers(self, name) if self.is_scaled else self.stored()

    def values(self, name: str) -> NDArray[Any]:
        """Numbers as they are meant, (D, H, W, C), of `meant_dtype`."""
        self._check_size(name)
        return self.meant()

    def _check_size(self, name: str) -> None:
        check_size(Header(*self.shape, self.meant_dtype.name), name)


@dataclass(frozen=True, slots=True)
class Scaled:
    """Numbers as they are stored, where others are meant."""

    stored: NDArray[Any]
    """(D, H, W, C)"""
    pixels: Callable[[NDArray[Any]], NDArray[np.float32]]
    """What some of them are in a picture: computed in float64, kept as float32. It holds none of them."""


class VolumeReader(ABC):
    """A `Reader` of a format of volumes, and what only these have: numbers as meant, and places in the patient."""

    suffixes: tuple[str, ...]

    @abstractmethod
    def volume(self, data: bytes, name: str) -> Volume:
        """What the header says; no voxel is decoded and no memory taken for them."""

    def header(self, data: bytes, name: str) -> Header:
        """Shape, type and geometry from the header of the file."""
        return _header(self.volume(data, name), name)

    def read(self, data: bytes, name: str) -> Picture:
        """Picture whose full scale is 1 for floats, else the largest number of the stored type.

        Scaled numbers (slope x stored + intercept) are computed in float64 and kept as float32. So are integers of 64
        bits, where that changes none of them; else UnreadableImage.
        """
        volume = self.volume(data, name)
        header = _header(volume, name)
        if volume.is_scaled:
            return Picture(_all_scaled(_scaled(volume)), 1.0, header.spacing_mm)
        meant = volume.meant()
        with np.errstate(over="ignore"):  # a float64 beyond float32 becomes inf, which normalisation reports
            pixels = native_pixels(meant.astype(header.dtype, copy=False))
        if _is_long(volume.meant_dtype):
            _check_kept(meant, pixels, name)
        full_scale = float(np.iinfo(pixels.dtype).max) if pixels.dtype.kind in "iu" else 1.0
        return Picture(pixels, full_scale, header.spacing_mm)

    def scaled(self, data: bytes, name: str) -> Scaled | None:
        """What `read` makes its pixels of where numbers are scaled, which may be a quarter of their size; else None."""
        volume = self.volume(data, name)
        _header(volume, name)
        return _scaled(volume) if volume.is_scaled else None

    def stored_values(self, data: bytes, name: str) -> NDArray[Any]:
        """Label values, (D, H, W, C): as stored, or, where these are scaled, the whole numbers that they mean."""
        return self.volume(data, name).labels(name)

    def values(self, data: bytes, name: str) -> NDArray[Any]:
        """Numbers as they are meant, (D, H, W, C), in the type of the file, or float64 where they are scaled."""
        return self.volume(data, name).values(name)

    def value_dtype(self, data: bytes, name: str) -> np.dtype[Any]:
        """The type of what `values` returns."""
        return self.volume(data, name).meant_dtype

    def orientation(self, data: bytes, name: str) -> int:
        """0: volumes have a geometry instead."""
        self.volume(data, name)
        return 0


def _scaled(volume: Volume) -> Scaled:
    # Not the volume itself, which holds its file.
    return Scaled(volume.stored(), partial(_pixels, slope=volume.slope, intercept=volume.intercept))


def _pixels(stored: NDArray[Any], slope: float, intercept: float) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # beyond float32 it becomes inf, which normalisation reports
        return _as_meant(stored, slope, intercept).astype(np.float32)


def _as_meant(stored: NDArray[Any], slope: float, intercept: float) -> NDArray[np.float64]:
    meant = stored.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):  # what becomes inf or NaN is found by whoever needs numbers
        meant *= slope
        meant += intercept
    return meant


def _all_scaled(scaled: Scaled) -> NDArray[np.float32]:
    """Some planes at a time: float64 is four times what many files hold."""
    pixels = np.empty(scaled.stored.shape, np.float32)
    step = max(1, _PLANES_BYTES // max(1, scaled.stored[0].nbytes))
    for top in range(0, len(pixels), step):
        pixels[top : top + step] = scaled.pixels(scaled.stored[top : top + step])
    return pixels


def exact_bytes(data: bytes | memoryview, n_bytes: int, name: str) -> NDArray[np.uint8]:
    """Uncompressed voxels: `data` itself, or UnreadableImage where it is longer or shorter than `n_bytes`."""
    if len(data) < n_bytes:
        raise UnreadableImage(
            f"{name}: cut off: {len(data)} of the {n_bytes} bytes of voxels that its header claims; copy it again, or "
            "its header is wrong"
        )
    if len(data) > n_bytes:
        raise UnreadableImage(
            f"{name}: {len(data) - n_bytes} bytes behind the {n_bytes} bytes of voxels that its header claims; "
            "expected none: its header does not fit its voxels"
        )
    return np.frombuffer(data, np.uint8)


def numbers(raw: NDArray[np.uint8], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Bytes as numbers of a type with its byte order, in native byte order, copied only where needed."""
    stored = raw.view(dtype)
    if not stored.flags.aligned:
        stored = stored.copy()
    return native_pixels(stored)


def _header(volume: Volume, name: str) -> Header:
    channels = volume.shape[-1]
    if channels not in (1, 3):
        raise UnreadableImage(f"{name}: {channels} channels in shape {volume.shape}; expected 1 or 3")
    dtype = "float32" if _is_long(volume.meant_dtype) else picture_dtype(volume.meant_dtype, name)
    spacing = volume.geometry.spacing if volume.geometry else volume.spacing_mm
    # The stored numbers count too: float64 is kept in half of its size, and must be decoded before.
    check_size(Header(*volume.shape, volume.meant_dtype.name), name)
    return Header(
        *volume.shape,
        dtype=dtype,
        geometry=volume.geometry,
        spacing_mm=spacing,
        series_id=volume.series_id,
        frame_of_reference_id=volume.frame_of_reference_id,
        notes=volume.notes,
    )


def _is_long(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in "iu" and dtype.itemsize == 8


def _check_kept(stored: NDArray[Any], kept: NDArray[Any], name: str) -> None:
    # Beyond float64 a number that looks unchanged may have been rounded twice; no picture has such.
    changed = (kept.astype(np.float64) != stored.astype(np.float64)) | (np.abs(kept) > _EXACT)
    if changed.any():
        raise UnreadableImage(
            f"{name}: {np.count_nonzero(changed)} of {stored.size} pixels are integers of 64 bits that float32 does "
            f"not hold, for example {stored[changed][0]}; expected integers of 32 bits, or floats: save it as these"
        )


def _whole_numbers(volume: Volume, name: str) -> NDArray[Any]:
    stored, meant = volume.stored(), volume.meant()
    known = ~np.isnan(meant)
    unfit = known & (
        (np.trunc(meant) != meant) | (np.abs(meant) > _EXACT) | (np.abs(stored.astype(np.float64)) > _EXACT)
    )
    if unfit.any():
        raise UnreadableImage(
            f"{name}: its numbers are scaled (value = {volume.slope:g} x stored + {volume.intercept:g}), and "
            f"{np.count_nonzero(unfit)} of {meant.size} become no whole numbers, for example "
            f"{float(meant[unfit][0]):g} of {stored[unfit][0]}; expected labels: save them as integers without a slope "
            "(probabilities are read as such)"
        )
    if not known.all():
        return meant
    largest = float(np.abs(meant).max(initial=0.0))
    return meant.astype(np.int32 if largest <= np.iinfo(np.int32).max else np.int64)
