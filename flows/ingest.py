"""The ingest flow: list the data set, look at new files, plan the shards, make those that are missing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
from prefect import flow

from segscale.flows.checks.folders import check_folders
from segscale.flows.cluster.connection import ClusterLostError, Connection
from segscale.flows.cluster.preflight import needs_of
from segscale.flows.config.cluster_keys import longest_shard_seconds
from segscale.flows.config.evaluation import EvaluationConfig
from segscale.flows.dataset import RunCatalog, catalog_name, list_dataset, preparation
from segscale.flows.prefect.concurrency import turn
from segscale.flows.progress import StageProgress
from segscale.flows.shards.bisection import ending_of, find_poison, try_alone
from segscale.flows.shards.retry import Finished, Limits, Lost
from segscale.flows.shards.stage import ShardPlan, StageSummary, leaving_out, run_stage
from segscale.flows.shards.stream import stream_shards
from segscale.flows.worker import work as worker
from segscale.flows.worker.work import ScanJob
from segscale.storage.catalog import (
    MEMORY_COLUMNS,
    SourceMemory,
    places_among,
    read_planned,
    rows_by_shard,
    source_keys,
    write_catalog,
)
from segscale.storage.objects import ObjectStore
from segscale.storage.quarantine import Held, quarantine, quarantined
from segscale.storage.sources import ROLES, file_name
from segscale.tasks import scan, shard_plan
from segscale.tasks.scan import SourceFacts

logger = logging.getLogger("segscale")
SCAN_FILES = 64
LEAST_SECONDS, SECONDS_PER_MEGAPIXEL = 600.0, 60.0
"""The time limit of a shard where none is configured: some 15 times what the published network takes on one core."""
SECONDS_PER_FILE = 30.0
"""So much longer may a worker look at files for each of them, where nothing is configured: they may be far away."""
ScanSeconds: TypeAlias = Callable[[ScanJob], float]


@flow(name="ingest-dataset")
def ingest_dataset(config: EvaluationConfig) -> StageSummary:
    """Normalise a data set and chunk it into the Zarr shards of the store."""
    check_folders(config)
    with turn(config.dataset.name), Connection(config.cluster, needs_of(config)) as connection:
        return run_ingest(config, connection)


def run_ingest(config: EvaluationConfig, connection: Connection, catalog: RunCatalog | None = None) -> StageSummary:
    """The body of the flow: plan minus ledger, on the workers of `connection`; the plan is left in `catalog`."""
    planned = catalog or RunCatalog(config)
    plan = partial(plan_catalog, config, config.store.open(), connection)
    return leaving_out(lambda: ingest_catalog(config, planned.renew(plan), connection), lambda: None)


def over_catalog(
    config: EvaluationConfig,
    connection: Connection,
    catalog: RunCatalog | None,
    body: Callable[[pd.DataFrame], StageSummary],
) -> StageSummary:
    """The summary of `body` over the catalog of a run; where images are quarantined, over one planned without them."""
    run = catalog or RunCatalog(config)
    return leaving_out(lambda: body(run.get()), lambda: run_ingest(config, connection, run))


def ingest_catalog(
    config: EvaluationConfig, catalog: pd.DataFrame, connection: Connection, only: Collection[str] | None = None
) -> StageSummary:
    """Ingest the shards of a catalog that the ledger does not hold; of `only` these keys where they are given.

    Raises QuarantinedError where another catalog is needed.
    """
    store, plan = config.store.open(), preparation(config)
    shards = rows_by_shard(catalog)

    def make_job(key: str) -> shard_plan.IngestJob:
        return shard_plan.plan_job(catalog.iloc[shards[key]])

    planned = {key: shard for key, shard in shard_plans(config, catalog).items() if only is None or key in only}
    return run_stage(shard_plan.STAGE, planned, make_job, worker.ingest_shard, connection, store, plan)


def shard_plans(config: EvaluationConfig, catalog: pd.DataFrame) -> dict[str, ShardPlan]:
    """What is known of each ingested shard, by its key."""
    slices = catalog["depth"].clip(lower=1)
    longest = longest_shard_seconds(config.cluster.kind, config.cluster.walltime)
    megapixels = (slices * catalog["padded_height"] * catalog["padded_width"]).to_numpy() / 1e6

    def seconds(rows: npt.NDArray[np.int64]) -> float:
        found = LEAST_SECONDS + SECONDS_PER_MEGAPIXEL * float(megapixels[rows].sum())
        return config.cluster.shard_seconds or min(found, longest)

    return {
        key: ShardPlan(len(rows), seconds(rows), partial(_contents, catalog, rows))
        for key, rows in rows_by_shard(catalog).items()
    }


def scan_seconds(config: EvaluationConfig, job: ScanJob) -> float:
    """The time limit of looking at some files."""
    return config.cluster.shard_seconds or LEAST_SECONDS + SECONDS_PER_FILE * len(job.files)


def _contents(catalog: pd.DataFrame, rows: npt.NDArray[np.int64]) -> dict[str, tuple[str, ...]]:
    chosen = catalog[["image_id", *shard_plan.CONTENT]].iloc[rows]
    return {image_id: tuple(content) for image_id, *content in chosen.itertuples(index=False, name=None)}


def plan_catalog(config: EvaluationConfig, store: ObjectStore, connection: Connection) -> pd.DataFrame:
    """The catalog of the data set as it is now, in the store; listing and file facts end with this call."""
    listing = list_dataset(config)
    files = scan_files(listing, store, connection, partial(scan_seconds, config))
    made_from = listing, files, preparation(config), config.store.shard_images, quarantined(store)
    name, planned_from = catalog_name(config), shard_plan.plan_sha256(*made_from)
    catalog = read_planned(store, name, planned_from)
    if catalog is None:
        catalog = shard_plan.plan_shards(*made_from)
        write_catalog(store, name, catalog, planned_from)
    return catalog


def scan_files(listing: pd.DataFrame, store: ObjectStore, connection: Connection, seconds: ScanSeconds) -> pd.DataFrame:
    """`MEMORY_COLUMNS` of every file of a listing: remembered where it is unchanged, else looked at by the workers."""
    memory = SourceMemory(store, scan.CODE_VERSION)
    known, held = memory.recall(), _held_files(store)
    if len(held):
        known = pd.concat([known, held], ignore_index=True)
    jobs = list(_scan_jobs(listing, known))
    if not jobs:
        logger.info("scan: all %d images are unchanged, no file was read", len(listing))
        return known
    total = sum(len(job.files) for job in jobs)
    logger.info("scan: %d files to look at", total)
    found: list[SourceFacts] = []
    with StageProgress("scan", total, unit="files") as progress:
        for facts in _look_at(jobs, store, connection, seconds):
            found += facts
            progress.advance(len(facts))
    looked_at = _frame(found).sort_values(["role", "url", "version"], ignore_index=True)
    # What could not be fetched says nothing about the file; it is looked at again next time.
    memory.remember(looked_at[looked_at["sha256"] != ""])
    return pd.concat([known, looked_at], ignore_index=True)


def _look_at(
    jobs: Sequence[ScanJob], store: ObjectStore, connection: Connection, seconds: ScanSeconds
) -> Iterator[list[SourceFacts]]:
    """The facts of all files; of one at which workers end it is said that they do."""
    suspects: list[ScanJob] = []
    by_key = {job.key: job for job in jobs}
    limits = Limits(lambda key: seconds(by_key[key]))
    for outcome in stream_shards(connection.client, worker.scan_files, jobs, limits=limits):
        if isinstance(outcome, Finished):
            yield outcome.result
        elif outcome.deadly:
            suspects.append(by_key[outcome.key])
        else:
            raise ClusterLostError(f"scan: files could not be looked at: {outcome.error}; run again to resume")
    for job in suspects:
        yield from _look_one_by_one(job, store, connection, seconds)


def _look_one_by_one(
    job: ScanJob, store: ObjectStore, connection: Connection, seconds: ScanSeconds
) -> Iterator[list[SourceFacts]]:
    def attempt(urls: Sequence[str]) -> Finished | Lost:
        some = replace(job, files=tuple(file for file in job.files if file[0] in urls))
        return try_alone(connection.client, worker.scan_files, some, seconds=lambda _: seconds(some))

    versions = dict(job.files)
    poison = find_poison(list(versions), lambda urls: ending_of(attempt(urls)))
    for url, ending in poison.items():
        held = Held(url, (job.role, versions[url]), "scan", ending)
        logger.warning("scan: quarantined %s", held.error)
        quarantine(store, held)
    outcome = attempt([url for url in versions if url not in poison])
    if isinstance(outcome, Lost):
        raise ClusterLostError(f"scan: files could not be looked at: {outcome.error}; run again to resume")
    yield [*outcome.result, *(_facts(held) for held in quarantined(store).values() if held.name in poison)]


def _held_files(store: ObjectStore) -> pd.DataFrame:
    return _frame([_facts(held) for held in quarantined(store).values() if held.stage == "scan"])


def _facts(held: Held) -> SourceFacts:
    role, version = held.content
    error = held.error.replace(held.name, file_name(held.name))
    return SourceFacts(role, held.name, version, "", error_type=held.error_type, error=error)


def _frame(facts: Sequence[SourceFacts]) -> pd.DataFrame:
    return pd.DataFrame([asdict(fact) for fact in facts], columns=list(MEMORY_COLUMNS))


def _scan_jobs(listing: pd.DataFrame, known: pd.DataFrame) -> Iterator[ScanJob]:
    for role in ROLES:
        if role not in listing:
            continue
        looked_at = known[known["role"] == role]
        urls, versions = listing[role], listing[f"{role}_version"]
        places = places_among(source_keys(urls, versions), source_keys(looked_at["url"], looked_at["version"]))
        asked = (places < 0) & (urls != "") & (versions != "")
        new = list(dict.fromkeys(zip(urls[asked], versions[asked], strict=True)))
        for start in range(0, len(new), SCAN_FILES):
            yield ScanJob(f"{role}-{start}", role, tuple(new[start : start + SCAN_FILES]))
