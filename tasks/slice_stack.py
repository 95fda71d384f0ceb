"""Slice stack: a volume in the slices of a shard, which follow one another along one of its axes and are padded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from segscale.tasks.alignment import Alignment
from segscale.tasks.grids import Size
from segscale.tasks.resampling import Meaning
from segscale.tasks.tiling import PaddingMode, fill_padded

BLOCK_BYTES = 1 << 24
"""Of pixels, turned, resampled or padded at once: what that takes beside them is little then."""


@dataclass(frozen=True, slots=True)
class MeantStack:
    """Slices that hold numbers as they are stored, and give the float32 that these mean when they are asked for."""

    stored: npt.NDArray[Any]
    meant: Meaning
    dtype = np.dtype(np.float32)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the stack."""
        return self.stored.shape

    def __getitem__(self, place: int) -> npt.NDArray[Any]:
        return self.meant(self.stored[place])


@dataclass(frozen=True, slots=True)
class Slices:
    """The slices of one volume."""

    stack: npt.NDArray[Any]
    """(slices, padded height, padded width, ...) of the shard."""
    size: Size
    """(D, H, W) of the volume."""
    axis: int
    """Of the volume, along which slices follow one another."""

    @property
    def volume(self) -> npt.NDArray[Any]:
        """The stack without its padding, as the volume (D, H, W, ...): what is written there stands in its slices."""
        height, width = (side for place, side in enumerate(self.size) if place != self.axis)
        return np.moveaxis(self.stack[:, :height, :width], 0, self.axis)

    def fill(
        self, pixels: npt.NDArray[Any], way: Alignment | None, mode: PaddingMode, meant: Meaning | None = None
    ) -> None:
        """Write the pixels (D, H, W, C) of an image, in the order in which its file has them, and the padding.

        meant: what is written of some of them, where it is not they themselves. Where an image that is resampled does
        not reach, its lowest number stands.
        """
        volume = self.volume
        outside = _lowest(pixels, meant) if way is not None and way.resampling is not None else 0.0
        step = _step(volume)
        for top in range(0, len(volume), step):
            bottom = min(top + step, len(volume))
            if way is not None:
                volume[top:bottom] = way.planes(pixels, top, bottom, outside, meant)
            else:
                volume[top:bottom] = pixels[top:bottom] if meant is None else meant(pixels[top:bottom])
        true = np.moveaxis(volume, self.axis, 0)
        step = _step(self.stack)
        for first in range(0, len(true), step):
            fill_padded(self.stack[first : first + step], true[first : first + step], mode)


def _lowest(pixels: npt.NDArray[Any], meant: Meaning | None) -> float:
    if meant is None:
        return float(pixels.min())
    # One way or the other, what is meant grows with what is stored.
    return float(meant(np.array([pixels.min(), pixels.max()])).min())


def _step(array: npt.NDArray[Any]) -> int:
    return max(1, BLOCK_BYTES // max(1, int(array[0].nbytes)))
