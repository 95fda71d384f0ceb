"""Which slice is shown, what is cut out of it, and how it becomes small enough."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from segscale.tasks.overlays.shown import SIDE, LabelStack, Shown, cut, enlargement, reduced, shown_of

EMPTY = np.zeros((3, 4, 4), np.uint8)


def _with(*places: tuple[int, int, int], value: int = 1) -> np.ndarray:
    labels = EMPTY.copy()
    for place in places:
        labels[place] = value
    return labels


@pytest.mark.parametrize(
    ("reference", "prediction", "chosen"),
    [
        pytest.param(_with((0, 0, 0), (2, 0, 0), (2, 1, 1)), _with((0, 0, 0)), 2, id="most missed"),
        pytest.param(_with((0, 0, 0)), _with((0, 0, 0), (1, 0, 0), (1, 1, 1)), 1, id="most false"),
        pytest.param(_with((1, 0, 0), (2, 0, 0)), EMPTY, 1, id="of equal ones the first"),
        pytest.param(_with((0, 0, 0), (2, 0, 0), (2, 1, 1)), _with((0, 0, 0), (2, 0, 0), (2, 1, 1)), 2,
                     id="none wrong: the largest reference"),
    ],
)  # fmt: skip
def test_the_slice_with_most_wrong_pixels_is_shown(reference: np.ndarray, prediction: np.ndarray, chosen: int) -> None:
    shown = shown_of(LabelStack(reference, prediction, 2), 1, (1,))
    assert (shown.slice_index, shown.n_slices) == (chosen, 3)
    assert (shown.reference == (reference[chosen] == 1)).all()
    assert (shown.prediction == (prediction[chosen] == 1)).all()


def test_what_is_ignored_is_neither_wrong_nor_predicted() -> None:
    reference, prediction = _with((0, 0, 0), (0, 0, 1), value=255), _with((0, 0, 0), (0, 0, 1), (1, 0, 0))
    shown = shown_of(LabelStack(reference, prediction, 2), 1, (1,))
    assert shown.slice_index == 1
    first = shown_of(LabelStack(reference[:1], prediction[:1], 2), 1, (1,))
    assert not first.prediction.any()
    assert first.ignored.sum() == 2


def test_a_region_is_the_union_of_its_classes_or_what_was_predicted_of_it_itself() -> None:
    reference = np.array([[[0, 1, 2, 3]]], np.uint8)
    union = shown_of(LabelStack(reference, reference, 4), 4, (1, 3))
    assert union.prediction.tolist() == union.reference.tolist() == [[False, True, False, True]]
    own = np.array([[[True, False, False, False]]])
    assert shown_of(LabelStack(reference, reference, 4, {4: own}), 4, (1, 3)).prediction.tolist() == own[0].tolist()


def _shown(reference: np.ndarray, prediction: np.ndarray) -> Shown:
    return Shown(reference, prediction, np.zeros_like(reference), np.zeros(reference.shape, np.float32))


@given(hnp.arrays(bool, st.tuples(st.integers(1, 90), st.integers(1, 90)), elements=st.booleans()))
def test_what_is_cut_out_holds_every_pixel_of_the_masks(reference: np.ndarray) -> None:
    part = cut(_shown(reference, np.zeros_like(reference)))
    assert part.reference.sum() == reference.sum()
    assert part.pixels is not None
    assert part.pixels.shape == part.reference.shape


def test_a_small_structure_is_shown_with_what_lies_around() -> None:
    reference = np.zeros((200, 300), bool)
    reference[100, 100:110] = True
    part = cut(_shown(reference, np.zeros_like(reference)))
    assert part.reference.shape == (33, 32)


@pytest.mark.parametrize("shape", [(SIDE, 7), (SIDE + 1, 30), (1000, 999)])
def test_large_parts_become_blocks_that_hold_whatever_they_held(shape: tuple[int, int]) -> None:
    generator = np.random.default_rng(0)
    reference = generator.random(shape) < 0.01
    pixels = generator.random(shape).astype(np.float32)
    small = reduced(Shown(reference, reference, reference, pixels))
    step = -(-max(shape) // SIDE)
    assert max(small.reference.shape) <= SIDE
    labels = (np.arange(shape[0])[:, None] // step) * small.reference.shape[1] + np.arange(shape[1]) // step
    index = np.arange(small.reference.size)
    assert (small.reference.ravel() == ndimage.maximum(reference, labels, index)).all()
    assert small.pixels is not None
    assert small.pixels.ravel() == pytest.approx(ndimage.mean(pixels, labels, index), abs=1e-6)


def test_small_parts_are_enlarged_by_whole_numbers() -> None:
    assert enlargement(_shown(np.zeros((100, 30), bool), np.zeros((100, 30), bool))) == SIDE // 100
