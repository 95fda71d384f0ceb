import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from segscale.errors import UnreadableImage
from segscale.tasks.readers import holds_probabilities, read_probabilities


def tiff(values: NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, values, photometric="minisblack")
    return stream.getvalue()


def npy(values: NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, values)
    return stream.getvalue()


FILES = pytest.mark.parametrize(("name", "encode"), [("p.npy", npy), ("p.tif", tiff)])


@FILES
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(4, 5), (3, 4, 5), (4, 5, 2)])
def test_every_float_becomes_float32_in_its_own_shape(
    name: str, encode: Callable[..., bytes], dtype: str, shape: tuple[int, ...]
) -> None:
    stored = np.linspace(0, 1, int(np.prod(shape))).reshape(shape).astype(dtype)
    data = encode(stored)
    found = read_probabilities(data, name)
    assert found.dtype == np.float32
    assert np.array_equal(found, stored.astype(np.float32))
    assert holds_probabilities(data, name)


@FILES
@pytest.mark.parametrize(
    ("values", "message"),
    [
        pytest.param([0.5, np.nan], "1 of 2 probabilities are NaN", id="NaN"),
        pytest.param([-2.5, 3.0], "from -2.5 to 3; .* apply the sigmoid or softmax", id="logits"),
        pytest.param([0.0, 99.0], "from 0 to 99", id="per cent"),
        pytest.param([0.0, np.inf], "from 0 to inf", id="infinity"),
    ],
)
def test_what_is_no_probability(name: str, encode: Callable[..., bytes], values: list[float], message: str) -> None:
    with pytest.raises(UnreadableImage, match=message):
        read_probabilities(encode(np.array([values], np.float32)), name)


def test_rounding_beyond_one_is_clipped() -> None:
    found = read_probabilities(npy(np.array([-1e-6, 0.25, 1 + 1e-6])), "p.npy")
    assert found.tolist() == [0.0, 0.25, 1.0]
    assert found.dtype == np.float32


@FILES
def test_integers_are_labels(name: str, encode: Callable[..., bytes]) -> None:
    data = encode(np.ones((4, 5), np.uint8))
    assert not holds_probabilities(data, name)
    with pytest.raises(UnreadableImage, match="values of type uint8; expected floats from 0 to 1"):
        read_probabilities(data, name)


def test_other_formats_hold_none() -> None:
    assert not holds_probabilities(b"", "p.png")
    with pytest.raises(UnreadableImage, match="cannot hold float probabilities"):
        read_probabilities(b"", "p.png")
