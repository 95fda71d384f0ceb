import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from segscale.errors import UnreadableImage
from segscale.tasks.readers.arrays import NumpyReader, read_array, read_array_header

READER = NumpyReader()


def npy(array: NDArray[Any], *, allow_pickle: bool = False) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=allow_pickle)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("stored", "shape", "dtype", "full_scale"),
    [
        pytest.param(np.ones((5, 6), np.uint8), (1, 5, 6, 1), "uint8", 255, id="flat"),
        pytest.param(np.ones((2, 5, 6), np.int16), (2, 5, 6, 1), "int16", 32767, id="volume, signed"),
        pytest.param(np.ones((1, 5, 6, 3), np.float64), (1, 5, 6, 3), "float32", 1, id="RGB, float64 as float32"),
        pytest.param(np.ones((5, 6), np.bool_), (1, 5, 6, 1), "uint8", 1, id="bool as 0 and 1"),
        pytest.param(np.ones((5, 6), ">u2"), (1, 5, 6, 1), "uint16", 65535, id="the other byte order"),
        pytest.param(np.asfortranarray(np.ones((5, 6), np.float32)), (1, 5, 6, 1), "float32", 1, id="Fortran order"),
    ],
)
def test_pictures(stored: NDArray[Any], shape: tuple[int, ...], dtype: str, full_scale: float) -> None:
    data = npy(stored)
    picture, header = READER.read(data, "a.npy"), READER.header(data, "a.npy")
    assert picture.pixels.shape == header.shape == shape
    assert picture.pixels.dtype.name == header.dtype == dtype
    assert picture.full_scale == full_scale
    assert picture.pixels.flags.c_contiguous
    assert picture.pixels.all()


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        pytest.param(np.ones((5, 6, 3)), "with a width above 4", id="height, width, channels or a thin volume?"),
        pytest.param(np.ones(5), r"array of shape \(5,\)", id="one axis"),
        pytest.param(np.ones((5, 6), np.int64), "pixels of type int64", id="64 bits"),
        pytest.param(np.ones((0, 6)), "no pixels", id="no rows"),
        pytest.param(np.ones(3, [("a", "u1")]), "holds records; expected numbers", id="records"),
        pytest.param(np.array([["a", "b"]]), "pixels of type text", id="text"),
    ],
)
def test_refused_pictures(stored: NDArray[Any], message: str) -> None:
    with pytest.raises(UnreadableImage, match=message):
        READER.read(npy(stored), "a.npy")


def test_python_objects_are_never_unpickled() -> None:
    data = npy(np.array([{}], object), allow_pickle=True)
    with pytest.raises(UnreadableImage, match="holds Python objects; expected numbers"):
        read_array(data, "a.npy")


def test_every_cut_is_noticed() -> None:
    data = npy(np.arange(6, dtype=np.uint16).reshape(2, 3))
    for length in range(len(data)):
        with pytest.raises(UnreadableImage):
            read_array(data[:length], "a.npy")


def test_a_header_that_claims_more_than_there_is_asks_for_no_memory() -> None:
    data = npy(np.zeros((9, 9), np.uint8)).replace(b"(9, 9), }          ", b"(9999999, 99999), }")
    with pytest.raises(UnreadableImage, match=r"cut off: 81 of 999989900001 bytes"):
        read_array_header(data, "a.npy")
