"""Pairs of volumes for benchmarks: drawn organs as label maps of .nii.gz, noisy ones, and small ones."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Sides = tuple[int, int, int]
SIDES: Sides = (192, 512, 512)
N_CLASSES = 4
"""Background and three organs."""
_SPACING = (2.5, 0.8, 0.8)
_CODES = {"uint8": 2, "int16": 4, "float32": 16, "float64": 64}
_LEVEL = 6
"""Of gzip, as SimpleITK and nibabel write."""
_KNOTS = 18
"""Along each axis: between so many numbers the field runs smoothly that is cut into organs."""
_HEIGHTS = (0.55, 0.85, 1.15)
"""Where it is cut."""


@dataclass(frozen=True, slots=True)
class VolumePairs:
    """Two folders in which a file of the same name is a volume and its prediction."""

    folder: Path
    count: int

    @property
    def references(self) -> Path:
        return self.folder / "labelsTr"

    @property
    def predictions(self) -> Path:
        return self.folder / "results"


Draw = Callable[[int, Sides], tuple[NDArray[Any], NDArray[Any]]]


def volume_pairs(folder: Path, count: int, sides: Sides = SIDES, draw: Draw | None = None) -> VolumePairs:
    """Volumes drawn by `draw`, no two alike; organs and the same, shifted by some voxels, where nothing is said."""
    pairs = VolumePairs(folder, count)
    for place in (pairs.references, pairs.predictions):
        place.mkdir(parents=True)
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(partial(_write, pairs, sides, draw or organs), range(count), chunksize=max(1, count // 100)))
    return pairs


def _write(pairs: VolumePairs, sides: Sides, draw: Draw, number: int) -> None:
    for place, voxels in zip((pairs.references, pairs.predictions), draw(number, sides), strict=True):
        (place / f"case_{number:05d}.nii.gz").write_bytes(gzip.compress(nifti(voxels), _LEVEL, mtime=0))


def organs(number: int, sides: Sides, dtype: str = "uint8") -> tuple[NDArray[Any], NDArray[Any]]:
    """Smooth shapes of three classes, one inside the other, and their prediction."""
    generator = np.random.default_rng(number)
    knots = generator.normal(0, 0.6, (_KNOTS,) * 3)
    knots[[0, -1]] = knots[:, [0, -1]] = knots[:, :, [0, -1]] = -1  # nothing at the edge
    along = [_between(side) for side in sides]
    by_slice = np.einsum("dk,khw->dhw", along[0], knots)
    labels = np.zeros(sides, dtype)
    for slice_, field in zip(labels, by_slice, strict=True):
        high = along[1] @ field.astype(np.float32) @ along[2].T
        for height in _HEIGHTS:
            slice_ += high > height
    shift = generator.integers(1, 4, 2)
    return labels, np.roll(labels, tuple(int(one) for one in shift), (1, 2))


def noisy_organs(number: int, sides: Sides) -> tuple[NDArray[Any], NDArray[Any]]:
    """The same with one voxel of fifty at random: as a threshold of a noisy image makes them."""
    reference, prediction = organs(number, sides)
    generator = np.random.default_rng(number)
    noisy = [
        np.where(generator.random(sides, np.float32) < 0.02, generator.integers(0, N_CLASSES, sides, np.uint8), one)
        for one in (reference, prediction)
    ]
    return noisy[0], noisy[1]


def probabilities(number: int, sides: Sides) -> tuple[NDArray[Any], NDArray[Any]]:
    """All organs as one foreground, and floats in which every voxel is another."""
    reference, prediction = organs(number, sides)
    noise = np.random.default_rng(number).random(sides, np.float32)
    return np.minimum(reference, 1), np.where(prediction > 0, np.float32(0.5), np.float32(0)) + noise / 2


def _between(side: int) -> NDArray[np.float32]:
    """The weights (side, knots) of the knots at every voxel along an axis, running smoothly from one to the next."""
    place = np.linspace(0, _KNOTS - 1, side)
    left = np.minimum(place.astype(int), _KNOTS - 2)
    share = (1 - np.cos(np.pi * (place - left))) / 2
    weights = np.zeros((side, _KNOTS), np.float32)
    weights[np.arange(side), left], weights[np.arange(side), left + 1] = 1 - share, share
    return weights


def nifti(voxels: NDArray[Any]) -> bytes:
    """The bytes of a .nii file, written by hand, so that no library is measured with its own."""
    header = bytearray(352)
    depth, height, width = voxels.shape
    z, y, x = _SPACING
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, width, height, depth, 1, 1, 1, 1)
    struct.pack_into("<2h", header, 70, _CODES[voxels.dtype.name], 8 * voxels.itemsize)
    struct.pack_into("<8f", header, 76, 1, x, y, z, 1, 1, 1, 1)
    struct.pack_into("<f", header, 108, 352)
    header[123] = 2
    struct.pack_into("<h", header, 254, 1)
    struct.pack_into("<12f", header, 280, x, 0, 0, 0, 0, y, 0, 0, 0, 0, z, 0)
    header[344:348] = b"n+1\0"
    return bytes(header) + voxels.tobytes()
