import uuid
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from segscale.storage import shards
from segscale.storage.objects import ObjectStore
from segscale.tasks.blocks import BlockReader, Place

PIXELS = np.arange(6 * 8 * 3 * 2, dtype=np.uint16).reshape(6, 8, 3, 2)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """What was decoded so far: (start, stop, top, bottom) each."""
    seen = []
    plain = shards.as_numpy

    def noted(array: shards.ZarrArray, *bounds: int) -> NDArray[Any]:
        seen.append(bounds)
        return plain(array, *bounds)

    monkeypatch.setattr(shards, "as_numpy", noted)
    return seen


@pytest.fixture
def reader() -> BlockReader:
    store = ObjectStore(f"memory://{uuid.uuid4().hex}")
    entry = shards.commit_shard(store, "ingest", "ab" * 32, arrays={"images": PIXELS}, rows=b"", facts={})
    return BlockReader(shards.open_arrays(store, entry, "images")[0])


@pytest.mark.parametrize(
    ("places", "calls"),
    [
        pytest.param([(1, 0, 8)], [(1, 2, 0, 8)], id="one slice"),
        pytest.param([(1, 0, 8), (2, 0, 8), (3, 0, 8)], [(1, 4, 0, 8)], id="neighbours at once"),
        pytest.param([(0, 0, 8), (2, 0, 8), (3, 0, 8)], [(0, 1, 0, 8), (2, 4, 0, 8)], id="a gap between"),
        pytest.param([(4, 2, 5), (4, 2, 5)], [(4, 5, 2, 5)], id="the same rows for two tiles"),
        pytest.param([(4, 0, 4), (4, 2, 6), (5, 2, 6)], [(4, 5, 0, 4), (4, 6, 2, 6)], id="other rows"),
        pytest.param([], [], id="nothing"),
    ],
)
def test_blocks(
    reader: BlockReader, decoded: list[tuple[int, ...]], places: list[tuple[int, int, int]], calls: list[Any]
) -> None:
    blocks = reader.read([Place(*place) for place in places])
    assert decoded == calls
    for (position, top, bottom), block in zip(places, blocks, strict=True):
        np.testing.assert_array_equal(block, PIXELS[position, top:bottom])
    assert (reader.dtype, reader.channels) == (np.dtype(np.uint16), 2)


def test_what_was_asked_for_last_is_not_decoded_again(reader: BlockReader, decoded: list[tuple[int, ...]]) -> None:
    first, second, third = Place(0, 0, 4), Place(0, 2, 6), Place(0, 4, 8)
    reader.read([first, second])
    np.testing.assert_array_equal(reader.read([second, third])[0], PIXELS[0, 2:6])
    assert decoded == [(0, 1, 0, 4), (0, 1, 2, 6), (0, 1, 4, 8)]
    reader.read([first])
    assert decoded[3:] == [(0, 1, 0, 4)], "blocks of long ago are held"
