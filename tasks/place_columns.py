"""Place columns: where each image of a set lies, and how far its voxels are apart, as columns of its catalog."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from segscale.storage.catalog import PLACE, SPACING
from segscale.tasks.geometry import Vector
from segscale.tasks.grids import from_text
from segscale.tasks.spacing import spacing_of


def place_columns(
    places: Sequence[str], known: npt.NDArray[np.bool_], given: Vector | None, index: pd.Index
) -> dict[str, pd.Series]:
    """The columns `SPACING` (float64, NaN where nobody says) and `PLACE` (text, "" likewise) of images.

    places: of each image as `grids.to_text` has it; known: whether its size was read; given: the spacing in mm of those
    that say nothing of it.
    """
    spacings = np.full((len(places), len(SPACING)), np.nan)
    if given is not None:
        spacings[known] = given
    texts = np.full((len(places), len(PLACE)), "", object)
    for row, text in enumerate(places):
        if not text:
            continue
        grid = from_text(text, (0, 0, 0))
        spacings[row] = spacing_of(grid, given)
        if grid.geometry is not None:
            texts[row] = ["; ".join(_numbers(one) for one in grid.geometry.directions), _numbers(grid.geometry.origin)]
    return {
        **{name: pd.Series(spacings[:, column], index) for column, name in enumerate(SPACING)},
        **{name: pd.Series(texts[:, column], index, dtype="str") for column, name in enumerate(PLACE)},
    }


def _numbers(vector: Vector) -> str:
    return " ".join(map(repr, vector))
