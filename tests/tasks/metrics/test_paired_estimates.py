"""Differences of one class over the same images: values, resamples and swaps by hand."""

import numpy as np
import pytest

from segscale.tasks.metrics.count_columns import CountColumns
from segscale.tasks.metrics.paired_estimates import PairedEstimate, Units, estimate_pair, mean_over_classes
from segscale.tasks.metrics.settings import ScoreSettings

SETTINGS = ScoreSettings(bootstrap=50)


def _counts(rows: list[tuple[int, int, int]], soft: float = 1.0) -> CountColumns:
    tp, fp, fn = np.array(rows, np.int64).T
    return CountColumns(tp, fp, fn, 100 - tp - fp - fn, tp + fn, soft * tp, soft * (tp + fp), soft * (tp + fp))


def _estimate(
    a: CountColumns, b: CountColumns, metric: str, aggregation: str, units: Units | None = None
) -> PairedEstimate:
    found = estimate_pair(a, b, units or Units(np.arange(a.size), a.size), SETTINGS, [0])
    chosen = [one for one in found if (one.metric, one.aggregation) == (metric, aggregation)]
    assert len(chosen) == 1
    return chosen[0]


# Dice 1 and 0 in a; 2/3 and 1/2 in b. Pooled 2/3 of (2 + 0)/(2 + 1); (2 + 2)/(3 + 4) = 4/7.
A, B = _counts([(1, 0, 0), (0, 0, 1)]), _counts([(1, 1, 0), (1, 2, 0)])


def test_per_sample_by_hand() -> None:
    one = _estimate(A, B, "dice", "per_sample")
    assert one.value_a == 0.5
    assert one.value_b == pytest.approx(7 / 12)
    assert one.difference == pytest.approx(1 / 12)
    np.testing.assert_allclose(one.unit_differences, [-1 / 3, 1 / 2])
    # None, the first, the second, both swapped.
    np.testing.assert_allclose(one.permuted, np.array([1 / 6, 5 / 6, -5 / 6, -1 / 6]) / 2)


def test_pooled_by_hand() -> None:
    one = _estimate(A, B, "dice", "pooled")
    assert one.difference == pytest.approx(4 / 7 - 2 / 3)
    swapped_first = (2 + 2) / (2 + 4) - (2 + 0) / (3 + 1)
    np.testing.assert_allclose(one.permuted, [4 / 7 - 2 / 3, swapped_first, -swapped_first, 2 / 3 - 4 / 7])
    assert one.unit_differences.size == 0
    assert one.no_ranks == "a pooled score has no value per image to rank"


def test_resamples_are_paired() -> None:
    # Either image alone, or both: nothing else can come out if a and b are drawn together.
    one = _estimate(A, B, "dice", "pooled")
    possible = [4 / 7 - 2 / 3, 2 / 3 - 1, 1 / 2 - 0]
    assert one.replicates.size == 50
    assert all(np.isclose(value, possible).any() for value in one.replicates)


def test_clusters_are_swapped_whole() -> None:
    one = _estimate(A, B, "dice", "per_sample", Units(np.array([0, 0]), 1))
    np.testing.assert_allclose(one.permuted, [1 / 12, -1 / 12])
    np.testing.assert_allclose(one.unit_differences, [1 / 12])
    assert one.n_units == 1


def test_undefined_scores_are_counted_on_both_sides() -> None:
    a, b = _counts([(1, 0, 0), (0, 0, 0), (0, 0, 0)]), _counts([(1, 0, 0), (0, 3, 0), (0, 0, 0)])
    one = _estimate(a, b, "dice", "per_sample")
    assert (one.n_pairs, one.n_defined_only_a, one.n_defined_only_b) == (1, 0, 1)
    assert one.difference == 0


def test_label_maps_have_no_soft_difference() -> None:
    for aggregation in ("per_sample", "pooled"):
        one = _estimate(A, _counts([(1, 1, 0), (1, 2, 0)], soft=np.nan), "soft_dice", aggregation)
        assert np.isnan(one.difference)
        assert one.no_value == "a run over label maps has no soft scores"


def test_the_mean_over_classes_leaves_out_those_without_a_difference() -> None:
    nothing = _counts([(0, 0, 0), (0, 0, 0)])
    classes = [_estimate(A, B, "dice", "per_sample"), _estimate(nothing, nothing, "dice", "per_sample")]
    one = mean_over_classes(classes)
    assert one.difference == classes[0].difference
    np.testing.assert_array_equal(one.permuted, classes[0].permuted)
    assert one.no_ranks == "a mean over classes is not the score of an image"
    assert np.isnan(mean_over_classes(classes[1:]).difference)
