"""Lesions of an image: counts and scores by hand, rows, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

import segscale
from segscale.errors import ArgumentError
from segscale.tasks.lesions.counts import LesionCounts
from tests.tasks.lesions.drawn_lesions import masks


def drawn(lines: str) -> NDArray[Any]:
    """A mask of lines of # and dots, or a label map of digits."""
    return np.array([[int(letter.replace("#", "1").replace(".", "0")) for letter in line] for line in lines.split()])


def counts_of(found: LesionCounts) -> tuple[int, int, int]:
    return found.true_positive, found.false_positive, found.false_negative


OVERLAP: dict[str, Any] = {}
IOU = {"rule": "iou", "threshold": 0.3}
DICE = {"rule": "dice", "threshold": 0.3}
FOUR = {"neighbours": 4}


@pytest.mark.parametrize(
    ("reference", "prediction", "settings", "counts", "dices", "ious"),
    [
        ("##.#", "##.#", OVERLAP, (2, 0, 0), [1, 1], [1, 1]),
        ("##.#", "##..", OVERLAP, (1, 0, 1), [1], [1]),
        ("##..", "##.#", OVERLAP, (1, 1, 0), [1], [1]),
        ("##..", "...#", OVERLAP, (0, 1, 1), [], []),
        ("####", "...#", OVERLAP, (1, 0, 0), [2 / 5], [1 / 4]),
        ("####", "...#", IOU, (0, 1, 1), [], []),
        ("####", "...#", DICE, (1, 0, 0), [2 / 5], [1 / 4]),
        # Split in two: the second piece is neither a true nor a false positive, one to one it is false.
        ("######", "##.###", OVERLAP, (1, 0, 0), [10 / 11], [5 / 6]),
        ("######", "##.###", IOU, (1, 1, 0), [6 / 9], [3 / 6]),
        ("######..", "#.#.#..#", OVERLAP, (1, 1, 0), [6 / 9], [3 / 6]),
        ("######..", "#.#.#..#", DICE, (0, 4, 1), [], []),
        # Two merged in one: both are found, one to one it is one of them.
        ("##.##", "#####", OVERLAP, (2, 0, 0), [4 / 7, 4 / 7], [2 / 5, 2 / 5]),
        ("##.##", "#####", IOU, (1, 0, 1), [4 / 7], [2 / 5]),
        ("##.###", "######", IOU, (1, 0, 1), [6 / 9], [3 / 6]),
        # A chain: each lesion overlaps the next of the other side.
        ("###.###", ".###.#.", OVERLAP, (2, 0, 0), [4 / 6, 2 / 4], [2 / 4, 1 / 3]),
        ("###.###", "..###..", OVERLAP, (2, 0, 0), [2 / 6, 2 / 6], [1 / 5, 1 / 5]),
        ("###.###", "..###..", IOU, (0, 1, 2), [], []),
        # By their corners.
        ("#. .#", "#. ..", OVERLAP, (1, 0, 0), [2 / 3], [1 / 2]),
        ("#. .#", "#. ..", FOUR, (1, 0, 1), [1], [1]),
        ("#. .#", ".# #.", OVERLAP, (0, 1, 1), [], []),
        # One voxel, in a corner, and an image full of it.
        ("#", "#", OVERLAP, (1, 0, 0), [1], [1]),
        ("#", ".", OVERLAP, (0, 0, 1), [], []),
        ("... ... ..#", "... ... .##", OVERLAP, (1, 0, 0), [2 / 3], [1 / 2]),
        ("### ### ###", "... .#. ...", OVERLAP, (1, 0, 0), [2 / 10], [1 / 9]),
        ("... ... ...", "... ... ...", OVERLAP, (0, 0, 0), [], []),
    ],
)
def test_planted_lesions_are_counted_as_by_hand(
    reference: str,
    prediction: str,
    settings: dict[str, Any],
    counts: tuple[int, int, int],
    dices: list[float],
    ious: list[float],
) -> None:
    found = segscale.lesions(drawn(reference), drawn(prediction), **settings)
    true_positive, false_positive, false_negative = counts
    assert counts_of(found) == counts
    assert found.dice_sum == pytest.approx(math.fsum(dices), rel=1e-15)
    assert found.iou_sum == pytest.approx(math.fsum(ious), rel=1e-15)
    n = sum(counts)
    f1, lesion_dice, panoptic_quality = (
        (
            2 * true_positive / (2 * true_positive + false_positive + false_negative),
            math.fsum(dices) / n,
            math.fsum(ious) / (true_positive + false_positive / 2 + false_negative / 2),
        )
        if n
        else (math.nan,) * 3
    )
    assert found.f1 == pytest.approx(f1, nan_ok=True)
    assert found.lesion_dice == pytest.approx(lesion_dice, nan_ok=True)
    assert found.panoptic_quality == pytest.approx(panoptic_quality, nan_ok=True)


