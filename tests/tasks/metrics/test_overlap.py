"""The counts of one image, worked by hand, against brute force, and as a sum of any parts."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from segscale.errors import ArgumentError
from segscale.tasks.metrics.bins import BINS
from segscale.tasks.metrics.overlap import OverlapCounts, count_overlap

REFERENCE = np.array([[1, 1, 0, 0]], np.uint8)
PROBABILITIES = np.array([[0.9, 0.25, 0.5, 0.0]], np.float32)
SOFT = ("soft_intersection", "soft_prediction_sum", "soft_prediction_squared_sum")


def _hard(counts: OverlapCounts, class_index: int = 1) -> tuple[int, ...]:
    columns = (counts.true_positive, counts.false_positive, counts.false_negative, counts.true_negative)
    return tuple(int(column[class_index]) for column in columns)


def _image(seed: int, shape: tuple[int, ...]) -> tuple[NDArray[np.int16], NDArray[np.float32]]:
    generator = np.random.default_rng(seed)
    probabilities = generator.random(shape, np.float32)
    probabilities.flat[:3] = (0.0, 0.5, 1.0)
    return generator.integers(-1, 2, shape).astype(np.int16), probabilities


def test_four_pixels_by_hand() -> None:
    counts = count_overlap(REFERENCE, n_classes=2, probabilities=PROBABILITIES)
    assert _hard(counts) == (1, 1, 1, 1)
    assert _hard(counts, 0) == (1, 1, 1, 1)
    assert counts.reference_sum.tolist() == [2, 2]
    np.testing.assert_allclose(counts.soft_intersection, [1.5, 1.15], rtol=1e-7)
    np.testing.assert_allclose(counts.soft_prediction_sum, [2.35, 1.65], rtol=1e-7)
    np.testing.assert_allclose(counts.soft_prediction_squared_sum, [0.01 + 0.5625 + 0.25 + 1, 0.81 + 0.0625 + 0.25])
    assert np.flatnonzero(counts.histogram_foreground[0]).tolist() == [64, 230]
    assert np.flatnonzero(counts.histogram_background[0]).tolist() == [0, 128]
    assert (counts.n_pixels, counts.n_ignored) == (4, 0)


def test_ignored_pixels_count_in_nothing_but_n_ignored() -> None:
    reference = np.array([[1, -1, 0, -1]], np.int8)
    counts = count_overlap(reference, n_classes=2, probabilities=PROBABILITIES, ignore_index=-1)
    assert _hard(counts) == (1, 1, 0, 0)
    assert (counts.n_pixels, counts.n_ignored) == (4, 2)
    assert counts.histogram_foreground.sum() + counts.histogram_background.sum() == 2
    np.testing.assert_allclose(counts.soft_prediction_sum, [0.6, 1.4], rtol=1e-7)


def test_an_ignored_class_index_goes_before_the_class() -> None:
    counts = count_overlap(REFERENCE, n_classes=2, label_map=REFERENCE, ignore_index=1)
    assert (counts.n_ignored, _hard(counts)) == (2, (0, 0, 0, 2))


def test_label_map_has_no_soft_sums_and_no_histograms() -> None:
    counts = count_overlap(np.array([[0, 1, 2, 2]]), n_classes=3, label_map=np.array([[0, 2, 2, 1]], np.uint8))
    assert counts.true_positive.tolist() == [1, 0, 1]
    assert counts.false_positive.tolist() == [0, 1, 1]
    assert counts.false_negative.tolist() == [0, 1, 1]
    assert counts.true_negative.tolist() == [3, 2, 1]
    assert all(np.isnan(getattr(counts, name)).all() for name in SOFT)
    assert counts.histogram_foreground.shape == (0, BINS)


def test_several_classes_are_decided_by_argmax_and_the_first_maximum_wins() -> None:
    probabilities = np.array([[[0.5, 0.5, 0.0], [0.1, 0.2, 0.7]]], np.float32)
    counts = count_overlap(np.array([[1, 2]]), n_classes=3, probabilities=probabilities)
    assert counts.true_positive.tolist() == [0, 0, 1]
    assert counts.false_positive.tolist() == [1, 0, 0]
    assert counts.false_negative.tolist() == [0, 1, 0]
    np.testing.assert_allclose(counts.soft_intersection, [0, 0.5, 0.7], rtol=1e-7)
    np.testing.assert_allclose(counts.soft_prediction_squared_sum, [0.26, 0.29, 0.49], rtol=1e-7)
    assert np.flatnonzero(counts.histogram_foreground[1]).tolist() == [128]
    assert counts.histogram_background[1].sum() == 1


@pytest.mark.parametrize(
    ("dtype", "thresholds"),
    [
        (np.float16, (0.0, 3 / 256, 0.5, 0.7, 1.0)),
        (np.float32, (0.0, 3 / 256, 0.5, 0.7, 1.0)),
        (np.float64, (0.0, 3 / 256, 0.5, 0.7, 1.0)),
        (np.uint8, (0.0, 3 / 256, 0.5)),
    ],
    ids=["float16", "float32", "float64", "uint8"],
)
@pytest.mark.parametrize("order", ["C", "F", "strided"])
def test_agrees_with_brute_force(dtype: type[Any], thresholds: tuple[float, ...], order: str) -> None:
    reference, values = _image(7, (37, 150))
    stored = np.minimum(values * 256, 255).astype(np.uint8) if dtype is np.uint8 else values.astype(dtype)
    given = (reference, stored)
    if order == "F":
        given = (np.asfortranarray(reference), np.asfortranarray(stored))
    elif order == "strided":
        given = (np.repeat(reference, 2, axis=1)[:, ::2], np.stack([stored, stored], axis=-1))
    p = stored.astype(np.float32) / np.float32(256 if dtype is np.uint8 else 1)
    for threshold in thresholds:
        counts = count_overlap(given[0], n_classes=2, probabilities=given[1], threshold=threshold, ignore_index=-1)
        _expect_brute_force(counts, reference, p, threshold)


def _expect_brute_force(
    counts: OverlapCounts, reference: NDArray[Any], p: NDArray[np.float32], threshold: float
) -> None:
    foreground, background, predicted = reference == 1, reference == 0, p >= np.float32(threshold)
    expected = (foreground & predicted, background & predicted, foreground & ~predicted, background & ~predicted)
    assert _hard(counts) == tuple(int(mask.sum()) for mask in expected)
    exact, counted = p.astype(np.float64), foreground | background
    sums = (exact[foreground].sum(), exact[counted].sum(), (exact[counted] ** 2).sum())
    np.testing.assert_allclose([getattr(counts, name)[1] for name in SOFT], sums, rtol=1e-12)
    bins = np.minimum((p * np.float32(256)).astype(int), 255)
    assert np.array_equal(counts.histogram_foreground[0], np.bincount(bins[foreground], minlength=BINS))
    assert np.array_equal(counts.histogram_background[0], np.bincount(bins[background], minlength=BINS))


def test_memory_order_changes_no_bit() -> None:
    reference, p = _image(3, (70, 131))
    plain = count_overlap(reference, n_classes=2, probabilities=p, ignore_index=-1)
    fortran = count_overlap(
        np.asfortranarray(reference), n_classes=2, probabilities=np.asfortranarray(p), ignore_index=-1
    )
    with_channel = count_overlap(reference, n_classes=2, probabilities=p[..., None], ignore_index=-1)
    two_channels = np.stack([1 - p, p], axis=-1)
    assert plain == fortran == with_channel
    assert plain == count_overlap(reference, n_classes=2, probabilities=two_channels, ignore_index=-1)


def test_two_of_three_classes_count_as_two_classes_do() -> None:
    reference, p = _image(5, (20, 30))
    two = count_overlap(reference, n_classes=2, probabilities=p, ignore_index=-1)
    padded = np.stack([1 - p, p, np.zeros_like(p)], axis=-1)
    # Of p = 1/2 argmax takes the background and the threshold the foreground; no other pixel here is a tie.
    three = count_overlap(reference, n_classes=3, probabilities=padded, ignore_index=-1)
    ties = reference[p == 0.5]
    assert two.true_positive[1] - three.true_positive[1] == (ties == 1).sum()
    assert two.false_positive[1] - three.false_positive[1] == (ties == 0).sum()
    np.testing.assert_allclose(two.soft_prediction_sum, three.soft_prediction_sum[:2], rtol=1e-6)
    np.testing.assert_allclose(two.soft_prediction_squared_sum, three.soft_prediction_squared_sum[:2], rtol=1e-6)
    np.testing.assert_allclose(two.soft_intersection, three.soft_intersection[:2], rtol=1e-6)
    assert np.array_equal(two.histogram_foreground[0], three.histogram_foreground[1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.uint8])
def test_a_pixel_at_k_of_256_is_at_least_k_of_256(dtype: type[Any]) -> None:
    k = np.arange(256)
    values = k.astype(np.uint8) if dtype is np.uint8 else (k / 256).astype(dtype)
    reference = np.ones((1, 256), np.uint8)
    for threshold in k:
        counts = count_overlap(reference, n_classes=2, probabilities=values[None], threshold=threshold / 256)
        assert counts.true_positive[1] == 256 - threshold
    assert counts.histogram_foreground.tolist() == [[1] * 256]


def test_threshold_compares_in_float32() -> None:
    p = np.array([[0.7]], np.float32)
    assert float(p[0, 0]) < 0.7
    assert _hard(count_overlap(np.ones((1, 1), int), n_classes=2, probabilities=p, threshold=0.7)) == (1, 0, 0, 0)


@given(
    seed=st.integers(0, 2**16), height=st.integers(1, 90), width=st.integers(1, 120),
    cuts=st.tuples(st.integers(0, 90), st.integers(0, 120)),
)  # fmt: skip
def test_any_tiling_gives_equal_counts(seed: int, height: int, width: int, cuts: tuple[int, int]) -> None:
    reference, p = _image(seed, (max(height, 3), width))
    whole = count_overlap(reference, n_classes=2, probabilities=p, threshold=0.7, ignore_index=-1)
    tiled = OverlapCounts.zero(2, n_histograms=1)
    for rows in (slice(0, cuts[0]), slice(cuts[0], None)):
        for columns in (slice(0, cuts[1]), slice(cuts[1], None)):
            if reference[rows, columns].size:
                tiled += count_overlap(
                    reference[rows, columns], n_classes=2, probabilities=p[rows, columns], threshold=0.7,
                    ignore_index=-1,
                )  # fmt: skip
    assert _hard(tiled) == _hard(whole)
    assert (tiled.n_pixels, tiled.n_ignored) == (whole.n_pixels, whole.n_ignored)
    assert np.array_equal(tiled.histogram_foreground, whole.histogram_foreground)
    assert np.array_equal(tiled.histogram_background, whole.histogram_background)
    for name in SOFT:
        np.testing.assert_allclose(getattr(tiled, name), getattr(whole, name), rtol=1e-12, atol=1e-12 * reference.size)


def test_a_volume_counts_as_its_slices() -> None:
    reference, p = _image(11, (3, 40, 50))
    slices = [
        count_overlap(reference[z], n_classes=2, probabilities=p[z], ignore_index=-1) for z in range(len(reference))
    ]
    total = sum(slices, start=OverlapCounts.zero(2, n_histograms=1))
    volume = count_overlap(reference, n_classes=2, probabilities=p, ignore_index=-1)
    assert _hard(total) == _hard(volume)
    np.testing.assert_allclose(total.soft_prediction_sum, volume.soft_prediction_sum, rtol=1e-12)


def test_counts_beyond_the_integers_of_float32() -> None:
    reference = np.broadcast_to(np.ones(1, np.uint8), (1, 2**24 + 1))
    p = np.broadcast_to(np.ones(1, np.float32), (1, 2**24 + 1))
    counts = count_overlap(reference, n_classes=2, probabilities=p)
    assert counts.true_positive[1] == counts.soft_intersection[1] == 2**24 + 1


@pytest.mark.parametrize(
    "dtype", [np.bool_, np.uint8, np.int32, np.uint64, np.dtype(">i2")],
    ids=["bool", "uint8", "int32", "uint64 with ignore -1", "foreign byte order"],
)  # fmt: skip
def test_references_of_any_integer_type(dtype: Any) -> None:
    counts = count_overlap(REFERENCE.astype(dtype), n_classes=2, probabilities=PROBABILITIES, ignore_index=-1)
    assert counts == count_overlap(REFERENCE, n_classes=2, probabilities=PROBABILITIES)


def test_several_classes_agree_with_brute_force_in_any_memory_order() -> None:
    generator = np.random.default_rng(4)
    reference = generator.integers(-1, 5, (3, 21, 34))
    p = generator.dirichlet(np.ones(5), reference.shape).astype(np.float16)
    counts = count_overlap(reference, n_classes=5, probabilities=p, ignore_index=-1)
    counted, predicted, exact = reference >= 0, p.argmax(axis=-1), p.astype(np.float64)
    for index in range(5):
        is_class, is_predicted = (reference == index), (predicted == index) & counted
        assert counts.true_positive[index] == (is_class & is_predicted).sum()
        assert counts.false_positive[index] == (~is_class & is_predicted).sum()
        assert counts.false_negative[index] == (is_class & ~is_predicted).sum()
        sums = (exact[is_class, index].sum(), exact[counted, index].sum(), (exact[counted, index] ** 2).sum())
        np.testing.assert_allclose([getattr(counts, name)[index] for name in SOFT], sums, rtol=1e-12)
        bins = np.minimum(exact[..., index] * 256, 255).astype(int)
        assert np.array_equal(counts.histogram_foreground[index], np.bincount(bins[is_class], minlength=BINS))
        others = np.bincount(bins[counted & ~is_class], minlength=BINS)
        assert np.array_equal(counts.histogram_background[index], others)
    unsigned = np.where(counted, reference, 9).astype(np.uint64)
    for_order = np.asfortranarray(unsigned), np.asfortranarray(p)
    assert counts == count_overlap(for_order[0], n_classes=5, probabilities=for_order[1], ignore_index=9)


def test_inputs_stay_as_they_are() -> None:
    reference, p = _image(2, (8, 9))
    reference.flags.writeable = p.flags.writeable = False
    before = (reference.copy(), p.copy())
    count_overlap(reference, n_classes=2, probabilities=p, ignore_index=-1)
    assert np.array_equal(reference, before[0])
    assert np.array_equal(p, before[1])


@pytest.mark.parametrize("n_histograms", [0, 1])
def test_zero_is_neutral(n_histograms: int) -> None:
    given: dict[str, Any] = {"probabilities": PROBABILITIES} if n_histograms else {"label_map": REFERENCE}
    counts = count_overlap(REFERENCE, n_classes=2, **given)
    assert OverlapCounts.zero(2, n_histograms=n_histograms) + counts == counts
    assert counts + counts != counts


def test_counts_of_different_kinds_do_not_add() -> None:
    labels = count_overlap(REFERENCE, n_classes=2, label_map=REFERENCE)
    with pytest.raises(ValueError, match="all from probabilities or all from label maps"):
        labels + count_overlap(REFERENCE, n_classes=2, probabilities=PROBABILITIES)
    with pytest.raises(ValueError, match=r"2 classes.*3 classes"):
        labels + OverlapCounts.zero(3)


def test_the_next_half_after_one_is_one() -> None:
    above = np.array([[np.float16(1) + np.finfo(np.float16).eps, 0.25]], np.float16)
    counts = count_overlap(np.array([[1, 0]]), n_classes=2, probabilities=above)
    assert counts == count_overlap(np.array([[1, 0]]), n_classes=2, probabilities=np.array([[1, 0.25]], np.float32))


def test_a_list_is_no_array() -> None:
    with pytest.raises(ArgumentError, match=r"probabilities: expected a numpy array, got list"):
        count_overlap(np.array([[1, 0]]), n_classes=2, probabilities=[[0.5, 0.5]])  # type: ignore[arg-type]
