"""Score: predictions that something else made, counted against the references of the store."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd

from segscale.errors import ConfigError
from segscale.flows.checks.cluster import check_cluster
from segscale.flows.checks.folders import check_folders
from segscale.flows.config.evaluation import EvaluationConfig
from segscale.flows.dataset import list_dataset, require_catalog
from segscale.flows.ingest import first_images_of, over_catalog, shard_plans
from segscale.flows.observer import UNOBSERVED, Observer
from segscale.flows.run import Counted, Run
from segscale.flows.stage import StageSummary, run_stage
from segscale.flows.survey import check_as_ingested
from segscale.flows.worker import work
from segscale.storage.catalog import rows_by_shard
from segscale.tasks import score
from segscale.tasks.prediction_file import Counting
from segscale.tasks.score import ScoreJob


def run(config: EvaluationConfig, observer: Observer = UNOBSERVED) -> StageSummary:
    """Count existing predictions against the references of an ingested data set."""
    check(config)
    with Run(config, observer) as job, observer.turn():
        return observer.stage("score", lambda: score_files(job))


def check(config: EvaluationConfig) -> None:
    """What can be wrong before anything starts. Raises ConfigError."""
    check_cluster(config.cluster)
    store = config.store.open()
    require_catalog(config, store)
    check_as_ingested(config, store, list_dataset(config).images)
    check_folders(config)


def score_files(run: Run, only: Collection[str] | None = None) -> StageSummary:
    """Plan minus ledger, on the workers of the run; of `only` these keys where given."""
    return over_catalog(run, lambda catalog: _score(run, catalog, only))


def _score(run: Run, catalog: pd.DataFrame, only: Collection[str] | None) -> StageSummary:
    config = run.config
    jobs, ingested = plan_score(run.counting, catalog), shard_plans(config, catalog)
    run.counted = Counted(score.STAGE, tuple(jobs), config.predictions.label)
    planned = {key: ingested[job.ingest_key] for key, job in jobs.items() if only is None or key in only}
    key_of = {job.ingest_key: key for key, job in jobs.items()}
    first = first_images_of(run, catalog, key_of) if only is None else None
    return run_stage(score.STAGE, planned, jobs.__getitem__, work.score_shard, run, run.counting, first=first)


def plan_score(counting: Counting, catalog: pd.DataFrame) -> dict[str, ScoreJob]:
    """The jobs by their keys, in the order of the ingested shards. Raises ConfigError without predictions."""
    if not catalog["prediction"].astype(bool).any():
        raise ConfigError("predictions.path: expected predictions of the images of this data set, found none for any")
    # Rows are taken shard by shard: of the columns that a job needs, not of all.
    needed = catalog[["shard", "prediction", "prediction_sha256"]]
    jobs = (score.plan_job(needed.iloc[np.asarray(rows)], counting) for rows in rows_by_shard(catalog).values())
    return {job.key: job for job in jobs}
