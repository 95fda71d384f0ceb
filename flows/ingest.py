"""Ingest: list the data set, look at new files, plan the shards, make those that are missing."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from functools import partial

import numpy as np
import numpy.typing as npt
import pandas as pd

from segscale.flows.checks.cluster import find_cluster
from segscale.flows.checks.folders import check_folders
from segscale.flows.config.cluster_keys import longest_shard_seconds
from segscale.flows.config.evaluation import EvaluationConfig
from segscale.flows.first_images import FirstImages, first_images
from segscale.flows.observer import UNOBSERVED, Observer
from segscale.flows.run import Run
from segscale.flows.scan import look_at_files
from segscale.flows.shards.retry import LEAST_SECONDS
from segscale.flows.stage import ShardPlan, StageSummary, leaving_out, run_stage
from segscale.flows.worker import work
from segscale.storage.catalog import SPACING, read_planned, rows_by_shard, write_catalog
from segscale.storage.ledger import Ledger
from segscale.storage.quarantine import quarantined
from segscale.tasks import listed_facts, shard_plan
from segscale.tasks.alignment import said_in, sentences
from segscale.tasks.orientation import turned_unlike
from segscale.tasks.slice_axis import stacks_in

logger = logging.getLogger("segscale")

SECONDS_PER_MEGAPIXEL = 60.0
"""So much longer for what its images hold: some 15 times what the published network takes on one core."""


def run(config: EvaluationConfig, observer: Observer = UNOBSERVED) -> StageSummary:
    """Normalise a data set and chunk it into the Zarr shards of the store."""
    with Run(config, observer, scored=False) as job:
        _check(job)
        with observer.turn():
            return observer.stage("ingest", lambda: ingest_images(job))


def check(config: EvaluationConfig) -> None:
    """What can be wrong before anything starts. Raises ConfigError."""
    _check(Run(config, scored=False))


def _check(run: Run) -> None:
    find_cluster(run.config.cluster)
    run.look()
    check_folders(run.config)


def ingest_images(run: Run) -> StageSummary:
    """Plan minus ledger, on the workers of the run; the plan is the run's catalog from now on."""

    def ingest() -> StageSummary:
        catalog = run.renew_catalog(lambda: plan_catalog(run))
        summary = ingest_catalog(run, catalog, first=first_images_of(run, catalog))
        _say_where_files_lie(run, catalog)
        return summary

    return leaving_out(ingest, lambda: None)


def _say_where_files_lie(run: Run, catalog: pd.DataFrame) -> None:
    """What was done so that files lie on their references, or was taken for granted, as their shards tell."""
    if not catalog[list(SPACING)].notna().any(axis=None):
        return
    ledger, said = Ledger(run.store), Counter[tuple[str, str]]()
    for key in rows_by_shard(catalog):
        entry = ledger.find(shard_plan.STAGE, key)
        said.update(said_in(entry.facts) if entry else {})
    run.found(turned=run.look().reading.turned, placed=sentences(said))
    run.say_what_files_say("ingest")


def first_images_of(run: Run, catalog: pd.DataFrame, key_of: Mapping[str, str] | None = None) -> FirstImages | None:
    """The images that may end a run by failing alike, by their ingested shards or those that `key_of` leads to; None
    where every one may fail."""
    return None if run.config.report.max_failure_rate == 1 else first_images(catalog, key_of)


def over_catalog(run: Run, body: Callable[[pd.DataFrame], StageSummary]) -> StageSummary:
    """The summary of `body` over the catalog of a run; where images are quarantined, over one planned without them."""
    return leaving_out(lambda: body(run.catalog), lambda: ingest_images(run))


