"""The history of a training: a row per epoch and split, the loss in its parts beside the scores.

Scores are of the deepest head. "training" rows are measured while the weights move, on varied patches and with dropout;
"validation" rows on whole images after the epoch. `loss` is the sum over the heads of weight x loss, plus
`regularization`, within 1e-5.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from segscale.tasks.models.training_metrics import (
    BatchSummedDice,
    BatchSummedTversky,
    PerSampleDice,
    PerSampleTversky,
    PooledDice,
    PooledTversky,
)
from segscale.tasks.models.training_statistics import (
    ForegroundShares,
    ImageCounts,
    OperatingPoint,
    SmoothedDiceByReference,
    SparseCategoricalAccuracy,
)
from segscale.tasks.training.settings import TrainSettings

SPLITS = ("training", "validation")
AGGREGATIONS = ("per_sample", "batch_summed", "pooled")
DICE = (PerSampleDice, BatchSummedDice, PooledDice)
TVERSKY = (PerSampleTversky, BatchSummedTversky, PooledTversky)
WHOLE = ("epoch", "n_images", "n_batches", "n_reference_empty", "n_prediction_empty", "n_both_empty")
"""Columns of whole numbers; all others but `training_id`, `dataset` and `split` are float64, NaN for undefined."""

Row = Mapping[str, Any]


def measures(settings: TrainSettings) -> list[Any]:
    """Keras metrics whose results are the scores of a row, each under the name of its column."""
    return [*_scores(settings), *_statistics(settings)]


def _scores(settings: TrainSettings) -> Iterator[Any]:
    shares: dict[str, Any] = {"alpha": settings.tversky_alpha, "beta": settings.tversky_beta}
    common: dict[str, Any] = {"n_classes": settings.n_classes, "threshold": settings.threshold, "class_index": "each"}
    for score, kinds, options in (("dice", DICE, {}), ("tversky", TVERSKY, shares)):
        for aggregation, kind in zip(AGGREGATIONS, kinds, strict=True):
            yield kind(**common, **options, name=f"{score}_{aggregation}")
    for aggregation, kind in zip(AGGREGATIONS, DICE, strict=True):
        yield kind(n_classes=settings.n_classes, threshold=None, name=f"soft_dice_{aggregation}")


def _statistics(settings: TrainSettings) -> Iterator[Any]:
    n_classes = settings.n_classes
    yield SparseCategoricalAccuracy(n_classes, name="sparse_categorical_accuracy")
    yield ImageCounts(n_classes, threshold=settings.threshold)
    yield SmoothedDiceByReference(n_classes, smooth=settings.smooth)
    yield ForegroundShares(n_classes, threshold=settings.threshold)
    if n_classes == 2:
        yield OperatingPoint()


def epoch_row(split: str, epoch: int, results: Mapping[str, Any], settings: TrainSettings, **others: float) -> Row:
    """One row: what the network's means and measures say of an epoch, and what else is known (seconds, ...)."""
    values = {name: float(value) for name, value in results.items()}
    parts: dict[str, float] = {}
    for place, weight in enumerate(settings.weights_of_heads, 1):
        parts[f"head_{place}_loss"] = values.pop(f"head_{place}_loss")
        parts[f"head_{place}_weight"] = weight
    leading = {"loss": values.pop("loss"), "regularization": values.pop("regularization"), **parts}
    unknown = {} if settings.n_classes == 2 else {"best_threshold": math.nan, "dice_per_sample_at_best": math.nan}
    return {"epoch": epoch, "split": split, **leading, **values, **unknown, **others}


def history_table(rows: Sequence[Row], training_id: str, dataset: str) -> pd.DataFrame:
    """The table of `history.parquet`: rows in the order of the epochs, training before validation."""
    frame = pd.DataFrame([{"training_id": training_id, "dataset": dataset, **row} for row in rows])
    frame = frame.astype(dict.fromkeys(WHOLE, "Int64"))
    first = ["training_id", "dataset", "epoch", "split", "n_images", "n_batches"]
    return frame[[*first, *(name for name in frame if name not in first)]]
