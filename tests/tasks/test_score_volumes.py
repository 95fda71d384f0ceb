"""Volumes scored by their geometry: against numpy over arrays that lie as their files say."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image

from segscale.tasks.alignment import AS_THEY_ARE, Volumes
from segscale.tasks.geometry import Geometry, ras_affine
from segscale.tasks.grids import Grid, from_text
from segscale.tasks.labels import LabelRule
from segscale.tasks.place_columns import place_columns
from segscale.tasks.prediction_file import Counting
from segscale.tasks.readers import Choice
from segscale.tasks.scoring import Scoring
from tests.tasks.geometries import TURNS, backwards
from tests.tasks.volumes import (
    COUNTED,
    GEOMETRY,
    PREDICTION,
    REFERENCE,
    SIZE,
    Scored,
    by_hand,
    labels,
    nifti,
    npy,
    npz,
    turned,
)


@pytest.fixture
def scored(tmp_path: Path) -> Callable[..., Scored]:
    def run(scoring: Scoring = COUNTED, **files: tuple[str, bytes]) -> Scored:
        return Scored(tmp_path, scoring, **files)

    return run


def test_both_as_they_are(scored: Callable[..., Scored]) -> None:
    found = scored(
        reference=("a.nii.gz", nifti(REFERENCE, GEOMETRY)), prediction=("a.nii.gz", nifti(PREDICTION, GEOMETRY))
    )
    assert found.counts == by_hand(REFERENCE, PREDICTION)
    assert (found.size, found.said) == (SIZE, {})
    stored = from_text(found.place, SIZE).geometry
    assert stored is not None
    assert np.allclose(stored.spacing, GEOMETRY.spacing)
    assert np.allclose(stored.origin, GEOMETRY.origin)


@pytest.mark.parametrize("turn", TURNS, ids=str)
def test_all_orientations_of_a_prediction(scored: Callable[..., Scored], turn: Any) -> None:
    found = scored(reference=("a.nii", nifti(REFERENCE, GEOMETRY)), prediction=("a.nii", turned(turn, PREDICTION)))
    assert found.error == ""
    assert found.counts == by_hand(REFERENCE, PREDICTION)
    assert [role for role, _ in found.said] == ["prediction"] * (not turn.is_none)


def test_the_axes_are_those_of_the_reference(scored: Callable[..., Scored]) -> None:
    turn = next(turn for turn in TURNS if turn.axes == (2, 0, 1) and turn.flips == (True, False, True))
    found = scored(reference=("a.nii", turned(turn, REFERENCE)), prediction=("a.nii", nifti(PREDICTION, GEOMETRY)))
    assert found.counts == by_hand(REFERENCE, PREDICTION)
    assert found.size == backwards(turn, REFERENCE).shape
    spacing = place_columns([found.place], np.ones(1, bool), None, pd.RangeIndex(1))
    along = dict(zip(turn.axes, GEOMETRY.spacing, strict=True))
    assert [float(spacing[name].iloc[0]) for name in ("spacing_d_mm", "spacing_h_mm", "spacing_w_mm")] == pytest.approx(
        [along[axis] for axis in range(3)]
    )


MOVED = replace(GEOMETRY, origin=(-7.0, 4.0, 11.5))


@pytest.mark.parametrize(
    ("reference", "prediction", "sentence"),
    [
        pytest.param(GEOMETRY, MOVED, "lies on another grid than its reference", id="a sixth of a voxel beside"),
        pytest.param(GEOMETRY, replace(GEOMETRY, spacing=(3.01, 0.5, 0.75)), "spacing 3.01x0.5x0.75 mm", id="wider"),
    ],
)
def test_another_grid_is_refused(
    scored: Callable[..., Scored], reference: Geometry, prediction: Geometry, sentence: str
) -> None:
    files = {
        "reference": ("a.nii", nifti(REFERENCE, reference)),
        "prediction": ("p.nii", nifti(PREDICTION, prediction)),
    }
    found = scored(**files)
    assert sentence in found.error
    assert "dataset.resample = true" in found.error
    assert found.error.startswith("p.nii: ")
    assert [row["reference_pixels"] for row in found.rows] == [
        int(np.count_nonzero(index == REFERENCE)) for index in range(3)
    ]


def test_resampled_where_asked(scored: Callable[..., Scored]) -> None:
    """A prediction of twice the resolution along W: each voxel of the reference has the one that holds its centre."""
    fine = replace(GEOMETRY, spacing=(3.0, 0.5, 0.375))
    values = labels(3, (4, 6, 10))
    asked = replace(COUNTED, volumes=Volumes(resample=True))
    found = scored(asked, reference=("a.nii", nifti(REFERENCE, GEOMETRY)), prediction=("a.nii", nifti(values, fine)))
    assert found.counts == by_hand(REFERENCE, values[..., ::2])
    assert list(found.said) == [("prediction", "resampled into the grid of its reference (nearest voxel)")]


def test_resampled_probabilities_are_linear(scored: Callable[..., Scored]) -> None:
    rule = LabelRule(2)
    asked = Scoring(rule, Counting(0.5, rule), has_images=False, volumes=Volumes(resample=True))
    fine = replace(GEOMETRY, spacing=(3.0, 0.5, 0.375), origin=(-7.0, 4.0, 11.0))
    values = np.linspace(0, 1, 4 * 6 * 10, dtype=np.float32).reshape(4, 6, 10)
    reference = (REFERENCE > 0).astype(np.uint8)
    found = scored(asked, reference=("a.nii", nifti(reference, GEOMETRY)), prediction=("a.nii", nifti(values, fine)))
    assert found.counts == by_hand(reference, (values[..., ::2] >= 0.5).astype(np.uint8))[:2]


def test_arrays_without_a_geometry_are_taken_by_their_shape(scored: Callable[..., Scored]) -> None:
    stack = np.eye(3, dtype=np.float32)[PREDICTION]
    found = scored(
        reference=("a.nii", nifti(REFERENCE, GEOMETRY)), prediction=("a.npz", npz(np.moveaxis(stack, -1, 0)))
    )
    assert found.counts == by_hand(REFERENCE, PREDICTION)
    ((role, sentence),) = found.said
    assert role == "prediction"
    assert sentence.startswith("has no geometry: taken by its shape")


def test_of_a_cube_it_is_said_twice(scored: Callable[..., Scored]) -> None:
    cube, other = labels(5, (5, 5, 5)), labels(6, (5, 5, 5))
    found = scored(reference=("a.nii", nifti(cube, GEOMETRY)), prediction=("a.npy", npy(other)))
    assert found.counts == by_hand(cube, other)
    assert len(found.said) == 2
    assert any("its shape does not tell these axes apart" in sentence for _, sentence in found.said)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize(
    "dtype", ["uint8", "int16", "uint16", "int32", "int64", "uint64", "float32", "float64", "int8"]
)
def test_types_of_label_maps(scored: Callable[..., Scored], dtype: str, suffix: str) -> None:
    asked = replace(COUNTED, counting=replace(COUNTED.counting, kind="labels"))
    pair = [nifti(values.astype(dtype), GEOMETRY) for values in (REFERENCE, PREDICTION)]
    found = scored(asked, reference=(f"a{suffix}", pair[0]), prediction=(f"a{suffix}", pair[1]))
    assert found.error == ""
    assert found.counts == by_hand(REFERENCE, PREDICTION)


def test_an_image_says_where_its_reference_lies(scored: Callable[..., Scored]) -> None:
    """A reference without a geometry is taken by the shape of its image, and a prediction by the image's geometry."""
    images = replace(COUNTED, has_images=True)
    turn = TURNS[29]
    found = scored(
        images,
        image=("a.nii", nifti(np.zeros(SIZE, np.int16), GEOMETRY)),
        reference=("a.npy", npy(REFERENCE)),
        prediction=("a.nii", turned(turn, PREDICTION)),
    )
    assert found.counts == by_hand(REFERENCE, PREDICTION)
    assert {role for role, _ in found.said} == {"reference", "prediction"}


