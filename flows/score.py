"""The score flow: predictions that something else made, counted against the references of the store."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd
from prefect import flow

from segscale.flows.checks.folders import check_folders
from segscale.flows.cluster.connection import Connection
from segscale.flows.cluster.preflight import needs_of
from segscale.flows.config.evaluation import ConfigError, EvaluationConfig
from segscale.flows.dataset import RunCatalog, preparation
from segscale.flows.ingest import over_catalog, shard_plans
from segscale.flows.prefect.concurrency import turn
from segscale.flows.shards.stage import StageSummary, run_stage
from segscale.flows.worker import work as worker
from segscale.storage.catalog import rows_by_shard
from segscale.tasks import score
from segscale.tasks.score import Counting, ScoreJob


@flow(name="score-dataset")
def score_dataset(config: EvaluationConfig) -> StageSummary:
    """Count existing predictions against the references of an ingested data set."""
    check_folders(config)
    with turn(config.dataset.name), Connection(config.cluster, needs_of(config)) as connection:
        return run_score(config, connection)


def run_score(
    config: EvaluationConfig,
    connection: Connection,
    catalog: RunCatalog | None = None,
    only: Collection[str] | None = None,
) -> StageSummary:
    """The body of the flow: plan minus ledger, on the workers of `connection`; of `only` these keys where given."""
    return over_catalog(config, connection, catalog, lambda planned: _score(config, connection, planned, only))


def _score(
    config: EvaluationConfig, connection: Connection, catalog: pd.DataFrame, only: Collection[str] | None
) -> StageSummary:
    store = config.store.open()
    jobs, ingested = plan_score(config, catalog), shard_plans(config, catalog)
    planned = {key: ingested[job.ingest_key] for key, job in jobs.items() if only is None or key in only}
    arguments = (preparation(config), Counting(config.metrics.threshold))
    return run_stage(score.STAGE, planned, jobs.__getitem__, worker.score_shard, connection, store, *arguments)


def plan_score(config: EvaluationConfig, catalog: pd.DataFrame) -> dict[str, ScoreJob]:
    """The jobs by their keys, in the order of the ingested shards. Raises ConfigError without predictions."""
    if not catalog["prediction"].astype(bool).any():
        raise ConfigError("predictions.path: expected predictions of the images of this data set, found none for any")
    prepared, counting = preparation(config), Counting(config.metrics.threshold)
    # Rows are taken shard by shard: of the columns that a job needs, not of all.
    needed = catalog[["shard", "prediction", "prediction_sha256"]]
    jobs = (
        score.plan_job(needed.iloc[np.asarray(rows)], prepared, counting) for rows in rows_by_shard(catalog).values()
    )
    return {job.key: job for job in jobs}
