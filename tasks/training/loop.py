"""The training itself: epochs of seeded steps, measured, kept, and repeatable to the bit on one kind of machine."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import keras
import numpy as np

from segscale.errors import ArgumentError
from segscale.tasks.engines.keras import limit_threads
from segscale.tasks.models.reference_encoding import check_shapes, check_values
from segscale.tasks.training.checkpoint import Arrays, Best, Checkpoint
from segscale.tasks.training.feed import Batch, WaitingClock, training_batches, validation_batches
from segscale.tasks.training.history import Row, epoch_row, measures
from segscale.tasks.training.network import SupervisedNetwork, build_network, compiled_network
from segscale.tasks.training.patches import PatchPlan, plan_patches
from segscale.tasks.training.sample import check_samples
from segscale.tasks.training.settings import TrainSettings
from segscale.tasks.training.split import Split

JUDGE = "dice_per_sample"
"""The score of the validation images that says which epoch is best."""


@dataclass(frozen=True, slots=True)
class Training:
    """What is trained on what, and under which name it may be resumed."""

    training_id: str
    split: Split
    settings: TrainSettings
    initial_weights: Callable[[keras.Model], None] | None = None
    """Called with the new network, to give it weights from elsewhere."""

    @property
    def steps_per_epoch(self) -> int:
        settings = self.settings
        return settings.steps_per_epoch or math.ceil(len(self.split.training) / settings.batch_size)


def train_network(
    training: Training, on_epoch: Callable[[Checkpoint], None], start: Checkpoint | None = None
) -> keras.Model:
    """Train a UNet++ with deep supervision; `on_epoch` is called after every epoch with all that is needed to go on.

    With `start` the training goes on after its epoch, and the rows that follow are those of an undisturbed run. What
    comes back computes in float32, is not compiled, and has the weights that `settings.keep` asks for.

    Equal samples, settings and versions give equal weights on one kind of machine. The seed and the wish for repeatable
    operations are set for the whole process. Raises ValueError before the first step for samples that do not fit the
    settings, or a checkpoint of another training; FloatingPointError where the loss is no number any more.
    """
    settings = training.settings
    check_samples([*training.split.training, *training.split.validation], settings.n_classes, settings.channels)
    limit_threads(settings.threads)
    _make_repeatable(settings.seed)
    network = compiled_network(settings, measures(settings))
    plan = _plan(training)
    _check_references(plan, training)
    state = _first_state(training, network) if start is None else _resumed(training, network, start)
    _check_finite(state)
    # One stream for all epochs: the first patches of the next are made while this one is validated.
    patches = _patches(plan, training, state.epoch + 1)
    for epoch in range(state.epoch + 1, settings.epochs + 1):
        if _has_stopped(state, settings):
            break
        rows = [_train_epoch(network, training, islice(patches, training.steps_per_epoch), epoch)]
        best = state.best
        if training.split.validation:
            rows.append(_validate(network, training, epoch))
            best = _better(best, rows[-1], network)
        state = replace(_state(network, state, rows), epoch=epoch, best=best)
        on_epoch(state)
        _check_finite(state)
    return _trained(settings, network, state.best if settings.keep == "best" else None)


def learning_rate_at(step: int, total_steps: int, settings: TrainSettings) -> float:
    """The learning rate of a step, counted from 0: constant, or along a half cosine to 0 at `total_steps`."""
    if settings.schedule == "constant":
        return settings.learning_rate
    return settings.learning_rate * 0.5 * (1.0 + math.cos(math.pi * step / total_steps))


def _plan(training: Training) -> PatchPlan:
    settings = training.settings
    return plan_patches(
        training.split.training, settings.patch, seed=settings.seed, foreground_share=settings.foreground_share
    )


def _patches(plan: PatchPlan, training: Training, first_epoch: int) -> Iterator[Batch]:
    settings, first_step = training.settings, (first_epoch - 1) * training.steps_per_epoch
    return training_batches(
        plan,
        settings.augmentation,
        batch_size=settings.batch_size,
        channels=settings.channels,
        first_step=first_step,
        n_steps=settings.epochs * training.steps_per_epoch - first_step,
    )


def _train_epoch(network: SupervisedNetwork, training: Training, batches: Iterable[Batch], epoch: int) -> Row:
    settings, n_steps = training.settings, training.steps_per_epoch
    first, total = (epoch - 1) * n_steps, settings.epochs * n_steps

    def step(place: int, batch: Batch) -> dict[str, Any]:
        network.optimizer.learning_rate = learning_rate_at(first + place, total, settings)
        results: dict[str, Any] = network.train_on_batch(batch.images, batch.references, return_dict=True)
        return results

    return _epoch("training", network, batches, step, epoch, settings)


def _validate(network: SupervisedNetwork, training: Training, epoch: int) -> Row:
    settings = training.settings
    stride = 2 ** (len(settings.filters) - 1)
    batches = validation_batches(training.split.validation, stride, settings.batch_size, settings.channels)

    def step(_: int, batch: Batch) -> dict[str, Any]:
        results: dict[str, Any] = network.test_on_batch(batch.images, batch.references, return_dict=True)
        return results

    return _epoch("validation", network, batches, step, epoch, settings)


def _epoch(
    split: str,
    network: SupervisedNetwork,
    batches: Iterable[Batch],
    step: Callable[[int, Batch], dict[str, Any]],
    epoch: int,
    settings: TrainSettings,
) -> Row:
    network.start_epoch()
    started, n_batches = time.perf_counter(), 0
    clock: WaitingClock[Batch] = WaitingClock(batches)
    results: dict[str, Any] = {}
    for n_batches, batch in enumerate(clock, 1):
        results = step(n_batches - 1, batch)
    return epoch_row(
        split,
        epoch,
        results,
        settings,
        n_batches=n_batches,
        learning_rate=float(network.optimizer.learning_rate),
        seconds=time.perf_counter() - started,
        waiting_seconds=clock.seconds,
    )


def _state(network: SupervisedNetwork, before: Checkpoint, rows: list[Row]) -> Checkpoint:
    return replace(
        before,
        rows=(*before.rows, *rows),
        network=_values(network.variables),
        optimizer=_values(network.optimizer.variables),
    )


def _first_state(training: Training, network: SupervisedNetwork) -> Checkpoint:
    if training.initial_weights is not None:
        training.initial_weights(network)
    return Checkpoint(training.training_id, 0, (), (), (), None)


def _resumed(training: Training, network: SupervisedNetwork, start: Checkpoint) -> Checkpoint:
    if start.training_id != training.training_id:
        raise ArgumentError(f"the checkpoint is of training {start.training_id}, this one is {training.training_id}")
    _assign(network.variables, start.network)
    _assign(network.optimizer.variables, start.optimizer)
    return start


def _assign(variables: list[Any], values: Arrays) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _values(variables: list[Any]) -> Arrays:
    return tuple(np.array(keras.ops.convert_to_numpy(variable)) for variable in variables)


def _better(best: Best | None, row: Row, network: SupervisedNetwork) -> Best | None:
    score = float(row[JUDGE])
    # An undefined score (no lesion found and none there) is no better than any other.
    if not math.isnan(score) and (best is None or score > best.score):
        return Best(int(row["epoch"]), score, tuple(network.get_weights()))
    return best


def _has_stopped(state: Checkpoint, settings: TrainSettings) -> bool:
    judged = state.best.epoch if state.best else 0
    has_validation = any(row["split"] == "validation" for row in state.rows)
    return bool(settings.patience) and has_validation and state.epoch - judged >= settings.patience


def _check_finite(state: Checkpoint) -> None:
    for row in state.rows[-2:]:
        if not math.isfinite(row["loss"]):
            raise FloatingPointError(
                f"epoch {row['epoch']}: the {row['split']} loss is {row['loss']}; lower train.learning_rate, or train "
                "in float32 or bfloat16 if it was float16"
            )


def _trained(settings: TrainSettings, network: SupervisedNetwork, best: Best | None) -> keras.Model:
    trained = build_network(settings, "float32")
    trained.set_weights(list(best.weights) if best else network.get_weights())
    return trained


def _check_references(plan: PatchPlan, training: Training) -> None:
    """The references are what the loss takes them for: in the values of all, and in the shape of the first batch."""
    settings = training.settings
    values = np.unique(np.concatenate([np.unique(sample.reference) for sample in plan.samples]))
    check_values(values, settings.n_classes, "index")
    batch = next(_patches(plan, training, 1))
    outputs = 1 if settings.activation == "sigmoid" else settings.n_classes
    check_shapes(batch.references.shape, (*batch.images.shape[:3], outputs), "index")


def _make_repeatable(seed: int) -> None:
    keras.utils.set_random_seed(seed)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