def test_an_image_on_another_grid_is_refused(scored: Callable[..., Scored]) -> None:
    found = scored(
        replace(COUNTED, has_images=True),
        image=("ct.nii", nifti(np.zeros(SIZE, np.int16), MOVED)),
        reference=("a.nii", nifti(REFERENCE, GEOMETRY)),
        prediction=("a.nii", nifti(PREDICTION, GEOMETRY)),
    )
    assert found.error.startswith("ct.nii: lies on another grid than its reference")


def test_a_choice_between_two_affines(scored: Callable[..., Scored]) -> None:
    image = nibabel.Nifti1Image(REFERENCE.T, None)
    image.set_sform(ras_affine(GEOMETRY), 1)
    image.set_qform(ras_affine(MOVED), 1)
    files = {"reference": ("a.nii", image.to_bytes()), "prediction": ("a.nii", nifti(PREDICTION, GEOMETRY))}
    assert "its two affines disagree" in scored(**files).error
    chosen = replace(COUNTED, volumes=Volumes(Choice(affine="sform")))
    assert scored(chosen, **files).counts == by_hand(REFERENCE, PREDICTION)
    other = replace(COUNTED, volumes=Volumes(Choice(affine="qform")))
    assert "another grid" in scored(other, **files).error


def test_a_volume_of_several(scored: Callable[..., Scored]) -> None:
    several = nibabel.Nifti1Image(np.stack([labels(8), PREDICTION]).T, ras_affine(GEOMETRY)).to_bytes()
    files = {"reference": ("a.nii", nifti(REFERENCE, GEOMETRY)), "prediction": ("a.nii", several)}
    assert "dataset.volume = k (from 0 to 1)" in scored(**files).error


