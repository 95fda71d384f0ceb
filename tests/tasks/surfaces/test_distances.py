"""Distances between surfaces: by hand, beside all pairs of voxels, and where masks are empty."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion
from scipy.spatial.distance import cdist

import segscale
from segscale.errors import ArgumentError
from segscale.tasks.surfaces.distances import SurfaceDistances, surface_distances

Mask = NDArray[np.bool_]
SCORES = ("hd", "hd95", "hd95_pooled", "hd95_mean_directed", "assd", "masd")
WIDTHS = (1, 2, 62, 63, 64, 65, 127, 128, 129)


def points(mask: Mask, spacing: Any) -> NDArray[np.float64]:
    """Centres of border voxels, by erosion."""
    return np.asarray(np.argwhere(mask & ~binary_erosion(mask)) * np.asarray(spacing))


@st.composite
def drawn_pairs(draw: st.DrawFn) -> tuple[Mask, Mask, tuple[float, ...]]:
    """Nothing, all, voxels at random, checkerboards, plates and boxes at the edge, of any shape; spacing up to 1:10."""
    n_axes = draw(st.sampled_from((2, 3)))
    shape = (*(draw(st.integers(1, 9)) for _ in range(n_axes - 1)), draw(st.sampled_from(WIDTHS)))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    spacing = tuple(float(step) for step in generator.uniform(0.3, 3.0, n_axes).round(2))

    def mask() -> Mask:
        kind = draw(st.sampled_from(("random", "checkerboard", "plate", "box", "voxel", "all", "nothing")))
        grid = np.indices(shape)
        if kind == "random":
            return np.asarray(generator.random(shape) < generator.choice([0.02, 0.3, 0.9]))
        if kind == "checkerboard":
            return np.asarray(grid.sum(axis=0) % 2 == 0)
        if kind == "plate":
            axis = generator.integers(n_axes)
            return np.asarray(grid[axis] == generator.integers(shape[axis]))
        found = np.full(shape, kind == "all")
        if kind == "box":
            found[tuple(slice(0, generator.integers(1, n + 1)) for n in shape)] = True
        if kind == "voxel":
            found[tuple(generator.integers(shape))] = True
        return found

    return mask(), mask(), draw(st.sampled_from((spacing, (10.0, *[1.0] * (n_axes - 1)))))


@given(drawn_pairs())
def test_distances_are_those_between_all_pairs_of_border_voxels(pair: tuple[Mask, Mask, tuple[float, ...]]) -> None:
    reference, prediction, spacing = pair
    one, other = points(reference, spacing), points(prediction, spacing)
    ours = surface_distances(reference, prediction, spacing, missing="inf")
    distances = cdist(one, other) if len(one) and len(other) else np.full((len(one), len(other)), np.inf)
    np.testing.assert_allclose(np.sort(ours.from_reference), np.sort(distances.min(1, initial=np.inf)), rtol=1e-12)
    np.testing.assert_allclose(np.sort(ours.from_prediction), np.sort(distances.min(0, initial=np.inf)), rtol=1e-12)
    either = len(one) + len(other) - np.count_nonzero(distances == 0)
    assert ours.boundary_iou == pytest.approx(
        np.count_nonzero(distances == 0) / either if either else np.nan, nan_ok=True
    )
    if len(one) and len(other):
        directed = distances.min(1), distances.min(0)
        percentiles = [np.percentile(side, 95) for side in directed]
        assert ours.hd == pytest.approx(max(side.max() for side in directed))
        assert ours.hd95 == pytest.approx(max(percentiles))
        assert ours.hd95_mean_directed == pytest.approx(np.mean(percentiles))
        assert ours.hd95_pooled == pytest.approx(np.percentile(np.concatenate(directed), 95))
        assert ours.assd == pytest.approx(np.concatenate(directed).mean())
        assert ours.masd == pytest.approx(np.mean([side.mean() for side in directed]))
        assert ours.nsd(1.234567) == pytest.approx(np.mean(np.concatenate(directed) <= 1.234567))


def scores(found: SurfaceDistances) -> list[float]:
    return [*(getattr(found, name) for name in SCORES), found.nsd(1.0), found.boundary_iou]


@given(drawn_pairs(), st.permutations(range(3)))
def test_scores_do_not_depend_on_the_order_of_axes_or_memory(
    pair: tuple[Mask, Mask, tuple[float, ...]], axes: list[int]
) -> None:
    reference, prediction, spacing = pair
    order = [axis for axis in axes if axis < reference.ndim]
    turned = (reference.transpose(order), np.asfortranarray(prediction.transpose(order)), [spacing[a] for a in order])
    flipped = (reference[..., ::-1], prediction[..., ::-1], spacing)
    expected = scores(surface_distances(reference, prediction, spacing))
    np.testing.assert_allclose(scores(surface_distances(*turned)), expected, rtol=1e-12)
    np.testing.assert_allclose(scores(surface_distances(*flipped)), expected, rtol=1e-12)
    np.testing.assert_allclose(scores(surface_distances(prediction, reference, spacing)), expected, rtol=1e-12)


def cube(size: int, first: int, last: int) -> Mask:
    mask = np.zeros((size, size, size), bool)
    mask[first : last + 1, first : last + 1, first : last + 1] = True
    return mask


def test_two_voxels_two_millimetres_apart() -> None:
    reference, prediction = np.zeros((2, 1, 1, 3), bool)
    reference[0, 0, 0] = prediction[0, 0, 2] = True
    found = surface_distances(reference, prediction, (5.0, 5.0, 1.0))
    assert scores(found) == [2.0] * len(SCORES) + [0.0, 0.0]
    assert (found.nsd(2.0), found.nsd(1.9), found.distance_unit) == (1.0, 0.0, "mm")
    assert surface_distances(reference, prediction).distance_unit == "px"


def test_a_cube_in_a_cube() -> None:
    """Of 5 in 9 voxels: from each of the 98 inner border voxels it is 2 steps outward; from the 386 outer ones 2 across
    a face (6 x 25), the root of 8 across an edge, where 1 or 2 of the coordinates are beyond (12 x 5 of 2, ...).
    """
    inner, outer = cube(11, 3, 7), cube(11, 1, 9)
    found = surface_distances(inner, outer, (1, 1, 1))
    assert found.from_reference.size == 5**3 - 3**3
    assert found.from_prediction.size == 9**3 - 7**3
    np.testing.assert_array_equal(found.from_reference, 2.0)
    # By coordinates: how far each lies beyond the inner cube, 0 to 2 steps along each axis.
    beyond = [np.clip(np.abs(np.arange(-4, 5)) - 2, 0, None)] * 3
    expected = sorted(np.sqrt(a * a + b * b + c * c) for a, b, c in product(*beyond) if max(a, b, c) == 2)
    np.testing.assert_allclose(np.sort(found.from_prediction), expected)
    assert found.hd == pytest.approx(np.sqrt(12))
    assert found.boundary_iou == 0


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.0, 1.0, 0.5)])
def test_a_sphere_against_its_shifted_self(spacing: tuple[float, float, float]) -> None:
    """From a sphere to itself moved by d the farthest points are d apart; voxels are off by at most their diagonal."""
    shift, radius = 8, 12.0
    shape = [int(2 * radius / step) + 40 for step in spacing]
    centre = np.array(shape).reshape(3, 1, 1, 1) // 2
    away = (np.indices(shape) - centre) * np.array(spacing).reshape(3, 1, 1, 1)
    sphere = (away**2).sum(axis=0) <= radius**2
    found = surface_distances(sphere, np.roll(sphere, shift, axis=2), spacing)
    diagonal = float(np.linalg.norm(spacing))
    assert found.hd == pytest.approx(shift * spacing[2], abs=diagonal)
    # The distance from a point at angle t is |sqrt(r^2 + d^2 - 2 r d cos t) - r|; its mean over the sphere.
    cosines, d = np.linspace(-1, 1, 100_001), shift * spacing[2]
    mean = np.abs(np.sqrt(radius**2 + d**2 - 2 * radius * d * cosines) - radius).mean()
    assert found.assd == pytest.approx(mean, abs=diagonal / 2)


@pytest.mark.parametrize(
    ("missing", "distance", "share"),
    [("worst", np.sqrt((3 * 2.5) ** 2 + (4 * 0.5) ** 2 + 69**2), 0.0), ("inf", np.inf, 0.0), ("nan", np.nan, np.nan)],
)
@pytest.mark.parametrize("empty", ["prediction", "reference"])
def test_where_one_mask_is_empty(missing: Any, distance: float, share: float, empty: str) -> None:
    masks = np.zeros((2, 4, 5, 70), bool)
    masks[int(empty == "reference"), 1:3, 2, 3:9] = True
    found = surface_distances(masks[0], masks[1], (2.5, 0.5, 1.0), missing=missing)
    assert [getattr(found, name) for name in SCORES] == pytest.approx([distance] * len(SCORES), nan_ok=True)
    assert found.hd95_surface_weighted == pytest.approx(distance, nan_ok=True)
    assert found.nsd(1e6) == pytest.approx(share, nan_ok=True)
    assert found.boundary_iou == 0.0


@pytest.mark.parametrize("missing", ["worst", "inf", "nan"])
@pytest.mark.parametrize("shape", [(4, 5), (3, 4, 5), (0, 4), (3, 0, 5)])
def test_where_both_are_empty_nothing_is_defined(missing: Any, shape: tuple[int, ...]) -> None:
    found = surface_distances(np.zeros(shape, bool), np.zeros(shape, bool), missing=missing)
    assert np.isnan(scores(found)).all()
    assert np.isnan(found.hd95_surface_weighted)


def test_a_label_of_two_label_maps() -> None:
    labels = np.zeros((2, 8, 9), np.int16)
    labels[0, 2, 2], labels[1, 2, 5], labels[:, 7, 7] = 300, 300, 1
    assert surface_distances(labels[0], labels[1], label=300).hd == 3.0
    assert surface_distances(labels[0] == 300, labels[1] == 300).hd == 3.0
    assert (
        surface_distances((labels[0] == 300).astype(np.uint8), (labels[1] == 300).astype(float).astype(int)).hd == 3.0
    )


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_results_do_not_depend_on_threads(n_threads: int) -> None:
    generator = np.random.default_rng(1)
    masks = generator.random((2, 30, 60, 200)) < 0.2
    one = surface_distances(masks[0], masks[1], (2.5, 0.8, 0.7), n_threads=1)
    other = surface_distances(masks[0], masks[1], (2.5, 0.8, 0.7), n_threads=n_threads)
    np.testing.assert_array_equal(one.from_reference, other.from_reference)
    np.testing.assert_array_equal(one.from_prediction, other.from_prediction)


MASK = np.ones((3, 4), bool)
REFUSED: dict[str, tuple[Any, str]] = {
    "shapes that differ": (lambda: surface_distances(MASK, MASK[:2]), r"got \(3, 4\) as the reference and \(2, 4\)"),
    "one axis": (lambda: surface_distances(MASK[0], MASK[0]), "images or volumes"),
    "probabilities": (lambda: surface_distances(MASK * 0.5, MASK), "probabilities >= 0.5"),
    "labels without one": (lambda: surface_distances(MASK, MASK * 2), "the prediction holds labels from 2 to 2"),
    "negative labels": (lambda: surface_distances(MASK * -1, MASK), "the reference holds labels from -1 to -1"),
    "a label of a mask": (lambda: surface_distances(MASK, MASK, label=2), "label 2 is not to be had"),
    "spacing of other axes": (lambda: surface_distances(MASK, MASK, (1, 1, 1)), "expected 2 lengths in mm"),
    "spacing of nothing": (lambda: surface_distances(MASK, MASK, (1, 0)), "expected 2 lengths in mm"),
    "an unknown rule": (lambda: surface_distances(MASK, MASK, missing="zero"), "'worst', 'inf' or 'nan'"),  # type: ignore[arg-type]
    "an unknown definition": (lambda: surface_distances(MASK, MASK).percentile(95, "mean"), "expected one of larger"),  # type: ignore[arg-type]
    "a percentile above": (lambda: surface_distances(MASK, MASK).percentile(101), "expected 0 to 100"),
    "a tolerance below": (lambda: surface_distances(MASK, MASK).nsd(-1), "expected 0 or more"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_can_be_read_in_two_ways_or_none_is_refused(name: str) -> None:
    call, message = REFUSED[name]
    with pytest.raises(ArgumentError, match=message):
        call()


def test_it_is_public() -> None:
    assert segscale.surface_distances is surface_distances
