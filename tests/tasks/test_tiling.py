from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tasks.tiling import (
    STRIDE,
    PaddingMode,
    Tile,
    TileSum,
    bucket_side,
    pad_to,
    plan_tiles,
    tile_starts,
    tile_window,
)


def merge_tiles(parts: Iterable[tuple[Tile, NDArray[Any]]], height: int, width: int, channels: int) -> NDArray[Any]:
    total = TileSum(height, width, channels)
    for tile, probabilities in parts:
        total.add(tile, probabilities)
    return total.mean()


def test_bucket_sides_are_few() -> None:
    sides = sorted({bucket_side(n) for n in range(1, 2049)})
    assert sides == [
        32,
        64,
        96,
        128,
        160,
        192,
        224,
        256,
        320,
        384,
        448,
        512,
        640,
        768,
        896,
        1024,
        1280,
        1536,
        1792,
        2048,
    ]


@pytest.mark.parametrize(
    ("n", "side"),
    [
        pytest.param(1, 32, id="smallest"),
        pytest.param(32, 32, id="a bucket is its own side"),
        pytest.param(33, 64, id="one pixel more"),
        pytest.param(256, 256, id="end of an octave"),
        pytest.param(257, 320, id="start of the next"),
        pytest.param(1388, 1536, id="microscopy"),
    ],
)
def test_bucket_side(n: int, side: int) -> None:
    assert bucket_side(n) == side


@given(st.integers(1, 10**6))
@settings(max_examples=50, deadline=None)
def test_bucket_side_properties(n: int) -> None:
    side = bucket_side(n)
    assert side >= n
    assert side % STRIDE == 0
    assert bucket_side(side) == side
    assert side < max(n * 1.25, n + STRIDE)


def test_no_side_of_no_pixels() -> None:
    with pytest.raises(ValueError, match="side of 0 pixels"):
        bucket_side(0)


@pytest.mark.parametrize(
    ("mode", "width", "expected"),
    [
        pytest.param("reflect", 5, [1, 2, 3, 2, 1], id="mirrored without repeating the last"),
        pytest.param("reflect", 9, [1, 2, 3, 2, 1, 2, 3, 2, 1], id="back and forth"),
        pytest.param("edge", 5, [1, 2, 3, 3, 3], id="edge"),
        pytest.param("zero", 5, [1, 2, 3, 0, 0], id="zero"),
    ],
)
def test_padding_a_row(mode: PaddingMode, width: int, expected: list[int]) -> None:
    row = np.array([1, 2, 3], np.uint8).reshape(1, 1, 3, 1)
    padded = pad_to(row, 1, width, mode)
    assert padded.ravel().tolist() == expected
    assert padded.dtype == np.uint8


