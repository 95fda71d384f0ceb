"""The headline of a report: what each aggregation says of the whole set, side by side."""

import pandas as pd

from segscale.tasks.metrics.panel import IMAGE

PER_UNIT, OF_FOLDS = "per {}", "mean of folds"
"""Columns of the mean over units of evaluation, and of the mean of folds, where there are any."""


def headline(per_sample_table: pd.DataFrame, batch_summed_table: pd.DataFrame, head: str) -> pd.DataFrame:
    """Dice and Tversky over the whole set: the per-sample mean beside every batch size and pooled.

    A row per foreground class and metric, and over the classes where several are in the foreground: class, metric,
    per-sample, of units of evaluation `per UNIT`, with folds their mean, failed as 0, missing as 0, a column
    ``batch N`` for each size, pooled; pooled, missed: with missing predictions as missed.
    """
    rows = []
    of_images = per_sample_table["unit"] == IMAGE
    of_units = per_sample_table[~of_images & (per_sample_table["stratum"] == "") & (per_sample_table["head"] == head)]
    has_folds = per_sample_table["n_folds"].notna().any()
    batch_summed_table = batch_summed_table[batch_summed_table["unit"] == IMAGE]
    chosen = per_sample_table[
        of_images
        & (per_sample_table["stratum"] == "")
        & (per_sample_table["head"] == head)
        & per_sample_table["metric"].isin(["dice", "tversky"])
        & (per_sample_table["class_index"] != 0)
    ]
    if chosen["class_index"].max() == 1:
        # Of two classes, what is summed or averaged over the foreground is the foreground.
        chosen = chosen[chosen["class_index"] == 1]
    for row in chosen.itertuples():
        batches = batch_summed_table[
            (batch_summed_table["stratum"] == "")
            & (batch_summed_table["head"] == head)
            & (batch_summed_table["class_name"] == row.class_name)
            & (batch_summed_table["metric"] == row.metric)
        ]
        values = {
            "pooled" if batch.pooled else f"batch {batch.batch_size}": batch.mean for batch in batches.itertuples()
        }
        same = of_units[(of_units["class_name"] == row.class_name) & (of_units["metric"] == row.metric)]
        rows.append(
            {
                "class": row.class_name,
                "metric": row.metric,
                "per-sample": row.mean,
                **{PER_UNIT.format(unit.unit): unit.mean for unit in same.itertuples()},
                **({OF_FOLDS: row.mean_of_folds} if has_folds else {}),
                "failed as 0": row.mean_failed_as_zero,
                "missing as 0": row.mean_missing_as_zero,
                **values,
                "pooled, missed": batches.loc[batches["pooled"], "pooled_missing_as_missed"].item(),
            }
        )
    return pd.DataFrame(rows)
