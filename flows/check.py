"""What can be wrong before a run starts: each check raises ConfigError in one line, and starts nothing."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable

import pandas as pd

from flows.cluster import check_cluster
from flows.config import ConfigError, EvaluationConfig
from flows.dataset import list_dataset
from flows.model_check import check_facts, check_model, find_model
from flows.predict import Plan, find_plan
from storage.objects import ObjectStore, StoreRefusedError

logger = logging.getLogger("segscale")


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


def check_folders(config: EvaluationConfig) -> None:
    """The store takes exclusive commits and the reports can be written: tried with objects that are removed again.

    A store that only a single driver may use is said to be one in a warning, every time.
    """
    if config.store.path.startswith("memory:"):
        raise ConfigError(f"store.path: expected what all workers see, got {config.store.path} of this process alone")
    try:
        _probe("store.path", config.store.path, ObjectStore(config.store.path).check_exclusive)
    except ConfigError as error:
        if not (config.store.single_driver and isinstance(error.__cause__, StoreRefusedError)):
            raise
        _probe("store.path", config.store.path, lambda: _write_probe(config.store.path))
        logger.warning("store.single_driver: there must be no other driver on this store; %s", error.__cause__)
    _probe("report.path", config.report.path, lambda: _write_probe(config.report.path))


def _write_probe(path: str) -> None:
    store, name = ObjectStore(path), f".probe-{uuid.uuid4().hex}"
    store.write(name, b"")
    store.remove(name)


def _probe(key: str, path: str, attempt: Callable[[], None]) -> None:
    try:
        attempt()
    except Exception as error:
        # Every kind of store has errors of its own kind for the same few mistakes.
        reason = (str(error).splitlines() or [""])[0] or type(error).__name__
        raise ConfigError(f"{key}: expected a folder or URL that can be written, got {path}: {reason}") from error


def _known_plan(config: EvaluationConfig) -> Plan | None:
    """The plan record of a run before this one, which has loaded this very model, so that it need not be loaded."""
    try:
        return find_plan(config, find_model(config), config.store.open())
    except (OSError, ImportError, ValueError):
        # Whatever is wrong with the store is said by the check of the store.
        return None
