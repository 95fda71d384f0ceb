import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from segscale.errors import UnreadableImage
from segscale.tasks.readers import Probabilities, checked, read_probabilities, stores_floats
from tests.tasks.encoded import npy, png, tiff

FILES = pytest.mark.parametrize(("name", "encode"), [("p.npy", npy), ("p.tif", tiff)])


@FILES
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(4, 5), (3, 4, 5), (4, 5, 2)])
def test_floats_keep_their_shape(name: str, encode: Callable[..., bytes], dtype: str, shape: tuple[int, ...]) -> None:
    stored = np.linspace(0, 1, int(np.prod(shape))).reshape(shape).astype(dtype)
    data = encode(stored)
    read = read_probabilities(data, name)
    assert read.values.dtype == np.dtype(dtype)
    found = checked(read, None, name)
    assert found.dtype == np.float32
    assert np.array_equal(found, stored.astype(np.float32))
    assert stores_floats(data, name)


@FILES
@pytest.mark.parametrize(
    ("values", "message"),
    [
        pytest.param([0.5, np.nan], "1 of 2 probabilities are NaN", id="NaN"),
        pytest.param([-2.5, 3.0], "from -2.5 to 3; .* apply the sigmoid or softmax", id="logits"),
        pytest.param([0.0, 99.0], 'from 0 to 99; .*predictions.kind = "labels"', id="per cent, or labels"),
        pytest.param([0.0, np.inf], "from 0 to inf", id="infinity"),
    ],
)
def test_what_is_no_probability(name: str, encode: Callable[..., bytes], values: list[float], message: str) -> None:
    with pytest.raises(UnreadableImage, match=message):
        checked(read_probabilities(encode(np.array([values], np.float32)), name), None, name)


@pytest.mark.parametrize(
    ("dtype", "beyond", "sound"),
    [
        pytest.param("float64", 1e-6, True, id="a sum of float32"),
        pytest.param("float32", 9e-4, False, id="float32 is more exact than that"),
        pytest.param("float16", 9.7e-4, True, id="the next number after 1"),
        pytest.param("float16", 2e-3, False, id="two numbers after 1"),
    ],
)
@pytest.mark.parametrize("side", [0, 1])
def test_rounding_beyond_the_ends_is_clipped(dtype: str, beyond: float, sound: bool, side: int) -> None:
    end = 1 + beyond if side else -beyond
    read = read_probabilities(npy(np.array([[end, 0.25]], dtype)), "p.npy")
    if not sound:
        with pytest.raises(UnreadableImage, match="expected probabilities from 0 to 1"):
            checked(read, None, "p.npy")
        return
    assert checked(read, None, "p.npy").tolist() == [[float(side), 0.25]]


def test_nan_may_stand_where_nothing_counts() -> None:
    values, counted = np.array([[np.nan, 0.5], [0.25, np.nan]], np.float32), np.array([[False, True], [True, False]])
    assert checked(Probabilities(values, 0.0), counted, "p.npy").tolist() == [[0.0, 0.5], [0.25, 0.0]]
    with pytest.raises(UnreadableImage, match="1 of 4 probabilities are NaN"):
        checked(Probabilities(values, 0.0), np.array([[False, True], [True, True]]), "p.npy")


@pytest.mark.parametrize(
    ("values", "name", "encode", "expected"),
    [
        pytest.param(np.array([[0, 51, 255]], np.uint8), "p.png", png, [0, 0.2, 1], id="8 bits"),
        pytest.param(np.array([[0, 51, 255]], np.uint8), "p.npy", npy, [0, 0.2, 1], id="8 bits of an array"),
        pytest.param(np.array([[0, 13107, 65535]], np.uint16), "p.png", png, [0, 0.2, 1], id="16 bits"),
        pytest.param(np.array([[0, 13107, 65535]], np.uint16), "p.tif", tiff, [0, 0.2, 1], id="16 bits of a TIFF"),
        pytest.param(np.array([[False, True]]), "p.npy", npy, [0, 1], id="bool"),
    ],
)
def test_integers_as_shares_of_full_scale(
    values: NDArray[Any], name: str, encode: Callable[..., bytes], expected: list[float]
) -> None:
    data = encode(values)
    assert not stores_floats(data, name)
    read = read_probabilities(data, name)
    assert read.values.dtype == np.float32
    assert read.values.ravel().tolist() == np.array(expected, np.float32).tolist()


def test_other_numbers_are_no_probabilities() -> None:
    for dtype in ("int32", "uint32", "int16", "complex64"):
        with pytest.raises(UnreadableImage, match=f"values of type {dtype}; expected probabilities as floats"):
            read_probabilities(npy(np.ones((4, 5), dtype)), "p.npy")


def test_jpeg_does_not_keep_probabilities() -> None:
    stream = io.BytesIO()
    Image.fromarray(np.full((8, 8), 128, np.uint8)).save(stream, format="JPEG")
    with pytest.raises(UnreadableImage, match="JPEG"):
        read_probabilities(stream.getvalue(), "p.jpg")
