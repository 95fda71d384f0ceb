"""The main job with volumes through a network: cut along their coarsest axes, reported whole and by slices."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from segscale.storage import parts
from segscale.tasks.geometry import Geometry, ras_affine
from tests.tasks.geometries import TURNS, UPRIGHT, backwards

pytestmark = pytest.mark.slow

COUNTS = [name for name in parts.COUNTS if name != "n_ignored"]
CASES = {
    "one": ((3.0, 0.7, 0.7), (3, 40, 44), 0),
    "two": ((0.7, 3.0, 0.7), (42, 4, 36), 1),
    "three": ((0.7, 0.7, 3.0), (44, 38, 2), 2),
}
"""Spacing, size, and the axis along which the slices lie."""


def nifti(values: NDArray[Any], affine: NDArray[np.float64]) -> bytes:
    image = nibabel.Nifti1Image(np.ascontiguousarray(values.T), affine)
    image.header.set_xyzt_units("mm")
    return bytes(image.to_bytes())


def in_another_order(values: NDArray[Any], geometry: Geometry, number: int) -> bytes:
    """The volume as another program may have stored it: each voxel stays where it is."""
    turn = TURNS[number]
    index = np.zeros((4, 4))
    index[3, 3] = 1
    for axis, (source, flip) in enumerate(zip(turn.axes, turn.flips, strict=True)):
        index[2 - axis, 2 - source] = -1 if flip else 1
        index[2 - axis, 3] = values.shape[axis] - 1 if flip else 0
    return nifti(backwards(turn, values), ras_affine(geometry) @ index)


def blobs(seed: int, size: tuple[int, ...], axis: int) -> NDArray[np.uint8]:
    """Bright spots in noise, in each slice another one."""
    random = np.random.default_rng(seed)
    slices = np.moveaxis(random.integers(20, 90, size), axis, 0)
    rows, columns = np.indices(slices.shape[1:])
    for number, one in enumerate(slices):
        one[(rows - 14 - 3 * number) ** 2 + (columns - 16) ** 2 < 60] += 120
    return np.moveaxis(slices, 0, axis).astype(np.uint8)


@pytest.fixture
def volumes(tmp_path: Path) -> None:
    """Three anisotropic volumes and their references, written in other orders; and their slices, as arrays."""
    for name in ("images", "masks", "slices", "slice_masks"):
        (tmp_path / name).mkdir()
    for place, (name, (spacing, size, axis)) in enumerate(CASES.items()):
        image = blobs(place, size, axis)
        mask = (blobs(place + 50, size, axis) > 100).astype(np.uint8)
        geometry = Geometry(spacing, UPRIGHT, (1.0, -20.0, 30.0))
        (tmp_path / "images" / f"{name}.nii").write_bytes(in_another_order(image, geometry, 5 + 11 * place))
        (tmp_path / "masks" / f"{name}.nii").write_bytes(nifti(mask, ras_affine(geometry)))
        for number, (pixels, labels) in enumerate(
            zip(np.moveaxis(image, axis, 0), np.moveaxis(mask, axis, 0), strict=True)
        ):
            np.save(tmp_path / "slices" / f"{name}-{number:02d}.npy", pixels)
            np.save(tmp_path / "slice_masks" / f"{name}-{number:02d}.npy", labels)


@pytest.mark.usefixtures("volumes")
def test_volumes_are_predicted_as_their_slices_are(
    segscale: Any, tmp_path: Path, write_config: Callable[..., Path]
) -> None:
    (tmp_path / "patients.csv").write_text("image_id,patient\none,A\ntwo,B\nthree,A\n")

    def run(name: str, images: str, masks: str, **dataset: str) -> tuple[Path, str]:
        metrics = {"bootstrap": "0", **({"slices": "true", "unit": '"patient"'} if dataset else {})}
        config = write_config(
            f"{name}.toml",
            dataset={"name": f'"{name}"', "images": f'"{images}"', "references": f'"{masks}"', **dataset},
            model={"path": '"phantom"', "engine": '"keras"', "precision": '"float32"', "batch_size": "2"},
            metrics=metrics,
            cluster={"workers": "1"},
        )
        outcome = segscale("run", config)
        assert outcome.code == 0, outcome.err
        return Path(outcome.out.strip().splitlines()[-1].removeprefix("report: ")), outcome.err

    report, said = run("volumes", "images/{id}.nii", "masks", columns='"patients.csv"')
    of_pictures, _ = run("pictures", "slices/{id}.npy", "slice_masks")
    assert "1 image: turned by its geometry into the order of its reference" in said
    per_image = pd.read_parquet(report / "per_image.parquet").sort_values(["image_id", "class_index"])
    per_slice = pd.read_parquet(report / "per_slice.parquet")
    pictures = pd.read_parquet(of_pictures / "per_image.parquet")
    axes = per_image.drop_duplicates("image_id").set_index("image_id")["slice_axis"].to_dict()
    assert axes == {"one": "d", "two": "h", "three": "w"}
    for name, (_, size, axis) in CASES.items():
        (row,) = per_image[(per_image["image_id"] == name) & (per_image["class_index"] == 1)].to_dict("records")
        assert (row["depth"], row["height"], row["width"]) == size, "as the reference is stored"
        assert (per_slice["image_id"] == name).sum() == 2 * size[axis]
    # Slices are the very pictures, by themselves.
    per_slice["picture"] = per_slice["image_id"] + per_slice["slice_index"].map("-{:02d}".format)
    of_slices = per_slice.set_index(["picture", "class_index"]).sort_index()
    expected = pictures.set_index(["image_id", "class_index"]).sort_index()
    columns = [*COUNTS, *parts.SOFT_SUMS, "dice", "iou", "soft_dice", "empty"]
    left, right = of_slices[columns].reset_index(drop=True), expected[columns].reset_index(drop=True)
    pd.testing.assert_frame_equal(left, right, check_dtype=False, check_exact=True)
    assert per_slice["true_positive"].sum() > 0
    # Volumes are the sums of their slices, patients those of their volumes.
    sums = per_slice.groupby(["image_id", "class_index"])[COUNTS].sum()
    volume = per_image.set_index(["image_id", "class_index"])[COUNTS]
    assert (sums.loc[volume.index] == volume).all(axis=None)
    units = pd.read_parquet(report / "per_unit.parquet").set_index(["unit_value", "class_index"])
    for patient, names in {"A": ["one", "three"], "B": ["two"]}.items():
        for index in (0, 1):
            summed = volume.loc[[(name, index) for name in names]].sum()
            assert units.loc[(patient, index), "true_positive"] == summed["true_positive"]
            assert units.loc[(patient, index), "n_images"] == len(names)
    # Nothing is done twice, and the same is said.
    again = segscale("run", tmp_path / "volumes.toml")
    assert again.code == 0, again.err
    assert "unchanged" in again.err
    assert "turned by its geometry" in again.err
