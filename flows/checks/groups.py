"""Columns that scores are made by: whether the set has them, and whether they can be used so."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from segscale.errors import ArgumentError, ConfigError
from segscale.flows.config.metrics import Metrics
from segscale.tasks.metrics.units import check_units
from segscale.tasks.refusal import there_are


def check_groups(metrics: Metrics, groups: Sequence[str]) -> None:
    """Raise ConfigError for a column that is none of those of the set."""
    for key, names in (
        ("group_by", metrics.group_columns), ("cluster_by", (metrics.cluster_by,)), ("unit", (metrics.unit,)),
        ("folds", (metrics.folds,)),
    ):  # fmt: skip
        unknown = [name for name in names if name and name not in groups]
        if unknown:
            raise ConfigError(
                f"metrics.{key}: expected a column of the manifest or of dataset.columns, or a field of a pattern, "
                f"got {unknown[0]!r}; {there_are(groups)}"
            )


def check_units_and_folds(metrics: Metrics, images: pd.DataFrame) -> None:
    """Raise ConfigError, which names the key, for a column whose values cannot be units or folds."""
    try:
        check_units(images, metrics)
    except ArgumentError as error:
        raise ConfigError(f"metrics.{error}") from None
