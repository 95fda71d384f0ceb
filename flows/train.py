"""The train flow: UNet++ on the training split of an ingested data set."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from prefect import flow

from flows.cluster import Connection
from flows.config import ConfigError, EvaluationConfig
from flows.dataset import require_catalog
from flows.ingest import run_ingest
from storage.catalog import rows_by_shard
from storage.ledger import Ledger
from storage.objects import ObjectStore
from tasks import shard_plan

if TYPE_CHECKING:
    from tasks.train import EpochRecord

logger = logging.getLogger("segscale")


@flow(name="train-model")
def train_model(config: EvaluationConfig) -> str:
    """Ingest the training split, train on its shards, save the model; returns the path of the `.keras` file."""
    check_training(config)
    with Connection(config.cluster) as connection:
        run_ingest(config, connection)
    return run_train(config)


def check_training(config: EvaluationConfig) -> None:
    """What can be wrong with a training before it starts. Raises ConfigError."""
    chosen, n_classes = config.train, len(config.dataset.classes)
    if "://" in chosen.output or not chosen.output.endswith(".keras"):
        raise ConfigError(f"train.output: expected a local path ending in .keras, got {chosen.output!r}")
    if chosen.activation == "sigmoid" and n_classes != 2:
        raise ConfigError(f"train.activation: sigmoid tells 2 classes apart, there are {n_classes}; use softmax")


def run_train(config: EvaluationConfig) -> str:
    """The body of the flow, in this process: the shards that the catalog names are read and trained on."""
    # TensorFlow is imported by those who train, not by whoever loads this module.
    from tasks.models.model_file import save_model
    from tasks.samples import load_samples
    from tasks.train import TrainSettings
    from tasks.train import train_model as train

    store = ObjectStore(config.store.path)
    catalog = require_catalog(config, store)
    entries = [Ledger(store).read(shard_plan.STAGE, key) for key in rows_by_shard(catalog)]
    samples = load_samples(store, entries)
    n_failed = sum(int(entry.facts["n_failed"]) for entry in entries)
    if not samples:
        raise ConfigError(f"dataset: expected images to train on, all {n_failed} failed; run ingest and look at why")
    if n_failed:
        logger.warning("train: %d images failed in ingest and are left out", n_failed)
    chosen = config.train
    settings = TrainSettings(
        epochs=chosen.epochs,
        channels=config.dataset.channels or max(sample.pixels.shape[-1] for sample in samples),
        n_classes=len(config.dataset.classes),
        filters=chosen.filters,
        normalization=chosen.normalization,
        dropout=chosen.dropout,
        l2=chosen.l2,
        activation=chosen.activation,
        patch=chosen.patch,
        batch_size=chosen.batch_size,
        steps_per_epoch=chosen.steps_per_epoch,
        learning_rate=chosen.learning_rate,
        class_weights=_class_weights(config),
        smooth=chosen.smooth,
        precision=chosen.precision,
        seed=chosen.seed,
    )
    logger.info("train: %d images", len(samples))
    model = train(samples, settings, _say)
    Path(chosen.output).parent.mkdir(parents=True, exist_ok=True)
    save_model(model, chosen.output)
    logger.info("train: saved %s", chosen.output)
    return chosen.output


def _class_weights(config: EvaluationConfig) -> tuple[float, ...]:
    n_classes = len(config.dataset.classes)
    return config.train.class_weights or ((0.3, 0.7) if n_classes == 2 else (1 / n_classes,) * n_classes)


def _say(record: EpochRecord) -> None:
    logger.info("train: epoch %d, loss %.4f, %.1f s", record.epoch, record.loss, record.seconds)
