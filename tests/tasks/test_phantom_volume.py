"""Drawn volumes: thick slices, repeatable, and an nnU-Net raw data set as others read it."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

from segscale.errors import ArgumentError
from segscale.tasks.geometry import ras_affine
from segscale.tasks.phantom_volume import SPACINGS, draw_phantom_volume, write_phantom_volumes
from segscale.tasks.spacing import coarsest_axis


def test_a_volume_is_the_same_whatever_else_is_drawn() -> None:
    one, other = draw_phantom_volume(2, 7), draw_phantom_volume(2, 7)
    assert np.array_equal(one.image, other.image)
    assert np.array_equal(one.reference, other.reference)
    assert one.geometry == other.geometry
    assert not np.array_equal(one.image, draw_phantom_volume(2, 8).image)


def test_slices_are_thick_and_every_fourth_volume_has_no_lesion() -> None:
    for index in range(4):
        volume = draw_phantom_volume(index, 7)
        assert volume.geometry.spacing in SPACINGS
        assert coarsest_axis(volume.geometry.spacing) == 0
        assert volume.image.shape == volume.reference.shape
        assert bool(volume.reference.any()) == (index != 3)
        assert set(np.unique(volume.reference)) <= {0, 1}


def test_the_data_set_is_one_of_nnu_net(tmp_path: Path) -> None:
    root = write_phantom_volumes(tmp_path, 3, 7)
    about = json.loads((root / "dataset.json").read_text())
    assert (about["labels"], about["file_ending"]) == ({"background": 0, "lesion": 1}, ".nii.gz")
    for index in range(3):
        drawn = draw_phantom_volume(index, 7)
        image = nibabel.load(root / f"imagesTr/{drawn.case}_0000.nii.gz")
        label = nibabel.load(root / f"labelsTr/{drawn.case}.nii.gz")
        assert np.allclose(image.affine, label.affine)
        # Every third one is stored with its slices along another axis, and lies where it was drawn.
        axis = 0 if index == 2 else 2
        assert image.header.get_zooms()[axis] == pytest.approx(drawn.geometry.spacing[0])
        upright = nibabel.as_closest_canonical(label)
        expected = nibabel.as_closest_canonical(nibabel.Nifti1Image(drawn.reference.T, ras_affine(drawn.geometry)))
        assert np.array_equal(upright.get_fdata(), expected.get_fdata())


@pytest.mark.parametrize(("count", "seed"), [(0, 1), (-1, 1)])
def test_no_volumes_are_refused(tmp_path: Path, count: int, seed: int) -> None:
    with pytest.raises(ArgumentError, match="count must be 1 or more"):
        write_phantom_volumes(tmp_path, count, seed)
