"""What can be wrong before a run starts: each check raises ConfigError in one line, and starts nothing."""

from __future__ import annotations

import pandas as pd

from segscale.flows.checks.folders import check_folders
from segscale.flows.checks.model import check_facts, check_model, find_model
from segscale.flows.cluster.connection import check_cluster
from segscale.flows.config.evaluation import EvaluationConfig
from segscale.flows.dataset import list_dataset
from segscale.flows.predict import Plan, find_plan


def check(config: EvaluationConfig) -> None:
    """Everything that a run needs: data set, model or predictions, cluster, and folders that can be written."""
    listing = check_dataset(config)
    if not scores_predictions(config, listing):
        known = _known_plan(config)
        if known is None:
            check_model(config)
        else:
            # The number of channels asked for is no part of the plan record.
            check_facts(config, known.prediction.n_classes, known.engine["facts"]["channels"])
    check_folders(config)


def check_dataset(config: EvaluationConfig) -> pd.DataFrame:
    """The cluster can be had, and the data set is there; returns its listing."""
    check_cluster(config.cluster)
    return list_dataset(config)


def scores_predictions(config: EvaluationConfig, listing: pd.DataFrame) -> bool:
    """Whether existing predictions are evaluated: as configured, or a manifest brings them and no model is asked for.

    `listing` may be the listing or the catalog.
    """
    brought = "prediction" in listing and bool((listing["prediction"] != "").any())
    return bool(config.predictions.path) or (not config.model.path and brought)


def _known_plan(config: EvaluationConfig) -> Plan | None:
    """The plan record of a run before this one, which has loaded this very model, so that it need not be loaded."""
    try:
        return find_plan(config, find_model(config), config.store.open())
    except (OSError, ImportError, ValueError):
        # Whatever is wrong with the store is said by the check of the store.
        return None