@pytest.mark.parametrize(
    ("neighbours", "counts"), [(6, (2, 0, 2)), (18, (2, 0, 1)), (26, (2, 0, 0)), (None, (2, 0, 0))]
)
def test_voxels_of_a_volume_that_touch(neighbours: int | None, counts: tuple[int, int, int]) -> None:
    """A pair that touches by a face, one of whose voxels touches another by an edge; two that touch by a corner."""
    reference, prediction = np.zeros((3, 3, 70), np.bool_), np.zeros((3, 3, 70), np.bool_)
    reference[0, 0, 62:64] = reference[0, 1, 64] = True
    reference[1, 0, 3] = reference[2, 1, 4] = True
    prediction[0, 0, 62] = prediction[1, 0, 3] = True
    assert counts_of(segscale.lesions(reference, prediction, neighbours=neighbours)) == counts


@pytest.mark.parametrize("rule", ["overlap", "iou", "dice"])
@pytest.mark.parametrize("shape", [(5, 70), (3, 5, 70)])
def test_one_side_without_lesions_scores_0_and_both_are_undefined(rule: Any, shape: tuple[int, ...]) -> None:
    nothing, something = np.zeros(shape, np.bool_), np.zeros(shape, np.bool_)
    something[..., 1, 2:9] = something[..., 3, 60:] = True
    n = 2
    for reference, prediction, counts in (
        (something, nothing, (0, 0, n)),
        (something, None, (0, 0, n)),
        (nothing, something, (0, n, 0)),
    ):
        found = segscale.lesions(reference, prediction, rule=rule)
        assert counts_of(found) == counts
        assert (found.f1, found.lesion_dice, found.panoptic_quality) == (0, 0, 0)
        assert len(found.rows) == n
        assert not found.rows["matched"].any()
    for prediction in (nothing, None):
        found = segscale.lesions(nothing, prediction, rule=rule)
        assert counts_of(found) == (0, 0, 0)
        assert np.isnan([found.f1, found.lesion_dice, found.panoptic_quality]).all()
        assert found.rows.empty
        assert found.rows.columns.tolist() == segscale.lesions(something, something).rows.columns.tolist()


@given(masks(number=2), st.sampled_from((6, 18, 26)))
def test_counts_are_those_of_sets_of_voxels(masks_: tuple[NDArray[np.bool_], ...], neighbours: int) -> None:
    structure = ndimage.generate_binary_structure(3, {6: 1, 18: 2, 26: 3}[neighbours])
    reference, prediction = (
        [set(np.flatnonzero(labels == label).tolist()) for label in range(1, n + 1)]
        for labels, n in (ndimage.label(mask, structure) for mask in masks_)
    )
    found = segscale.lesions(masks_[0], masks_[1], neighbours=neighbours)
    true_positive, dice_sum = 0, 0.0
    for lesion in reference:
        candidates = [one for one in prediction if one & lesion]
        union = set().union(*candidates)
        true_positive += bool(candidates)
        dice_sum += 2 * len(union & lesion) / (len(union) + len(lesion)) if candidates else 0
    everything = set().union(*reference)
    false_positive = sum(not one & everything for one in prediction)
    assert counts_of(found) == (true_positive, false_positive, len(reference) - true_positive)
    assert found.dice_sum == pytest.approx(dice_sum, rel=1e-12)


