import tracemalloc
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from segscale.tasks.tiling import (
    STRIDE,
    PaddingMode,
    Tile,
    TileSum,
    bucket_side,
    fill_padded,
    pad_to,
    plan_tiles,
    tile_starts,
    tile_window,
)

Parts = Iterable[tuple[Tile, NDArray[Any]]]


def bands_of(parts: Parts, plan: Sequence[Tile], channels: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """The bands, (first row, (rows, width, channels)), of tiles of one head."""
    total = TileSum(plan, 1, channels)
    for tile, probabilities in parts:
        band = total.add(tile, probabilities[np.newaxis])
        if band is not None:
            yield band[0], band[1][0]


def merge_tiles(parts: Parts, plan: Sequence[Tile], channels: int) -> NDArray[np.float32]:
    """The whole image, from bands that must follow one another without gaps."""
    merged: list[NDArray[np.float32]] = []
    for top, band in bands_of(parts, plan, channels):
        assert top == sum(map(len, merged))
        assert len(band) > 0
        merged.append(band)
    return np.concatenate(merged)


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


@pytest.mark.parametrize("mode", ["reflect", "edge", "zero"])
def test_filling_a_place_is_padding(mode: PaddingMode) -> None:
    pixels = np.random.default_rng(0).integers(0, 99, (2, 5, 7, 3))
    # In a larger array, with pixels of another order and type.
    room = np.full((4, 9, 20, 3), -1.0)
    fill_padded(room[1:3, :, :16], pixels[:, ::-1], mode)
    assert np.array_equal(room[1:3, :, :16], pad_to(pixels[:, ::-1], 9, 16, mode))
    assert (room[[0, 3]] == -1).all()
    assert (room[:, :, 16:] == -1).all()


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
    assert window.shape == (64, 33)
    assert (window > 0).all()
    assert np.allclose(window, window[::-1, ::-1])
    assert window.max() == window[31, 16]
    assert np.abs(np.diff(window, axis=0)).max() < 0.06


sizes = st.tuples(st.integers(1, 30), st.integers(1, 30))
tiles = st.tuples(st.integers(1, 16), st.integers(1, 16))


@given(sizes, tiles, st.floats(0, 0.9), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_where_tiles_agree_the_image_comes_back_exactly(
    size: tuple[int, int], tile: tuple[int, int], overlap: float, channels: int, seed: int
) -> None:
    image = np.random.default_rng(seed).random((*size, channels), np.float32)
    plan = plan_tiles(*size, tile, overlap)
    merged = merge_tiles([(part, _cut(image, part)) for part in plan], plan, channels)
    assert merged.dtype == np.float32
    assert np.array_equal(merged, image)


def _cut(image: NDArray[Any], tile: Tile) -> NDArray[Any]:
    return image[tile.top : tile.top + tile.height, tile.left : tile.left + tile.width]


def _blurred(image: NDArray[np.float32], radius: int) -> NDArray[np.float32]:
    """A network that sees `radius` pixels far: the mean around each pixel, with zeros beyond the sides."""
    padded = np.pad(image.astype(np.float64), [(radius, radius), (radius, radius), (0, 0)])
    side = 2 * radius + 1
    shifted = [padded[y : y + image.shape[0], x : x + image.shape[1]] for y in range(side) for x in range(side)]
    blurred: NDArray[np.float32] = np.mean(shifted, axis=0).astype(np.float32)
    return blurred


@given(sizes, tiles, st.floats(0, 0.9), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_tiles_change_nothing_further_from_their_edges_than_the_network_sees(
    size: tuple[int, int], tile: tuple[int, int], overlap: float, radius: int, seed: int
) -> None:
    image = np.random.default_rng(seed).random((*size, 1), np.float32)
    plan = plan_tiles(*size, tile, overlap)
    merged = merge_tiles([(part, _blurred(_cut(image, part), radius)) for part in plan], plan, 1)
    seen = np.ones(size, np.bool_)
    for part in plan:
        # A side of the image is one for the whole image, too.
        place = np.zeros(size, np.bool_)
        top, left = part.top + radius * (part.top > 0), part.left + radius * (part.left > 0)
        bottom, right = part.top + part.height, part.left + part.width
        bottom, right = bottom - radius * (bottom < size[0]), right - radius * (right < size[1])
        place[top : max(top, bottom), left : max(left, right)] = True
        _cut(seen, part)[...] &= _cut(place, part)
    whole = _blurred(image, radius)
    assert np.array_equal(merged[seen], whole[seen])
    # Were no pixel near an edge, the comparison would show nothing: there the answers differ.
    assert seen.all() or not np.array_equal(merged[~seen], whole[~seen])


def test_disagreeing_tiles_are_weighted() -> None:
    # Two tiles of 1 x 2 share the middle column, where each has the weight sin(pi / 4): the plain mean.
    plan = (Tile(0, 0, 1, 2), Tile(0, 1, 1, 2))
    merged = merge_tiles([(plan[0], np.zeros((1, 2, 1))), (plan[1], np.ones((1, 2, 1)))], plan, 1)
    assert merged.ravel() == pytest.approx([0.0, 0.5, 1.0])
    # Of three columns the outer weigh sin(pi / 6) = 1/2 and the inner 1: shared columns are 1/3 and 2/3.
    plan = (Tile(0, 0, 1, 3), Tile(0, 1, 1, 3))
    merged = merge_tiles([(plan[0], np.zeros((1, 3, 1))), (plan[1], np.ones((1, 3, 1)))], plan, 1)
    assert merged.ravel() == pytest.approx([0, 1 / 3, 2 / 3, 1])


@pytest.mark.parametrize("overlap", [0.0, 0.4, 0.8])
def test_merging_equals_the_plain_weighted_mean(overlap: float) -> None:
    rng = np.random.default_rng(0)
    plan = plan_tiles(40, 30, (16, 12), overlap)
    parts = [(tile, rng.random((tile.height, tile.width, 2), np.float32)) for tile in plan]
    sums, weights = np.zeros((40, 30, 2)), np.zeros((40, 30, 1))
    for tile, probabilities in parts:
        window = tile_window(tile.height, tile.width)[..., None]
        _cut(sums, tile)[...] += probabilities * window
        _cut(weights, tile)[...] += window
    np.testing.assert_allclose(merge_tiles(parts, plan, 2), sums / weights, rtol=1e-7, atol=0)


def test_heads_are_merged_each_for_itself() -> None:
    plan = plan_tiles(20, 9, 8, 0.5)
    total, rng = TileSum(plan, 2, 3), np.random.default_rng(0)
    parts = [(tile, rng.random((2, tile.height, tile.width, 3), np.float32)) for tile in plan]
    bands = [band for tile, found in parts if (band := total.add(tile, found)) is not None]
    merged = np.concatenate([band for _, band in bands], axis=1)
    for head in range(2):
        assert np.array_equal(merged[head], merge_tiles([(tile, found[head]) for tile, found in parts], plan, 3))


def test_a_band_leaves_with_the_last_tile_of_its_row() -> None:
    plan = plan_tiles(10, 6, 4, 0.25)
    total = TileSum(plan, 1, 1)
    left = [total.add(tile, np.ones((1, 4, 4, 1))) for tile in plan]
    assert [(tile.top, tile.left) for tile in plan] == [(0, 0), (0, 2), (3, 0), (3, 2), (6, 0), (6, 2)]
    assert [band and (band[0], band[1].shape) for band in left] == [
        None, (0, (1, 3, 6, 1)), None, (3, (1, 3, 6, 1)), None, (6, (1, 4, 6, 1)),
    ]  # fmt: skip


def _peak_bytes(height: int, width: int) -> int:
    """The most memory that merging takes, above what is held in the beginning; bands are dropped as they come."""
    plan, found = plan_tiles(height, width, 32, 0.25), np.ones((32, 32, 1), np.float32)
    tracemalloc.start()
    try:
        for _ in bands_of(((tile, found) for tile in plan), plan, 1):
            pass
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_the_memory_of_merging_does_not_grow_with_the_height_of_an_image() -> None:
    low, high = _peak_bytes(320, 1024), _peak_bytes(6400, 1024)
    # The weights of rows, 8 bytes each, are all that is as long as the image is high.
    assert high <= low + 6400 * 8 + 100_000
    # A row of tiles in float64, the band that it becomes in float32, the band before in the loop, and a few tiles.
    assert high <= 32 * 1024 * (8 + 4 + 4) + 6400 * 8 + 150_000
    assert 10 * high < 6400 * 1024 * 4, "an image this large would show nothing"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        pytest.param([Tile(0, 2, 4, 4)], r"tile 0 of 4: expected Tile\(top=0, left=0", id="not the first"),
        pytest.param([Tile(0, 0, 4, 4), Tile(0, 0, 4, 4)], r"tile 1 of 4: expected Tile\(top=0, left=2", id="twice"),
        pytest.param([Tile(0, 0, 4, 2)], "tile 0 of 4", id="of another size"),
        pytest.param([*plan_tiles(6, 6, 4, 0.5), Tile(2, 2, 4, 4)], "tile 4 of 4: expected None", id="one too many"),
    ],
)
def test_refused_tiles(given: list[Tile], message: str) -> None:
    plan = plan_tiles(6, 6, 4, 0.5)
    with pytest.raises(ValueError, match=message):
        merge_tiles([(tile, np.ones((tile.height, tile.width, 1))) for tile in given], plan, 1)


def test_probabilities_must_have_the_size_of_their_tile() -> None:
    plan = (Tile(0, 0, 4, 4),)
    with pytest.raises(ValueError, match=r"expected probabilities of shape \(1, 4, 4, 1\), got \(1, 3, 4, 1\)"):
        merge_tiles([(plan[0], np.ones((3, 4, 1)))], plan, 1)
