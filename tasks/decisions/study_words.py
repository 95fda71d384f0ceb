"""What a study needs, a sentence each."""

from __future__ import annotations

from collections.abc import Mapping
from math import isnan
from typing import Any

from segscale.tasks.metrics.panel import IMAGE
from segscale.tasks.metrics.settings import ScoreSettings

_AGGREGATION = {"per_sample": "mean", "pooled": "pooled"}


def plan_sentence(row: Mapping[str, Any], settings: ScoreSettings) -> str:
    """How many clusters, with how sure that is, how many there are and what they tell."""
    named = (
        f"{_AGGREGATION[row['aggregation']]} {row['metric']} of {row['class_name']}, {row['stratum'] or 'whole set'}"
    )
    what = _what(row, settings)
    if row["told"] == "cannot tell":
        return f"{named}, {what}: cannot tell, {row['reason']}."
    few, many = (
        f"{row[name]:,}" if row[name] is not None else "over 10^9" for name in ("clusters_low", "clusters_high")
    )
    things = settings.cluster_by or ("image" if row["unit"] == IMAGE else row["unit"])
    images = f", some {row['images']:,} images" if settings.cluster_by else ""
    needed = f"{row['clusters']:,} {things}{'' if settings.cluster_by else 's'} ({few} to {many}){images}"
    now = f"width {row['now']:.4f}" if isnan(row["power"]) else f"power {row['now']:.0%}"
    there = f"there are {row['n_clusters']:,}, {now}"
    return f"{named}, {what}: {needed}; {there}: {row['told']}."


def _what(row: Mapping[str, Any], settings: ScoreSettings) -> str:
    if row["goal"] == "interval":
        return f"{settings.confidence:.0%} interval of width {row['target']:g}"
    if row["goal"] == "not worse":
        return f"not worse by {row['target']:g} if as good, power {row['power']:.0%}"
    return f"a difference of {row['target']:.4g} shown, power {row['power']:.0%}"
