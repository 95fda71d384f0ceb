import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from segscale.errors import DataError, UnreadableImage
from segscale.tasks.labels import LabelRule, class_indices
from segscale.tasks.readers import read_label_map, read_labels
from segscale.tasks.readers.pieces import LENGTH
from tests.tasks.encoded import npy, tiff

MakePng = Callable[..., bytes]
GREY, RGB, PALETTE = 0, 2, 3


@pytest.mark.parametrize(
    ("bit_depth", "colour_type", "line", "expected", "dtype"),
    [
        pytest.param(1, GREY, b"\x40", [0, 1], "bool", id="1 bit"),
        pytest.param(2, GREY, b"\xb0", [2, 3], "uint8", id="2 bits are not stretched"),
        pytest.param(4, GREY, b"\x2f", [2, 15], "uint8", id="4 bits are not stretched"),
        pytest.param(8, GREY, b"\x00\xff", [0, 255], "uint8", id="0 and 255"),
        pytest.param(16, GREY, b"\x01\x00\xff\xff", [256, 65535], "uint16", id="instances of 16 bits"),
        pytest.param(8, PALETTE, b"\x01\x00", [1, 0], "uint8", id="palette: indices, not colours"),
        pytest.param(8, RGB, b"\x07\x07\x07\x00\x00\x00", [7, 0], "uint8", id="three equal channels"),
        pytest.param(16, RGB, b"\x01\x00" * 3 + b"\0\0" * 3, [256, 0], "uint16", id="three equal channels of 16 bits"),
    ],
)
def test_png(make_png: MakePng, bit_depth: int, colour_type: int, line: bytes, expected: list[int], dtype: str) -> None:
    chunks = [(b"PLTE", bytes([0, 0, 0, 255, 0, 0]))] if colour_type == PALETTE else []
    labels = read_label_map(make_png(2, 1, bit_depth, colour_type, [line], chunks=chunks), "mask.png")
    assert labels.tolist() == [[expected]]
    assert labels.dtype.name == dtype
    assert labels.flags.c_contiguous


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        pytest.param(np.array([[0, 300]], np.uint16), "uint16", id="integers"),
        pytest.param(np.array([[-1, 2]], np.int16), "int16", id="negative values"),
        pytest.param(np.array([[0, 2**40]], np.int64), "int64", id="64 bits"),
        pytest.param(np.array([[False, True]]), "bool", id="bool"),
        pytest.param(np.array([[0.0, 3.0]], np.float32), "int32", id="whole floats"),
        pytest.param(np.array([[-1.0, 3.0]], np.float64), "int32", id="whole floats of 64 bits"),
    ],
)
@pytest.mark.parametrize(("name", "encode"), [("mask.tif", tiff), ("mask.npy", npy)])
def test_tiff_and_npy(name: str, encode: Callable[..., bytes], values: NDArray[Any], dtype: str) -> None:
    labels = read_label_map(encode(values), name)
    assert labels.tolist() == [values.tolist()]
    assert labels.dtype.name == dtype


@pytest.mark.parametrize(("name", "encode"), [("mask.tif", tiff), ("mask.npy", npy)])
def test_volumes_keep_their_depth(name: str, encode: Callable[..., bytes]) -> None:
    volume = np.arange(4 * 5 * 6, dtype=np.uint8).reshape(4, 5, 6)
    assert np.array_equal(read_label_map(encode(volume), name), volume)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        pytest.param([0.0, 0.5], "1 of 2 values are not whole numbers of 32 bits, for example 0.5", id="fraction"),
        pytest.param([np.nan, 1.0], "for example nan", id="NaN"),
        pytest.param([np.inf, -np.inf], "2 of 2 values", id="infinity"),
        pytest.param([1e12, 0.0], "1 of 2 values", id="beyond 32 bits"),
    ],
)
def test_other_floats_are_no_labels(values: list[float], message: str) -> None:
    with pytest.raises(UnreadableImage, match=message):
        read_label_map(tiff(np.array([values])), "mask.tif")


def test_colours_are_no_labels(make_png: MakePng) -> None:
    data = make_png(2, 1, 8, RGB, [b"\xff\0\0\0\0\0"])
    with pytest.raises(UnreadableImage, match=r"mask\.png: a coloured image, 1 of 2 pixels"):
        read_label_map(data, "mask.png")


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("depth", [1, 3])
def test_channels_that_are_no_colours_stay(planar: str, depth: int) -> None:
    shape = np.random.default_rng(3).integers(0, 2, (depth, 8, 9)).astype(np.uint8)
    planes = np.stack([1 - shape, shape], axis=-1)
    stored = np.squeeze(planes if planar == "contig" else np.moveaxis(planes, -1, 1))
    found = read_label_map(tiff(stored, planarconfig=planar), "mask.tif")
    assert np.array_equal(found, planes)
    assert np.array_equal(class_indices(found, shape.shape, LabelRule(2), "mask.tif"), shape)
    with pytest.raises(DataError, match="with 3 channels"):
        class_indices(found, shape.shape, LabelRule(3), "mask.tif")


