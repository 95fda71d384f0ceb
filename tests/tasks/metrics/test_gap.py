"""The gap, its terms, and what one image does to it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segscale.tasks.metrics.aggregate import batch_summed, per_sample
from segscale.tasks.metrics.gap import gap, leave_one_out
from segscale.tasks.metrics.settings import ScoreSettings

Frames = Callable[..., pd.DataFrame]
Rows = Callable[..., pd.Series]

TRIPLES = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=25)
TERMS = ["covariance_term", "smoothing_term", "undefined_term"]


def test_missed_small_lesions_by_hand(frame_of: Frames, row_of: Rows) -> None:
    row = row_of(gap(frame_of([(36, 0, 0), (0, 0, 2)]), ScoreSettings()), class_index=1, metric="dice")
    assert row["per_sample_mean"] == 0.5
    assert row["pooled"] == pytest.approx(72 / 74)
    # w = 72, 2 and D = 1, 0: the population covariance is 17.5, the mean weight 37.
    assert row["covariance_term"] == pytest.approx(17.5 / 37)
    assert row["smoothing_term"] == row["undefined_term"] == 0


def test_undefined_term_by_hand(frame_of: Frames, row_of: Rows) -> None:
    row = row_of(gap(frame_of([(1, 1, 1), (0, 0, 0)]), ScoreSettings(empty="one")), class_index=1, metric="dice")
    assert (row["per_sample_mean"], row["pooled"]) == (0.75, 0.5)
    assert (row["covariance_term"], row["smoothing_term"], row["undefined_term"]) == (0, 0, -0.25)


def test_smoothing_term_by_hand(frame_of: Frames, row_of: Rows) -> None:
    chosen = ScoreSettings(empty="smooth", smooth=1)
    row = row_of(gap(frame_of([(1, 1, 1), (0, 0, 0)]), chosen), class_index=1, metric="dice")
    assert row["per_sample_mean"] == pytest.approx((3 / 5 + 1) / 2)
    assert row["pooled"] == pytest.approx(3 / 5)
    assert row["covariance_term"] == row["undefined_term"] == 0
    assert row["smoothing_term"] == pytest.approx(0.6 - 0.8)


@given(images=TRIPLES, empty=st.sampled_from(["nan", "one", "zero", "smooth"]), smooth=st.sampled_from([0.0, 1.0]))
def test_terms_sum_to_the_gap_between_the_reported_scores(
    frame_of: Frames, images: list[tuple[int, int, int]], empty: Any, smooth: float
) -> None:
    chosen = ScoreSettings(empty=empty, smooth=smooth, batch_sizes=())
    frame = frame_of(images)
    table = gap(frame, chosen)
    np.testing.assert_allclose(table[TERMS].sum(axis=1, skipna=False), table["gap"], atol=1e-12)
    keys = ["class_name", "metric"]
    for column, reported in (("per_sample_mean", per_sample(frame, chosen)), ("pooled", batch_summed(frame, chosen))):
        merged = table.merge(reported[[*keys, "mean"]], on=keys)
        np.testing.assert_array_equal(merged[column], merged["mean"])


@given(images=TRIPLES)
def test_covariance_term_is_the_covariance_over_the_mean_weight(
    frame_of: Frames, row_of: Rows, images: list[tuple[int, int, int]]
) -> None:
    tp, fp, fn = np.array(images, float).T
    w = tp + 0.3 * fp + 0.7 * fn
    w, tp = w[w > 0], tp[w > 0]
    row = row_of(gap(frame_of(images), ScoreSettings()), class_index=1, metric="tversky")
    expected = np.cov(w, tp / w, ddof=0)[0, 1] / w.mean() if w.size else np.nan
    np.testing.assert_allclose(row["covariance_term"], expected, atol=1e-12)


def test_leaving_one_out_is_what_the_rest_would_give(frame_of: Frames, row_of: Rows) -> None:
    images = [(6, 2, 4), (0, 0, 0), (50, 1, 1), (0, 3, 0)]
    changes = leave_one_out(frame_of(images), ScoreSettings())
    everything = row_of(gap(frame_of(images), ScoreSettings()), class_index=1, metric="dice")["pooled"]
    for place in range(len(images)):
        rest = row_of(
            gap(frame_of(images[:place] + images[place + 1 :]), ScoreSettings()), class_index=1, metric="dice"
        )
        change = row_of(changes, image_id=f"image{place}", class_index=1, metric="dice")["pooled_change"]
        assert change == pytest.approx(rest["pooled"] - everything, abs=1e-15)
    assert changes["pooled_change"].notna().all()


def test_leaving_out_the_only_image_leaves_nothing(frame_of: Frames) -> None:
    changes = leave_one_out(frame_of([(6, 2, 4)]), ScoreSettings())
    assert changes["pooled_change"].isna().all()
