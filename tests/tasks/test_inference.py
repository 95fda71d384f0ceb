"""Bands of tiles, counted as they come, against the whole image."""

import uuid
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from segscale.storage import shards
from segscale.storage.objects import ObjectStore
from segscale.tasks.engines import EngineFacts
from segscale.tasks.inference import Band, Merging, Piece, plan_pieces, read_batches
from segscale.tasks.metrics.overlap import OverlapCounts, count_overlap
from segscale.tasks.shard_rows import ShardRow
from segscale.tasks.tiling import pad_to

FACTS = EngineFacts("fake", "cpu:0", "float32", "1", ("head_1", "head_2"), 2, 1, 3, 1)


def _row(image_id: str, start: int, depth: int, height: int, width: int) -> ShardRow:
    return ShardRow(
        image_id, start, depth, height, width, "", "", -np.inf, np.inf, 0.0, 255.0, False, None
    )  # fmt: skip


def _images(pixels: NDArray[np.generic]) -> shards.ZarrArray:
    store = ObjectStore(f"memory://{uuid.uuid4().hex}")
    entry = shards.commit_shard(store, "ingest", "ab" * 32, arrays={"images": pixels}, rows=b"", facts={})
    return shards.open_arrays(store, entry, "images")[0]


def _count(reference: NDArray[np.uint8], probabilities: NDArray[np.float32]) -> OverlapCounts:
    return count_overlap(reference, n_classes=2, probabilities=probabilities, ignore_index=255)


def _bands(pieces: list[Piece], heads: NDArray[np.float32], size: int) -> list[Band]:
    """What comes of the pieces, in batches of `size`, where the network answers each tile with its place in `heads`."""
    merging = Merging()
    bands: list[Band] = []
    for first in range(0, len(pieces), size):
        group = pieces[first : first + size]
        tiles = [piece.tile for piece in group]
        found = [
            heads[:, piece.position, tile.top : tile.top + tile.height, tile.left : tile.left + tile.width]
            for piece, tile in zip(group, tiles, strict=True)
        ]
        bands += merging.bands(group, np.stack(found, axis=1))
    return bands


@given(
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    tile=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    overlap=st.floats(0, 0.9),
    depth=st.integers(1, 2),
    batch=st.integers(1, 7),
    seed=st.integers(0, 2**32 - 1),
)
def test_streamed_counts_are_those_of_the_whole_image(
    size: tuple[int, int], tile: tuple[int, int], overlap: float, depth: int, batch: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    padded = max(size[0], tile[0]), max(size[1], tile[1])
    heads = rng.random((2, depth, *padded, 1), np.float32)
    reference = rng.choice(np.array([0, 1, 255], np.uint8), (depth, *size))
    pieces = list(plan_pieces([_row("a", 0, depth, *size)], (batch, *tile), overlap))
    streamed = [OverlapCounts.zero(2, n_histograms=1) for _ in range(2)]
    covered = np.zeros((depth, *size), np.int64)
    for band in _bands(pieces, heads, batch):
        part = reference[band.position, band.top : band.bottom]
        covered[band.position, band.top : band.bottom] += 1
        streamed = [total + _count(part, one) for total, one in zip(streamed, band.probabilities, strict=True)]
    assert (covered == 1).all()
    for head, counts in zip(heads, streamed, strict=True):
        whole = _count(reference, head[:, : size[0], : size[1]])
        for name in OverlapCounts.__dataclass_fields__:
            found, expected = getattr(counts, name), getattr(whole, name)
            if name.startswith("soft"):
                # From the difference of two sums: that of the background is rounded with them.
                np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12 * reference.size)
            else:
                np.testing.assert_array_equal(found, expected)


def test_the_counts_do_not_depend_on_the_batch() -> None:
    heads = np.random.default_rng(0).random((2, 2, 90, 70, 1), np.float32)
    rows = [_row("a", 0, 1, 90, 70), _row("b", 1, 1, 90, 70)]
    found = []
    for size in (1, 4, 50):
        bands = _bands(list(plan_pieces(rows, (size, 32, 32), 0.25)), heads, size)
        found.append([(band.row.image_id, band.top, band.probabilities.tobytes()) for band in bands])
    assert found[0] == found[1] == found[2]
    assert [band[:2] for band in found[0]] == [(name, top) for name in "ab" for top in (0, 19, 38, 58)]