def test_colours_in_tiff_are_told_to_be_saved_as_grey() -> None:
    colours = np.random.default_rng(3).integers(0, 9, (8, 9, 3)).astype(np.uint8)
    with pytest.raises(UnreadableImage, match=r"mask\.tif: a coloured image.* save the label map as grey, or with"):
        read_label_map(tiff(colours, photometric="rgb"), "mask.tif")
    grey = tiff(np.repeat(colours[..., :1], 3, axis=-1), planarconfig="contig")
    assert np.array_equal(read_label_map(grey, "mask.tif")[0], colours[..., 0]), "three equal channels are one"
    alpha = tiff(np.full((8, 9, 2), 255, np.uint8), planarconfig="contig", extrasamples=["unassalpha"])
    assert read_label_map(alpha, "mask.tif").shape == (1, 8, 9)


def test_complex_numbers_are_no_labels() -> None:
    with pytest.raises(UnreadableImage, match="values of type complex128; expected integers"):
        read_label_map(npy(np.zeros((2, 2), complex)), "mask.npy")


def test_jpeg_is_no_label_map() -> None:
    stream = io.BytesIO()
    Image.new("L", (8, 8)).save(stream, "JPEG")
    with pytest.raises(UnreadableImage, match="JPEG does not keep label values"):
        read_label_map(stream.getvalue(), "mask.jpg")


@pytest.mark.data
@pytest.mark.parametrize(
    ("folder", "most"),
    [
        pytest.param("nuclei/masks", 1, id="1-bit masks"),
        pytest.param("nuclei/labels", 400, id="16-bit instances"),
        pytest.param("ms_lesions/masks", 1, id="1-bit masks, many empty"),
    ],
)
def test_real_masks(data_folder: Path, folder: str, most: int) -> None:
    for path in sorted((data_folder / folder).glob("*.png"))[:8]:
        labels = read_label_map(path.read_bytes(), path.name)
        with Image.open(path) as image:
            assert np.array_equal(labels[0], np.asarray(image).astype(labels.dtype))
        assert labels.max() <= most


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        pytest.param(np.array([[0, 255, 7]], np.int16), "uint8", id="16 bits"),
        pytest.param(np.array([[0, 1, 3]], np.int64), "uint8", id="64 bits"),
        pytest.param(np.array([[0.0, -0.0, 255.0]], np.float64), "uint8", id="whole floats"),
        pytest.param(np.array([[0, 256]], np.uint16), "uint16", id="too large"),
        pytest.param(np.array([[0, -1]], np.int32), "int32", id="below 0"),
        pytest.param(np.array([[0.0, 256.0]], np.float32), "int32", id="floats that are too large"),
        pytest.param(np.array([[0, 127]], np.int8), "int8", id="127 is white in its type"),
        pytest.param(np.array([[0, 1]], np.uint8), "uint8", id="bytes already"),
        pytest.param(np.array([[False, True]]), "bool", id="one bit"),
    ],
)
def test_narrow_labels_are_the_same_numbers(values: NDArray[Any], dtype: str) -> None:
    """Also where only the last piece of many says that they do not fit."""
    long = np.concatenate([np.zeros((1, LENGTH + 3), values.dtype), values], axis=1)
    for stored in (values, long):
        narrow, plain = (read_labels(npy(stored), "a.npy", narrow=narrow).values for narrow in (True, False))
        assert narrow.dtype == dtype
        assert np.array_equal(narrow, plain)
        assert np.array_equal(narrow, stored[np.newaxis])


def test_narrow_labels_are_refused_as_others() -> None:
    for values in ([[0.0, 1.5]], [[0.0, np.nan]], [[0.0, np.inf]]):
        with pytest.raises(UnreadableImage, match="1 of 2 values are not whole numbers"):
            read_labels(npy(np.array(values)), "a.npy", narrow=True)


def test_fractions_are_counted_over_all_pieces() -> None:
    values = np.zeros((1, 3 * LENGTH))
    values[0, [5, LENGTH, -1]] = 0.25, 0.5, 0.75
    with pytest.raises(UnreadableImage, match=r"3 of 196608 values .* for example 0\.25"):
        read_label_map(npy(values), "a.npy")
