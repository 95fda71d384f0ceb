"""Regions count as the binary masks of their classes do, and change nothing that is said over classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from segscale.errors import ArgumentError
from segscale.storage import parts
from segscale.tasks.counting import class_pixels, count_rows
from segscale.tasks.labels import IGNORED, LabelRule
from segscale.tasks.metrics.aggregate import batch_summed, per_sample
from segscale.tasks.metrics.gap import gap
from segscale.tasks.metrics.intervals import intervals
from segscale.tasks.metrics.overlap import CLASS_COLUMNS, OverlapCounts, count_overlap
from segscale.tasks.metrics.per_image import IS_REGION, regions_of, score_images
from segscale.tasks.metrics.regions import Regions, without_none
from segscale.tasks.metrics.settings import ScoreSettings
from segscale.tasks.metrics.stacks import count_overlaps
from segscale.tasks.stored_pair import count_stored

SETTINGS = ScoreSettings(bootstrap=20, batch_sizes=(1, 2), group_by=("site",), unit="patient", folds="fold")
HARD = ("true_positive", "false_positive", "false_negative", "true_negative", "reference_sum")


@dataclass(frozen=True)
class Images:
    """References and predictions of N images, and regions of their classes."""

    n_classes: int
    regions: Regions
    references: NDArray[np.uint8]
    label_maps: NDArray[np.uint8]
    probabilities: NDArray[Any]


@st.composite
def images(draw: st.DrawFn, n_least: int = 1) -> Images:
    n_classes = draw(st.integers(2, 6))
    regions = draw(st.lists(st.sets(st.integers(0, n_classes - 1), min_size=1).map(tuple), min_size=1, max_size=4))
    shape = (draw(st.integers(n_least, 4)), *draw(st.tuples(st.integers(1, 9), st.integers(1, 12))))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    references, label_maps = generator.integers(0, n_classes, (2, *shape)).astype(np.uint8)
    references[generator.random(shape) < draw(st.sampled_from((0.0, 0.3)))] = IGNORED
    drawn = generator.dirichlet(np.full(n_classes, 0.3), shape)
    kinds: dict[str, NDArray[Any]] = {
        "float32": drawn.astype(np.float32),
        "float16": drawn.astype(np.float16),
        "uint8": _codes(drawn),
    }
    return Images(n_classes, tuple(regions), references, label_maps, kinds[draw(st.sampled_from(tuple(kinds)))])


def _codes(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    codes: NDArray[np.uint8] = np.minimum(np.floor(values * 256), 255).astype(np.uint8)
    codes.flat[0] = 200  # 0 and 1 alone would be labels
    return codes


def _binary(
    reference: NDArray[np.uint8], predicted: NDArray[np.uint8], region: tuple[int, ...]
) -> tuple[int, int, int, int, int]:
    """By plain numpy."""
    counted = reference != IGNORED
    held, found = np.isin(reference, region)[counted], np.isin(predicted, region)[counted]
    both = (held & found, ~held & found, held & ~found, ~held & ~found, held)
    tp, fp, fn, tn, held_pixels = (int(one.sum()) for one in both)
    return tp, fp, fn, tn, held_pixels


def _of(counts: OverlapCounts, place: int) -> tuple[int, ...]:
    return tuple(int(getattr(counts, name)[place]) for name in HARD)


@given(images())
def test_label_maps_count_as_binary_masks(drawn: Images) -> None:
    given: dict[str, Any] = {"n_classes": drawn.n_classes, "ignore_index": IGNORED}
    stack = count_overlaps(drawn.references, label_maps=drawn.label_maps, regions=drawn.regions, **given)
    for place, (reference, label_map) in enumerate(zip(drawn.references, drawn.label_maps, strict=True)):
        counts = count_overlap(reference, label_map=label_map, regions=drawn.regions, **given)
        for number, region in enumerate(drawn.regions):
            assert _of(counts, drawn.n_classes + number) == _binary(reference, label_map, region)
        assert counts == stack.image(place)
        rule = LabelRule(drawn.n_classes, ignored=IGNORED)
        if drawn.n_classes > 2:
            assert counts == count_stored(reference[None], label_map[None], None, rule, rule, drawn.regions)
        pixels = class_pixels(reference, drawn.n_classes, drawn.regions)
        assert pixels == counts.reference_sum.tolist()
        _expect_classes_alone(counts, count_overlap(reference, label_map=label_map, **given))


def _expect_classes_alone(counts: OverlapCounts, plain: OverlapCounts) -> None:
    assert (counts.n_pixels, counts.n_ignored) == (plain.n_pixels, plain.n_ignored)
    for name in (*CLASS_COLUMNS, "histogram_foreground", "histogram_background"):
        own = getattr(plain, name)
        np.testing.assert_array_equal(getattr(counts, name)[: len(own)], own)


@given(images())
def test_probabilities_are_summed_and_the_predicted_class_decides(drawn: Images) -> None:
    reference, stored = drawn.references[0], drawn.probabilities[0]
    given: dict[str, Any] = {"n_classes": drawn.n_classes, "probabilities": stored, "ignore_index": IGNORED}
    counts = count_overlap(reference, regions=drawn.regions, **given)
    _expect_classes_alone(counts, count_overlap(reference, **given))
    channels = stored.astype(np.float32) / np.float32(256 if stored.dtype == np.uint8 else 1)
    if drawn.n_classes == 2:
        predicted = (channels[..., 1] >= np.float32(0.5)).astype(np.uint8)
        channels = np.stack([1 - channels[..., 1], channels[..., 1]], axis=-1)
    else:
        predicted = channels.argmax(axis=-1).astype(np.uint8)
    counted = reference != IGNORED
    for number, region in enumerate(drawn.regions):
        place = drawn.n_classes + number
        assert _of(counts, place) == _binary(reference, predicted, region)
        # In the order in which the sum is documented, so that it is the same to the last bit.
        summed = np.zeros(reference.shape)
        for index in sorted(region):
            summed += channels[..., index]
        summed = np.minimum(summed, 1).astype(np.float32)[counted]
        held = np.isin(reference, region)[counted]
        assert counts.soft_prediction_sum[place] == pytest.approx(summed.sum(dtype=np.float64), rel=1e-12)
        assert counts.soft_intersection[place] == pytest.approx(summed[held].sum(dtype=np.float64), rel=1e-12)
        bins = np.minimum((summed * 256).astype(int), 255)
        row = counts.n_histograms - len(drawn.regions) + number
        np.testing.assert_array_equal(counts.histogram_foreground[row], np.bincount(bins[held], minlength=256))
        np.testing.assert_array_equal(counts.histogram_background[row], np.bincount(bins[~held], minlength=256))


def _per_image(drawn: Images, regions: Regions) -> pd.DataFrame:
    rows = []
    for number, (reference, probabilities) in enumerate(zip(drawn.references, drawn.probabilities, strict=True)):
        counts = count_overlap(
            reference, n_classes=drawn.n_classes, probabilities=probabilities, ignore_index=IGNORED, regions=regions
        )
        rows += [
            {**row, "site": f"s{number % 2}", "patient": f"p{number % 2}", "fold": number % 2}
            for row in count_rows(f"i{number}", "", counts)
        ]
    table = pd.DataFrame(rows).drop(columns=list(parts.HISTOGRAMS)).astype(dict.fromkeys(parts.COUNTS, "Int64"))
    names = [f"class {index}" for index in range(drawn.n_classes)] + [f"region {one}" for one in range(len(regions))]
    table.insert(3, "class_name", [names[index] for index in table["class_index"]])
    if regions:
        table.insert(4, IS_REGION, table["class_index"] >= drawn.n_classes)
    return score_images(table, SETTINGS)


@given(images(n_least=2))
def test_what_is_said_over_classes_knows_no_regions(drawn: Images) -> None:
    plain, beside = _per_image(drawn, ()), _per_image(drawn, drawn.regions)
    assert regions_of(plain) == ()
    assert regions_of(beside) == tuple(range(drawn.n_classes, drawn.n_classes + len(drawn.regions)))
    for make in (per_sample, batch_summed, gap, intervals):
        expected, found = make(plain, SETTINGS), make(beside, SETTINGS)
        is_region = found["class_index"] >= drawn.n_classes
        assert is_region.any()
        pd.testing.assert_frame_equal(found[~is_region].reset_index(drop=True), expected, check_exact=True)


@given(images())
def test_a_region_of_one_class_is_that_class(drawn: Images) -> None:
    regions = tuple((index,) for index in range(drawn.n_classes))
    for kind, prediction in (("label_map", drawn.label_maps[0]), ("probabilities", drawn.probabilities[0])):
        given: dict[str, Any] = {kind: prediction, "n_classes": drawn.n_classes, "ignore_index": IGNORED}
        counts = count_overlap(drawn.references[0], regions=regions, **given)
        for index in range(drawn.n_classes):
            assert _of(counts, drawn.n_classes + index) == _of(counts, index)
            if kind == "probabilities":
                both = counts.soft_prediction_sum[[index, drawn.n_classes + index]]
                assert both[0] == pytest.approx(both[1], rel=1e-6, abs=1e-6)


@pytest.mark.parametrize(
    ("regions", "reason"), [([()], "no class"), ([(1, 3)], "none of three classes"), ([(0,), (-1,)], "negative")]
)
def test_what_is_no_region_is_refused(regions: Any, reason: str) -> None:
    labels = np.zeros((1, 2), np.uint8)
    with pytest.raises(ArgumentError) as refused:
        count_overlap(labels, n_classes=3, label_map=labels, regions=regions)
    assert "regions: expected for each the indices of its classes, 0..2" in str(refused.value), reason
    with pytest.raises(ArgumentError, match="regions: expected"):
        count_overlaps(labels[None], n_classes=3, label_maps=labels[None], regions=regions)


def test_sums_of_probabilities_above_one_are_one() -> None:
    third = np.full((1, 1, 3), np.float32(0.33333334))
    counts = count_overlap(np.zeros((1, 1), int), n_classes=3, probabilities=third, regions=[(0, 1, 2)])
    assert counts.soft_prediction_sum[3] == 1
    assert counts.histogram_foreground[3, 255] == 1


def test_keys_hold_them_only_where_there_are_some() -> None:
    assert without_none({"a": 1, "regions": ()}) == {"a": 1}
    assert without_none({"a": (), "regions": ((1,),)}) == {"a": (), "regions": ((1,),)}
