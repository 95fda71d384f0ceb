"""What a run predicts with: engine, precision and batch, resolved once, on images of the set, where the work is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, astuple, dataclass, replace
from typing import Any

import numpy as np

from storage import shards
from storage.ledger import Ledger
from storage.objects import ObjectStore
from tasks.batch_size import BatchSize, find_batch_size
from tasks.engines import Engine, EngineFacts
from tasks.engines.selection import Choice
from tasks.ingest import IMAGES, REFERENCES
from tasks.parity import Parity, Piece, compare
from tasks.predict import Prediction, accepted_rows, batch_shape, predicted
from tasks.shard_plan import STAGE as INGEST
from tasks.shard_rows import ShardRow, read_shard_rows

PARITY_IMAGES = 32
"""So many of the shard's images, the first ones, are predicted in both precisions."""

Build = Callable[[str, str], Engine]
"""Makes an engine from its name and its precision; ValueError where it cannot be had."""


@dataclass(frozen=True, slots=True)
class EnginePlan:
    """What was resolved, and why."""

    facts: EngineFacts
    reason: str
    """Why this engine and this precision, in a sentence or two."""
    parity: Parity | None
    """What the reduced precision that was asked for costs; None where none was asked for."""
    batch: BatchSize | None
    """None where the size was given, or where no image of the shard can be predicted."""

    def apply(self, prediction: Prediction, padded: tuple[int, int]) -> Prediction:
        """The plan record with what was resolved; images of the shard are padded to `padded` (height, width)."""
        resolved = replace(
            prediction,
            engine=self.facts.name,
            precision=self.facts.precision,
            versions=versions(self.facts),
            heads=self.facts.heads,
            n_classes=self.facts.n_classes,
        )
        if self.batch is None:
            return resolved
        _, height, width = batch_shape(*padded, resolved)
        return replace(resolved, batch_pixels=self.batch.n_images * height * width)


def versions(facts: EngineFacts) -> dict[str, str]:
    """What of an engine must be equal on all workers for their numbers to be."""
    return {"engine": facts.name, "runtime": facts.version, "device": facts.device}


def plan_engine(
    store: ObjectStore,
    ingest_key: str,
    basis: Prediction,
    choice: Choice,
    build: Build,
    *,
    max_dice_change: float,
    memory_bytes: int,
) -> tuple[EnginePlan, Prediction, Engine]:
    """Resolve engine, precision and batch on an ingested shard; `basis` is the plan record as far as it was asked for.

    A reduced precision stands if no image checked changes its Dice by more than `max_dice_change` against float32 of
    the same engine; else, or where no image could be checked, it is float32. The batch is as large as pays and fits
    into `memory_bytes`. Raises ValueError where the engine cannot be had.
    """
    engine = build(choice.engine, choice.precision)
    sample = _Sample.read(store, ingest_key, engine)
    plan = _resolved(engine, choice.reason, sample, basis, memory_bytes)
    if engine.facts.precision == "float32":
        return plan, plan.apply(basis, sample.padded), engine
    full = build(choice.engine, "float32")
    parity = sample.compare(engine, full, plan.apply(basis, sample.padded))
    reason = f"{choice.reason}; {_verdict(engine.facts.precision, parity, max_dice_change)}"
    if parity.within(max_dice_change):
        plan = replace(plan, parity=parity, reason=reason)
    else:
        engine = full
        plan = replace(_resolved(full, reason, sample, basis, memory_bytes), parity=parity)
    return plan, plan.apply(basis, sample.padded), engine


def _resolved(engine: Engine, reason: str, sample: _Sample, basis: Prediction, memory_bytes: int) -> EnginePlan:
    batch = None if basis.batch_size else sample.find_batch_size(engine, basis, memory_bytes)
    return EnginePlan(engine.facts, reason, None, batch)


def _verdict(precision: str, parity: Parity, max_dice_change: float) -> str:
    if not parity.n_images + parity.n_unusable:
        return f"no image of the shard checked can be predicted, so the price of {precision} is unknown: float32"
    price = (
        f"{precision} changes the Dice of {parity.n_images} images by {parity.largest_dice_change:.2g} at most, "
        f"{parity.n_flipped} of {parity.n_pixels} pixels flip"
    )
    if parity.n_unusable:
        return f"{price}, and {parity.n_unusable} images have results that are no probabilities: float32"
    within = parity.within(max_dice_change)
    return f"{price}: {'accepted' if within else f'more than {max_dice_change:g} (max_dice_change), so float32'}"


@dataclass(frozen=True, slots=True, eq=False)
class _Sample:
    """The images that an engine is tried on."""

    rows: Sequence[ShardRow]
    images: shards.ZarrArray
    references: shards.ZarrArray

    @classmethod
    def read(cls, store: ObjectStore, ingest_key: str, engine: Engine) -> _Sample:
        entry = Ledger(store).read(INGEST, ingest_key)
        images, references = shards.open_arrays(store, entry, IMAGES, REFERENCES)
        accepted, _ = accepted_rows(read_shard_rows(store, entry), engine)
        return cls(accepted[:PARITY_IMAGES], images, references)

    @property
    def padded(self) -> tuple[int, int]:
        """Height and width of the images as stored."""
        return int(self.images.shape[1]), int(self.images.shape[2])

    def find_batch_size(self, engine: Engine, prediction: Prediction, memory_bytes: int) -> BatchSize | None:
        if not self.rows:
            return None
        row = self.rows[0]
        _, height, width = batch_shape(*self.padded, prediction)
        pixels = shards.as_numpy(self.images, row.start, row.start + 1)[:, :height, :width]
        recipe = np.array([astuple(row.recipe)], np.float32)
        return find_batch_size(engine, pixels, recipe, memory_bytes=memory_bytes)

    def compare(self, reduced: Engine, full: Engine, prediction: Prediction) -> Parity:
        pieces = self._pieces(reduced, full, prediction) if self.rows else iter(())
        return compare(pieces, prediction.n_classes, prediction.threshold)

    def _pieces(self, reduced: Engine, full: Engine, prediction: Prediction) -> Iterator[Piece]:
        both = (predicted(self.images, self.rows, prediction, engine) for engine in (reduced, full))
        for one, other in zip(*both, strict=True):
            raise NotImplementedError((one, other))


def as_record(plan: EnginePlan) -> dict[str, Any]:
    """The plan as plain values for JSON, without NaN."""
    return _plain(asdict(plan))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and value != value else value
