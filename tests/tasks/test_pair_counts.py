"""Pairs of label maps are counted in stacks as they are one by one."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from segscale.tasks import pair_counts
from segscale.tasks.labels import IGNORED, LabelRule
from segscale.tasks.metrics.stacks import count_overlaps
from segscale.tasks.pair_counts import count_pairs
from segscale.tasks.prediction_file import Counting, LabelPair, read_prediction
from tests.tasks.counted import count_prediction
from tests.tasks.encoded import npy, png

SHAPES = ((1, 4, 5), (1, 5, 4), (3, 4, 5), (1, 1, 1), (1, 16, 9))


@st.composite
def made_pairs(draw: st.DrawFn, n_classes: int) -> list[LabelPair | str]:
    """Pairs of few shapes in any order, with failures among them."""
    shapes = draw(st.lists(st.sampled_from((*SHAPES, None)), max_size=12))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    found: list[LabelPair | str] = []
    for shape in shapes:
        if shape is None:
            found.append(f"failure {len(found)}")
            continue
        reference, label_map = generator.integers(0, n_classes, (2, *shape)).astype(np.uint8)
        reference[generator.random(shape) < draw(st.sampled_from((0.0, 0.3, 1.0)))] = IGNORED
        found.append(LabelPair(reference, label_map))
    return found


@given(data=st.data(), n_classes=st.sampled_from((2, 3, 7, 255)))
def test_the_order_is_that_of_the_images(data: st.DataObject, n_classes: int) -> None:
    found = data.draw(made_pairs(n_classes))
    counted = count_pairs(iter(found), n_classes)
    assert len(counted) == len(found)
    for one, counts in zip(found, counted, strict=True):
        assert counts == (one.count(n_classes) if isinstance(one, LabelPair) else one)


def test_a_prediction_is_read_or_counted() -> None:
    reference, predicted = np.random.default_rng(0).integers(0, 2, (2, 1, 8, 8)).astype(np.uint8)
    counting = Counting(0.5, LabelRule(2))
    for data, name, of_labels in (
        (png(predicted[0] * 255), "p.png", True),
        (npy(predicted[0].astype(np.float32)), "p.npy", False),
    ):
        found = read_prediction(reference, data, name, counting).found
        assert isinstance(found, LabelPair) is of_labels
        counts = count_prediction(reference, data, name, counting)
        assert found.count(2) == counts
        assert count_pairs([found if isinstance(found, LabelPair) else counts], 2) == [counts]


def test_many_pairs_wait_for_each_other_only_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair_counts, "_PIXELS_TOGETHER", 3 * 64)
    generator = np.random.default_rng(0)
    pairs = [LabelPair(*generator.integers(0, 2, (2, 1, 8, 8)).astype(np.uint8)) for _ in range(8)]
    sizes: list[int] = []

    def counted(references: NDArray[np.uint8], **given: Any) -> Any:
        sizes.append(len(references))
        return count_overlaps(references, **given)

    monkeypatch.setattr(pair_counts, "count_overlaps", counted)
    assert count_pairs(iter(pairs), 2) == [one.count(2) for one in pairs]
    assert sizes == [3, 3, 2]


LOOK = """
import sys
import numpy as np
from segscale.tasks.labels import LabelRule
from segscale.tasks.metrics.stacks import count_overlaps
from segscale.tasks.pair_counts import count_pairs
from segscale.tasks.prediction_file import Counting, read_prediction
from segscale.tasks.reference_file import read_reference
data = sys.stdin.buffer.read()
reference = read_reference(data, "r.png", LabelRule(2))
counts, = count_pairs([read_prediction(reference, data, "p.png", Counting(0.5, LabelRule(2))).found], 2)
print(counts.true_positive.tolist(), "numba" in sys.modules)
"""


@pytest.mark.slow
def test_a_few_label_maps_are_counted_without_numba() -> None:
    data = png(np.eye(9, dtype=np.uint8))
    answer = subprocess.run([sys.executable, "-c", LOOK], input=data, capture_output=True, check=True)
    assert answer.stdout.decode().strip() == "[72, 9] False"