@given(masks(number=2), st.sampled_from(("iou", "dice")), st.sampled_from((0.0, 0.2, 0.5)))
def test_one_to_one_no_side_is_the_first(masks_: tuple[NDArray[np.bool_], ...], rule: Any, threshold: float) -> None:
    first, second = masks_
    found = segscale.lesions(first, second, rule=rule, threshold=threshold)
    turned = segscale.lesions(second, first, rule=rule, threshold=threshold)
    sums = {"iou": (found.iou_sum, turned.iou_sum), "dice": (found.dice_sum, turned.dice_sum)}[rule]
    assert sums[0] == pytest.approx(sums[1], abs=1e-7)
    assert found.true_positive + found.false_negative == turned.true_positive + turned.false_positive
    for one in (found, turned):
        assert one.reference.matched.sum() == one.prediction.matched.sum() == one.true_positive
        assert sorted(one.reference.dice[one.reference.matched]) == sorted(one.prediction.dice[one.prediction.matched])


@given(masks(number=1), st.sampled_from((0.0, 0.5, 1.0)))
def test_a_mask_finds_all_of_itself(masks_: tuple[NDArray[np.bool_]], threshold: float) -> None:
    (mask,) = masks_
    every: list[dict[str, Any]] = [{}, {"rule": "iou", "threshold": threshold}]
    for settings in every:
        found = segscale.lesions(mask, mask, (2.5, 0.8, 0.5), **settings)
        n = len(found.reference.label)
        assert counts_of(found) == (n, 0, 0)
        assert (found.dice_sum, found.iou_sum) == (n, n)
        assert found.prediction.matched_with.tolist() == found.reference.label.tolist()
        assert (found.reference.distance == 0).all()


def test_rows_by_hand() -> None:
    """Two slices 5 mm apart: one lesion found in two pieces, the second of which it shares with another, one missed."""
    reference, prediction = np.zeros((2, 2, 7), np.uint8), np.zeros((2, 2, 7), np.uint8)
    reference[:, 0, :3] = 1
    reference[0, 0, 5:] = 1
    reference[1, 1, 6] = 1
    prediction[1, 1, 0] = prediction[0, 0, 2:6] = 1
    prediction[1, 0, 0] = 1
    rows = segscale.lesions(reference, prediction, (5.0, 2.0, 1.0), 6).rows
    assert rows[["side", "label", "voxels", "volume_mm3", "n_overlapping", "matched", "matched_with"]].to_numpy(
    ).tolist() == [
        ["reference", 1, 6, 60.0, 2, True, 1],
        ["reference", 2, 2, 20.0, 1, True, 1],
        ["reference", 3, 1, 10.0, 0, False, 0],
        ["prediction", 1, 4, 40.0, 2, True, 1],
        ["prediction", 2, 2, 20.0, 1, True, 1],
    ]  # fmt: skip
    centroids = rows[["centroid_d", "centroid_h", "centroid_w"]].to_numpy()
    assert centroids.tolist() == [[2.5, 0, 1], [0, 0, 5.5], [5, 2, 6], [0, 0, 3.5], [5, 1, 0]]
    assert rows["area_mm2"].isna().all()
    # Of the first lesion two voxels are found by 4 + 2, of the first piece 1 + 1 are in 6 + 2.
    assert rows["dice"].tolist() == pytest.approx([2 * 2 / 12, 2 / 6, 0, 2 * 2 / 12, 2 / 8])
    assert rows["iou"].tolist() == pytest.approx([2 / 10, 1 / 5, 0, 2 / 10, 1 / 7])
    both_pieces, both_lesions = np.array([10, 2, 14]) / 6, np.array([15, 0, 17]) / 8
    assert rows["distance"].tolist() == pytest.approx(
        [
            math.dist([2.5, 0, 1], both_pieces),
            2.0,
            math.nan,
            math.dist([0, 0, 3.5], both_lesions),
            math.dist([5, 1, 0], [2.5, 0, 1]),
        ],
        nan_ok=True,
    )


