"""Signatures in the aggregates of a run: how smoothing, failures, lesion sizes and batches move the number."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from segscale.tasks.metrics.findings import Finding
from segscale.tasks.metrics.metric_table import DICE
from segscale.tasks.metrics.panel import IMAGE
from segscale.tasks.metrics.prediction_signatures import ClassCase
from segscale.tasks.metrics.settings import ScoreSettings
from segscale.tasks.metrics.statistics import mean

VISIBLE = 0.01
"""Difference of a score that a reader of two decimals sees."""
VISIBLE_SMOOTHING = 0.001
"""Smoothing is a choice: less of it is already a warning."""


def smoothed_empty_references(case: ClassCase, settings: ScoreSettings) -> Finding | None:
    """Smoothing that gives images without a reference a score of its own making."""
    empty = case.counts.reference_empty & (~case.counts.prediction_empty | (settings.empty == "smooth"))
    if not settings.smooth or not empty.any():
        return None
    plain = settings.changed(smooth=0.0, empty="nan" if settings.empty == "smooth" else settings.empty)
    smoothed_scores, plain_scores = DICE.score(case.counts, settings), DICE.score(case.counts, plain)
    smoothed, unsmoothed = mean(smoothed_scores), mean(plain_scores)
    made = smoothed_scores[empty]
    moved = smoothed - unsmoothed
    return Finding(
        "smoothed-empty-reference",
        "warning" if np.isnan(moved) or abs(moved) >= VISIBLE_SMOOTHING else "note",
        "smoothing scores images whose reference is empty: s/(s + false positives), 1 for none and 0.5 for s of them",
        f"{case.where}: {int(empty.sum())} of {empty.size} images have no reference; smooth = {settings.smooth:g} "
        f"gives them Dice {made.min():.4g} to {made.max():.4g}; the per-sample mean is {smoothed:.4f} with it and "
        f"{unsmoothed:.4f} without",
        'set metrics.smooth = 0 and say with metrics.empty what an empty reference is worth ("nan", "one" or "zero")',
    )


def failed_images(per_sample: pd.DataFrame) -> Finding | None:
    """Images that failed and are in no mean."""
    rows = _dice_rows(per_sample)
    if rows.empty or not int(rows["n_failed"].max()):
        return None
    n_failed, n_images, n_missing = (rows[name].iloc[0] for name in ("n_failed", "n_images", "n_missing"))
    lacking = "" if pd.isna(n_missing) or not n_missing else f", {n_missing} of them for want of a usable prediction"
    means = "; ".join(f"{_where(row)}: {row['mean']:.4f} without them, {row['mean_failed_as_zero']:.4f} with them as 0"
                      for row in rows.to_dict("records"))  # fmt: skip
    return Finding(
        "failed-images-dropped",
        "error" if n_failed == n_images else "warning",
        "failed images are in no mean, so the mean rises when hard images fail",
        f"{n_failed} of {n_images} images failed{lacking}; per-sample Dice {means}",
        "look into failures.parquet and mend them, or report mean_failed_as_zero beside the mean"
        + ("; mean_missing_as_zero and pooled_missing_as_missed take missing predictions as missed" if lacking else ""),
    )


def gap_notes(gap: pd.DataFrame, cases: list[ClassCase]) -> Iterator[Finding]:
    """Pooled scores that tell another story than the mean over images."""
    by_where = {case.where: case for case in cases}
    for row in _dice_rows(gap).to_dict("records"):
        if not abs(row["gap"]) >= VISIBLE:
            continue
        pooled_is_higher = row["gap"] > 0
        yield Finding(
            "pooled-differs",
            "note",
            "the pooled score hides that images with little foreground score worse" if pooled_is_higher else
            "the pooled score is below the mean: images with much foreground score worse, or smoothing lifts others",
            f"{_where(row)}: pooled Dice {row['pooled']:.4f}, mean over images {row['per_sample_mean']:.4f}; the gap "
            f"{row['gap']:+.4f} is {row['covariance_term']:+.4f} covariance of size and score, "
            f"{row['smoothing_term']:+.4f} smoothing, {row['undefined_term']:+.4f} undefined images"
            + _missed(by_where.get(_where(row))),
            "report both, and look at the images with the largest gap_contribution_dice in per_image",
        )  # fmt: skip


def batch_size_notes(batch_summed: pd.DataFrame) -> Iterator[Finding]:
    """Batch-summed scores that depend on the batch size."""
    for where, rows in _by_case(batch_summed):
        means = rows["mean"].dropna()
        if not means.max() - means.min() >= VISIBLE:
            continue
        curve = ", ".join(f"{row['batch_size']}{' (all)' if row['pooled'] else ''}: {row['mean']:.4f}"
                          for row in rows.to_dict("records"))  # fmt: skip
        yield Finding(
            "batch-size-dependent",
            "note",
            "a batch-summed score moves with the batch size: it is a ratio of sums, not a mean over images",
            f"{where}: Dice by images per batch {curve}",
            "name the batch size with the number, or report the per-sample mean, which has none",
        )


def short_last_batch_notes(batch_summed: pd.DataFrame) -> Iterator[Finding]:
    """Batch sizes at which a mean over batches would let a short last one count too much."""
    for where, rows in _by_case(batch_summed):
        off = rows[(rows["mean"] - rows["mean_equal_weight"]).abs() >= VISIBLE]
        if off.empty:
            continue
        seen = "; ".join(
            f"{row['n_batches']} batches of {row['batch_size']}: {row['mean']:.4f} weighted by images, "
            f"{row['mean_equal_weight']:.4f} with equal weights"
            for row in off.to_dict("records")
        )
        yield Finding(
            "short-last-batch",
            "note",
            "a plain mean over batches, as in a scalar Keras metric, lets a short last batch (or one that is partly "
            "undefined) count as much as a full one",
            f"{where}: Dice of {seen}",
            "compare other tools with mean_equal_weight, and report mean, which weighs batches by their images",
        )


def _dice_rows(table: pd.DataFrame) -> pd.DataFrame:
    of_images = table[(table["unit"] == IMAGE) & (table["stratum"] == "")]
    return of_images[(of_images["metric"] == "dice") & (of_images["class_index"] > 0)]


def _by_case(batch_summed: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    for _, rows in _dice_rows(batch_summed).groupby(["class_index", "head"], sort=False, dropna=False):
        yield _where(rows.iloc[0].to_dict()), rows


def _where(row: dict[Any, Any]) -> str:
    return f"class {row['class_name']}" + (f", head {row['head']}" if str(row["head"]) else "")


def _missed(case: ClassCase | None) -> str:
    if case is None:
        return ""
    missed = (case.counts.true_positive == 0) & ~case.counts.reference_empty
    if not missed.any():
        return ""
    share = case.counts.reference_sum[missed].sum() / max(int(case.counts.reference_sum.sum()), 1)
    return f"; {int(missed.sum())} images with a reference score 0 and hold {share:.2%} of its pixels"
