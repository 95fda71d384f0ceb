"""The mean of folds beside the mean of cases."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segscale.errors import ArgumentError
from segscale.tasks.metrics.aggregate import per_sample
from segscale.tasks.metrics.settings import ScoreSettings

Frames = Callable[..., pd.DataFrame]
Rows = Callable[..., pd.Series]
IMAGES = st.lists(st.tuples(*[st.integers(0, 9)] * 3, st.integers(0, 3)), min_size=1, max_size=15)


@given(images=IMAGES)
def test_each_fold_weighs_alike(frame_of: Frames, row_of: Rows, images: list[tuple[int, int, int, int]]) -> None:
    frame = frame_of([image[:3] for image in images], fold=[image[3] for image in images])
    table = per_sample(frame, ScoreSettings(folds="fold"))
    plain = per_sample(frame, ScoreSettings())
    rows = pd.DataFrame(images, columns=["tp", "fp", "fn", "fold"])
    rows["dice"] = 2 * rows["tp"] / (2 * rows["tp"] + rows["fp"] + rows["fn"])
    of_folds = rows.groupby("fold")["dice"].mean()
    row = row_of(table, class_index=1, metric="dice")
    np.testing.assert_allclose(row["mean_of_folds"], of_folds.mean(), rtol=1e-12)
    assert row["n_folds"] == of_folds.notna().sum()
    others = [name for name in table if name not in ("mean_of_folds", "n_folds")]
    pd.testing.assert_frame_equal(table[others], plain[others], check_exact=True)
    assert plain["mean_of_folds"].isna().all()
    assert plain["n_folds"].isna().all()


def test_units_are_averaged_within_their_folds(frame_of: Frames, row_of: Rows) -> None:
    frame = frame_of(
        [(1, 0, 0), (0, 0, 9), (3, 1, 1), (0, 1, 1)], patient=["a", "a", "b", "c"], fold=["x", "x", "x", "y"]
    )
    table = per_sample(frame, ScoreSettings(unit="patient", folds="fold"))
    of_units = row_of(table, unit="patient", class_index=1, metric="dice")
    assert of_units["mean_of_folds"] == pytest.approx(((2 / 11 + 6 / 8) / 2 + 0) / 2)
    of_images = row_of(table, unit="image", class_index=1, metric="dice")
    assert of_images["mean_of_folds"] == pytest.approx(((1 + 0 + 6 / 8) / 3 + 0) / 2)
    macro = row_of(table, unit="image", class_name="all_macro", metric="dice")
    assert macro["mean_of_folds"] == of_images["mean_of_folds"]
    assert macro["n_folds"] is pd.NA


def test_an_image_of_no_fold_is_refused(frame_of: Frames) -> None:
    frame = frame_of([(1, 1, 1)] * 3, failed=[2], fold=["x", "y", None])
    with pytest.raises(ArgumentError, match=r"folds: .* none for 1 image \(image2\)"):
        per_sample(frame, ScoreSettings(folds="fold"))