def test_of_several_the_one_with_most_common_voxels_is_named_and_of_equal_ones_the_first() -> None:
    found = segscale.lesions(drawn("#########"), drawn("#.##.##.#"))
    assert found.reference.matched_with.tolist() == [2]
    assert found.reference.n_overlapping.tolist() == [4]
    assert found.prediction.matched_with.tolist() == [1, 1, 1, 1]


def test_units_are_said() -> None:
    mask = drawn("##.. ....")
    with_spacing, without = segscale.lesions(mask, mask, (3.0, 0.5)), segscale.lesions(mask, mask)
    assert (with_spacing.distance_unit, without.distance_unit) == ("mm", "px")
    assert with_spacing.rows[["centroid_h", "centroid_w", "area_mm2"]].to_numpy()[0].tolist() == [0, 0.25, 3.0]
    assert without.rows[["centroid_h", "centroid_w"]].to_numpy()[0].tolist() == [0, 0.5]
    assert without.rows[["area_mm2", "volume_mm3", "centroid_d"]].isna().all(axis=None)
    assert with_spacing.rows[["volume_mm3", "centroid_d"]].isna().all(axis=None)


def test_instances_are_lesions_whether_in_one_piece_or_not() -> None:
    reference, prediction = drawn("11122.1"), drawn("##.#..#")
    found = segscale.lesions(reference, prediction, instances="references")
    assert counts_of(found) == (2, 0, 0)
    assert found.reference.label.tolist() == [1, 2]
    assert found.reference.dice.tolist() == pytest.approx([2 * 3 / 7, 2 / 3])
    labelled = segscale.lesions(reference, 5 * prediction, label=5, instances="references")
    assert labelled.rows.equals(found.rows)
    both = segscale.lesions(reference, 5 * prediction, rule="iou", instances="both")
    assert counts_of(both) == (1, 0, 1)
    assert both.reference.matched_with.tolist() == [5, 0]
    assert both.prediction.label.tolist() == [5]


def test_counts_add_up() -> None:
    images = [segscale.lesions(drawn("##.#"), drawn(prediction)) for prediction in ("##.#", "##..", "#.#.", "....")]
    total = sum(images, LesionCounts.zero())
    assert total == LesionCounts(4, 1, 4, sum(one.dice_sum for one in images), sum(one.iou_sum for one in images))
    assert total.f1 == 8 / 13
    assert images[0] == images[0] != segscale.lesions(drawn("##.#"), drawn("##.#"))
    assert np.isnan(LesionCounts.zero().f1)


@pytest.mark.parametrize("values", [(0, 1), (0, 255), (0, -3), (2, 1), (False, True)], ids=str)
@pytest.mark.parametrize("order", ["C", "F", "turned", "cut", "mixed"])
def test_masks_of_any_type_and_order_are_the_same(values: tuple[int, int], order: str) -> None:
    generator = np.random.default_rng(3)
    pair = [np.array(values)[generator.integers(0, 2, (4, 5, 66))] for _ in range(2)]
    expected = segscale.lesions(pair[0] == values[1], pair[1] == values[1]).rows
    label = None if values in ((0, 1), (False, True)) else values[1]
    layout: dict[str, Any] = {
        "C": np.ascontiguousarray, "F": np.asfortranarray, "turned": lambda mask: mask[::-1].copy()[::-1],
        "cut": lambda mask: np.repeat(mask, 2, axis=2)[..., ::2],
        "mixed": lambda mask: np.ascontiguousarray(mask.transpose(1, 2, 0)).transpose(2, 0, 1),
    }  # fmt: skip
    found = segscale.lesions(layout[order](pair[0]), layout[order](pair[1]), label=label)
    assert found.rows.equals(expected)
    missing = segscale.lesions(layout[order](pair[0]), None, label=label)
    assert missing.false_negative == len(found.reference.label)


