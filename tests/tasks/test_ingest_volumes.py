"""Volumes through ingest: turned onto their references, cut along an axis, resampled or refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray

from segscale.storage.catalog import catalog_sha256
from segscale.tasks import slice_stack
from segscale.tasks.alignment import Volumes, said_in
from segscale.tasks.geometry import Geometry
from segscale.tasks.grids import Grid
from segscale.tasks.labels import IGNORED
from segscale.tasks.normalize import find_recipe
from segscale.tasks.readers import Choice, read_labels, read_picture
from segscale.tasks.resampling import resampling
from segscale.tasks.shard_plan import plan_shards
from tests.tasks.geometries import TURNS, UPRIGHT, backwards
from tests.tasks.volumes import GEOMETRY, SIZE, labels, nifti, npy, turned

MakeSet = Callable[..., Any]
DATA = Path(os.environ.get("SEGSCALE_DATA", Path(__file__).parents[3] / "shared" / "data"))
SEGMENTS = DATA / "formats" / "dcmqi_dicom_seg"
IMAGE = np.random.default_rng(7).integers(-900, 900, SIZE, np.int16)
REFERENCE = labels(0)
AXES = {"d": 0, "h": 1, "w": 2}
SETTINGS: dict[str, Any] = {"n_classes": 3, "ignore_label": None, "normalize": "zscore"}


def _cut(volume: NDArray[Any], axis: str) -> NDArray[Any]:
    return np.moveaxis(volume, AXES[axis], 0)


def _stored(data: Any, name: str = "a.nii") -> tuple[NDArray[Any], NDArray[Any]]:
    """The true pixels of the slices of an image, and of its reference."""
    (row, (pixels, reference)) = data.rows()[name], data.stored(name)
    return pixels[:, : row.height, : row.width, 0], reference[:, : row.height, : row.width]


def _said(data: Any) -> dict[tuple[str, str], int]:
    return dict(sum((said_in(entry.facts) for entry in data.entries()), start=said_in({})))


@pytest.mark.parametrize("axis", ["d", "h", "w"])
@pytest.mark.parametrize("is_reference", [False, True], ids=["image turned", "reference turned"])
def test_an_image_in_any_of_the_48_orders_gives_the_slices_of_its_reference(
    make_set: MakeSet, axis: str, is_reference: bool
) -> None:
    """Of the turned references D, H and W are theirs: the slices are those of the turned array."""
    for place, turn in enumerate(TURNS):
        own, other = (REFERENCE, IMAGE) if is_reference else (IMAGE, REFERENCE)
        files = {"x.nii": turned(turn, own)}, {"x.nii": turned(TURNS[0], other)}
        images, references = reversed(files) if is_reference else files
        data = make_set(images, references, slice_axis=axis, folder=f"set{place}", **SETTINGS)
        data.ingest()
        (row,) = data.catalog.to_dict("records")
        pixels, reference = _stored(data, "x")
        expected = IMAGE, REFERENCE
        if is_reference:
            expected = np.ascontiguousarray(backwards(turn, IMAGE)), np.ascontiguousarray(backwards(turn, REFERENCE))
        assert (row["depth"], row["height"], row["width"]) == expected[1].shape
        assert row["slice_axis"] == axis
        np.testing.assert_array_equal(pixels, _cut(expected[0], axis), err_msg=str(turn))
        np.testing.assert_array_equal(reference, _cut(expected[1], axis), err_msg=str(turn))
        is_said = any(role == "image" and "turned by its geometry" in text for role, text in _said(data))
        assert is_said != turn.is_none, "what was turned is said"


@pytest.mark.parametrize(
    ("spacing", "axis"),
    [
        pytest.param((3.0, 0.5, 0.75), "d", id="D is the coarsest"),
        pytest.param((0.5, 3.0, 0.75), "h", id="H"),
        pytest.param((0.5, 0.75, 3.0), "w", id="W"),
    ],
)
def test_the_coarsest_axis_of_the_reference_is_taken(make_set: MakeSet, spacing: Any, axis: str) -> None:
    geometry = replace(GEOMETRY, spacing=spacing)
    data = make_set({"a.nii.gz": nifti(IMAGE, geometry)}, {"a.nii.gz": nifti(REFERENCE, geometry)}, **SETTINGS)
    data.ingest()
    assert data.catalog["slice_axis"].tolist() == [axis]
    pixels, reference = _stored(data)
    np.testing.assert_array_equal(pixels, _cut(IMAGE, axis))
    np.testing.assert_array_equal(reference, _cut(REFERENCE, axis))
    row = data.rows()["a.nii"]
    assert (row.depth, row.height, row.width) == _cut(IMAGE, axis).shape
    assert data.catalog[["spacing_d_mm", "spacing_h_mm", "spacing_w_mm"]].to_numpy().tolist() == [list(spacing)]


def test_padding_reflects_slices_and_ignores_their_references(make_set: MakeSet) -> None:
    data = make_set({"a.npy": npy(IMAGE)}, {"a.npy": npy(REFERENCE)}, slice_axis="h", **SETTINGS)
    data.ingest()
    pixels, reference = data.stored("a")
    true = _cut(IMAGE, "h")
    expected = np.pad(true, ((0, 0), (0, 32 - true.shape[1]), (0, 32 - true.shape[2])), mode="reflect")
    np.testing.assert_array_equal(pixels[..., 0], expected)
    assert (reference[:, true.shape[1] :] == IGNORED).all()
    assert (reference[:, :, true.shape[2] :] == IGNORED).all()


def test_the_recipe_is_that_of_the_pixels_in_any_order(make_set: MakeSet) -> None:
    floats = IMAGE.astype(np.float32) / 7
    recipes = []
    for place, turn in enumerate(TURNS[::7]):
        data = make_set(
            {"a.nii": turned(turn, floats)}, {"a.nii": turned(TURNS[0], REFERENCE)}, folder=f"set{place}", **SETTINGS
        )
        data.ingest()
        recipes.append(data.rows()["a"].recipe)
    assert len(set(recipes)) == 1, "also of floats, whose sums depend on their order"


SHIFTED = Geometry((1.5, 1.0, 0.75), UPRIGHT, (-7.2, 4.3, 11.5))


def test_another_grid_is_refused_with_both(make_set: MakeSet) -> None:
    data = make_set({"a.nii": nifti(IMAGE, SHIFTED)}, {"a.nii": nifti(REFERENCE, GEOMETRY)}, **SETTINGS)
    data.ingest()
    failure = data.rows()["a"].failure
    assert failure is not None
    assert failure.error.startswith("a.nii: lies on another grid than its reference: 4x6x5 voxels (D, H, W) of 1.5x1x")
    assert "dataset.resample = true" in failure.error
    pixels, reference = data.stored("a")
    assert not pixels.any()
    assert (reference == IGNORED).all()


@pytest.mark.parametrize("axis", ["d", "h", "w"])
@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_an_image_is_resampled_where_that_is_asked(make_set: MakeSet, axis: str, dtype: str) -> None:
    image = IMAGE.astype(dtype)
    data = make_set(
        {"a.nii": nifti(image, SHIFTED)},
        {"a.nii": nifti(REFERENCE, GEOMETRY)},
        volumes=Volumes(resample=True),
        slice_axis=axis,
        **SETTINGS,
    )
    data.ingest()
    way = resampling(Grid(SIZE, GEOMETRY), Grid(SIZE, SHIFTED), "a.nii")
    expected = way.linear(image, 0, SIZE[0], image.min())
    pixels, reference = _stored(data, "a")
    assert pixels.dtype == dtype
    np.testing.assert_array_equal(pixels, _cut(np.rint(expected) if dtype == "int16" else expected, axis))
    np.testing.assert_array_equal(reference, _cut(REFERENCE, axis))
    assert _said(data) == {
        ("image", "resampled into the grid of its reference (linear)"): 1,
        ("image", "does not cover its reference: background outside"): 1,
    }


def test_the_given_spacing_chooses_an_axis_and_moves_nothing(make_set: MakeSet) -> None:
    data = make_set({"a.npy": npy(IMAGE)}, {"a.npy": npy(REFERENCE)}, **SETTINGS)
    planned = plan_shards(data.listing, data.files, data.preparation, 8, given=(1.0, 1.0, 4.0))
    assert planned["slice_axis"].tolist() == ["w"]
    assert planned["shard"].tolist() != data.catalog["shard"].tolist()
    replace(data, catalog=planned).ingest()
    pixels, _ = _stored(replace(data, catalog=planned), "a")
    np.testing.assert_array_equal(pixels, _cut(IMAGE, "w"))


def test_one_volume_of_several_is_read(make_set: MakeSet) -> None:
    several = np.stack([IMAGE, IMAGE[::-1]], axis=-1)
    image = nibabel.Nifti1Image(several.transpose(2, 1, 0, 3), np.eye(4))
    data = make_set(
        {"a.nii": bytes(image.to_bytes())}, {"a.npy": npy(REFERENCE)}, volumes=Volumes(Choice(volume=1)), **SETTINGS
    )
    assert "2 volumes in one file" in data.catalog["error"].iloc[0], "the look at the file was without the choice"


@pytest.mark.parametrize("names", [["a.nii"], ["a.nii", "b.nii"]], ids=["alone in its shard", "with another"])
@pytest.mark.parametrize("resample", [False, True])
def test_scaled_numbers_are_those_of_the_picture(
    make_set: MakeSet, monkeypatch: pytest.MonkeyPatch, resample: bool, names: list[str]
) -> None:
    monkeypatch.setattr(slice_stack, "BLOCK_BYTES", 100)
    geometry = SHIFTED if resample else GEOMETRY
    scaled = nifti(IMAGE, geometry, slope=0.3)
    data = make_set(
        dict.fromkeys(names, scaled),
        dict.fromkeys(names, nifti(REFERENCE, GEOMETRY)),
        volumes=Volumes(resample=resample),
        **SETTINGS,
    )
    data.ingest()
    assert data.catalog["shard"].nunique() == 1
    expected = read_picture(scaled, "a.nii").pixels[..., 0]
    np.testing.assert_array_equal(expected, (IMAGE * np.float64(np.float32(0.3))).astype(np.float32))
    if resample:
        expected = resampling(Grid(SIZE, GEOMETRY), Grid(SIZE, SHIFTED), "a.nii").linear(
            expected, 0, SIZE[0], expected.min()
        )
    for name in names:
        pixels, _ = _stored(data, name.removesuffix(".nii"))
        assert pixels.dtype == np.float32
        np.testing.assert_array_equal(pixels, expected)
    whole = find_recipe(expected[..., None], "zscore", full_scale=1, window=(0, 1))
    assert data.rows()["a"].recipe == whole


@pytest.mark.parametrize("names", [["a.nii"], ["a.nii", "b.nii"]], ids=["alone in its shard", "with another"])
def test_of_scaled_numbers_with_a_bad_reference_zeros_are_stored(make_set: MakeSet, names: list[str]) -> None:
    """Not what a stored zero means."""
    images = dict.fromkeys(names, nifti(IMAGE, GEOMETRY, slope=0.3, intercept=5.0))
    references = {**dict.fromkeys(names, nifti(REFERENCE, GEOMETRY)), "a.nii": nifti(REFERENCE + 9, GEOMETRY)}
    data = make_set(images, references, **SETTINGS)
    data.ingest()
    assert [name for name, row in data.rows().items() if row.failure] == ["a"]
    pixels, reference = data.stored("a")
    assert pixels.dtype == np.float32
    assert not pixels.any()
    assert (reference == IGNORED).all()


@pytest.mark.skipif(not SEGMENTS.is_dir(), reason="needs shared/data/formats; set SEGSCALE_DATA")
@pytest.mark.parametrize("turn", [TURNS[0], TURNS[4], TURNS[29]], ids=str)
def test_a_segmentation_lies_where_its_image_lies(make_set: MakeSet, turn: Any) -> None:
    """Nothing but the image says which planes there are: D, H and W are those of the image."""
    data = (SEGMENTS / "liver_seg.nrrd").read_bytes()
    twin = read_labels(data, "liver_seg.nrrd")
    assert twin.grid is not None
    assert twin.grid.geometry is not None
    pixels = np.random.default_rng(0).integers(0, 900, twin.grid.size, np.int16)
    image = turned(turn, pixels, twin.grid.geometry)
    segments = (SEGMENTS / "liver.dcm").read_bytes()
    made = make_set({"a.nii": image}, {"a.dcm": segments}, **{**SETTINGS, "n_classes": 2})
    made.ingest()
    (row,) = made.catalog.to_dict("records")
    assert (row["depth"], row["height"], row["width"]) == backwards(turn, pixels).shape
    stored, reference = _stored(made, "a")
    np.testing.assert_array_equal(stored, _cut(backwards(turn, pixels), row["slice_axis"]))
    np.testing.assert_array_equal(reference, _cut(backwards(turn, twin.values), row["slice_axis"]) != 0)
    assert not any("shape" in text for _, text in _said(made)), "its planes say where they lie"


def test_masks_leave_pixels_out(make_set: MakeSet) -> None:
    mask = (labels(5) > 0).astype(np.uint8)
    files = {"images": {"a.nii": nifti(IMAGE, GEOMETRY)}, "references": {"a.nii": nifti(REFERENCE, GEOMETRY)}}
    data = make_set(**files, masks={"a.nii": turned(TURNS[9], mask)}, slice_axis="w", **SETTINGS)
    data.ingest()
    _, reference = _stored(data, "a")
    np.testing.assert_array_equal(reference, _cut(np.where(mask, REFERENCE, IGNORED), "w"))
    assert make_set(**files, folder="other", slice_axis="w", **SETTINGS).catalog["shard"][0] != data.catalog["shard"][0]


def test_keys_of_pictures_are_those_of_before_there_were_volumes(make_set: MakeSet) -> None:
    """The numbers are those of version 1.0 of the store: whoever changes them has every set done once more."""
    flat, stack = np.arange(24, dtype=np.uint8).reshape(4, 6) % 2, np.arange(72, dtype=np.uint8).reshape(3, 4, 6) % 2
    files = {"a.npy": flat, "b.npy": stack}
    data = make_set(files, files)
    key = "05cadf6e366b579edb4b0c9d9adad6db183b142eed3f439014af30948ad71fcb"
    assert data.catalog["shard"].tolist() == [key, key]
    assert data.catalog["slice_axis"].tolist() == ["", "d"]
    assert catalog_sha256(data.catalog) == "b399af201e478e0678f239a7e74726f176844b6027646b5d316732f39ac2d4e3"
