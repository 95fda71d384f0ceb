"""The ingest flow: list the data set, look at new files, plan the shards, make those that are missing."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import asdict

import pandas as pd
from prefect import flow

from flows import worker
from flows.cluster import ClusterLostError, Connection
from flows.config import EvaluationConfig
from flows.dataset import catalog_name, list_dataset, preparation
from flows.progress import StageProgress
from flows.stage import StageSummary, run_stage
from flows.stream import Lost, stream_shards
from flows.worker import ScanJob
from storage.catalog import MEMORY_COLUMNS, SourceMemory, are_among, rows_by_shard, source_keys, write_catalog
from storage.objects import ObjectStore
from storage.sources import ROLES
from tasks import scan, shard_plan

logger = logging.getLogger("segscale")
SCAN_FILES = 64


@flow(name="ingest-dataset")
def ingest_dataset(config: EvaluationConfig) -> StageSummary:
    """Normalise a data set and chunk it into the Zarr shards of the store."""
    with Connection(config.cluster) as connection:
        return run_ingest(config, connection)


def run_ingest(config: EvaluationConfig, connection: Connection) -> StageSummary:
    """The body of the flow: plan minus ledger, on the workers of `connection`."""
    store = ObjectStore(config.store.path)
    plan = preparation(config)
    catalog = plan_catalog(config, store, connection)
    shards = rows_by_shard(catalog)

    def make_job(key: str) -> shard_plan.IngestJob:
        return shard_plan.plan_job(catalog.iloc[shards[key]])

    planned = {key: len(rows) for key, rows in shards.items()}
    return run_stage(shard_plan.STAGE, planned, make_job, worker.ingest_shard, connection, store, plan)


def plan_catalog(config: EvaluationConfig, store: ObjectStore, connection: Connection) -> pd.DataFrame:
    """The catalog of the data set as it is now, written to the store; listing and file facts end with this call."""
    listing = list_dataset(config)
    files = scan_files(listing, store, connection)
    catalog = shard_plan.plan_shards(listing, files, preparation(config), config.store.shard_images)
    write_catalog(store, catalog_name(config), catalog)
    return catalog


def scan_files(listing: pd.DataFrame, store: ObjectStore, connection: Connection) -> pd.DataFrame:
    """`MEMORY_COLUMNS` of every file of a listing: remembered where it is unchanged, else looked at by the workers."""
    memory = SourceMemory(store, scan.CODE_VERSION)
    known = memory.recall()
    jobs = list(_scan_jobs(listing, known))
    if not jobs:
        logger.info("scan: all %d images are unchanged, no file was read", len(listing))
        return known
    total = sum(len(job.files) for job in jobs)
    logger.info("scan: %d files to look at", total)
    found: list[pd.DataFrame] = []
    with StageProgress("scan", total, unit="files") as progress:
        for outcome in stream_shards(connection.client, worker.scan_files, jobs):
            if isinstance(outcome, Lost):
                raise ClusterLostError(f"scan: files could not be looked at: {outcome.error}; run again to resume")
            found.append(pd.DataFrame([asdict(fact) for fact in outcome.result], columns=list(MEMORY_COLUMNS)))
            progress.advance(len(outcome.result))
    looked_at = pd.concat(found, ignore_index=True).sort_values(["role", "url", "version"], ignore_index=True)
    # What could not be fetched says nothing about the file; it is looked at again next time.
    memory.remember(looked_at[looked_at["sha256"] != ""])
    return pd.concat([known, looked_at], ignore_index=True)


def _scan_jobs(listing: pd.DataFrame, known: pd.DataFrame) -> Iterator[ScanJob]:
    for role in ROLES:
        if role not in listing:
            continue
        looked_at = known[known["role"] == role]
        urls, versions = listing[role], listing[f"{role}_version"]
        remembered = are_among(source_keys(urls, versions), source_keys(looked_at["url"], looked_at["version"]))
        asked = ~remembered & (urls != "") & (versions != "")
        new = list(dict.fromkeys(zip(urls[asked], versions[asked], strict=True)))
        for start in range(0, len(new), SCAN_FILES):
            yield ScanJob(f"{role}-{start}", role, tuple(new[start : start + SCAN_FILES]))
