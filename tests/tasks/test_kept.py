import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segscale.tasks.kept import Kept, quantize, to_labels
from segscale.tasks.labels import IGNORED


@given(p=st.floats(0, 1, width=32), k=st.integers(1, 255))
def test_quantised_probabilities_keep_every_threshold(p: float, k: int) -> None:
    for value in (p, np.nextafter(np.float32(k / 256), np.float32(0)), k / 256):
        (quantised,) = quantize(np.array([value], np.float32))
        assert (quantised >= k) == (np.float32(value) >= np.float32(k / 256))


@pytest.mark.parametrize("threshold", [0.7, 0.1, 1.0])
def test_labels_compare_in_float32(threshold: float) -> None:
    # As float64, float32(0.7) is below 0.7.
    edge = np.float32(threshold)
    probabilities = np.array([[[np.nextafter(edge, np.float32(0))], [edge]]])
    assert to_labels(probabilities, 2, threshold).tolist() == [[0, 1]]


def test_the_first_of_equal_classes_wins() -> None:
    probabilities = np.array([[[0.2, 0.4, 0.4], [0.5, 0.0, 0.5]]], np.float32)
    labels = to_labels(probabilities, 3, 0.5)
    assert labels.tolist() == [[1, 0]]
    assert labels.dtype == np.uint8
    assert labels.max() < IGNORED


def test_rows_are_kept_where_they_belong_and_dropped_with_their_image() -> None:
    kept = Kept("labels", (3, 4, 5), outputs=1, n_classes=2, threshold=0.5)
    for position in range(3):
        kept.put(position, 1, np.ones((2, 3, 1), np.float32))
    expected = np.zeros((3, 4, 5), np.uint8)
    expected[:, 1:3, :3] = 1
    np.testing.assert_array_equal(kept.arrays["labels"], expected)
    kept.drop(1, 3)
    expected[1:] = 0
    np.testing.assert_array_equal(kept.arrays["labels"], expected)


def test_probabilities_are_kept_of_every_output() -> None:
    kept = Kept("probabilities", (1, 2, 2), outputs=3, n_classes=3, threshold=0.5)
    kept.put(0, 1, np.array([[[0.25, 0.5, 1.0]]], np.float32))
    assert kept.arrays["probabilities"][0, 1, 0].tolist() == [64, 128, 255]
    assert kept.arrays["probabilities"].sum() == 64 + 128 + 255


def test_nothing_is_kept_where_nothing_is_asked_for() -> None:
    kept = Kept("none", (1, 2, 2), outputs=1, n_classes=2, threshold=0.5)
    kept.put(0, 0, np.ones((2, 2, 1), np.float32))
    kept.drop(0, 1)
    assert kept.arrays == {}
