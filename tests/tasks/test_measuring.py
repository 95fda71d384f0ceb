"""What is measured of label maps: classes and regions, planes, ignored pixels, instances, missing predictions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from segscale.tasks.labels import IGNORED
from segscale.tasks.lesions.lesions import lesions
from segscale.tasks.measuring import LesionRule, Measured, Measuring, StackOf, Structures, lesion_rows, surface_rows
from segscale.tasks.surfaces.distances import surface_distances

SPACING = (3.0, 0.5, 0.75)


def drawn(*boxes: tuple[int, tuple[slice, ...]], size: tuple[int, ...] = (6, 12, 14)) -> NDArray[np.uint8]:
    labels = np.zeros(size, np.uint8)
    for value, box in boxes:
        labels[box] = value
    return labels


REFERENCE = drawn((1, np.s_[1:4, 2:7, 3:8]), (2, np.s_[4:6, 8:11, 9:13]))
PREDICTION = drawn((1, np.s_[1:5, 3:8, 3:9]), (1, np.s_[0:1, 0:2, 0:2]))
WHOLE = Structures(REFERENCE, PREDICTION, 3, ((1, 2),), SPACING)


def rows_of(structures: Structures, **rule: Any) -> tuple[dict[int, dict[str, Any]], dict[int, list[dict[str, Any]]]]:
    surfaces = {row["class_index"]: row for row in surface_rows("a", "", structures, (1.0, 2.5))}
    found: dict[int, list[dict[str, Any]]] = {index: [] for index in surfaces}
    for row in lesion_rows("a", "", structures, LesionRule(**rule)):
        found[row["class_index"]].append(row)
    return surfaces, found


def test_each_class_and_region_has_a_row_and_the_background_none() -> None:
    surfaces, found = rows_of(WHOLE)
    assert list(surfaces) == [1, 2, 3]
    masks = {1: (REFERENCE == 1, PREDICTION == 1), 3: (REFERENCE > 0, PREDICTION > 0)}
    for index, (reference, prediction) in masks.items():
        expected = surface_distances(reference, prediction, SPACING)
        row = surfaces[index]
        assert (row["hd"], row["hd95"], row["assd"]) == (expected.hd, expected.hd95, expected.assd)
        assert row["nsd"] == [expected.nsd(1.0), expected.nsd(2.5)]
        assert row["distance_unit"] == "mm"
        of_class = lesions(reference, prediction, SPACING)
        assert [one["matched"] for one in found[index]] == of_class.rows["matched"].tolist()
        assert [one["volume_mm3"] for one in found[index]] == of_class.rows["volume_mm3"].tolist()
    assert surfaces[1]["worst_distance"] == pytest.approx(math.hypot(5 * 3.0, 11 * 0.5, 13 * 0.75))


def test_a_structure_on_one_side_alone_has_borders_and_no_distance() -> None:
    row = rows_of(WHOLE)[0][2]
    assert (row["reference_border"], row["prediction_border"]) == (24, 0)
    assert math.isnan(row["hd95"])
    assert all(map(math.isnan, row["nsd"]))


def test_without_a_prediction_the_reference_is_known() -> None:
    surfaces, found = rows_of(Structures(REFERENCE, None, 3, spacing_mm=SPACING))
    assert surfaces[1].keys() == {"image_id", "head", "class_index", "distance_unit", "worst_distance"}
    assert [(row["side"], row["matched"]) for row in found[1]] == [("reference", False)]


def test_ignored_pixels_are_background_on_both_sides() -> None:
    reference, prediction = REFERENCE.copy(), PREDICTION.copy()
    ignored = np.s_[:, :4]
    reference[ignored] = IGNORED
    got = rows_of(Structures.of(reference, prediction, 3, spacing_mm=SPACING))
    reference[ignored], prediction[ignored] = 0, 0
    # By their text, for NaN equals no NaN.
    assert repr(got) == repr(rows_of(Structures(reference, prediction, 3, spacing_mm=SPACING)))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_plane_of_voxels_is_a_picture(axis: int) -> None:
    plane = [np.take(labels, 3, axis) for labels in (REFERENCE, PREDICTION)]
    kept = tuple(step for place, step in enumerate(SPACING) if place != axis)
    reference, prediction = (np.expand_dims(one, axis) for one in plane)
    volume = Structures(reference, prediction, 3, spacing_mm=SPACING)
    (row, *_), flat = surface_rows("a", "", volume, (1.0,)), [one == 1 for one in plane]
    expected = surface_distances(flat[0], flat[1], kept)
    assert (row["hd"], row["reference_border"]) == (expected.hd, expected.from_reference.size)
    found = [one for one in lesion_rows("a", "", volume, LesionRule()) if one["class_index"] == 1]
    assert [one["area_mm2"] for one in found] == lesions(flat[0], flat[1], kept).rows["area_mm2"].tolist()
    assert all(math.isnan(one["centroid_d"]) for one in found)


def test_a_row_of_pixels_keeps_two_axes() -> None:
    line = np.array([[[0, 1, 1, 0]]], np.uint8)
    (row,) = surface_rows("a", "", Structures(line, line, 2), (1.0,))
    assert (row["hd"], row["distance_unit"], row["worst_distance"]) == (0.0, "px", 3.0)


@pytest.mark.parametrize(("neighbours", "in_a_plane"), [(26, 8), (18, 8), (6, 4)], ids=["26 is 8", "18 is 8", "6 is 4"])
def test_of_pictures_those_neighbours_are_meant_that_lie_in_their_plane(neighbours: int, in_a_plane: int) -> None:
    corner = np.array([[[1, 0], [0, 1]]], np.uint8)
    found = lesion_rows("a", "", Structures(corner, corner, 2), LesionRule(neighbours=neighbours))
    assert len(found) == len(lesions(corner[0], corner[0], neighbours=in_a_plane).rows)


def test_instances_are_lesions_as_they_are_numbered() -> None:
    instances = drawn((1, np.s_[1:4, 2:7, 3:8])).astype(np.uint16)
    instances[1:4, 7:9, 3:8] = 700
    mask = (instances > 0).astype(np.uint8)
    alone = Structures(mask, mask, 2, spacing_mm=SPACING, reference_instances=instances)
    found = rows_of(alone, instances="references")[1][1]
    assert [(row["side"], row["label"]) for row in found] == [("reference", 1), ("reference", 700), ("prediction", 1)]
    both = Structures(mask, mask, 2, spacing_mm=SPACING, reference_instances=instances, prediction_instances=instances)
    assert len(rows_of(both, instances="both")[1][1]) == 4


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_stack_of_slices_is_measured_as_its_volume(axis: int) -> None:
    stack = [np.moveaxis(labels, axis, 0) for labels in (REFERENCE, PREDICTION)]
    found = StackOf(axis, SPACING).structures(stack[0], stack[1], 3, ((1, 2),))
    measuring = Measuring((1.0,), LesionRule())
    # By their text, for NaN equals no NaN.
    assert repr(Measured.of("a", {"": found}, measuring)) == repr(Measured.of("a", {"": WHOLE}, measuring))
