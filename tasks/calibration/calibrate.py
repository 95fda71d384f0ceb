"""Calibration of a class of one head over a panel of images: errors with bounds and intervals, reliability, a map."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from segscale.tasks.calibration.bins import Bins
from segscale.tasks.calibration.gaps import METRICS, bound_gaps
from segscale.tasks.calibration.recalibration import CrossFit, cross_fit, map_of, over_parts
from segscale.tasks.calibration.resampling import FEWEST, Clusters, draws_of, interval
from segscale.tasks.calibration.words import sentence, verdict_sentence
from segscale.tasks.metrics.count_columns import Float64Array

KEYS = {"unit": "str", "stratum": "str", "class_index": "int64", "class_name": "str", "head": "str"}
COLUMNS = {
    **KEYS, "metric": "str", "aggregation": "str", "low": "float64", "high": "float64",
    "interval_low": "float64", "interval_high": "float64", "confidence": "float64", "reason": "str",
    "n": "int64", "n_clusters": "int64", "n_effective": "float64", "n_missing": "Int64", "n_failed": "int64",
    "n_label_maps": "int64", "n_pixels": "int64", "sentence": "str",
}  # fmt: skip
"""Of the table of errors: a row per stratum, class, metric and aggregation."""
RELIABILITY_COLUMNS = {
    **KEYS, "bin": "int64", "from": "float64", "to": "float64", "n_pixels": "int64", "n_positive": "int64",
    "observed": "float64", "gap_low": "float64", "gap_high": "float64", "observed_per_sample": "float64",
    "n": "int64", "n_clusters": "int64",
}  # fmt: skip
"""Of the reliability diagram: a row per stratum, class and bin."""
MAP_COLUMNS = {
    **KEYS, "bin": "int64", "from": "float64", "to": "float64", "n_pixels": "int64", "observed": "float64",
    "probability": "float64", "lowest": "float64", "highest": "float64",
}  # fmt: skip
"""Of the recalibration map: a row per class and bin."""
CROSS_COLUMNS = {
    **KEYS, "n": "int64", "n_clusters": "int64", "n_folds": "int64", "n_unseen": "int64", "ece_before_low": "float64",
    "ece_before_high": "float64", "ece_after": "float64", "gain_low": "float64", "gain_high": "float64",
    "verdict": "str", "reason": "str", "sentence": "str",
}  # fmt: skip
"""Of what the map does to images it was not made of: a row per class."""


@dataclass(frozen=True, slots=True)
class Part:
    """The images or units of a stratum that have probabilities of a class."""

    keys: Mapping[str, Any]
    """KEYS."""
    bins: Bins
    clusters: Clusters
    lost: Mapping[str, int | None]
    """n_missing, n_failed, n_label_maps: images or units of the stratum that have no probabilities."""


def errors(part: Part, confidence: float, seed: int) -> list[dict[str, Any]]:
    """Rows of COLUMNS: ECE, ACE, MCE and bias, over pixels and as a mean over images."""
    total = _total(part.bins)
    of_images = _measures(part.bins)
    sizes = {"pooled": part.bins.pixels.sum(axis=1), "per_sample": np.ones(part.bins.size, np.int64)}
    values = {"pooled": _measures(total)[0], "per_sample": _mean(of_images)}
    resampled: dict[str, Float64Array] = {}
    effective = {name: part.clusters.effective(size) for name, size in sizes.items()}
    if max(effective.values()) >= FEWEST:
        draws = draws_of(part.clusters, seed)
        resampled["pooled"] = _measures(draws.bins(part.bins))
        flat = np.nan_to_num(of_images.reshape(part.bins.size, -1))
        defined = draws.sums((~np.isnan(of_images)).reshape(part.bins.size, -1).astype(np.int64))
        with np.errstate(invalid="ignore", divide="ignore"):
            resampled["per_sample"] = (draws.sums(flat) / defined).reshape(-1, *of_images.shape[1:])
    rows = []
    for name, found in values.items():
        for place, metric in enumerate((*METRICS, "bias")):
            low, high = map(float, found[place])
            reason, ends = _reason(low, part.clusters.n, effective[name]), (np.nan, np.nan)
            if not reason:
                floor = -1.0 if metric == "bias" else 0.0
                again_of = resampled[name][:, place]
                ends = interval(found[place], again_of, confidence, lambda x, f=floor: min(max(x, f), 1.0))  # type: ignore[misc]
            row = {
                **part.keys, "metric": metric, "aggregation": name, "low": low, "high": high,
                "interval_low": ends[0], "interval_high": ends[1], "confidence": confidence, "reason": reason,
                "n": part.bins.size, "n_clusters": part.clusters.n, "n_effective": effective[name], **part.lost,
                "n_pixels": int(total.pixels.sum()),
            }  # fmt: skip
            rows.append({**row, "sentence": sentence(row)})
    return rows


def reliability(part: Part) -> pd.DataFrame:
    """Rows of RELIABILITY_COLUMNS."""
    pixels, positives = part.bins.pixels.sum(axis=0), part.bins.positives.sum(axis=0)
    n_bins = len(pixels)
    edges = np.arange(n_bins + 1) / n_bins
    there = part.bins.pixels > 0
    with np.errstate(invalid="ignore", divide="ignore"):
        observed = positives / pixels
        shares = np.where(there, part.bins.positives / part.bins.pixels, 0.0)
        per_sample = shares.sum(axis=0) / there.sum(axis=0)
    nearest = np.clip(observed, edges[:-1], edges[1:])
    of_clusters = Bins(there.astype(np.int64), there.astype(np.int64), np.zeros(len(there)))
    frame = {
        "bin": np.arange(n_bins), "from": edges[:-1], "to": edges[1:], "n_pixels": pixels, "n_positive": positives,
        "observed": observed, "gap_low": np.abs(observed - nearest),
        "gap_high": np.maximum(np.abs(observed - edges[:-1]), np.abs(observed - edges[1:])),
        "observed_per_sample": per_sample, "n": there.sum(axis=0),
        "n_clusters": (of_clusters.sum_by(part.clusters.codes, part.clusters.n).pixels > 0).sum(axis=0),
    }  # fmt: skip
    return pd.DataFrame({**{name: [value] * n_bins for name, value in part.keys.items()}, **frame})


def recalibration(part: Part, confidence: float, seed: int) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The map, rows of MAP_COLUMNS, and what it does to images that it was not made of, a row of CROSS_COLUMNS."""
    total = _total(part.bins)
    pixels, positives = total.pixels[0], total.positives[0]
    crossed = cross_fit(part.bins, part.clusters, seed)
    n_bins, unknown = len(pixels), np.full(len(pixels), np.nan)
    edges = np.arange(n_bins + 1) / n_bins
    lowest, highest = (unknown if crossed is None else end.reduce(crossed.maps, axis=0) for end in (np.fmin, np.fmax))
    with np.errstate(invalid="ignore", divide="ignore"):
        found = {
            "bin": np.arange(n_bins), "from": edges[:-1], "to": edges[1:], "n_pixels": pixels,
            "observed": positives / pixels, "probability": map_of(pixels, positives),
            "lowest": lowest, "highest": highest,
        }  # fmt: skip
    table = pd.DataFrame({**{name: [value] * n_bins for name, value in part.keys.items()}, **found})
    row = {
        **part.keys, "n": part.bins.size, "n_clusters": part.clusters.n, "n_folds": 0, "n_unseen": 0,
        "ece_before_low": np.nan, "ece_before_high": np.nan, "ece_after": np.nan,
        "gain_low": np.nan, "gain_high": np.nan, "verdict": "cannot tell",
        "reason": "" if part.bins.size else NOTHING,
    }  # fmt: skip
    if crossed is None:
        row["reason"] = row["reason"] or "pixels of one cluster alone leave none to try the map on"
        return table, {**row, "sentence": verdict_sentence(row)}
    row["n_folds"], row["n_unseen"] = len(crossed.maps), crossed.n_unseen(part.bins)
    row |= _judged(part, crossed, confidence, seed)
    return table, {**row, "sentence": verdict_sentence(row)}


