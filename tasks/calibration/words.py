"""What a row of calibration says, as a sentence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

NAMES = {
    "ece": "expected calibration error",
    "ace": "average calibration error",
    "mce": "maximum calibration error",
    "bias": "mean probability less share of foreground",
}


def sentence(row: Mapping[str, Any]) -> str:
    """One number of calibration in words, with what is unknown of it."""
    over = "over pixels" if row["aggregation"] == "pooled" else f"mean over {_plural(row['unit'])}"
    head = f"{NAMES[row['metric']]} of {row['class_name']}{_of_head(row)}, {_where(row)}, {over}: "
    if math.isnan(row["low"]):
        return f"{head}cannot tell: {row['reason']}."
    sign = "+" if row["metric"] == "bias" else ""
    chance = f"no interval: {row['reason']}"
    if not row["reason"]:
        low, high = (_number(row[name], sign) for name in ("interval_low", "interval_high"))
        chance = f"{100 * row['confidence']:g}% interval {low} to {high}"
    return f"{head}{_range(row['low'], row['high'], sign)}; {chance} ({row['n']} {_plural(row['unit'])}{_lost(row)})."


def verdict_sentence(row: Mapping[str, Any]) -> str:
    """Whether a recalibration map helps, in words."""
    head = f"a recalibration map of {row['class_name']}{_of_head(row)}, whole set: "
    if math.isnan(row["ece_after"]):
        return f"{head}cannot tell: {row['reason']}."
    numbers = (
        f"expected calibration error {_range(row['ece_before_low'], row['ece_before_high'])} before, "
        f"{_number(row['ece_after'])} after, on {_plural(row['unit'])} that the map was not made of"
    )
    words = {"better": "the map helps", "worse": "the map does harm"}
    said = words.get(row["verdict"], f"cannot tell whether it helps: {row['reason']}")
    return f"{head}{numbers}: {said}."


def _where(row: Mapping[str, Any]) -> str:
    return str(row["stratum"]) or "whole set"


def _of_head(row: Mapping[str, Any]) -> str:
    return f" ({row['head']})" if row["head"] else ""


def _plural(unit: str) -> str:
    return "images" if unit == "image" else f"values of {unit}"


def _lost(row: Mapping[str, Any]) -> str:
    kinds = {"n_missing": "missing", "n_failed": "failed otherwise", "n_label_maps": "without probabilities"}
    return "".join(f", {row[name]} {said}" for name, said in kinds.items() if row[name])


def _range(low: float, high: float, sign: str = "") -> str:
    first, last = _number(low, sign), _number(high, sign)
    return first if first == last else f"{first} to {last}"


def _number(value: float, sign: str = "") -> str:
    return f"{value:{sign}.4f}"
