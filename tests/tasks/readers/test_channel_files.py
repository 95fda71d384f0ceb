"""An image whose channels are in a file each, as one picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from segscale.errors import UnreadableImage
from segscale.storage.bundles import pack
from segscale.storage.source_names import channel_files
from segscale.tasks.geometry import Geometry
from segscale.tasks.readers import (
    holds_volume,
    read_header,
    read_label_map,
    read_picture,
    read_scaled,
    read_stated_maximum,
    voxel_bytes,
)
from tests.tasks.encoded import npy, png, tiff
from tests.tasks.geometries import TURNS, UPRIGHT
from tests.tasks.readers.conftest import MakePng
from tests.tasks.volumes import GEOMETRY, nifti, turned

NUMBERS = ("0000", "0001", "0002")
VALUES = [np.random.default_rng(seed).integers(0, 255, (4, 6, 5)).astype(np.int16) for seed in range(3)]
SHIFTED = Geometry(GEOMETRY.spacing, UPRIGHT, (-7.0, 4.0, 12.5))


def _bundle(ending: str, *files: bytes) -> tuple[bytes, str]:
    """As `read_source` has them, and what they are called together."""
    name = f"c_{{{','.join(NUMBERS[: len(files)])}}}{ending}"
    return pack(dict(zip(channel_files(name), files, strict=True))), name


@pytest.mark.parametrize("n_channels", [2, 3])
def test_it_is_the_picture_of_one_file_of_channels(n_channels: int) -> None:
    values = VALUES[:n_channels]
    stacked = read_picture(npy(np.stack(values, axis=-1)), "a.npy")
    for ending, files in ((".npy", map(npy, values)), (".nii.gz", (nifti(one, GEOMETRY) for one in values))):
        source = _bundle(ending, *files)
        picture, header = read_picture(*source), read_header(*source)
        np.testing.assert_array_equal(picture.pixels, stacked.pixels)
        assert picture.pixels.shape == header.shape
        assert picture.pixels.dtype.name == header.dtype == "int16"
        assert picture.full_scale == stacked.full_scale
        assert picture.pixels.flags.c_contiguous
        assert holds_volume(source[1]) is (ending == ".nii.gz")
        assert read_scaled(*source) is None
    assert header.geometry is not None
    assert header.geometry.spacing == GEOMETRY.spacing
    assert voxel_bytes(*source) == n_channels * values[0].nbytes


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_flat_pictures(dtype: str) -> None:
    values = [np.arange(30, dtype=dtype).reshape(5, 6) + seed for seed in range(2)]
    picture = read_picture(*_bundle(".png", *map(png, values)))
    np.testing.assert_array_equal(picture.pixels, np.stack(values, axis=-1)[np.newaxis])
    assert picture.full_scale == np.iinfo(dtype).max


def test_axes_in_another_order_are_those_of_the_first() -> None:
    """In all 48 orientations, and it is said."""
    for turn in TURNS:
        source = _bundle(".nii.gz", nifti(VALUES[0], GEOMETRY), turned(turn, VALUES[1]))
        np.testing.assert_array_equal(read_picture(*source).pixels, np.stack(VALUES[:2], axis=-1), err_msg=str(turn))
        said = read_header(*source).notes
        assert any(note.startswith("channel 1 turned by its geometry") for note in said) != turn.is_none, str(turn)


def _scaled(values: NDArray[Any]) -> bytes:
    return nifti(values, GEOMETRY, slope=0.5)


@pytest.mark.parametrize(
    ("first", "second", "dtype"),
    [
        pytest.param(VALUES[0], VALUES[1].astype(np.float32), "float32", id="a CT beside floats of a PET"),
        pytest.param(VALUES[0].astype(np.float32), VALUES[1].astype(np.uint8), "float32", id="the other way round"),
        pytest.param(VALUES[0].astype(np.float16), VALUES[1].astype(np.float16), "float16", id="one type"),
    ],
)
def test_numbers_stay_what_they_are(first: NDArray[Any], second: NDArray[Any], dtype: str) -> None:
    picture = read_picture(*_bundle(".npy", npy(first), npy(second)))
    assert (picture.pixels.dtype.name, picture.full_scale) == (dtype, 1.0)
    np.testing.assert_array_equal(picture.pixels, np.stack([first, second], axis=-1).astype(dtype))


def test_scaled_numbers_are_what_they_mean() -> None:
    picture = read_picture(*_bundle(".nii.gz", nifti(VALUES[0], GEOMETRY), _scaled(VALUES[1])))
    np.testing.assert_array_equal(picture.pixels[..., 1], VALUES[1] * np.float32(0.5))


@pytest.mark.parametrize(
    ("ending", "first", "second", "words"),
    [
        pytest.param(".npy", npy(VALUES[0]), npy(VALUES[1][:3]),
                     r"c_0001\.npy: lies on another grid than c_0000\.npy.*: 3x6x5 voxels.*that has 4x6x5", id="size"),
        pytest.param(".nii.gz", nifti(VALUES[0], GEOMETRY), nifti(VALUES[1], SHIFTED),
                     r"12\.5\) mm.*that has.*11\) mm.*0\.5 voxels apart.*: resample it$", id="place"),
        pytest.param(".nii.gz", nifti(VALUES[0], GEOMETRY), nifti(VALUES[1], None),
                     r"without a geometry; that has 4x6x5.*axes to", id="one without a geometry"),
        pytest.param(".npy", npy(VALUES[0]), npy(np.stack(VALUES, axis=-1)),
                     r"c_0001\.npy: holds 3 channels; expected one in each file", id="colours"),
        pytest.param(".npy", npy(VALUES[0]), npy(VALUES[1].astype(np.uint8)),
                     "numbers of type uint8, c_0000.npy, the first channel of its image, int16",
                     id="integers of two types"),
        pytest.param(".npy", npy(VALUES[0].astype(np.int32)), npy(VALUES[1].astype(np.float32)),
                     "numbers of type float32", id="integers that float32 does not hold"),
        pytest.param(".nii.gz", nifti(VALUES[0], GEOMETRY), b"", r"c_0001\.nii\.gz: ", id="a file that is empty"),
        pytest.param(".tif", tiff(VALUES[0][0]), tiff(VALUES[1][0], extratags=[(274, 3, 1, 3, True)]),
                     "says orientation 3, c_0000.tif, .* nothing; expected the same", id="turned otherwise"),
    ],
)  # fmt: skip
def test_what_is_refused(ending: str, first: bytes, second: bytes, words: str) -> None:
    for read in (read_header, read_picture):
        with pytest.raises(UnreadableImage, match=words):
            read(*_bundle(ending, first, second))


def test_it_is_no_label_map() -> None:
    with pytest.raises(UnreadableImage, match="expected one file of labels"):
        read_label_map(*_bundle(".npy", npy(VALUES[0]), npy(VALUES[1])))


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        pytest.param((b"\x05", b"\x05"), 31, id="the same"),
        pytest.param((b"\x05", b"\x06"), 0, id="different things"),
        pytest.param((b"\x05", None), 0, id="one says nothing"),
    ],
)
def test_what_files_say_of_their_full_scale(make_png: MakePng, stated: tuple[bytes | None, ...], expected: int) -> None:
    rows = [b"\x03\x04", b"\x05\x1f"]
    files = [make_png(2, 2, 8, 0, rows, chunks=[(b"sBIT", one)] if one else []) for one in stated]
    assert read_stated_maximum(*_bundle(".png", *files)) == expected
