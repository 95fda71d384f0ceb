"""What a run predicts with: engine, precision and batch, resolved once, on images of the set, on a worker."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass, replace
from typing import Any, Self

from segscale.storage import shards
from segscale.storage.ledger import Ledger
from segscale.storage.objects import ObjectStore
from segscale.tasks.batch_size import BatchSize, BatchTrial, find_batch_size
from segscale.tasks.blocks import BlockReader, Place
from segscale.tasks.engines import Engine, EngineFacts, Precision
from segscale.tasks.engines.selection import Choice, EngineName
from segscale.tasks.inference import Batch, Merging, plan_pieces, read_batches
from segscale.tasks.ingest import IMAGES, REFERENCES
from segscale.tasks.parity import Parity, Piece, compare
from segscale.tasks.predict import Asked, Prediction, batch_shape, prediction_of, refused_rows
from segscale.tasks.shard_plan import STAGE as INGEST
from segscale.tasks.shard_rows import ShardRow, read_shard_rows

PARITY_IMAGES = 32
"""So many of the shard's images, the first ones, are predicted in both precisions."""

Build = Callable[[EngineName, Precision], Engine]
"""Makes an engine from its name and its precision; EngineError where it cannot be had."""


@dataclass(frozen=True, slots=True)
class EnginePlan:
    """What a run predicts with, and why: the plan record."""

    prediction: Prediction
    """What is part of every key; the rest is in none."""
    facts: EngineFacts
    reason: str
    """Why this engine and this precision, in a sentence or two."""
    parity: Parity | None
    """What the reduced precision that was asked for costs; None where none was asked for."""
    batch: BatchSize | None
    """None where the size was given, or where no image of the shard can be predicted."""

    def record(self) -> dict[str, dict[str, Any]]:
        """As JSON, without NaN: `prediction`, and `engine` with how it was resolved."""
        engine = {"facts": self.facts, "reason": self.reason, "parity": self.parity, "batch": self.batch}
        return {"prediction": _plain(self.prediction), "engine": _plain(engine)}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """Out of JSON; what was NaN is NaN again."""
        engine = record["engine"]
        facts, parity, batch = engine["facts"], engine["parity"], engine["batch"]
        return cls(
            prediction_of(record["prediction"]),
            EngineFacts(**{**facts, "heads": tuple(facts["heads"])}),
            engine["reason"],
            None if parity is None else Parity(**_with_nan(parity)),
            batch and BatchSize(**{**batch, "trials": tuple(BatchTrial(**trial) for trial in batch["trials"])}),
        )


def versions(facts: EngineFacts) -> dict[str, str]:
    """What of an engine must be equal on all workers for their numbers to be."""
    return {"engine": facts.name, "runtime": facts.version, "device": facts.device}


def plan_engine(
    store: ObjectStore,
    ingest_key: str,
    asked: Asked,
    choice: Choice,
    build: Build,
    *,
    max_dice_change: float,
    memory_bytes: int,
) -> tuple[EnginePlan, Engine]:
    """Resolve engine, precision and batch on an ingested shard, for what was asked.

    A reduced precision stands if no image checked changes its Dice by more than `max_dice_change` against float32 of
    the same engine; else, or where no image could be checked, it is float32. The batch is as large as pays and fits
    into `memory_bytes`. Raises EngineError where the engine cannot be had.
    """
    engine = build(choice.engine, choice.precision)
    sample = _Sample.read(store, ingest_key, engine)
    plan = _resolved(engine, choice.reason, sample, asked, memory_bytes)
    if engine.facts.precision == "float32":
        return plan, engine
    full = build(choice.engine, "float32")
    parity = sample.compare(engine, full, plan.prediction)
    reason = f"{choice.reason}; {_verdict(engine.facts.precision, parity, max_dice_change)}"
    if parity.within(max_dice_change):
        return replace(plan, parity=parity, reason=reason), engine
    return replace(_resolved(full, reason, sample, asked, memory_bytes), parity=parity), full


def _resolved(engine: Engine, reason: str, sample: _Sample, asked: Asked, memory_bytes: int) -> EnginePlan:
    facts = engine.facts
    prediction = Prediction(
        **{**asdict(asked), "n_classes": facts.n_classes},
        engine=facts.name,
        precision=facts.precision,
        versions=versions(facts),
        heads=facts.heads,
        batch_pixels=0,
    )
    batch = None if asked.batch_size else sample.find_batch_size(engine, prediction, memory_bytes)
    if batch is not None:
        # Of the sample's own size, tiles included: other sizes get as many pixels.
        _, height, width = batch_shape(*sample.padded, prediction)
        prediction = replace(prediction, batch_pixels=batch.n_images * height * width)
    return EnginePlan(prediction, facts, reason, None, batch)


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
    """Of images that the network can take; none where all of the shard failed."""
    arrays: tuple[shards.ZarrArray, ...]
    """Images and references; none where there are no rows."""

    @classmethod
    def read(cls, store: ObjectStore, ingest_key: str, engine: Engine) -> _Sample:
        entry = Ledger(store).read(INGEST, ingest_key)
        rows = read_shard_rows(store, entry)
        refused = refused_rows(rows, engine)
        accepted = [row for row in rows if row.image_id not in refused][:PARITY_IMAGES]
        return cls(accepted, shards.open_arrays(store, entry, IMAGES, REFERENCES) if accepted else ())

    @property
    def padded(self) -> tuple[int, int]:
        """Height and width of the images as stored; 0 of no images."""
        return (int(self.arrays[0].shape[1]), int(self.arrays[0].shape[2])) if self.arrays else (0, 0)

    def batches(self, prediction: Prediction, facts: EngineFacts) -> Iterator[Batch]:
        if not self.rows:
            return iter(())
        shape = batch_shape(*self.padded, prediction)
        return read_batches(self.arrays[0], plan_pieces(self.rows, shape, prediction.overlap), shape, facts)

    def find_batch_size(self, engine: Engine, prediction: Prediction, memory_bytes: int) -> BatchSize | None:
        one_by_one = replace(prediction, batch_size=1)
        for batch in self.batches(one_by_one, engine.facts):
            return find_batch_size(engine, batch.pixels, batch.recipes, memory_bytes=memory_bytes)
        return None

    def compare(self, reduced: Engine, full: Engine, prediction: Prediction) -> Parity:
        return compare(self._pieces(reduced, full, prediction), prediction.n_classes, prediction.threshold)

    def _pieces(self, reduced: Engine, full: Engine, prediction: Prediction) -> Iterator[Piece]:
        if not self.rows:
            return
        references, mergings = BlockReader(self.arrays[1]), (Merging(), Merging())
        for batch in self.batches(prediction, reduced.facts):
            found = (engine.probabilities(batch.pixels, batch.recipes) for engine in (reduced, full))
            bands = (merging.bands(batch.pieces, one) for merging, one in zip(mergings, found, strict=True))
            for one, other in zip(*bands, strict=True):
                (reference,) = references.read([Place(one.position, one.top, one.bottom)])
                yield Piece(one.row.image_id, reference[:, : one.row.width], one.probabilities, other.probabilities)


def _with_nan(record: Mapping[str, Any]) -> dict[str, Any]:
    return {name: math.nan if value is None else value for name, value in record.items()}


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and value != value else value
