"""The cases of nnU-Net's summary.json as counts: version 2's layout and version 1's."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite, nan
from typing import Any

import numpy as np
import pandas as pd

from segscale.errors import ArgumentError
from segscale.tasks.metrics.count_columns import CountColumns

Labels = tuple[int, ...]
"""The label values of a class (one of them) or of a region, in order."""
BACKGROUND: Labels = (0,)
Counts = tuple[int, int, int, int]
"""True and false positives, false and true negatives of a case."""
COUNTS = ("TP", "FP", "FN", "TN")
"""What version 2 calls them."""
STATED = {"dice": "Dice", "iou": "IoU"}
"""What is stated of a mean, by our names."""
_FIRST_VERSION = {"Dice": "Dice", "IoU": "Jaccard"}
SHOWN = 5
MOST_VOXELS = 2**53
"""More than that no float holds one by one, and no image has."""
_INTEGRAL = 1e-4
"""Of a number of voxels that is worked out of a Dice of 16 digits: so far it may lie from a whole number."""


@dataclass(frozen=True, slots=True)
class NnunetSummary:
    """What a summary.json says of each case, and of all."""

    layout: str
    """Which nnU-Net writes such: "version 2" or "version 1"."""
    cases: pd.DataFrame
    """A row for each case: prediction_file, reference_file."""
    counts: Mapping[Labels, CountColumns]
    """Of each label or region, the background left out: a place for each case. True negatives are 0 where unknown."""
    knows_negatives: bool
    """Whether true negatives are stated, so that the number of all voxels is known."""
    means: Mapping[Labels, Mapping[str, float]]
    """Of each label `dice` and `iou` as the file states their mean; NaN is undefined."""
    foreground_mean: Mapping[str, float]
    """The same over labels; empty where the file has none."""


def read_summary(document: object) -> NnunetSummary:
    """The record of a summary.json that was decoded from JSON; NaN, and null, stand for undefined.

    Version 2 has `metric_per_case` with TP, FP, FN and TN of each label and region. Version 1 has `results` with Dice
    and the numbers of predicted and of reference voxels, out of which TP = Dice (n_pred + n_ref) / 2 follows.

    Raises ArgumentError for anything else: what was expected, where, and what came.
    """
    if isinstance(document, dict) and "metric_per_case" in document:
        return _second_version(document)
    if isinstance(document, dict) and isinstance(document.get("results"), dict) and "all" in document["results"]:
        return _first_version(document["results"])
    raise ArgumentError(
        "expected nnU-Net's summary.json, with metric_per_case as version 2 writes it or results as version 1 does, "
        f"got {_form(document)}"
    )


def _second_version(document: dict[str, Any]) -> NnunetSummary:
    listed = _list_of_cases(document["metric_per_case"], "metric_per_case")
    metrics = [_table(case.get("metrics"), f"{where}, metrics") for where, case in listed]
    places = [where for where, _ in listed]
    labels = _labels_of(places, metrics)
    foreground = document.get("foreground_mean")
    return NnunetSummary(
        layout="version 2",
        cases=_files(listed, "prediction_file", "reference_file"),
        counts=_counts(places, metrics, labels, _counted),
        knows_negatives=True,
        means=_means(document.get("mean"), labels, STATED),
        foreground_mean={} if foreground is None else _stated(foreground, "foreground_mean", STATED),
    )


def _first_version(results: dict[str, Any]) -> NnunetSummary:
    listed = _list_of_cases(results["all"], "results, all")
    files = ("test", "reference")
    metrics = [{key: one for key, one in case.items() if key not in files} for _, case in listed]
    places = [where for where, _ in listed]
    labels = _labels_of(places, metrics)
    names = {ours: _FIRST_VERSION[name] for ours, name in STATED.items()}
    return NnunetSummary(
        layout="version 1",
        cases=_files(listed, *files),
        counts=_counts(places, metrics, labels, _worked_out),
        knows_negatives=False,
        means=_means(results.get("mean"), labels, names),
        foreground_mean={},
    )


def _list_of_cases(found: object, where: str) -> list[tuple[str, dict[str, Any]]]:
    if not isinstance(found, list) or not found:
        raise ArgumentError(f"{where}: expected a list of cases, got {_form(found)}")
    return [
        (f"{where}, case {place + 1}", _table(case, f"{where}, case {place + 1}")) for place, case in enumerate(found)
    ]


def _table(found: object, where: str) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise ArgumentError(f"{where}: expected names with values, got {_form(found)}")
    return found


def _labels_of(places: list[str], metrics: list[dict[str, Any]]) -> list[str]:
    first, labels = places[0], metrics[0]
    for where, one in zip(places, metrics, strict=True):
        if set(one) != set(labels):
            raise ArgumentError(
                f"{where}: expected the labels of {first}, {', '.join(labels)}, got {', '.join(one) or 'none'}"
            )
    parsed = [_parsed(key) for key in labels]
    if len(set(parsed)) != len(parsed):
        raise ArgumentError(f"{first}: expected each label once, got {', '.join(labels)}")
    if not set(parsed) - {BACKGROUND}:
        raise ArgumentError(f"{first}: expected a label beside the background, got {', '.join(labels) or 'none'}")
    return list(labels)


def _parsed(key: str) -> Labels:
    """A label "2", or a region "(1, 2, 3)", as nnU-Net writes them."""
    if not re.fullmatch(r"-?\d+|\(\s*-?\d+\s*(,\s*-?\d+\s*)*,?\s*\)", key):
        raise ArgumentError(f"expected label values such as 1, or (1, 2) of a region, got {key!r}")
    return tuple(sorted({int(number) for number in re.findall(r"-?\d+", key)}))


def _counted(found: object, where: str) -> Counts:
    metrics = _table(found, where)
    tp, fp, fn, tn = (_voxels(metrics.get(name), f"{where}, {name}") for name in COUNTS)
    return tp, fp, fn, tn


def _worked_out(found: object, where: str) -> Counts:
    metrics = _table(found, where)
    n_pred, n_ref = (
        _voxels(metrics.get(name), f"{where}, {name}") for name in ("Total Positives Test", "Total Positives Reference")
    )
    if not n_pred + n_ref:
        return 0, 0, 0, 0
    dice = _number(metrics.get("Dice"), f"{where}, Dice")
    exact = dice * (n_pred + n_ref) / 2
    tp = round(exact) if isfinite(exact) else -1
    if abs(exact - tp) > _INTEGRAL or not 0 <= tp <= min(n_pred, n_ref):
        raise ArgumentError(
            f"{where}, Dice: expected 2 TP / (n_pred + n_ref) of {n_pred} predicted and {n_ref} reference voxels, got "
            f"{dice}"
        )
    return tp, n_pred - tp, n_ref - tp, 0


def _voxels(found: object, where: str) -> int:
    number = _number(found, where)
    if not 0 <= number <= MOST_VOXELS or number != int(number):
        raise ArgumentError(f"{where}: expected a number of voxels, got {found!r}")
    return int(number)


def _number(found: object, where: str) -> float:
    if found is None:
        raise ArgumentError(f"{where}: expected a number, got none")
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise ArgumentError(f"{where}: expected a number, got {_form(found)}")
    return found


def _counts(
    places: list[str], metrics: list[dict[str, Any]], labels: list[str], of_case: Callable[[object, str], Counts]
) -> dict[Labels, CountColumns]:
    """Of each label but the background the counts of all cases."""
    return {
        _parsed(key): _columns(
            [of_case(one[key], f"{where}, label {key}") for where, one in zip(places, metrics, strict=True)]
        )
        for key in labels
        if _parsed(key) != BACKGROUND
    }


def _columns(rows: list[Counts]) -> CountColumns:
    tp, fp, fn, tn = np.array(rows, np.int64).T.copy()
    unknown = np.full(tp.size, np.nan)
    return CountColumns(tp, fp, fn, tn, tp + fn, unknown, unknown, unknown)


def _means(found: object, labels: list[str], names: Mapping[str, str]) -> dict[Labels, Mapping[str, float]]:
    means = _table(found, "mean")
    return {
        _parsed(key): _stated(means.get(key), f"mean, label {key}", names)
        for key in labels
        if _parsed(key) != BACKGROUND
    }


def _stated(found: object, where: str, names: Mapping[str, str]) -> dict[str, float]:
    metrics = _table(found, where)
    return {
        ours: nan if (value := metrics.get(name)) is None else float(_number(value, f"{where}, {name}"))
        for ours, name in names.items()
    }


def _files(listed: list[tuple[str, dict[str, Any]]], prediction: str, reference: str) -> pd.DataFrame:
    rows = [
        {"prediction_file": case.get(prediction) or "", "reference_file": case.get(reference) or ""}
        for _, case in listed
    ]
    for (where, _), row in zip(listed, rows, strict=True):
        if not all(isinstance(name, str) for name in row.values()) or not any(row.values()):
            raise ArgumentError(f"{where}: expected {prediction} or {reference}, the path of a file, got neither")
    return pd.DataFrame(rows, dtype=object)


def names_of(labels: Labels) -> str:
    """As nnU-Net calls it: "2", or "(1, 2, 3)"."""
    return str(labels[0]) if len(labels) == 1 else str(labels)


def _form(found: object) -> str:
    """What came, in few words."""
    if isinstance(found, dict):
        shown = list(map(str, found))[:SHOWN]
        return (
            f"an object with {', '.join(shown)}{', ...' if len(found) > len(shown) else ''}"
            if found
            else "an empty object"
        )
    if isinstance(found, list):
        return "a list" if found else "an empty list"
    return "nothing" if found is None else repr(found)[:40]
