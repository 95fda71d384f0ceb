"""Counts at all thresholds against counting at each."""

import numpy as np
import pytest

from segscale.tasks.metrics.overlap import count_overlap
from segscale.tasks.metrics.thresholds import cumulate


@pytest.mark.parametrize("threshold_count", [2, 64, 256])
def test_agrees_with_counting_at_each_threshold(threshold_count: int) -> None:
    generator = np.random.default_rng(0)
    reference, p = generator.integers(0, 2, (30, 30)), generator.random((30, 30), np.float32)
    counts = count_overlap(reference, n_classes=2, probabilities=p)
    true_positive, predicted = cumulate(counts.histogram_foreground, counts.histogram_background, threshold_count)
    assert true_positive.shape == predicted.shape == (1, threshold_count - 1)
    for k in range(1, threshold_count, max(1, threshold_count // 16)):
        at = count_overlap(reference, n_classes=2, probabilities=p, threshold=k / threshold_count)
        assert true_positive[0, k - 1] == at.true_positive[1]
        assert predicted[0, k - 1] == at.true_positive[1] + at.false_positive[1]


@pytest.mark.parametrize("threshold_count", [0, 1, 100, 512])
def test_refuses_what_does_not_divide_256(threshold_count: int) -> None:
    with pytest.raises(ValueError, match="threshold_count: expected a divisor of 256"):
        cumulate(np.zeros((1, 256), np.int64), np.zeros((1, 256), np.int64), threshold_count)
