"""Images of a shard are measured together as each of them is by itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segscale.tasks import measured_images
from segscale.tasks.labels import IGNORED
from segscale.tasks.measured_images import MeasuredImages
from segscale.tasks.measuring import LesionRule, Measured, Measuring, Structures
from segscale.tasks.surfaces import stacks

SHAPES = ((1, 9, 70), (1, 70, 9), (6, 1, 7), (3, 5, 6), (1, 1, 4))
MEASURING = Measuring((1.0, 2.5), LesionRule())
REGIONS = ((1, 2),)


def drawn(seed: int, shape: tuple[int, ...], density: float, **more: Any) -> Structures:
    generator = np.random.default_rng(seed)
    reference, prediction = (
        (generator.integers(1, 3, shape) * (generator.random(shape) < density)).astype(np.uint8) for _ in range(2)
    )
    return Structures.of(reference, prediction, 3, regions=REGIONS, **more)


@st.composite
def made_images(draw: st.DrawFn) -> list[Structures]:
    """Images of few shapes in any order: with spacing, ignored pixels or without a prediction; empty on a side."""
    found = []
    for seed in draw(st.lists(st.integers(0, 2**16), max_size=12)):
        spacing = draw(st.sampled_from((None, None, (1.0, 0.8, 0.7))))
        one = drawn(seed, draw(st.sampled_from(SHAPES)), draw(st.sampled_from((0.0, 0.1, 0.6))), spacing_mm=spacing)
        reference, prediction = one.reference.copy(), one.prediction
        kind = draw(st.sampled_from(("", "", "ignored", "missing", "empty", "by column")))
        if kind == "ignored":
            reference[..., :3] = IGNORED
        elif kind == "empty":
            reference[:] = 0
        elif kind == "by column":
            # As it lies in memory where a file says so.
            reference, prediction = np.asfortranarray(reference), np.asfortranarray(prediction)
        made = None if kind == "missing" else prediction
        found.append(Structures.of(reference, made, 3, regions=REGIONS, spacing_mm=spacing))
    return found


@given(images=made_images(), pixels=st.sampled_from((1, 1500, 2**22)))
def test_the_rows_are_those_of_each_image_by_itself(images: list[Structures], pixels: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measured_images, "PIXELS_TOGETHER", pixels)
        together = MeasuredImages(MEASURING)
        for number, one in enumerate(images):
            together.add(f"i{number}", one)
        found = together.encode()
    alone = [Measured.of(f"i{number}", {"": one}, MEASURING) for number, one in enumerate(images)]
    assert found == Measured.joined(alone).encode(MEASURING)


@pytest.mark.parametrize(
    ("shape", "spacing", "n_stacks"),
    [
        # One call for each class and region.
        pytest.param((1, 9, 70), None, 3, id="pictures"),
        pytest.param((1, 9, 70), (1.0, 0.5, 0.5), 0, id="pictures with a spacing"),
        pytest.param((4, 9, 7), None, 0, id="volumes"),
    ],
)
def test_pictures_in_pixels_share_a_call(
    shape: tuple[int, ...], spacing: Any, n_stacks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack_distances, seen = stacks.stack_distances, []

    def note(references: Any, *given: Any, **more: Any) -> Any:
        seen.append(references.shape)
        return stack_distances(references, *given, **more)

    monkeypatch.setattr(stacks, "stack_distances", note)
    together = MeasuredImages(MEASURING)
    for number in range(5):
        together.add(f"i{number}", drawn(number, shape, 0.3, spacing_mm=spacing))
    together.encode()
    assert seen == [(5, *shape[1:])] * n_stacks


@pytest.mark.parametrize("asked", [Measuring(None, LesionRule()), Measuring((1.0,), None)], ids=["lesions", "surfaces"])
def test_what_is_not_asked_for_is_not_measured(asked: Measuring) -> None:
    together = MeasuredImages(asked)
    together.add("a", drawn(1, (1, 9, 70), 0.3))
    (data,) = together.encode().values()
    assert data == next(iter(Measured.of("a", {"": drawn(1, (1, 9, 70), 0.3)}, asked).encode(asked).values()))
