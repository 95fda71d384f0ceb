"""Gaps and tails of strata, a sentence each."""

from __future__ import annotations

from collections.abc import Mapping
from math import isnan
from typing import Any

from segscale.tasks.metrics.panel import IMAGE
from segscale.tasks.metrics.settings import ScoreSettings

Numbers = Mapping[str, Any]


def gap_sentence(row: Numbers, settings: ScoreSettings) -> str:
    """Both means, the gap with its interval, and what is told, with the margin beside it."""
    shown = "" if isnan(row["low"]) else f", {settings.confidence:.0%} interval {row['low']:+.4f} to {row['high']:+.4f}"
    return (
        f"{_named(row)}: mean {row['mean']:.4f}, of all others {row['mean_of_rest']:.4f}, gap {row['gap']:+.4f}{shown} "
        f"({_counted(row['n'], row)} against {row['n_rest']:,}{_left(row)}): {_verdict(row, settings)}."
    )


def tail_sentence(row: Numbers, settings: ScoreSettings) -> str:
    """How many lie below the limit and how bad the worst are, each with its interval or why it has none."""
    if not row["n"]:
        return f"{_named(row)}: nothing has a score{_left(row)}."
    confidence = f"{settings.confidence:.0%} interval"
    share = (
        f"{row['n_below']:,} of {_counted(row['n'], row)} below {row['limit']:g}, {row['share_below']:.2%} "
        f"({confidence} {row['share_low']:.2%} to {row['share_high']:.2%})"
    )
    worst = f"{confidence} {row['worst_low']:.4f} to {row['worst_high']:.4f}"
    if isnan(row["worst_low"]):
        worst = f"no interval: {row['reason']}"
    mean = f"mean of the worst {row['worst_share']:.0%} {row['worst_mean']:.4f} ({worst})"
    return f"{_named(row)}: {share}; {mean}{_left(row)}."


def _named(row: Numbers) -> str:
    return f"{row['metric']} of {row['class_name']}, {row['stratum'] or 'whole set'}"


def _counted(count: int, row: Numbers) -> str:
    what = "image" if row["unit"] == IMAGE else f"{row['unit']} unit"
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _left(row: Numbers) -> str:
    parts = [
        f"{row[name]:,} {words}"
        for name, words in (
            ("n_missing", "without a prediction, as 0"), ("n_unknown", "failed, of which nothing is known"),
            ("n_undefined", "with nothing to score"),
        )
        if row.get(name)
    ]  # fmt: skip
    return "".join(f"; {one}" for one in parts)


def _verdict(row: Numbers, settings: ScoreSettings) -> str:
    margin = f"{row['margin']:g}"
    if row["reason"]:
        return f"cannot tell, {row['reason']}"
    adjusted = f"adjusted p {row['p_adjusted']:.2g}"
    if row["told"] == "cannot tell":
        return f"cannot tell whether it is {margin} away ({adjusted}, above {1 - settings.confidence:.2g})"
    if row["told"] == "alike":
        return f"alike, less than {margin} apart ({adjusted})"
    return f"{row['told']} by more than {margin} ({adjusted})"
