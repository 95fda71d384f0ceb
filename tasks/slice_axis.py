"""Slice axis: along which axis of a volume its slices follow one another, for networks and for tables of slices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from segscale.storage.catalog import SLICE_AXIS, SPACING
from segscale.tasks.geometry import Vector
from segscale.tasks.grids import Size
from segscale.tasks.spacing import coarsest_axis

Asked = Literal["auto", "d", "h", "w"]
NAMES = "dhw"


def slice_axis(size: Size, spacing: Vector | None, asked: Asked) -> str:
    """The axis of a volume of `size` (D, H, W): "d", "h" or "w"; "" of a picture, which is one slice whatever is asked.

    "auto" takes an axis of one voxel where there is one, so that a slice never becomes a heap of lines; else the
    coarsest.

    >>> slice_axis((200, 200, 30), (0.8, 0.8, 3.0), "auto"), slice_axis((200, 1, 200), None, "auto")
    ('w', 'h')
    >>> slice_axis((40, 512, 512), None, "auto"), slice_axis((1, 512, 512), (0.5, 2.0, 1.0), "h")
    ('d', '')
    """
    if size[0] <= 1:
        return ""
    if asked != "auto":
        return asked
    return NAMES[size.index(1) if 1 in size else coarsest_axis(spacing)]


def axis_index(name: str) -> int:
    """The number of a slice axis, 0 to 2; that of a picture is 0."""
    return max(0, NAMES.find(name)) if name else 0


def stacked(size: Size, name: str) -> Size:
    """Slices, and the height and width of each: the slice axis first, the others in their order.

    >>> stacked((40, 512, 256), "w"), stacked((1, 20, 30), "")
    ((256, 40, 512), (1, 20, 30))
    """
    axis = axis_index(name)
    height, width = (side for place, side in enumerate(size) if place != axis)
    return size[axis], height, width


def stacks_of(sizes: npt.NDArray[np.int64], axes: pd.Series[str]) -> npt.NDArray[np.int64]:
    """Of images of these sizes (n, 3) and slice axes: slices, at least one, and their height and width, (n, 3)."""
    stacks = sizes.copy()
    for name in NAMES[1:]:
        turned, axis = (axes == name).to_numpy(), axis_index(name)
        stacks[turned] = sizes[turned][:, [axis, *(place for place in range(3) if place != axis)]]
    stacks[:, 0] = np.maximum(stacks[:, 0], 1)
    return stacks


def stacks_in(catalog: pd.DataFrame) -> npt.NDArray[np.int64]:
    """The same of the images of a catalog."""
    return stacks_of(catalog[["depth", "height", "width"]].to_numpy(np.int64), catalog[SLICE_AXIS])


def slice_axis_column(
    sizes: npt.NDArray[np.int64], columns: dict[str, pd.Series], asked: Asked, index: pd.Index
) -> dict[str, pd.Series]:
    """The column `SLICE_AXIS` of images of these sizes (n, 3), zeros where nobody knows, with their `SPACING`."""
    spacings = np.stack([columns[name].to_numpy(np.float64) for name in SPACING], axis=1)
    is_volume = sizes[:, 0] > 1
    found = np.where(is_volume, "d" if asked == "auto" else asked, "").astype(object)
    if asked == "auto":
        # Of the others nothing but their sides says anything.
        is_known = ~np.isnan(spacings).any(axis=1) | (sizes == 1).any(axis=1)
        for row in np.flatnonzero(is_volume & is_known):
            spacing = None if np.isnan(spacings[row]).any() else _triple(spacings[row].tolist())
            depth, height, width = map(int, sizes[row])
            found[row] = slice_axis((depth, height, width), spacing, asked)
    return {SLICE_AXIS: pd.Series(found, index, dtype="str")}


def _triple(values: Sequence[float]) -> Vector:
    return cast("Vector", tuple(values))
