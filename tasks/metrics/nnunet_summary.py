"""The counts of a run in the shape of nnU-Net's summary.json, for what reads that."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import isnan, nan
from typing import Any

import numpy as np
import pandas as pd

from segscale.tasks.metrics.chosen_head import chosen_head
from segscale.tasks.metrics.per_image import regions_of

COLUMNS = (
    "image_id", "class_index", "head", "status", "true_positive", "false_positive", "false_negative", "true_negative",
)  # fmt: skip
"""Of per_image, that a summary is made of."""
Metrics = dict[str, float]


Label = int | tuple[int, ...]


def nnunet_summary(per_image: pd.DataFrame, labels: Mapping[int, Label], head: str | None = None) -> dict[str, Any]:
    """`metric_per_case`, `mean` and `foreground_mean` as nnU-Net's evaluation of a folder names and means them.

    per_image: COLUMNS of a report, and `is_region` where it has that. labels: the label value of each class, and the
    values of each region that is wanted, by its index. head: of these predictions; may be left out where there is one.

    Of each sound image and foreground class or region Dice, IoU, TP, FP, FN, TN, n_pred and n_ref, from the counts
    alone: Dice is 2 TP / (2 TP + FP + FN), NaN where both masks are empty, whatever smoothing and empty policy the run
    had. `mean` is over the cases where a metric is defined, `foreground_mean` the mean of these over labels (NaN where
    one is NaN). Regions are called as nnU-Net calls them, "(1, 2, 3)", one of a single class by its value; they do not
    enter `foreground_mean`, where nnU-Net has them alone.
    Failed images are no cases. `reference_file` and `prediction_file` are the image's id: a report keeps no paths.

    The names are those of `nnunetv2/evaluation/evaluate_predictions.py`. Raises ArgumentError for a head that there is
    not, and where one of several has to be named.
    """
    regions = regions_of(per_image)
    unlabelled = per_image["class_index"].isin([index for index in regions if index not in labels])
    rows = per_image[
        ((per_image["class_index"] > 0) & ~unlabelled & (per_image["status"] == "ok")).to_numpy(bool)
        & (per_image["head"].astype(str) == chosen_head(per_image, head)).to_numpy(bool)
    ]
    cases = _cases(rows, labels)
    keys = [_key(label) for index, label in labels.items() if index > 0]
    own = [_key(label) for index, label in labels.items() if index > 0 and index not in regions]
    mean = {key: _mean(case["metrics"][key] for case in cases) for key in keys} if cases else {}
    return {
        "metric_per_case": cases,
        "mean": mean,
        "foreground_mean": {name: float(np.mean([mean[key][name] for key in own])) for name in NAMES} if cases else {},
    }


def _key(label: Label) -> str:
    return str(label[0]) if isinstance(label, tuple) and len(label) == 1 else str(label)


def _cases(rows: pd.DataFrame, labels: Mapping[int, Label]) -> list[dict[str, Any]]:
    by_image: dict[str, dict[str, Metrics]] = {}
    named: Iterable[Any] = rows[list(COLUMNS)].itertuples(index=False)
    for row in named:
        counts = int(row.true_positive), int(row.false_positive), int(row.false_negative), int(row.true_negative)
        by_image.setdefault(str(row.image_id), {})[_key(labels[row.class_index])] = _metrics(*counts)
    return [{"reference_file": name, "prediction_file": name, "metrics": found} for name, found in by_image.items()]


def _metrics(tp: int, fp: int, fn: int, tn: int) -> Metrics:
    wrong = fp + fn
    return {
        "Dice": 2 * tp / (2 * tp + wrong) if tp + wrong else nan,
        "IoU": tp / (tp + wrong) if tp + wrong else nan,
        "TP": tp,
        "FP": fp,
        "FN": fn,
        "TN": tn,
        "n_pred": tp + fp,
        "n_ref": tp + fn,
    }


NAMES = tuple(_metrics(0, 0, 0, 0))


def _mean(cases: Iterable[Metrics]) -> Metrics:
    found = list(cases)
    defined = {name: [case[name] for case in found if not isnan(case[name])] for name in NAMES}
    return {name: float(np.mean(values)) if values else nan for name, values in defined.items()}
