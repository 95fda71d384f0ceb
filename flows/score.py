"""The score flow: predictions that something else made, counted against the references of the store."""

from __future__ import annotations

import numpy as np
import pandas as pd
from prefect import flow

from flows import worker
from flows.cluster import Connection
from flows.config import ConfigError, EvaluationConfig
from flows.dataset import preparation, require_catalog
from flows.stage import StageSummary, run_stage
from storage.catalog import rows_by_shard
from storage.objects import ObjectStore
from tasks import score
from tasks.score import Counting, ScoreJob


@flow(name="score-dataset")
def score_dataset(config: EvaluationConfig) -> StageSummary:
    """Count existing predictions against the references of an ingested data set."""
    with Connection(config.cluster) as connection:
        return run_score(config, connection)


def run_score(config: EvaluationConfig, connection: Connection) -> StageSummary:
    """The body of the flow: plan minus ledger, on the workers of `connection`."""
    store = ObjectStore(config.store.path)
    jobs = plan_score(config, require_catalog(config, store))
    planned = {key: len(job.predictions) for key, job in jobs.items()}
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
