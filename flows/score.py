"""Score: predictions that something else made, read and counted against their references in one pass."""

from __future__ import annotations

import hashlib
import logging
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from segscale.errors import ConfigError
from segscale.flows.checks.cluster import find_cluster
from segscale.flows.checks.folders import check_folders
from segscale.flows.config.cluster_keys import longest_shard_seconds
from segscale.flows.config.evaluation import EvaluationConfig
from segscale.flows.dataset import names_images, names_masks, volumes
from segscale.flows.first_images import FirstImages, first_images
from segscale.flows.ingest import say_whether_read_anew
from segscale.flows.measured import measuring
from segscale.flows.observer import UNOBSERVED, Observer
from segscale.flows.run import Counted, Run
from segscale.flows.scan import SECONDS_PER_FILE, remember_files
from segscale.flows.shards.retry import LEAST_SECONDS
from segscale.flows.stage import ShardPlan, StageSummary, leaving_out, run_stage
from segscale.flows.worker import work
from segscale.storage.catalog import read_planned, write_catalog
from segscale.storage.failures import Failure
from segscale.storage.ledger import Ledger, content_key
from segscale.storage.objects import ObjectStore
from segscale.storage.quarantine import quarantined
from segscale.storage.source_memory import MEMORY_COLUMNS, SourceMemory
from segscale.storage.sources import ROLES
from segscale.tasks import scan
from segscale.tasks.alignment import Said, said_in, sentences
from segscale.tasks.listed_facts import orientations
from segscale.tasks.orientation import turned_unlike
from segscale.tasks.score_plan import ScoredShard, ScorePlan, catalog_of, is_whole, of_catalog, plan_scores
from segscale.tasks.scoring import CODE_VERSION, STAGE, ScoreDone, Scoring, places_in, sizes_in
from segscale.tasks.slice_counts import Slicing
from segscale.tasks.source_files import read_source

logger = logging.getLogger("segscale")
REMEMBER_SECONDS = 20.0
"""So often what files told is kept while others are read, so that whoever is killed reads few of them again."""


def run(config: EvaluationConfig, observer: Observer = UNOBSERVED) -> StageSummary:
    """Count existing predictions against their references."""
    with Run(config, observer) as job:
        _check(job)
        with observer.turn():
            return observer.stage("score", lambda: score_files(job))


def check(config: EvaluationConfig) -> None:
    """What can be wrong before anything starts. Raises ConfigError."""
    _check(Run(config))


def _check(run: Run) -> None:
    find_cluster(run.config.cluster)
    run.look()
    check_folders(run.config)


def score_files(run: Run) -> StageSummary:
    """Read and count on the workers of the run what was not read and counted before; write the catalog at the end.

    Raises ConfigError without predictions.
    """
    listing = run.told_listing()
    if "prediction" not in listing or not listing["prediction"].astype(bool).any():
        raise ConfigError("predictions.path: expected predictions of the images of this data set, found none for any")
    catalog = None
    # Without what was kept of the files as a whole (`rescan`, or a repair has set it aside) it is found again.
    if run.look().is_kept:
        catalog = read_planned(run.store, run.catalog_name, _made_from(run, listing))
    if catalog is not None:
        logger.info("score: all %d images are unchanged, no file was read", len(listing))
        run.renew_catalog(lambda: catalog)
        summary = score_catalog(run)
    else:
        say_whether_read_anew(run, "score")
        sources = _Sources(SourceMemory(run.store, scan.CODE_VERSION), run.config.dataset.rescan)
        summary = leaving_out(lambda: _score_listing(run, listing, sources), sources.recall)
    run.say_what_files_say("score")
    run.take_listing()
    return summary


def score_catalog(run: Run, only: Collection[str] | None = None) -> StageSummary:
    """Count the shards of the run's catalog that are not committed, of `only` these keys where given.

    Files that are no longer what was catalogued are none of theirs: their shards are lost, and WorkLostError raised.
    """
    plan = of_catalog(run.catalog)
    run.counted = Counted(STAGE, tuple(plan.shards), run.config.predictions.label)
    first = _first_images_of(run, plan) if only is None else None
    planned = {key: _shard_plan(run.config, plan, key) for key in plan.shards if only is None or key in only}
    scoring = scoring_of(run, run.catalog)
    return run_stage(STAGE, planned, plan.job, work.score_shard, run, scoring, first=first)


def scoring_of(run: Run, images: pd.DataFrame) -> Scoring:
    """How the files of a listing or a catalog are counted."""
    dataset = run.config.dataset
    slicing = Slicing(dataset.slice_axis, dataset.spacing_mm) if run.config.metrics.slices else None
    return Scoring(
        run.preparation.labels,
        run.counting,
        names_images(images),
        volumes(run.config),
        names_masks(images),
        slicing,
        measuring(run.config),
    )


