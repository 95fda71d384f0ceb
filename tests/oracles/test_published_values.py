"""Numbers that others publish, in the tests and documentation of their libraries and on challenge platforms."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from segscale.tasks.metrics.aggregate import batch_summed, per_sample
from segscale.tasks.metrics.overlap import OverlapCounts, count_overlap
from segscale.tasks.metrics.per_image import score_images
from segscale.tasks.metrics.settings import ScoreSettings
from segscale.tasks.metrics.statistics import mean

PerImageOf = Callable[[list[OverlapCounts]], pd.DataFrame]


def _mean_of(table: pd.DataFrame, class_name: str, metric: str) -> float:
    rows = table[(table["class_name"] == class_name) & (table["metric"] == metric)]
    assert len(rows) == 1
    return float(rows["mean"].iloc[0])


def test_keras_dice_loss(per_image_of: PerImageOf) -> None:
    """Keras 3, docstring of `keras.losses.dice`: axis=(1, 2, 3) and the default, loss = 1 - soft Dice."""
    reference = np.array([[1, 1], [0, 0]])
    probabilities = [np.array([[0, 1], [0, 1]]), np.array([[0.4, 0], [0, 0.9]])]
    frame = per_image_of([
        count_overlap(reference, n_classes=2, probabilities=p.astype(np.float32)) for p in probabilities
    ])  # fmt: skip
    chosen = ScoreSettings(batch_sizes=())
    losses = 1 - score_images(frame, chosen).query("class_index == 1")["soft_dice"].to_numpy()
    np.testing.assert_allclose(losses, [0.5, 0.757576], atol=1e-6)
    assert 1 - _mean_of(batch_summed(frame, chosen), "class1", "soft_dice") == pytest.approx(0.616438, abs=1e-6)


def test_torchmetrics_samples_with_missing_classes(per_image_of: PerImageOf) -> None:
    """TorchMetrics, tests/unittests/segmentation/test_dice.py::test_samples_with_missing_classes.

    Its macro average of samples averages the classes inside each image first; ours averages the images of each class.
    """
    reference, prediction = np.zeros((2, 3, 10, 10), np.uint8)
    reference[0, :4, :4], prediction[0, :2, :2] = 1, 1
    reference[0, 4:, 4:], prediction[0, 8:, 8:] = 3, 3
    prediction[1, :2, :2] = 3
    frame = per_image_of([
        count_overlap(r, n_classes=4, label_map=p) for r, p in zip(reference, prediction, strict=True)
    ])  # fmt: skip
    chosen = ScoreSettings(batch_sizes=())
    images, pooled = per_sample(frame, chosen), batch_summed(frame, chosen)
    of_class = [_mean_of(images, f"class{index}", "dice") for index in (1, 2, 3)]
    np.testing.assert_allclose(of_class, [0.4, np.nan, 0.1])
    assert _mean_of(images, "all_micro", "dice") == pytest.approx(0.1333, abs=1e-4)
    scored = score_images(frame, chosen).query("class_index > 0")
    assert mean(scored.groupby("image_id")["dice"].mean().to_numpy()) == pytest.approx(0.15)
    of_class = [_mean_of(pooled, f"class{index}", "dice") for index in (1, 2, 3)]
    np.testing.assert_allclose(of_class, [0.4, np.nan, 0.1818], atol=1e-4)
    assert _mean_of(pooled, "all_micro", "dice") == pytest.approx(0.25)
    assert _mean_of(pooled, "all_macro", "dice") == pytest.approx(0.2909, abs=1e-4)


@pytest.mark.parametrize(
    ("ignore_index", "expected"),
    [
        pytest.param(None, {1: (1, 5, 4, 2), 2: (3, 3, 4, 2)}, id="all pixels"),
        pytest.param(3, {1: (1, 3, 2, 2), 2: (3, 1, 2, 2)}, id="label 3 ignored"),
    ],
)
def test_tfma_confusion_matrices(ignore_index: int | None, expected: dict[int, tuple[int, ...]]) -> None:
    """TensorFlow Model Analysis, semantic_segmentation_confusion_matrix_metrics_test.py; counts as tp, tn, fp, fn."""
    images: list[tuple[NDArray[np.uint8], NDArray[np.uint8]]] = [
        (np.array([[1, 2, 3], [1, 2, 3]], np.uint8), np.array([[1, 1, 1], [2, 2, 2]], np.uint8)),
        (np.array([[2, 2, 3], [1, 2, 3]], np.uint8), np.array([[2, 1, 1], [2, 2, 2]], np.uint8)),
    ]
    total = sum(
        (count_overlap(r, n_classes=4, label_map=p, ignore_index=ignore_index) for r, p in images),
        start=OverlapCounts.zero(4),
    )
    columns = (total.true_positive, total.true_negative, total.false_positive, total.false_negative)
    assert {index: tuple(int(column[index]) for column in columns) for index in expected} == expected


def test_monai_true_negatives_of_a_large_empty_volume() -> None:
    """MONAI, test_compute_confusion_matrix.py, TEST_CASE_PRECISION: 1024 x 1024 x 44 zeros, where float32 miscounts."""
    nothing = np.broadcast_to(np.zeros(1, np.uint8), (44, 1024, 1024))
    assert count_overlap(nothing, n_classes=2, label_map=nothing).true_negative[1] == 46_137_344
