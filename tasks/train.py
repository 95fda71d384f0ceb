"""The unit of work of training: shards to samples, samples to a network, every epoch left where it can be resumed.

A training writes a folder: `checkpoint.npz`, the only truth for a resume; `history.parquet`, `curves.png` and
`tensorboard/`, made from it after every epoch; `split.parquet` and `training.json`, which say what was trained on what.
"""

from __future__ import annotations

import importlib.metadata
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import keras
import pandas as pd

from segscale.errors import ArgumentError, DataError
from segscale.storage import tables
from segscale.storage.ledger import Entry, content_key
from segscale.storage.objects import Digest, ObjectStore
from segscale.tasks.models.model_file import save_model
from segscale.tasks.models.official_weights import load_weights_by_name
from segscale.tasks.samples import load_samples
from segscale.tasks.training.checkpoint import Checkpoint, decode_checkpoint
from segscale.tasks.training.curves import draw_curves
from segscale.tasks.training.event_log import write_event_log
from segscale.tasks.training.history import Row, history_table
from segscale.tasks.training.loop import Training, train_network
from segscale.tasks.training.settings import SplitRule, TrainSettings
from segscale.tasks.training.split import Split, split_samples

CODE_VERSION = 1
"""Raised when equal settings and samples would give other weights."""
HISTORY, CHECKPOINT, CURVES, EVENTS = "history.parquet", "checkpoint.npz", "curves.png", "tensorboard"
RECORD, SPLIT = "training.json", "split.parquet"
PACKAGES = ("segscale", "keras", "tensorflow", "numpy", "scipy", "grain")

logger = logging.getLogger("segscale")


@dataclass(frozen=True, slots=True)
class TrainJob:
    """A training as asked for."""

    dataset: str
    classes: tuple[str, ...]
    settings: TrainSettings
    split: SplitRule
    output: str
    """Local path of the `.keras` file."""
    initial_weights: str = ""
    """Local path of a file with weights to begin with, matched by the names of layers; or none."""

    @property
    def folder(self) -> str:
        """Where the history and the checkpoint lie."""
        return self.output.removesuffix(".keras") + ".training"


def train(
    store: ObjectStore, entries: Sequence[Entry], catalog: pd.DataFrame, job: TrainJob, on_epoch: Callable[[Row], None]
) -> str:
    """Train on committed shards, or go on where a killed run stood; returns the path of the saved model.

    `on_epoch` is called with every new row of the history. A training that is finished is not trained again. Raises
    ValueError for a folder that holds another training, for samples, a split or weights that do not fit; see
    `train_network` for the others.
    """
    rule = job.split
    split = split_samples(
        load_samples(store, entries, catalog),
        column=rule.split_by,
        training=rule.training,
        validation=rule.validation,
        fraction=rule.validation_fraction,
        by=rule.validation_by,
    )
    training_id = _training_id(job, entries, split)
    folder = ObjectStore(job.folder)
    start = _checkpoint(folder, job, training_id)
    _write_record(folder, job, training_id, split)
    logger.info("train: %d samples, %d for validation", len(split.training), len(split.validation))
    if start is not None:
        logger.info("train: goes on after epoch %d of %d", start.epoch, job.settings.epochs)
        _write_history(folder, job, start)
    initial = partial(_initialize, path=job.initial_weights) if job.initial_weights else None
    training = Training(training_id, split, job.settings, initial)

    def keep(checkpoint: Checkpoint) -> None:
        folder.write(CHECKPOINT, checkpoint.encode())
        _write_history(folder, job, checkpoint)
        for row in checkpoint.rows:
            if row["epoch"] == checkpoint.epoch:
                on_epoch(row)

    network = train_network(training, keep, start)
    Path(job.output).parent.mkdir(parents=True, exist_ok=True)
    save_model(network, job.output)
    return job.output


def _training_id(job: TrainJob, entries: Sequence[Entry], split: Split) -> str:
    """The first 12 digits of the sha256 of all that decides the weights and the rows of the history."""
    weights = Path(job.initial_weights).read_bytes() if job.initial_weights else b""
    content = {
        "code": CODE_VERSION,
        "settings": job.settings.model_dump(),
        "shards": sorted(entry.key for entry in entries),
        "training": [sample.image_id for sample in split.training],
        "validation": [sample.image_id for sample in split.validation],
        "initial_weights": Digest.of(weights).sha256,
    }
    return content_key(content)[:12]


def _checkpoint(folder: ObjectStore, job: TrainJob, training_id: str) -> Checkpoint | None:
    if not folder.exists(CHECKPOINT):
        return None
    try:
        found = decode_checkpoint(folder.read(CHECKPOINT))
    except DataError as error:
        raise DataError(f"{job.folder}/{CHECKPOINT} {error}; remove it to train anew") from None
    if found.training_id != training_id:
        raise ArgumentError(
            f"{job.folder} holds training {found.training_id}, after epoch {found.epoch}; this one is {training_id}: "
            f"{_difference(folder, job)}; remove the folder, or choose another train.output"
        )
    return found


def _difference(folder: ObjectStore, job: TrainJob) -> str:
    """What the settings of the training in the folder are that those of this one are not."""
    try:
        before: Mapping[str, Any] = json.loads(folder.read(RECORD))["settings"]
    except (FileNotFoundError, ValueError, KeyError):
        return "it was another one"
    now = json.loads(json.dumps(job.settings.model_dump()))
    changed = [f"{name} was {before.get(name)}, is {value}" for name, value in now.items() if before.get(name) != value]
    return ", ".join(changed) or "the images, their split or the initial weights are others"


def _write_record(folder: ObjectStore, job: TrainJob, training_id: str, split: Split) -> None:
    rows = [(sample.image_id, name) for name in ("training", "validation") for sample in getattr(split, name)]
    frame = pd.DataFrame(list(dict.fromkeys(rows)), columns=["image_id", "split"], dtype="str")
    folder.write(SPLIT, tables.encode_frame(frame))
    record = {
        "training_id": training_id,
        "dataset": job.dataset,
        "classes": job.classes,
        "settings": job.settings.model_dump(),
        "split": job.split.model_dump(),
        "output": job.output,
        "initial_weights": job.initial_weights,
        "n_training": len(split.training),
        "n_validation": len(split.validation),
        "backend": keras.backend.backend(),
        "versions": {name: _version(name) for name in PACKAGES},
    }
    folder.write(RECORD, (json.dumps(record, indent=1, sort_keys=True) + "\n").encode())


def _write_history(folder: ObjectStore, job: TrainJob, checkpoint: Checkpoint) -> None:
    frame = history_table(checkpoint.rows, checkpoint.training_id, job.dataset)
    settings = {**job.settings.model_dump(), "head_weights": job.settings.weights_of_heads, "classes": job.classes}
    metadata = {"schema_version": "1", "kind": "training-history", "settings": json.dumps(settings, sort_keys=True)}
    folder.write(HISTORY, tables.encode_frame(frame, metadata=metadata))
    folder.write(CURVES, draw_curves(frame))
    write_event_log(frame, Path(job.folder) / EVENTS)


def _initialize(network: keras.Model, path: str) -> None:
    report = load_weights_by_name(network, path)
    logger.info("train: %s", report.describe())


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""
