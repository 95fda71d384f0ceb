"""What holds of the counts of any image, for every kind of prediction; and what the kernel does to its caller."""

import sys
import threading
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from segscale.tasks.metrics.overlap import CLASS_COLUMNS, OverlapCounts, count_overlap

KINDS = ("label map", "uint8", "float16", "float32", "float64")
INTEGERS = tuple(name for name in CLASS_COLUMNS if not name.startswith("soft"))
SOFT = tuple(name for name in CLASS_COLUMNS if name.startswith("soft"))
HISTOGRAMS = ("histogram_foreground", "histogram_background")
IGNORED = 255


@dataclass(frozen=True)
class Image:
    """A reference with a prediction, which may have one axis more, of channels."""

    reference: NDArray[np.uint8]
    prediction: NDArray[Any]
    n_classes: int
    is_label_map: bool
    threshold: float

    def count(self, part: tuple[slice, ...] = ()) -> OverlapCounts:
        given: dict[str, Any] = {"label_map" if self.is_label_map else "probabilities": self.prediction[part]}
        return count_overlap(
            self.reference[part], n_classes=self.n_classes, threshold=self.threshold, ignore_index=IGNORED, **given
        )


@st.composite
def images(draw: st.DrawFn) -> Image:
    """Images and volumes of few or many pixels, of every kind of prediction, some pixels of them ignored."""
    kind, n_classes = draw(st.sampled_from(KINDS)), draw(st.sampled_from((2, 2, 3, 7, 256)))
    shape = draw(st.one_of(st.tuples(*[st.integers(1, 70)] * 2), st.tuples(*[st.integers(1, 12)] * 3)))
    if n_classes == 256:
        shape = tuple(min(side, 6) for side in shape)
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    reference = generator.integers(0, n_classes, shape).astype(np.uint8)
    reference[generator.random(shape) < draw(st.sampled_from((0.0, 0.2, 1.0)))] = IGNORED
    threshold = draw(st.integers(0, 255)) / 256
    if kind == "label map":
        labels = generator.integers(0, n_classes, shape).astype(draw(st.sampled_from((np.uint8, np.int32))))
        return Image(reference, labels, n_classes, True, threshold)
    values = generator.random(shape if n_classes == 2 else (*shape, n_classes))
    # On the edges of bins, at thresholds, equal in several channels.
    exact = generator.random(values.shape) < draw(st.sampled_from((0.0, 0.5)))
    values[exact] = np.round(values[exact] * 4) / 4
    stored = np.minimum(values * 256, 255).astype(np.uint8) if kind == "uint8" else values.astype(kind)
    order = draw(st.sampled_from((np.ascontiguousarray, np.asfortranarray)))
    return Image(order(reference), order(stored), n_classes, False, threshold)


@st.composite
def tilings(draw: st.DrawFn, shape: tuple[int, ...]) -> list[tuple[slice, ...]]:
    """Boxes that cover every pixel once: the whole, cut again and again, each box across an axis of its own."""
    boxes: list[tuple[slice, ...]] = [tuple(slice(0, side) for side in shape)]
    for _ in range(draw(st.integers(0, 8))):
        box = boxes.pop(draw(st.integers(0, len(boxes) - 1)))
        axis = draw(st.integers(0, len(shape) - 1))
        place = draw(st.integers(box[axis].start, box[axis].stop))
        halves = (slice(box[axis].start, place), slice(place, box[axis].stop))
        boxes += [(*box[:axis], half, *box[axis + 1 :]) for half in halves if half.start < half.stop]
    return draw(st.permutations(boxes))


@given(image=images())
def test_no_count_is_negative_or_above_the_pixel_number(image: Image) -> None:
    counts = image.count()
    n_counted = counts.n_pixels - counts.n_ignored
    assert counts.n_pixels == image.reference.size
    assert counts.n_ignored == np.count_nonzero(image.reference == IGNORED)
    for name in (*INTEGERS, *HISTOGRAMS):
        values = getattr(counts, name)
        assert values.dtype == np.int64
        assert values.min(initial=0) >= 0
        assert values.max(initial=0) <= n_counted
    hard = counts.true_positive + counts.false_positive + counts.false_negative + counts.true_negative
    assert hard.tolist() == [n_counted] * image.n_classes
    assert (counts.true_positive + counts.false_negative).tolist() == counts.reference_sum.tolist()
    assert counts.reference_sum.sum() == (counts.true_positive + counts.false_positive).sum() == n_counted
    foreground, background = (getattr(counts, name).sum(axis=1) for name in HISTOGRAMS)
    assert foreground.tolist() == counts.reference_sum[image.n_classes - counts.n_histograms :].tolist()
    assert (foreground + background).tolist() == [n_counted] * counts.n_histograms
    if not image.is_label_map:
        # Rounded sums: of two classes the background is the number of pixels less the foreground.
        slack = 1e-12 * image.reference.size
        for name in SOFT:
            assert (getattr(counts, name) >= -slack).all()
            assert (getattr(counts, name) <= n_counted + slack).all()
        assert (counts.soft_intersection <= counts.reference_sum + slack).all()


