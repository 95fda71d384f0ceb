"""What smoothing, failures, lesion sizes and batches do to a number, as a finding."""

from collections.abc import Callable

import pandas as pd
import pytest

from segscale.tasks.metrics.aggregate import batch_summed, per_sample
from segscale.tasks.metrics.aggregate_signatures import (
    batch_size_notes,
    failed_images,
    gap_notes,
    short_last_batch_notes,
    smoothed_empty_references,
)
from segscale.tasks.metrics.gap import gap
from segscale.tasks.metrics.panel import panel_of
from segscale.tasks.metrics.prediction_signatures import ClassCase, cases_of
from segscale.tasks.metrics.settings import EmptyPolicy, ScoreSettings

Frames = Callable[..., pd.DataFrame]


def _case(frame: pd.DataFrame) -> ClassCase:
    (case,) = cases_of(panel_of(frame))
    return case


def test_smoothed_empty_references_by_hand(frame_of: Frames) -> None:
    chosen = ScoreSettings(smooth=1.0, empty="smooth")
    found = smoothed_empty_references(_case(frame_of([(0, 0, 0), (0, 1, 0), (0, 99, 0), (10, 0, 0)])), chosen)
    assert found is not None
    assert found.severity == "warning"
    assert "3 of 4 images have no reference; smooth = 1 gives them Dice 0.01 to 1;" in found.evidence
    # (1 + 1/2 + 1/100 + 1)/4, and without smoothing (0 + 0 + 1)/3.
    assert "is 0.6275 with it and 0.3333 without" in found.evidence


@pytest.mark.parametrize(
    ("counts", "smooth", "empty"),
    [
        pytest.param([(0, 1, 0), (9, 0, 1)], 0.0, "nan", id="no smoothing"),
        pytest.param([(9, 1, 0), (9, 0, 1)], 1.0, "smooth", id="no empty reference"),
        pytest.param([(0, 0, 0), (9, 0, 1)], 1.0, "nan", id="both empty, left out by the policy"),
    ],
)
def test_no_smoothed_empty_reference(
    frame_of: Frames, counts: list[tuple[int, int, int]], smooth: float, empty: EmptyPolicy
) -> None:
    assert smoothed_empty_references(_case(frame_of(counts)), ScoreSettings(smooth=smooth, empty=empty)) is None


def test_a_little_smoothing_is_a_note(frame_of: Frames) -> None:
    found = smoothed_empty_references(_case(frame_of([(0, 90, 0), (9, 0, 1)])), ScoreSettings(smooth=1e-5))
    assert found is not None
    assert found.severity == "note"


def test_failed_images_by_hand(frame_of: Frames) -> None:
    frame = frame_of([(9, 1, 1), (9, 1, 1), (9, 1, 1)], failed=[1])
    found = failed_images(per_sample(frame, ScoreSettings()))
    assert found is not None
    assert found.severity == "warning"
    assert "1 of 3 images failed" in found.evidence
    assert "0.9000 without them, 0.6000 with them as 0" in found.evidence


def test_a_run_of_which_everything_failed_is_an_error(frame_of: Frames) -> None:
    found = failed_images(per_sample(frame_of([(1, 1, 1)], failed=[0]), ScoreSettings()))
    assert found is not None
    assert found.severity == "error"


def test_nothing_failed(frame_of: Frames) -> None:
    assert failed_images(per_sample(frame_of([(1, 1, 1)]), ScoreSettings())) is None


def test_missed_small_lesions_are_a_note_with_the_gap(frame_of: Frames) -> None:
    frame = frame_of([(36, 0, 0), (0, 0, 2)])
    (found,) = gap_notes(gap(frame, ScoreSettings()), [_case(frame)])
    assert (found.signature, found.severity) == ("pooled-differs", "note")
    assert "pooled Dice 0.9730, mean over images 0.5000; the gap +0.4730 is +0.4730 covariance" in found.evidence
    assert "1 images with a reference score 0 and hold 5.26% of its pixels" in found.evidence


def test_large_images_that_score_worse_are_a_note_too(frame_of: Frames) -> None:
    frame = frame_of([(10, 40, 30), (2, 0, 0)])
    (found,) = gap_notes(gap(frame, ScoreSettings()), [_case(frame)])
    assert found.cause.startswith("the pooled score is below the mean")


def test_equal_images_have_no_notes(frame_of: Frames) -> None:
    frame = frame_of([(9, 1, 1)] * 5)
    assert list(gap_notes(gap(frame, ScoreSettings()), [_case(frame)])) == []
    table = batch_summed(frame, ScoreSettings(batch_sizes=(1, 2)))
    assert list(batch_size_notes(table)) == list(short_last_batch_notes(table)) == []


def test_the_batch_size_curve_is_a_note(frame_of: Frames) -> None:
    table = batch_summed(frame_of([(36, 0, 0), (0, 0, 2)]), ScoreSettings(batch_sizes=(1,)))
    (found,) = batch_size_notes(table)
    assert found.severity == "note"
    assert "Dice by images per batch 1: 0.5000, 2 (all): 0.9730" in found.evidence


def test_a_short_last_batch_by_hand(frame_of: Frames) -> None:
    # 7 x 32 images of Dice 0.9 and 3 of 0.5: (224 x 0.9 + 3 x 0.5)/227 and (7 x 0.9 + 0.5)/8.
    table = batch_summed(frame_of([(9, 1, 1)] * 224 + [(1, 1, 1)] * 3), ScoreSettings(batch_sizes=(32,)))
    (found,) = short_last_batch_notes(table)
    assert found.severity == "note"
    assert "8 batches of 32: 0.8947 weighted by images, 0.8500 with equal weights" in found.evidence