def _score_listing(run: Run, listing: pd.DataFrame, sources: _Sources) -> StageSummary:
    scoring = scoring_of(run, listing)
    plan = plan_scores(listing, sources.known(), scoring, run.config.store.shard_images, _left_out(run.store))
    keys = {key: key for key in plan.shards}
    unread: dict[str, Failure] = {}

    def take(planned: str, done: ScoreDone) -> None:
        sources.take(done.files)
        plan.learn(planned, done.contents)
        keys[planned] = done.key
        unread.update({one.image_id: one.failure for one in done.contents if one.failure is not None})

    planned = {key: _shard_plan(run.config, plan, key) for key in plan.shards}
    first = _first_images_of(run, plan)
    try:
        summary = run_stage(STAGE, planned, plan.job, work.score_shard, run, scoring, first=first, take=take)
    finally:
        sources.remember()
    run.counted = Counted(STAGE, tuple(keys.values()), run.config.predictions.label)
    said: Said = Counter()
    shards = _scored_shards(run.store, plan, keys, said)
    dataset = run.config.dataset
    asked = dataset.spacing_mm, dataset.slice_axis
    catalog = run.renew_catalog(lambda: catalog_of(listing, plan, shards, unread, *asked))
    write_catalog(run.store, run.catalog_name, catalog, _made_from(run, listing) if is_whole(listing, catalog) else "")
    # After the catalog: whoever finds what is kept of the files as a whole believes that it is of this one.
    run.found(turned=sources.turned(listing), placed=sentences(said))
    return summary


def _scored_shards(store: ObjectStore, plan: ScorePlan, keys: Mapping[str, str], said: Said) -> Iterator[ScoredShard]:
    """The shards of a plan; what had to be said of their files is added to `said`."""
    ledger = Ledger(store)
    for planned, places in plan.shards.items():
        facts = ledger.read(STAGE, keys[planned]).facts
        said.update(said_in(facts))
        yield ScoredShard(keys[planned], places, sizes_in(facts), places_in(facts))


def _made_from(run: Run, listing: pd.DataFrame) -> str:
    """What stands for all that a catalog is made from."""
    dataset = run.config.dataset
    return content_key(
        {
            "code_version": CODE_VERSION,
            "listing": run.look().listing_sha256,
            "scoring": scoring_of(run, listing).as_key(),
            **({"spacing_mm": dataset.spacing_mm} if dataset.spacing_mm else {}),
            **({"slice_axis": dataset.slice_axis} if dataset.slice_axis != "auto" else {}),
            "shard_images": run.config.store.shard_images,
            "left_out": [[*key, *asdict(failure).values()] for key, failure in sorted(_left_out(run.store).items())],
            # Fragments are named by their content: what was forgotten since is to be read again.
            "sources": sorted(SourceMemory(run.store, scan.CODE_VERSION).names()),
        }
    )


def _left_out(store: ObjectStore) -> dict[tuple[str, ...], Failure]:
    return {key: Failure(STAGE, one.error_type, one.error) for key, one in quarantined(store).items()}


def _first_images_of(run: Run, plan: ScorePlan) -> FirstImages | None:
    if run.config.report.max_failure_rate == 1:
        return None
    image_ids = plan.files.column("image_id").to_pandas()
    shards = np.full(len(image_ids), "", dtype=object)
    for key, places in plan.shards.items():
        shards[places] = key
    return first_images(pd.DataFrame({"image_id": image_ids, "shard": shards}))


def _shard_plan(config: EvaluationConfig, plan: ScorePlan, key: str) -> ShardPlan:
    n_images = len(plan.shards[key])
    seconds = config.cluster.shard_seconds or min(
        LEAST_SECONDS + SECONDS_PER_FILE * len(ROLES) * n_images,
        longest_shard_seconds(config.cluster.kind, config.cluster.walltime),
    )
    return ShardPlan(n_images, seconds, partial(_hashes_now, plan, key))


def _hashes_now(plan: ScorePlan, key: str) -> dict[str, tuple[str, ...]]:
    """By the id of each image of a shard the hashes of its files, which are read but not decoded."""
    return {files.image_id: tuple(_hash_now(*files.of(role)) for role in ROLES) for files in plan.job(key).images}


def _hash_now(url: str, version: str) -> str:
    try:
        return hashlib.sha256(read_source(url)).hexdigest() if url and version else ""
    except OSError:
        return ""


class _Sources:
    """What is known of source files, from runs before and as workers read them."""

    def __init__(self, memory: SourceMemory, rescan: bool) -> None:
        self._memory, self._remembered = memory, memory.recall()
        self._rescan = rescan
        self._found: list[Mapping[str, Sequence[Any]]] = []
        self._kept = time.monotonic()
        self._is_turned = bool((self._remembered["orientation"] > 1).any())

    def known(self) -> pd.DataFrame:
        """`MEMORY_COLUMNS` of the files that are not read again."""
        return self._remembered.iloc[:0] if self._rescan else self._remembered

    def recall(self) -> None:
        """From now on what was read by this run is known as well."""
        self._remembered, self._rescan = self._memory.recall(), False

    def take(self, files: Mapping[str, Sequence[Any]]) -> None:
        """Take in what the files of a shard told."""
        self._found.append(files)
        self._is_turned |= any(orientation > 1 for orientation in files["orientation"])
        if time.monotonic() - self._kept > REMEMBER_SECONDS:
            self.remember()

    def turned(self, listing: pd.DataFrame) -> str:
        """What is to be said of images that are turned otherwise than their masks."""
        # Of most sets no file is turned, and nothing has to be looked up.
        if not self._is_turned:
            return ""
        self.recall()
        return turned_unlike(orientations(listing, self.known()), listing["image_id"].to_list())

    def remember(self) -> None:
        """Keep it for runs to come; what could not be read says nothing."""
        columns = {name: [value for files in self._found for value in files[name]] for name in MEMORY_COLUMNS}
        if not columns["url"]:
            return
        # A file may stand for several images.
        found = pd.DataFrame(columns).drop_duplicates(["role", "url", "version"], keep="last")
        found = found.sort_values(["role", "url", "version"], ignore_index=True)
        remember_files(self._memory, self._remembered, found[found["sha256"] != ""])
        self._found, self._kept = [], time.monotonic()
