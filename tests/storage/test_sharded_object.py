from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import zarr
from zarr.codecs import ZstdCodec

from segscale.storage.sharded_object import sharded_object


def _by_zarr(array: npt.NDArray[Any], rows: int) -> bytes:
    n_images, height, *others = array.shape
    buffers: dict[str, Any] = {}
    created = zarr.create_array(
        zarr.storage.MemoryStore(buffers), name="x", shape=array.shape, dtype=array.dtype, chunks=(1, rows, *others),
        shards=(n_images, -(-height // rows) * rows, *others), compressors=[ZstdCodec(level=1)],
        fill_value=0, config={"write_empty_chunks": True},
    )  # fmt: skip
    created[...] = array
    (data,) = (buffer.to_bytes() for name, buffer in buffers.items() if "/c/" in name)
    return bytes(data)


@pytest.mark.parametrize("dtype", ["u1", "i2", ">i2", "f4"])
@pytest.mark.parametrize(
    ("shape", "rows"),
    [
        pytest.param((1, 2, 2), 2, id="one chunk"),
        pytest.param((70, 4, 5, 2), 4, id="one for each image, more than are made together"),
        pytest.param((5, 9, 4), 3, id="even bands, no power of two"),
        pytest.param((3, 10, 4, 3), 4, id="a last band that is filled up"),
        pytest.param((2, 33, 4), 4, id="more bands than images"),
        pytest.param((33, 8, 1, 1), 4, id="more images than bands"),
    ],
)
def test_the_bytes_are_those_of_zarr(shape: tuple[int, ...], rows: int, dtype: str) -> None:
    array = np.random.default_rng(0).normal(0, 20, shape).astype(dtype)
    assert sharded_object(array, rows) == _by_zarr(array, rows)
    assert sharded_object(np.asfortranarray(array), rows) == _by_zarr(array, rows)


def test_zeros_are_stored() -> None:
    nothing = np.zeros((3, 4, 4), np.float32)
    assert sharded_object(nothing, 2) == _by_zarr(nothing, 2)


def test_images_are_asked_for_one_by_one() -> None:
    class Counted:
        """Images that are made when they are asked for."""

        shape, dtype = (3, 4, 5), np.dtype("u1")

        def __init__(self) -> None:
            self.asked: list[int] = []

        def __getitem__(self, place: int) -> npt.NDArray[Any]:
            self.asked.append(place)
            return np.full(self.shape[1:], place, np.uint8)

    stack = Counted()
    assert sharded_object(stack, 4) == sharded_object(np.stack([stack[place] for place in range(3)]), 4)
    assert sorted(stack.asked) == [0, 0, 1, 1, 2, 2]
