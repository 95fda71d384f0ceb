"""Train: UNet++ on the ingested images of a data set."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import psutil

from segscale.errors import ArgumentError, ConfigError, DataError, StoreError
from segscale.flows.checks.cluster import find_cluster
from segscale.flows.checks.extras import check_installed
from segscale.flows.checks.folders import check_folders
from segscale.flows.config.evaluation import EvaluationConfig
from segscale.flows.dataset import names_images
from segscale.flows.ingest import ingest_images
from segscale.flows.observer import UNOBSERVED, Observer
from segscale.flows.progress import StageProgress
from segscale.flows.run import Run
from segscale.storage.catalog import COLUMNS, rows_by_shard
from segscale.storage.ledger import Ledger
from segscale.tasks import shard_plan
from segscale.tasks.training.settings import Augmentation, Recipe, SplitRule, TrainSettings

if TYPE_CHECKING:
    from segscale.tasks.train import TrainJob

logger = logging.getLogger("segscale")
SHOWN = ("epoch", "split", "loss", "regularization", "dice_per_sample", "dice_batch_summed", "dice_pooled")
MEMORY_SHARE = 0.7
"""Of the memory that is free, samples may take so much."""


def run(config: EvaluationConfig, observer: Observer = UNOBSERVED) -> str:
    """Ingest the images, train on their shards, save the model; returns the path of the `.keras` file."""
    with Run(config, observer, scored=False) as job:
        _check(job)
        with observer.turn():
            ingest_images(job)
            job.close_workers()
            return train_network(job)


def check(config: EvaluationConfig) -> None:
    """What can be wrong before anything starts. Raises ConfigError."""
    _check(Run(config, scored=False))


def _check(run: Run) -> None:
    check_installed("train")
    find_cluster(run.config.cluster)
    if not names_images(run.listing()):
        raise ConfigError("dataset.images: expected the images that a network is trained on, none are named")
    run.look()
    check_folders(run.config)
    check_training(run.config)


def check_training(config: EvaluationConfig) -> None:
    """What can be wrong with a training before it starts. Raises ConfigError."""
    chosen, n_classes = config.train, len(config.dataset.classes)
    if "://" in chosen.output or not chosen.output.endswith(".keras"):
        raise ConfigError(f"train.output: expected a local path ending in .keras, got {chosen.output!r}")
    if chosen.activation == "sigmoid" and n_classes != 2:
        raise ConfigError(f"train.activation: sigmoid tells 2 classes apart, there are {n_classes}; use softmax")
    if chosen.initial_weights and not Path(chosen.initial_weights).is_file():
        raise ConfigError(f"train.initial_weights: expected a file of weights, none is at {chosen.initial_weights}")


def train_network(run: Run) -> str:
    """In this process: the shards that the catalog names are read and trained on."""
    config, store, catalog = run.config, run.store, run.catalog
    _check_groups(config, catalog)
    entries = [Ledger(store).read(shard_plan.STAGE, key) for key in rows_by_shard(catalog)]
    n_failed = sum(int(entry.facts["n_failed"]) for entry in entries)
    if n_failed == len(catalog):
        raise ConfigError(f"dataset: expected images to train on, all {n_failed} failed; run ingest and look at why")
    if n_failed:
        logger.warning("train: %d images failed in ingest and are left out", n_failed)
    # TensorFlow is imported by those who train, not by whoever loads this module.
    from segscale.tasks.samples import bytes_of_samples
    from segscale.tasks.train import train

    _check_memory(bytes_of_samples(catalog))
    rows: list[Mapping[str, Any]] = []
    with StageProgress("train", config.train.epochs, run.observer, unit="epochs") as progress:

        def on_epoch(row: Mapping[str, Any]) -> None:
            rows.append(row)
            _say(row)
            progress.advance(row["split"] == "training")

        try:
            path = train(store, entries, catalog, train_job(config, catalog), on_epoch)
        except (ArgumentError, DataError, StoreError) as error:
            raise ConfigError(f"train: {error}") from error
    if rows:
        table = pd.DataFrame([{name: row[name] for name in SHOWN} for row in rows])
        run.observer.table(table, "Loss and scores of every epoch of this run", "training")
    logger.info("train: saved %s", path)
    return path


def train_job(config: EvaluationConfig, catalog: pd.DataFrame) -> TrainJob:
    """What `[train]` asks for, with what follows from the data set filled in."""
    from segscale.tasks.train import TrainJob

    chosen, n_classes = config.train, len(config.dataset.classes)
    asked = dict(chosen.part(Recipe))
    asked["class_weights"] = chosen.class_weights or ((0.3, 0.7) if n_classes == 2 else (1 / n_classes,) * n_classes)
    settings = TrainSettings(
        **asked,
        channels=config.dataset.channels or int(catalog["channels"].max()),
        n_classes=n_classes,
        threshold=config.metrics.threshold,
        augmentation=chosen.part(Augmentation),
    )
    name, classes, split = config.dataset.name, config.dataset.classes, chosen.part(SplitRule)
    return TrainJob(name, classes, settings, split, chosen.output, chosen.initial_weights)


def _check_groups(config: EvaluationConfig, catalog: pd.DataFrame) -> None:
    groups = [name for name in catalog if name not in COLUMNS]
    for key in ("split_by", "validation_by"):
        name = getattr(config.train, key)
        if name and name not in groups:
            raise ConfigError(f"train.{key}: expected a column of the manifest {groups}, got {name!r}")


def _check_memory(needed: int) -> None:
    # Dask knows what a container may have, which can be less than its machine has free.
    from distributed.system import MEMORY_LIMIT

    free = min(psutil.virtual_memory().available, MEMORY_LIMIT)
    if needed > MEMORY_SHARE * free:
        raise ConfigError(
            f"dataset: its images take {needed / 1e9:.1f} GB as samples, this machine has {free / 1e9:.1f} GB free; "
            "train on a part of them (dataset.split), or where there is more memory"
        )


def _say(row: Mapping[str, Any]) -> None:
    logger.info(
        "train: epoch %d, %s: loss %.4f; Dice per sample %.4f, batch-summed %.4f, pooled %.4f; %.1f s, %.1f %% waiting",
        row["epoch"],
        row["split"],
        *(row[name] for name in ("loss", "dice_per_sample", "dice_batch_summed", "dice_pooled", "seconds")),
        100.0 * row["waiting_seconds"] / row["seconds"],
    )
