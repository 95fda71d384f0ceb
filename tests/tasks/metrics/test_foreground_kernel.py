"""The pass over two classes: every half, runs of any stride, and blocks without end."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from segscale.tasks.metrics.bins import BINS
from segscale.tasks.metrics.foreground_kernel import BLOCK, FLUSH_BLOCKS, GROUP, LANES, UNIFORM, count_two_classes
from segscale.tasks.metrics.kernels import count_argmax

HALF = np.float32(0.5)
IGNORED = 2


def _count(reference: NDArray[Any], probabilities: NDArray[Any]) -> tuple[Any, ...]:
    return count_two_classes(reference, probabilities, IGNORED, True, HALF)


def test_every_float16_is_read_as_its_value_or_refused() -> None:
    bits = np.arange(1 << 16, dtype=np.uint16)
    values = bits.view(np.float16).astype(np.float64)
    in_range = (values >= 0) & (values <= 1)
    reference = np.ones((1, 1, 1), np.uint8)
    for place in np.flatnonzero(~in_range)[::97]:
        assert not _count(reference, bits[None, None, place : place + 1])[3], values[place]
    good = bits[in_range]
    counts, soft, histograms, valid = _count(np.ones((1, 1, good.size), np.uint8), good[None, None])
    assert valid
    # Halves between 0 and 1 have 24 places behind the point, and their sums fit float64: exact in any order.
    assert soft[1, 1] == values[in_range].sum()
    assert counts[0, 1] == (values >= 0.5)[in_range].sum()
    bins = np.minimum(values[in_range] * BINS, BINS - 1).astype(int)
    assert histograms[1].tolist() == np.bincount(bins, minlength=BINS).tolist()


@pytest.mark.parametrize("one_by_one", [0.0, 2.0**-24, 2.0**-14 - 2.0**-24, 2.0**-14, 0.5, 1.0, -0.0])
def test_small_and_smallest_halves(one_by_one: float) -> None:
    bits = np.array([[[one_by_one]]], np.float16).view(np.uint16)
    _, soft, _, valid = _count(np.ones((1, 1, 1), np.uint8), bits)
    assert (soft[0, 1], valid) == (abs(one_by_one), True)


def test_codes_are_exact() -> None:
    generator = np.random.default_rng(0)
    reference, codes = (generator.integers(0, end, (3, 50, 61), dtype=np.uint8) for end in (IGNORED + 1, 256))
    counts, soft, histograms, valid = _count(reference, codes)
    foreground, counted = reference == 1, reference != IGNORED
    exact = codes.astype(np.int64)
    assert valid
    assert soft[0, 1] == exact[foreground].sum() / 256
    assert soft[1, 1] == exact[counted].sum() / 256
    assert soft[2, 1] == (exact[counted] ** 2).sum() / 65536
    assert counts[0, 1] == (foreground & (codes >= 128)).sum()
    assert histograms[0].tolist() == np.bincount(codes[reference == 0], minlength=BINS).tolist()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64], ids=["codes", "halves", "32", "64"])
@pytest.mark.parametrize(
    ("shape", "padding"),
    [
        pytest.param((1, 1, 1), 0, id="one pixel"),
        pytest.param((2, 3, BLOCK // 2 + 1), 5, id="rows across blocks"),
        pytest.param((1, 2, 3 * BLOCK), 1, id="rows longer than a block"),
        pytest.param((1, 1, BLOCK), 0, id="one block exactly"),
    ],
)
def test_cropped_and_strided_views_give_the_bits_of_a_copy(
    dtype: type[Any], shape: tuple[int, ...], padding: int
) -> None:
    generator = np.random.default_rng(1)
    padded = (*shape[:-1], shape[-1] + padding)
    labels, values = generator.integers(0, IGNORED + 1, padded, np.uint8), generator.random(padded, np.float32)
    stored: NDArray[Any] = values.astype(np.float64) if dtype is np.float64 else values
    if dtype is np.uint8:
        stored = (values * 256).astype(np.uint8)
    elif dtype is np.uint16:
        stored = values.astype(np.float16).view(np.uint16)
    crop = (..., slice(0, shape[-1]))
    copied = _count(np.ascontiguousarray(labels[crop]), np.ascontiguousarray(stored[crop]))
    strided = _count(np.asfortranarray(labels)[crop], np.stack([stored, stored], axis=-1)[..., 1][crop])
    for other in (_count(labels[crop], stored[crop]), strided):
        assert all(np.array_equal(mine, its) for mine, its in zip(copied, other, strict=True))


def test_cells_go_over_to_64_bits_and_are_cleared() -> None:
    n_pixels = BLOCK * FLUSH_BLOCKS * 2 + 77
    reference, codes = (np.broadcast_to(np.uint8(value), (1, 1, n_pixels)) for value in (1, 200))
    counts, soft, histograms, _ = _count(reference, codes)
    assert counts[0, 1] == counts[4, 1] == histograms[1, 200] == n_pixels
    assert soft[1, 1] == n_pixels * 200 / 256


def test_soft_sums_have_the_order_that_is_promised() -> None:
    generator = np.random.default_rng(2)
    shape = (2, 3, BLOCK // 2 + 77)
    values, reference = generator.random(shape, np.float32), generator.integers(0, 2, shape, np.uint8)
    values *= np.float32(10.0) ** generator.integers(-12, 1, shape).astype(np.float32)
    # Whole groups of background only, which the kernel adds no intersection of.
    reference[0] = 0
    p = values.ravel().astype(np.float64)
    expected = [_in_lanes(p * reference.ravel()), _in_lanes(p), _in_lanes(p * p)]
    assert _count(reference, values)[1][:, 1].tolist() == expected
    channels = np.stack([1 - values, values, values / 2], axis=-1)
    assert count_argmax(reference, channels, 0, False)[1][:, 1].tolist() == expected


def _in_lanes(summands: NDArray[np.float64]) -> float:
    groups = np.pad(summands, (0, -summands.size % GROUP)).reshape(-1, 4, LANES)
    lanes = np.zeros(LANES)
    for a, b, c, d in groups:
        lanes += (a + b) + (c + d)
    while lanes.size > 1:
        lanes = lanes[: lanes.size // 2] + lanes[lanes.size // 2 :]
    return float(lanes[0])


@pytest.mark.parametrize("place", [0, 1, UNIFORM - 1, UNIFORM, 3 * UNIFORM - 1])
@pytest.mark.parametrize(("label", "code"), [(1, 7), (0, 200), (IGNORED, 7)], ids=["label", "code", "ignored"])
def test_one_pixel_that_differs_is_counted_apart(place: int, label: int, code: int) -> None:
    reference, codes = np.zeros((1, 1, 3 * UNIFORM), np.uint8), np.full((1, 1, 3 * UNIFORM), 7, np.uint8)
    reference[0, 0, place], codes[0, 0, place] = label, code
    _, _, histograms, _ = _count(reference, codes)
    expected = np.zeros((2, BINS), np.int64)
    expected[0, 7] = 3 * UNIFORM - 1
    if label != IGNORED:
        expected[label, code] += 1
    assert histograms.tolist() == expected.tolist()


def test_a_class_that_the_type_cannot_hold_has_no_pixels() -> None:
    # Cut off to 8 bits, class 256 would be class 0.
    reference, values = np.zeros((1, 1, 5), np.uint8), np.zeros((1, 1, 5, 257), np.float32)
    _, _, histograms, valid = count_argmax(reference, values, 0, False)
    assert valid
    assert histograms[1, :, 0].tolist() == [5] + [0] * 256


@pytest.mark.parametrize(
    ("label", "p"),
    [
        pytest.param(IGNORED + 1, 0.5, id="no such class"),
        pytest.param(255, 0.5, id="the largest label"),
        pytest.param(0, np.nan, id="NaN"),
        pytest.param(IGNORED, np.inf, id="infinity, though ignored"),
        pytest.param(1, np.float32(1 + 2**-23), id="just above 1"),
        pytest.param(1, -(2.0**-149), id="just below 0"),
    ],
)
@pytest.mark.parametrize("place", [0, BLOCK, 2 * BLOCK + 5], ids=["first block", "second", "last, not full"])
def test_one_bad_pixel_makes_the_answer_void(label: int, p: float, place: int) -> None:
    reference, values = np.zeros((1, 1, 2 * BLOCK + 6), np.uint8), np.zeros((1, 1, 2 * BLOCK + 6), np.float32)
    assert _count(reference, values)[3]
    reference[0, 0, place], values[0, 0, place] = label, p
    assert not _count(reference, values)[3]
