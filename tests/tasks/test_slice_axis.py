import numpy as np
import pandas as pd
import pytest

from segscale.storage.catalog import SLICE_AXIS, SPACING
from segscale.tasks.geometry import Vector
from segscale.tasks.slice_axis import Asked, slice_axis, slice_axis_column, stacked, stacks_of

NO_SPACING = (np.nan, np.nan, np.nan)


@pytest.mark.parametrize(
    ("size", "spacing", "asked", "axis", "stack"),
    [
        pytest.param((4, 6, 5), (3.0, 0.5, 0.5), "auto", "d", (4, 6, 5), id="thick slices along D"),
        pytest.param((4, 6, 5), (0.5, 3.0, 0.5), "auto", "h", (6, 4, 5), id="along H"),
        pytest.param((4, 6, 5), (0.5, 0.5, 3.0), "auto", "w", (5, 4, 6), id="along W"),
        pytest.param((4, 6, 5), (0.8, 0.8, 0.80000114), "auto", "d", (4, 6, 5), id="equal but for the digits"),
        pytest.param((4, 6, 5), None, "auto", "d", (4, 6, 5), id="nobody says how far"),
        pytest.param((4, 6, 5), (3.0, 0.5, 0.5), "w", "w", (5, 4, 6), id="as asked"),
        pytest.param((1, 6, 5), (0.5, 3.0, 0.5), "auto", "", (1, 6, 5), id="a picture is one slice"),
        pytest.param((1, 6, 5), None, "h", "", (1, 6, 5), id="whatever is asked"),
        pytest.param((4, 1, 5), (3.0, 0.5, 0.5), "auto", "h", (1, 4, 5), id="a slice is not cut into lines"),
        pytest.param((0, 0, 0), None, "auto", "", (1, 0, 0), id="nobody knows its size"),
    ],
)
def test_slice_axis(size: tuple[int, int, int], spacing: Vector | None, asked: Asked, axis: str, stack: object) -> None:
    assert slice_axis(size, spacing, asked) == axis
    sizes = np.array([size])
    columns = {name: pd.Series([value]) for name, value in zip(SPACING, spacing or NO_SPACING, strict=True)}
    column = slice_axis_column(sizes, columns, asked, pd.RangeIndex(1))[SLICE_AXIS]
    assert column.tolist() == [axis], "of many at once"
    assert stacks_of(sizes, column).tolist() == [list(stack)]  # type: ignore[call-overload]
    if size[0]:
        assert stacked(size, axis) == stack