@given(data=st.data(), image=images())
def test_any_tiling_gives_equal_counts(data: st.DataObject, image: Image) -> None:
    whole = image.count()
    tiles = [image.count(tile) for tile in data.draw(tilings(image.reference.shape))]
    tiled = sum(tiles, start=OverlapCounts.zero(image.n_classes, n_histograms=whole.n_histograms))
    assert (tiled.n_pixels, tiled.n_ignored) == (whole.n_pixels, whole.n_ignored)
    for name in (*INTEGERS, *HISTOGRAMS):
        assert np.array_equal(getattr(tiled, name), getattr(whole, name)), name
    for name in SOFT:
        np.testing.assert_allclose(
            getattr(tiled, name), getattr(whole, name), rtol=1e-12, atol=1e-12 * image.reference.size, err_msg=name
        )


def _prediction(kind: str, n_classes: int, shape: tuple[int, int]) -> dict[str, Any]:
    if kind == "label map":
        return {"label_map": np.zeros(shape, np.uint8)}
    return {"probabilities": np.zeros(shape if n_classes == 2 else (*shape, n_classes), kind)}


def _lets_others_run(work: Callable[[], object]) -> bool:
    """Whether a waiting thread gets the interpreter during one of 20 calls, from which nobody takes it away."""
    work()  # compiled by now
    go, went = threading.Event(), threading.Event()

    def go_on() -> None:
        go.wait()
        went.set()

    other = threading.Thread(target=go_on)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(60)
    try:
        other.start()
        go.set()
        assert not went.is_set()
        for _ in range(20):
            work()
            if went.is_set():
                return True
        return False
    finally:
        sys.setswitchinterval(interval)
        other.join()


@pytest.mark.parametrize(("kind", "n_classes"), [(kind, n) for kind in KINDS for n in (2, 3)])
def test_other_threads_run_while_the_kernel_counts(kind: str, n_classes: int) -> None:
    reference, prediction = np.zeros((2048, 2048), np.uint8), _prediction(kind, n_classes, (2048, 2048))
    assert _lets_others_run(lambda: count_overlap(reference, n_classes=n_classes, **prediction))


def test_other_threads_do_not_run_while_python_counts() -> None:
    assert not _lets_others_run(lambda: sum(range(100_000)))


@pytest.mark.parametrize(("kind", "n_classes"), [(kind, n) for kind in KINDS for n in (2, 3)])
def test_inputs_are_not_copied(kind: str, n_classes: int) -> None:
    shape = (2048, 1024)
    wide: dict[str, Any] = {
        name: np.repeat(array, 2, axis=1)[:, ::2] for name, array in _prediction(kind, n_classes, shape).items()
    }
    reference = np.zeros((2048, 2048), np.uint8)[:, ::2]
    assert not reference.flags.c_contiguous
    count_overlap(reference, n_classes=n_classes, **wide)
    tracemalloc.start()
    try:
        count_overlap(reference, n_classes=n_classes, **wide)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < reference.size / 2


@pytest.mark.parametrize("kind", KINDS)
def test_256_classes_are_counted(kind: str) -> None:
    labels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    given: dict[str, Any] = {"label_map": labels}
    if kind != "label map":
        given = {"probabilities": (np.eye(256)[labels] * (255 if kind == "uint8" else 1)).astype(kind)}
    counts = count_overlap(labels, n_classes=256, **given)
    assert counts.true_positive.tolist() == counts.reference_sum.tolist() == [1] * 256


@pytest.mark.parametrize("n_classes", [1, 257, 300])
def test_fewer_than_2_and_more_than_256_classes_are_refused(n_classes: int) -> None:
    labels = np.zeros((2, 2), np.int64)
    with pytest.raises(ValueError, match=f"n_classes: expected 2 to 256 .* got {n_classes}"):
        count_overlap(labels, n_classes=n_classes, label_map=labels)