@pytest.mark.parametrize("channels", [1, 3], ids=["a network of one channel", "of three"])
def test_batches_are_padded_and_filled_up(channels: int) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(1, 255, (4, 6, 8, 3), np.uint8)
    rows = [_row("a", 0, 2, 6, 8), _row("c", 3, 1, 5, 7)]
    facts = EngineFacts("fake", "cpu:0", "float32", "1", ("head_1",), 2, 1, channels, 5)
    first, last = read_batches(_images(pixels), plan_pieces(rows, (2, 6, 8), 0.0), (2, 6, 8), facts)
    assert (first.image_ids, last.image_ids) == (["a", "a"], ["c"])
    assert first.pixels.shape == last.pixels.shape == (2, 10, 10, channels)
    np.testing.assert_array_equal(first.pixels[:, :6, :8], pixels[:2, ..., :channels])
    np.testing.assert_array_equal(first.pixels[:, 6:], first.pixels[:, 1:5][:, ::-1])
    np.testing.assert_array_equal(last.pixels[0, :6, :8], pixels[3, ..., :channels])
    assert not last.pixels[1].any()
    assert last.recipes.tolist() == [[-np.inf, np.inf, 0.0, 255.0], [1.0] * 4]


@pytest.mark.parametrize(
    ("height", "width", "n_tiles"), [(4, 5, 1), (6, 8, 1), (6, 13, 2), (11, 7, 3), (16, 16, 12)], ids=str
)
def test_a_network_of_a_fixed_size_gets_that_size_padded_from_the_true_one(
    height: int, width: int, n_tiles: int
) -> None:
    """What others made of the padding in the shard, here 255, is never seen."""
    true = np.random.default_rng(0).integers(1, 200, (1, height, width, 1)).astype(np.uint8)
    stored = np.full((1, 16, 16, 1), 255, np.uint8)
    stored[:, :height, :width] = true
    facts = replace(FACTS, fixed_size=(6, 8), one_by_one=True)
    pieces = list(plan_pieces([_row("a", 0, 1, height, width)], (1, 6, 8), 0.25))
    assert len(pieces) == n_tiles
    for batch, piece in zip(read_batches(_images(stored), pieces, (1, 6, 8), facts), pieces, strict=True):
        assert batch.pixels.shape == (1, 6, 8, 1)
        top, left = piece.tile.top, piece.tile.left
        seen = true[:, top : top + 6, left : left + 8]
        np.testing.assert_array_equal(batch.pixels, pad_to(seen, 6, 8, "reflect"))


def test_engines_that_compute_image_by_image_get_short_batches() -> None:
    pixels = np.random.default_rng(0).integers(1, 255, (4, 6, 8, 3), np.uint8)
    facts = replace(FACTS, one_by_one=True)
    pieces = plan_pieces([_row("a", 0, 3, 6, 8)], (2, 6, 8), 0.0)
    first, last = read_batches(_images(pixels), pieces, (2, 6, 8), facts)
    assert (len(first.pixels), len(last.pixels), len(last.recipes)) == (2, 1, 1)
    np.testing.assert_array_equal(last.pixels[0], pixels[2])


def test_float16_becomes_float32() -> None:
    pixels = np.random.default_rng(0).random((1, 4, 4, 1)).astype(np.float16)
    (batch,) = read_batches(_images(pixels), plan_pieces([_row("a", 0, 1, 4, 4)], (1, 4, 4), 0.0), (1, 4, 4), FACTS)
    assert batch.pixels.dtype == np.float32
    np.testing.assert_array_equal(batch.pixels, pixels)


def test_only_the_rows_of_tiles_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []
    plain = shards.as_numpy

    def noted(array: shards.ZarrArray, start: int, stop: int, top: int, bottom: int) -> NDArray[np.generic]:
        decoded.append((start, stop, top, bottom))
        return plain(array, start, stop, top, bottom)

    monkeypatch.setattr(shards, "as_numpy", noted)
    pixels = np.random.default_rng(0).integers(0, 255, (1, 64, 64, 3), np.uint8)
    pieces = list(plan_pieces([_row("a", 0, 1, 64, 60)], (2, 32, 32), 0.0))
    for batch in read_batches(_images(pixels), pieces, (2, 32, 32), FACTS):
        for piece, found in zip(batch.pieces, batch.pixels, strict=False):
            top, left = piece.tile.top, piece.tile.left
            np.testing.assert_array_equal(found, pixels[0, top : top + 32, left : left + 32])
    assert decoded == [(0, 1, 0, 32), (0, 1, 32, 64)]
