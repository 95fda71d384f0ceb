"""Percentiles and tolerances from histograms of distances alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segscale.errors import ArgumentError
from segscale.tasks.surfaces.distances import surface_distances
from segscale.tasks.surfaces.histograms import (
    EDGES,
    INFINITE,
    LARGEST_ERROR,
    distance_histogram,
    n_within,
    nsd_of_pair,
    percentile_of,
    percentile_of_pair,
)


@given(st.integers(0, 2**32), st.integers(1, 300), st.floats(0, 100), st.sampled_from((0.001, 0.8, 1.0, 300.0)))
def test_a_percentile_is_met_to_the_stated_bound(seed: int, n: int, q: float, step: float) -> None:
    generator = np.random.default_rng(seed)
    distances = np.sqrt((generator.integers(0, 40, (n, 3)) ** 2).sum(axis=1)) * step
    exact = np.percentile(distances, q)
    assert percentile_of(distance_histogram(distances), q) == pytest.approx(exact, rel=LARGEST_ERROR * (1 + 1e-9))


@given(st.integers(0, 2**32), st.integers(1, 999), st.integers(-3, 2), st.sampled_from((0.1, 0.7, 0.8, 1.0)))
def test_the_share_within_a_tolerance_of_three_digits_is_exact(
    seed: int, digits: int, decade: int, step: float
) -> None:
    tolerance = float(f"{digits}e{decade}")
    steps = np.random.default_rng(seed).integers(0, 40, (200, 3))
    distances = np.sqrt(((steps * step) ** 2).sum(axis=1))
    # Distances on the tolerance itself, with the rounding that three steps of 0.8 have.
    distances[:5] = tolerance * (1 + np.array([-2, -1, 0, 1, 2]) * 2.0**-52)
    exact = np.count_nonzero(distances <= tolerance * (1 + 1e-12))
    assert n_within(distance_histogram(distances), tolerance) == exact


def test_a_bin_ends_with_its_number() -> None:
    histogram = distance_histogram(np.array([0.0, 0.0, 2.4, 3 * 0.8, 2.4001, 2.41, 1e-7, 999.5, 1e6, 1e7, np.inf]))
    ends = [*EDGES, np.inf]
    assert [(ends[place], n) for place, n in zip(histogram.bins, histogram.counts, strict=True)] == [
        (0.0, 2), (1e-5, 1), (2.4, 2), (2.41, 2), (1000.0, 1), (1e6, 1), (np.inf, 2),
    ]  # fmt: skip
    assert histogram.bins.dtype == np.int16
    assert histogram.n_voxels == 11
    assert percentile_of(histogram, 100) == np.inf
    assert histogram.bins[-1] == INFINITE


def test_sums_are_histograms_of_all() -> None:
    one, other = np.array([0.0, 1.0, 2.0]), np.array([1.0, 1.0, 7.5])
    summed, all_of_them = (
        distance_histogram(one) + distance_histogram(other),
        distance_histogram(np.concatenate([one, other])),
    )
    np.testing.assert_array_equal(summed.bins, all_of_them.bins)
    np.testing.assert_array_equal(summed.counts, all_of_them.counts)


def test_of_nothing_nothing_is_known() -> None:
    assert np.isnan(percentile_of(distance_histogram(np.empty(0)), 95))
    assert n_within(distance_histogram(np.empty(0)), 1.0) == 0


@pytest.mark.parametrize("definition", ["larger", "pooled", "mean_directed"])
def test_a_pair_is_scored_as_from_its_masks(definition: Any) -> None:
    masks = np.random.default_rng(1).random((2, 6, 20, 70)) < 0.05
    found = surface_distances(masks[0], masks[1], (2.5, 0.8, 0.8))
    for q in (50, 95, 99, 100):
        exact = found.percentile(q, definition)
        assert percentile_of_pair(*found.histograms(), q, definition, 9.0) == pytest.approx(exact, rel=LARGEST_ERROR)
    assert nsd_of_pair(*found.histograms(), 2.4) == found.nsd(2.4)


def test_a_pair_of_which_one_side_is_empty() -> None:
    masks = np.zeros((2, 5, 70), bool)
    masks[0, 2, 3:9] = True
    one, nothing = surface_distances(masks[0], masks[1]).histograms()
    assert (one.bins.tolist(), one.counts.tolist(), nothing.n_voxels) == ([INFINITE], [6], 0)
    assert percentile_of_pair(one, nothing, 95, "larger", 7.5) == 7.5
    assert nsd_of_pair(one, nothing, 1e6) == 0.0
    assert np.isnan(percentile_of_pair(nothing, nothing, 95, "pooled", 7.5))
    assert np.isnan(nsd_of_pair(nothing, nothing, 1.0))
    with pytest.raises(ArgumentError, match="histograms know 'larger'"):
        percentile_of_pair(one, one, 95, "surface_weighted", 7.5)


@pytest.mark.parametrize("tolerance", [1.234, -1.0, 1e-7, 2e6, float("nan")])
def test_tolerances_between_bins_are_refused(tolerance: float) -> None:
    with pytest.raises(ArgumentError, match="at most three digits"):
        n_within(distance_histogram(np.ones(3)), tolerance)