NOTHING = "no image has probabilities"


def _judged(part: Part, crossed: CrossFit, confidence: float, seed: int) -> dict[str, Any]:
    """Errors before and after, the interval of what is gained, with the maps held as they are, and the verdict."""
    n_parts = len(crossed.maps)
    low, high, after = map(float, over_parts(part.bins.sum_by(crossed.folds, n_parts), crossed.used)[0])
    found = {"ece_before_low": low, "ece_before_high": high, "ece_after": after}
    reason = _reason(after, part.clusters.n, part.clusters.effective(part.bins.pixels.sum(axis=1)))
    if reason:
        return {**found, "reason": reason}
    draws = draws_of(part.clusters, seed)
    of_parts = [np.flatnonzero(crossed.folds == fold) for fold in range(n_parts)]
    drawn = [draws.of(rows).bins(part.bins.take(rows)) for rows in of_parts]
    pixels, positives = (np.stack([getattr(one, name) for one in drawn], axis=1) for name in ("pixels", "positives"))
    n_bins = pixels.shape[2]
    soft = np.stack([one.soft for one in drawn], axis=1).ravel()
    again = over_parts(Bins(pixels.reshape(-1, n_bins), positives.reshape(-1, n_bins), soft), crossed.used)
    gain = interval(
        np.array([low, high]) - after, again[:, :2] - again[:, 2:], confidence, lambda x: min(max(x, -1.0), 1.0)
    )
    verdict = "better" if gain[0] > 0 else "worse" if gain[1] < 0 else "cannot tell"
    reason = "the interval of the gain holds 0" if verdict == "cannot tell" else ""
    return {**found, "gain_low": gain[0], "gain_high": gain[1], "verdict": verdict, "reason": reason}


def _reason(value: float, n_clusters: int, effective: float) -> str:
    """Why there is no number, or no interval of it; "" where there is."""
    if np.isnan(value):
        return NOTHING
    if effective < FEWEST:
        return f"{n_clusters} clusters tell as much as {effective:.1f} of one size, {FEWEST} are needed"
    return ""


def _total(bins: Bins) -> Bins:
    return bins.sum_by(np.zeros(bins.size, np.int64), 1)


def _measures(bins: Bins) -> Float64Array:
    """(R, 4, 2) low and high of ECE, ACE, MCE and bias, which is the mean probability less the share of foreground."""
    n_bins = bins.pixels.shape[1]
    n = bins.pixels.sum(axis=1).astype(np.float64)
    least = bins.pixels @ (np.arange(n_bins) / n_bins)
    known = ~np.isnan(bins.soft)
    ends = np.stack([np.where(known, bins.soft, least), np.where(known, bins.soft, least + n / n_bins)], axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        bias = (ends - bins.positives.sum(axis=1)[:, np.newaxis]) / n[:, np.newaxis]
    return np.concatenate([bound_gaps(bins.pixels, bins.positives, bins.soft), bias[:, np.newaxis]], axis=1)


def _mean(of_images: Float64Array) -> Float64Array:
    known = ~np.isnan(of_images)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean: Float64Array = np.where(known, of_images, 0.0).sum(axis=0) / known.sum(axis=0)
    return mean


def of_rows(rows: list[dict[str, Any]], columns: Mapping[str, str]) -> pd.DataFrame:
    """A table of these columns, and of these types."""
    return pd.DataFrame(rows, columns=list(columns)).astype(dict(columns))