@pytest.mark.parametrize("shape", [(7, 66), (1, 66), (7, 1), (3, 1, 66), (1, 7, 66), (3, 7, 1)], ids=str)
@pytest.mark.parametrize("instances", ["", "references", "both"])
def test_how_an_array_lies_in_memory_changes_nothing(shape: tuple[int, ...], instances: Any) -> None:
    generator = np.random.default_rng(len(shape))
    reference, prediction = (generator.integers(0, 2 + 3 * bool(instances), shape) for _ in range(2))
    if instances == "references":
        prediction = prediction % 2
    expected = segscale.lesions(reference, prediction, instances=instances).rows
    assert len(expected) > 2
    for one, other in ((np.asfortranarray(reference), prediction), (reference, np.asfortranarray(prediction))):
        assert segscale.lesions(one, other, instances=instances).rows.equals(expected)
    turned = segscale.lesions(np.asfortranarray(reference), np.asfortranarray(prediction), instances=instances)
    assert turned.rows.equals(expected)


MASK = np.ones((2, 3, 4), np.uint8)
SEVERAL = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)


@pytest.mark.parametrize(
    ("arguments", "settings", "said"),
    [
        ((MASK, MASK[0]), {}, r"prediction: expected the reference's shape \(2, 3, 4\), got \(3, 4\): crop or"),
        ((MASK, MASK.tolist()), {}, "prediction: expected a numpy array, got list"),
        ((MASK[0, 0], MASK[0, 0]), {}, r"reference: expected \(height, width\) or \(depth, height, width\)"),
        ((MASK.astype(float), MASK), {}, "reference: expected class indices as integers or bool, got dtype float64"),
        ((MASK, MASK.astype(float)), {}, "prediction: expected class indices as integers or bool, got dtype float64"),
        ((SEVERAL, MASK), {}, "reference: expected a mask of 0 and 1, got labels from 0 to 23: say by label which cla"),
        ((MASK, 255 * MASK), {}, "prediction: expected a mask of 0 and 1, got labels from 255 to 255: say by label"),
        ((MASK == 1, MASK), {"label": 1}, "label: the reference is a mask of true and false, without label 1: leave"),
        ((MASK, MASK), {"label": 1, "instances": "both"}, "label: every value of both label maps is an instance, got"),
        ((-SEVERAL.astype(int), MASK), {"instances": "references"}, "reference: expected a label map .* -23 to 0"),
        ((SEVERAL, SEVERAL), {"instances": "references"}, "prediction: expected a mask of 0 and 1, got la"),
        ((MASK, MASK), {"instances": "predictions"}, "instances: expected one of '', 'references', 'both', got 'pred"),
        ((MASK, MASK), {"neighbours": 8}, r"neighbours: expected 26 or 18 or 6 of a mask \(depth, height, width\), go"),
        ((MASK[0], MASK[0]), {"neighbours": 6}, r"neighbours: expected 8 or 4 of a mask \(height, width\), got 6"),
        ((MASK, MASK), {"spacing_mm": (1.0, 1.0)}, r"spacing_mm: expected 3 numbers of millimetres above 0, along "),
        ((MASK, MASK), {"spacing_mm": (1.0, 0.0, 1.0)}, r"spacing_mm: expected 3 .* got \(1.0, 0.0, 1.0\)"),
        ((MASK, MASK), {"spacing_mm": (1.0, np.nan, 1.0)}, r"spacing_mm: expected 3 .* got \(1.0, nan, 1.0\)"),
        ((MASK, MASK), {"rule": "any"}, "rule: expected one of 'overlap', 'iou', 'dice', got 'any'"),
        ((MASK, MASK), {"rule": "iou", "threshold": 1.5}, "threshold: expected a number from 0 to 1, got 1.5"),
        ((MASK, MASK), {"rule": "iou", "threshold": np.nan}, "threshold: expected a number from 0 to 1, got nan"),
        ((MASK, MASK), {"threshold": 0.5}, "threshold: the rule 'overlap' has none, .* or pass rule='iou'"),
    ],
)
def test_what_does_not_fit_is_refused(arguments: Any, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        segscale.lesions(*arguments, **settings)