@pytest.mark.parametrize("mode", ["reflect", "edge", "zero"])
@pytest.mark.parametrize("trailing", [(), (3,)], ids=["label map", "three channels"])
@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 20), st.integers(0, 20))
@settings(max_examples=20, deadline=None)
def test_padding_is_below_and_to_the_right(
    mode: PaddingMode, trailing: tuple[int, ...], rows: int, columns: int, below: int, right: int
) -> None:
    pixels = np.arange(2 * rows * columns * int(np.prod(trailing))).reshape(2, rows, columns, *trailing)
    padded = pad_to(pixels, rows + below, columns + right, mode)
    assert padded.shape == (2, rows + below, columns + right, *trailing)
    assert padded.flags.c_contiguous
    assert np.array_equal(padded[:, :rows, :columns], pixels)
    if mode != "zero":
        numpy_mode = "edge" if mode == "edge" else "reflect"
        widths = [(0, 0), (0, below), (0, right)] + [(0, 0)] * len(trailing)
        assert np.array_equal(padded, np.pad(pixels, widths, mode=numpy_mode))  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("size", "mode", "message"),
    [
        pytest.param((2, 3), "edge", "expected no smaller size", id="fewer rows"),
        pytest.param((3, 2), "zero", "expected no smaller size", id="fewer columns"),
        pytest.param((4, 4), "wrap", "padding 'wrap': expected reflect, edge or zero", id="unknown mode"),
    ],
)
def test_refused_paddings(size: tuple[int, int], mode: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pad_to(np.zeros((1, 3, 3)), *size, mode)


@pytest.mark.parametrize(
    ("length", "tile", "overlap", "starts"),
    [
        pytest.param(10, 16, 0.25, (0,), id="shorter than a tile"),
        pytest.param(16, 16, 0.25, (0,), id="exactly a tile"),
        pytest.param(17, 16, 0.0, (0, 1), id="one pixel more"),
        pytest.param(32, 16, 0.0, (0, 16), id="side by side"),
        pytest.param(10, 4, 0.25, (0, 3, 6), id="a quarter shared"),
        pytest.param(11, 4, 0.25, (0, 2, 4, 7), id="evenly placed"),
        pytest.param(3, 1, 0.9, (0, 1, 2), id="tiles of one pixel move by one"),
    ],
)
def test_tile_starts(length: int, tile: int, overlap: float, starts: tuple[int, ...]) -> None:
    assert tile_starts(length, tile, overlap) == starts


@given(st.integers(1, 5000), st.integers(1, 1024), st.floats(0, 0.9))
@settings(max_examples=50, deadline=None)
def test_tile_starts_properties(length: int, tile: int, overlap: float) -> None:
    starts = tile_starts(length, tile, overlap)
    steps = np.diff(starts)
    assert starts[0] == 0
    assert starts[-1] == max(0, length - tile)
    assert (steps > 0).all()
    assert steps.max(initial=0) <= max(1, tile * (1 - overlap))
    assert steps.max(initial=0) - steps.min(initial=length) <= 1


@pytest.mark.parametrize(("length", "tile", "overlap"), [(0, 4, 0.0), (4, 0, 0.0), (4, 4, 1.0), (4, 4, -0.1)])
def test_refused_tilings(length: int, tile: int, overlap: float) -> None:
    with pytest.raises(ValueError, match="expected both from 1 and an overlap"):
        tile_starts(length, tile, overlap)


def test_tiles_go_row_by_row() -> None:
    assert plan_tiles(6, 3, 4, 0.0) == (Tile(0, 0, 4, 3), Tile(2, 0, 4, 3))
    assert plan_tiles(4, 6, (4, 4), 0.5) == (Tile(0, 0, 4, 4), Tile(0, 2, 4, 4))


def test_window_is_smooth_symmetric_and_positive() -> None:
    window = tile_window(64, 33)
    assert window.dtype == np.float32
    assert window.shape == (64, 33)
    assert (window > 0).all()
    assert np.allclose(window, window[::-1, ::-1])
    assert window.max() == window[31, 16]
    assert np.abs(np.diff(window, axis=0)).max() < 0.06


@given(
    st.integers(1, 30),
    st.integers(1, 30),
    st.integers(1, 16),
    st.floats(0, 0.9),
    st.integers(1, 3),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=50, deadline=None)
def test_where_tiles_agree_the_image_comes_back_exactly(
    height: int, width: int, tile: int, overlap: float, channels: int, seed: int
) -> None:
    image = np.random.default_rng(seed).random((height, width, channels), np.float32)
    plan = plan_tiles(height, width, tile, overlap)
    parts = [(part, image[part.top : part.top + part.height, part.left : part.left + part.width]) for part in plan]
    merged = merge_tiles(parts, height, width, channels)
    assert merged.dtype == np.float32
    assert np.array_equal(merged, image)


def test_disagreeing_tiles_are_weighted() -> None:
    # Two tiles of 1 x 2 share the middle column, where each has the weight sin(pi / 4): the plain mean.
    merged = merge_tiles([(Tile(0, 0, 1, 2), np.zeros((1, 2, 1))), (Tile(0, 1, 1, 2), np.ones((1, 2, 1)))], 1, 3, 1)
    assert merged.ravel().tolist() == [0.0, 0.5, 1.0]
    # Of three columns the outer weigh sin(pi / 6) = 1/2 and the inner 1: shared columns are 1/3 and 2/3.
    merged = merge_tiles([(Tile(0, 0, 1, 3), np.zeros((1, 3, 1))), (Tile(0, 1, 1, 3), np.ones((1, 3, 1)))], 1, 4, 1)
    assert merged.ravel() == pytest.approx([0, 1 / 3, 2 / 3, 1])


def test_merging_equals_the_plain_weighted_mean() -> None:
    rng = np.random.default_rng(0)
    plan = plan_tiles(40, 30, (16, 12), 0.4)
    parts = [(tile, rng.random((tile.height, tile.width, 2), np.float32)) for tile in plan]
    sums, weights = np.zeros((40, 30, 2)), np.zeros((40, 30, 1))
    for tile, probabilities in parts:
        place = slice(tile.top, tile.top + tile.height), slice(tile.left, tile.left + tile.width)
        window = tile_window(tile.height, tile.width).astype(np.float64)[..., None]
        sums[place] += probabilities * window
        weights[place] += window
    assert np.array_equal(merge_tiles(parts, 40, 30, 2), (sums / weights).astype(np.float32))


def test_only_one_row_of_tiles_is_kept_as_sums() -> None:
    total = TileSum(400, 20, 1)
    for tile in plan_tiles(400, 20, 10, 0.5):
        total.add(tile, np.ones((tile.height, tile.width, 1)))
        assert total._sums.shape[0] <= 10
    assert (total.mean() == 1).all()


@pytest.mark.parametrize(
    ("tiles", "message"),
    [
        pytest.param([], "uncovered between rows 0 and 4", id="no tiles"),
        pytest.param([Tile(0, 0, 2, 4)], "uncovered between rows 0 and 4", id="lower rows missing"),
        pytest.param([Tile(2, 0, 2, 4)], "uncovered between rows 0 and 2", id="upper rows missing"),
        pytest.param([Tile(0, 0, 4, 2)], "uncovered between rows 0 and 4", id="columns missing"),
        pytest.param([Tile(0, 0, 2, 4), Tile(2, 0, 2, 4), Tile(0, 0, 2, 4)], "after row 2 was finished", id="back up"),
        pytest.param([Tile(0, 1, 4, 4)], "outside of an image of 4 x 4", id="beyond the right side"),
        pytest.param([Tile(-1, 0, 4, 4)], "outside of an image of 4 x 4", id="above the top"),
    ],
)
def test_refused_tiles(tiles: list[Tile], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        merge_tiles([(tile, np.ones((tile.height, tile.width, 1))) for tile in tiles], 4, 4, 1)


def test_probabilities_must_have_the_size_of_their_tile() -> None:
    with pytest.raises(ValueError, match=r"probabilities of shape \(3, 4, 1\)"):
        merge_tiles([(Tile(0, 0, 4, 4), np.ones((3, 4, 1)))], 4, 4, 1)
