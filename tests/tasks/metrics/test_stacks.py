"""A stack counts as its images do one by one, bit for bit, and refuses what they refuse, in their words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from segscale.errors import ArgumentError, DataError
from segscale.tasks.compiled import EFFORT
from segscale.tasks.metrics.overlap import OverlapCounts, count_overlap
from segscale.tasks.metrics.stacks import StackCounts, count_overlaps


@pytest.fixture(scope="module", autouse=True, params=[0, 2**62], ids=["compiled", "numpy"])
def _way(request: pytest.FixtureRequest) -> Iterator[None]:
    """Label maps of few classes are counted by numpy until the compiled loops are worth loading."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EFFORT, "worth_loading", request.param)
        yield


@dataclass(frozen=True)
class Stack:
    """References and predictions of N images, with what they are counted by."""

    references: NDArray[np.uint8]
    predictions: NDArray[np.uint8]
    kind: str
    settings: dict[str, Any]

    def together(self) -> StackCounts:
        name = "label_maps" if self.kind == "label_map" else self.kind
        given: dict[str, Any] = {name: self.predictions}
        return count_overlaps(self.references, **given, **self.settings)

    def alone(self, place: int) -> OverlapCounts:
        given: dict[str, Any] = {self.kind: self.predictions[place]}
        return count_overlap(self.references[place], **given, **self.settings)