MASK = np.random.default_rng(9).random(SIZE) < 0.5


@pytest.mark.parametrize(
    ("name", "mask"),
    [
        pytest.param("m.nii", nifti(MASK.astype(np.uint8), GEOMETRY), id="as the reference lies"),
        pytest.param("m.nii", turned(TURNS[17], MASK.astype(np.uint8) * 7), id="turned, and of any value"),
        pytest.param("m.npy", npy(MASK), id="without a geometry"),
    ],
)
def test_pixels_outside_of_a_mask_count_in_nothing(scored: Callable[..., Scored], name: str, mask: bytes) -> None:
    files = {"reference": ("a.nii", nifti(REFERENCE, GEOMETRY)), "prediction": ("a.nii", nifti(PREDICTION, GEOMETRY))}
    found = scored(replace(COUNTED, has_masks=True), **files, mask=(name, mask))
    assert found.counts == by_hand(REFERENCE, PREDICTION, MASK)
    assert {row["n_ignored"] for row in found.rows} == {int((~MASK).sum())}


def test_an_image_without_its_mask_fails(scored: Callable[..., Scored]) -> None:
    files = {"reference": ("a.nii", nifti(REFERENCE, GEOMETRY)), "prediction": ("a.nii", nifti(PREDICTION, GEOMETRY))}
    found = scored(replace(COUNTED, has_masks=True), **files)
    assert found.error == "mask: expected a file for image case, found none"


def test_a_mask_of_pictures(scored: Callable[..., Scored]) -> None:
    def png(values: NDArray[Any]) -> bytes:
        sink = io.BytesIO()
        Image.fromarray(values).save(sink, "PNG")
        return sink.getvalue()

    files = {"reference": ("a.png", png(REFERENCE[0])), "prediction": ("a.png", png(PREDICTION[0]))}
    found = scored(replace(COUNTED, has_masks=True), **files, mask=("a.png", png(MASK[0].astype(np.uint8) * 255)))
    assert found.counts == by_hand(REFERENCE[0], PREDICTION[0], MASK[0])


def test_keys_of_pictures_are_those_of_before_there_were_volumes() -> None:
    plain = COUNTED.as_key()
    assert set(plain) == {"references", "counting", "has_images"}
    assert replace(COUNTED, volumes=Volumes(resample=True)).as_key().keys() - plain.keys() == {"volumes"}
    assert replace(COUNTED, has_masks=True).as_key().keys() - plain.keys() == {"has_masks"}
    assert COUNTED.volumes == AS_THEY_ARE
    assert Grid(SIZE).spacing is None