def ingest_catalog(
    run: Run, catalog: pd.DataFrame, only: Collection[str] | None = None, first: FirstImages | None = None
) -> StageSummary:
    """Ingest the shards of a catalog that the ledger does not hold; of `only` these keys where they are given.

    Raises QuarantinedError where another catalog is needed.
    """
    shards = rows_by_shard(catalog)

    def make_job(key: str) -> shard_plan.IngestJob:
        return shard_plan.plan_job(catalog.iloc[shards[key]])

    planned = {key: shard for key, shard in shard_plans(run.config, catalog).items() if only is None or key in only}
    return run_stage(shard_plan.STAGE, planned, make_job, work.ingest_shard, run, run.preparation, first=first)


def shard_plans(config: EvaluationConfig, catalog: pd.DataFrame) -> dict[str, ShardPlan]:
    """What is known of each ingested shard, by its key."""
    slices = stacks_in(catalog)[:, 0]
    longest = longest_shard_seconds(config.cluster.kind, config.cluster.walltime)
    megapixels = (slices * catalog["padded_height"] * catalog["padded_width"]).to_numpy() / 1e6

    def seconds(rows: npt.NDArray[np.int64]) -> float:
        found = LEAST_SECONDS + SECONDS_PER_MEGAPIXEL * float(megapixels[rows].sum())
        return config.cluster.shard_seconds or min(found, longest)

    return {
        key: ShardPlan(len(rows), seconds(rows), partial(_contents, catalog, rows))
        for key, rows in rows_by_shard(catalog).items()
    }


def _contents(catalog: pd.DataFrame, rows: npt.NDArray[np.int64]) -> dict[str, tuple[str, ...]]:
    chosen = catalog[["image_id", *listed_facts.CONTENT]].iloc[rows]
    return {image_id: tuple(content) for image_id, *content in chosen.itertuples(index=False, name=None)}


def plan_catalog(run: Run) -> pd.DataFrame:
    """The catalog of the data set as it is now, in the store; listing and file facts end with this call."""
    config, store = run.config, run.store
    looked, listing = run.look(), run.take_listing()
    files = look_at_files(run, listing)
    made_from = files, run.preparation, config.store.shard_images, quarantined(store), config.dataset.spacing_mm
    name, planned_from = run.catalog_name, shard_plan.plan_sha256(looked.listing_sha256, *made_from)
    catalog = read_planned(store, name, planned_from)
    if catalog is None:
        say_whether_read_anew(run, "ingest")
        catalog = shard_plan.plan_shards(listing, *made_from)
        write_catalog(store, name, catalog, planned_from)
    looked.keep(store)
    _say_how_read(listing, files, catalog, run.preparation)
    return catalog


def say_whether_read_anew(run: Run, job: str) -> None:
    """Where a store knows the set from a version that kept no reading, which read files by other rules."""
    name, kept = run.catalog_name, run.store.names("catalog")
    ours = (file for file in kept if file.startswith(f"{run.config.dataset.name}-") and file.endswith(".parquet"))
    stems = {file.rpartition(".")[0] for file in ours}
    if name not in stems and any(f"{stem}.json" not in kept for stem in stems):
        logger.warning(
            "%s: an earlier version has read these files, by rules that are no longer those (CHANGELOG.md): all of "
            "it is done once more, the run gets a new id, and scores may be others",
            job,
        )


def _say_how_read(
    listing: pd.DataFrame, files: pd.DataFrame, catalog: pd.DataFrame, prepared: shard_plan.Preparation
) -> None:
    """What the files say of themselves that makes a difference to how they are read, said in every run."""
    scales = shard_plan.full_scales(listing, catalog["dtype"], files, prepared)
    for sentence in scales.agreed:
        logger.info("ingest: %s", sentence)
    for sentence in scales.disputed:
        logger.warning("ingest: %s", sentence)
    # Of most sets no file is turned, and nothing has to be looked up.
    if (files["orientation"] > 1).any():
        sentence = turned_unlike(listed_facts.orientations(listing, files), listing["image_id"].to_list())
        if sentence:
            logger.warning("ingest: %s", sentence)