@st.composite
def stacks(draw: st.DrawFn, n_least: int = 0) -> Stack:
    """Stacks of flat images and volumes, in runs or in noise, of any size, with any label ignored, or none."""
    kind = draw(st.sampled_from(("label_map", "label_map", "probabilities")))
    n_classes = draw(st.sampled_from((2, 2, 2, 3, 7, 255, 256)))
    ignore_index = draw(st.sampled_from((255, 255, None, 0, 1, 7, -1, 300)))
    shape = draw(st.one_of(st.tuples(*[st.integers(1, 40)] * 2), st.tuples(*[st.integers(1, 9)] * 3)))
    if n_classes > 7:
        shape = tuple(min(side, 5) for side in shape)
    n_images = draw(st.integers(n_least, 6))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    run = draw(st.sampled_from((1, 5, 64)))

    def drawn(largest: int, channels: tuple[int, ...] = ()) -> NDArray[np.uint8]:
        size = (n_images, *shape, *channels)
        few = generator.integers(0, largest, -(-int(np.prod(size)) // run)).astype(np.uint8)
        return np.resize(np.repeat(few, run), size) if few.size else np.zeros(size, np.uint8)

    references = drawn(n_classes)
    if ignore_index is not None and 0 <= ignore_index <= 255:
        references[generator.random(references.shape) < draw(st.sampled_from((0.0, 0.2, 1.0)))] = ignore_index
    several = (n_classes,) if kind == "probabilities" and n_classes > 2 else ()
    predictions = drawn(n_classes) if kind == "label_map" else drawn(256, several)
    if kind == "probabilities" and n_images:
        predictions.reshape(n_images, -1)[:, 0] = draw(st.integers(2, 255))
    if draw(st.booleans()):
        references, predictions = np.asfortranarray(references), np.asfortranarray(predictions)
    threshold = draw(st.integers(0, 255)) / 256
    settings = {"n_classes": n_classes, "ignore_index": ignore_index, "threshold": threshold}
    return Stack(references, predictions, kind, settings)


@given(stack=stacks())
def test_each_image_counts_as_it_does_alone(stack: Stack) -> None:
    together = stack.together()
    assert len(together) == len(stack.references)
    for place in range(len(together)):
        one, alone = together.image(place), stack.alone(place)
        assert one == alone
        # NaN equals NaN there, and 0 equals -0; here the bits must agree.
        for name in ("soft_intersection", "soft_prediction_sum", "soft_prediction_squared_sum"):
            assert getattr(one, name).tobytes() == getattr(alone, name).tobytes()


@given(stack=stacks(n_least=1), data=st.data())
def test_what_an_image_is_refused_for_its_stack_is(stack: Stack, data: st.DataObject) -> None:
    array = stack.predictions if data.draw(st.booleans()) and stack.kind == "label_map" else stack.references
    place = tuple(data.draw(st.integers(0, side - 1)) for side in array.shape)
    array[place] = data.draw(st.integers(0, 255))
    refused = next((why for image in range(len(array)) if (why := refusal(stack, image)) is not None), None)
    if refused is None:
        assert stack.together().image(place[0]) == stack.alone(place[0])
        return
    with pytest.raises(type(refused)) as caught:
        stack.together()
    assert str(caught.value) == str(refused)


def refusal(stack: Stack, image: int) -> Exception | None:
    try:
        stack.alone(image)
    except (ArgumentError, DataError) as error:
        return error
    return None


def test_codes_of_0_and_1_alone_are_refused_where_ignored_pixels_are_all_that_is_higher() -> None:
    references, codes = np.zeros((3, 2, 9), np.uint8), np.full((3, 2, 9), 200, np.uint8)
    codes[1], codes[1, 0, 0], references[1, 0, 0] = 0, 1, 255
    stack = Stack(references, codes, "probabilities", {"n_classes": 2, "ignore_index": 255})
    with pytest.raises(ArgumentError, match="integers of 0 and 1 alone"):
        stack.together()
    codes[1, 0, 0] = 2
    assert stack.together().image(1) == stack.alone(1)


@pytest.mark.parametrize("label", range(2, 256))
@pytest.mark.parametrize("kind", ["label_map", "probabilities"])
def test_each_label_that_is_none_is_found(label: int, kind: str) -> None:
    references, predictions = np.zeros((2, 3, 5), np.uint8), np.ones((2, 3, 5), np.uint8)
    predictions[:, 0, 1] = 1 if kind == "label_map" else 200
    references[0, 0, 0], references[1, 2, 4] = 255, label
    stack = Stack(references, predictions, kind, {"n_classes": 2, "ignore_index": 255})
    if label == 255:
        assert stack.together().image(1) == stack.alone(1)
        return
    with pytest.raises(DataError, match=rf"reference: .* got also \[{label}\]"):
        stack.together()
    if kind == "label_map":
        references[1, 2, 4], predictions[1, 2, 4] = 255, label
        with pytest.raises(DataError, match=rf"label_map: .* got also \[{label}\]"):
            stack.together()


STACK = np.zeros((2, 3, 4), np.uint8)


@pytest.mark.parametrize(
    ("references", "given", "words"),
    [
        pytest.param(STACK, {}, "got neither", id="no prediction"),
        pytest.param(STACK, {"label_maps": STACK, "probabilities": STACK}, "got both", id="two"),
        pytest.param(STACK.astype(int), {"label_maps": STACK}, "references: .* uint8, got int64", id="other integers"),
        pytest.param(STACK, {"label_maps": STACK > 0}, "label_map: .* uint8, got bool", id="bool"),
        pytest.param(STACK, {"label_maps": np.ma.array(STACK)}, "label_map: .* array of uint8", id="masked"),
        pytest.param(STACK[0], {"label_maps": STACK[0]}, r"references: .* got shape \(3, 4\)", id="one image"),
        pytest.param(STACK[:, :0], {"label_maps": STACK[:, :0]}, "at least one pixel", id="no pixels"),
        pytest.param(STACK, {"label_maps": STACK[:1]}, r"label_map: expected shape \(2, 3, 4\)", id="fewer"),
        pytest.param(STACK, {"label_maps": STACK, "n_classes": 1}, "n_classes: expected 2 to 256", id="one class"),
        pytest.param(STACK, {"probabilities": STACK, "n_classes": 3}, r"\(2, 3, 4, 3\)", id="no channels"),
        pytest.param(STACK, {"probabilities": STACK, "threshold": 0.3}, "a multiple of 1/256", id="threshold"),
    ],
)
def test_other_arrays(references: Any, given: dict[str, Any], words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        count_overlaps(references, **{"n_classes": 2, **given})
