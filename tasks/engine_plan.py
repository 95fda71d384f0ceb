"""What a run predicts with: engine, precision and batch, resolved once, on images of the set, on a worker."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass, replace
from typing import Any, Self

import numpy as np

from segscale.errors import EngineError
from segscale.storage import shards
from segscale.storage.ledger import Ledger
from segscale.storage.objects import ObjectStore
from segscale.tasks.batch_size import BatchSize, BatchTrial, find_batch_size
from segscale.tasks.blocks import BlockReader, Place
from segscale.tasks.engine_rates import EngineRates, measure_rates
from segscale.tasks.engines import Engine, EngineFacts, Precision
from segscale.tasks.engines.selection import Choice, EngineName
from segscale.tasks.inference import Batch, BatchShape, Merging
from segscale.tasks.ingest import IMAGES, REFERENCES
from segscale.tasks.network_input import refused_rows
from segscale.tasks.parity import Parity, Piece, compare
from segscale.tasks.predict import STAGE
from segscale.tasks.prediction import Asked, Prediction, batches_of, prediction_of, shapes_of
from segscale.tasks.reach import Reach, far_difference, sees_far
from segscale.tasks.shard_plan import STAGE as INGEST
from segscale.tasks.shard_rows import ShardRow, read_shard_rows, sound
from segscale.tasks.tiling import next_multiple

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
    reach: Reach | None = None
    """How far the network looks; None where no image of the shard can be predicted, or the network takes one size."""
    rates: EngineRates | None = None
    """How fast the precision is that contended with float32; None where none did, or no image could be tried."""

    def record(self) -> dict[str, dict[str, Any]]:
        """As JSON, without NaN: `prediction`, and `engine` with how it was resolved."""
        engine = {"facts": self.facts, "reason": self.reason, "parity": self.parity}
        engine |= {"batch": self.batch, "reach": self.reach, "rates": self.rates}
        return {"prediction": _plain(self.prediction.record()), "engine": _plain(engine)}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """Out of JSON; what was NaN is NaN again."""
        engine = record["engine"]
        facts, parity, batch, reach = (engine[name] for name in ("facts", "parity", "batch", "reach"))
        return cls(
            prediction_of(record["prediction"]),
            _facts(facts),
            engine["reason"],
            None if parity is None else Parity(**_with_nan(parity)),
            batch and BatchSize(**{**batch, "trials": tuple(BatchTrial(**trial) for trial in batch["trials"])}),
            None if reach is None else Reach(**_with_nan(reach)),
            # Records of before have none.
            None if (rates := engine.get("rates")) is None else _rates_of(rates),
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
    the same engine; else, or where no image could be checked, it is float32. One that contends with float32 must be
    faster as well (`engine_rates`). The batch is as large as pays and fits into `memory_bytes`.
    Raises EngineError where the engine cannot be had.
    """
    engine = build(choice.engine, choice.precision)
    sample = _Sample.read(store, ingest_key, engine)
    plan = _resolved(engine, choice.reason, sample, asked, memory_bytes)
    if choice.contender is not None:
        return _contended(plan, engine, choice, build, sample, max_dice_change)
    if engine.facts.precision == "float32":
        return plan, engine
    full = build(choice.engine, "float32")
    parity = sample.compare(engine, full, plan.prediction)
    reason = f"{choice.reason}; {_verdict(engine.facts.precision, parity, max_dice_change)}"
    if parity.within(max_dice_change):
        return replace(plan, parity=parity, reason=reason), engine
    return replace(_resolved(full, reason, sample, asked, memory_bytes), parity=parity), full


def _contended(
    plan: EnginePlan, full: Engine, choice: Choice, build: Build, sample: _Sample, max_dice_change: float
) -> tuple[EnginePlan, Engine]:
    """The plan in float32, or in the precision that contends with it; which one, and how that is pinned, is said.

    The batch and how far the network looks stay as they were found: memory that was used once is not seen to be used
    again, and float32 sees farther.
    """
    assert choice.contender is not None
    try:
        reduced = build(choice.engine, choice.contender)
    except EngineError as error:
        return replace(plan, reason=f"{plan.reason}; {error}"), full
    rates = sample.rates(reduced, full, plan.prediction)
    if rates is None:
        return replace(plan, reason=f"{plan.reason}; no image of the shard checked can be predicted: float32"), full
    reason, parity, taken = f"{plan.reason}; {rates.in_words()}", None, full
    if rates.pays:
        parity = sample.compare(reduced, full, plan.prediction)
        reason = f"{reason}; {_verdict(choice.contender, parity, max_dice_change)}"
        taken = reduced if parity.within(max_dice_change) else full
    facts = taken.facts
    prediction = replace(plan.prediction, precision=facts.precision, versions=versions(facts))
    reason = f'{reason}; model.precision = "{facts.precision}" pins it'
    return replace(plan, prediction=prediction, facts=facts, reason=reason, parity=parity, rates=rates), taken


def _resolved(engine: Engine, reason: str, sample: _Sample, asked: Asked, memory_bytes: int) -> EnginePlan:
    facts = engine.facts
    prediction = Prediction(
        **{**asdict(asked), "n_classes": facts.n_classes},
        engine=facts.name,
        precision=facts.precision,
        versions=versions(facts),
        heads=facts.heads,
        batch_pixels=0,
        # A network of a fixed size has no other to be given: the window it was made for is its whole image.
        whole_image=bool(facts.whole_image) and facts.fixed_size is None,
    )
    # Before anything else is predicted: memory that was used once is not seen to be used again.
    prediction, batch = _with_batch(prediction, engine, sample, memory_bytes)
    reach = sample.find_reach(engine, prediction)
    if reach is not None and sees_far(reach.far_difference, facts.precision):
        whole = replace(prediction, whole_image=True, batch_pixels=0)
        prediction, batch = _with_batch(whole, engine, sample, memory_bytes)
    return EnginePlan(prediction, facts, reason, None, batch, reach)


def _with_batch(
    prediction: Prediction, engine: Engine, sample: _Sample, memory_bytes: int
) -> tuple[Prediction, BatchSize | None]:
    """With the batch that was found, where the size was not given."""
    batch = None if prediction.batch_size else sample.find_batch_size(engine, prediction, memory_bytes)
    if batch is None:
        return prediction, None
    # Of the sample's own size, tiles included: other sizes get as many pixels.
    _, height, width = next(iter(sample.shapes(prediction, engine.facts)))
    return replace(prediction, batch_pixels=batch.n_images * height * width), batch


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
        arrays = shards.open_arrays(store, entry, IMAGES, REFERENCES) if sound(rows) else ()
        refused = refused_rows(rows, engine.facts, arrays, STAGE)
        accepted = [row for row in rows if row.image_id not in refused][:PARITY_IMAGES]
        return cls(accepted, arrays if accepted else ())

    @property
    def padded(self) -> tuple[int, int]:
        """Height and width of the images as stored; 0 of no images."""
        return (int(self.arrays[0].shape[1]), int(self.arrays[0].shape[2])) if self.arrays else (0, 0)

    def rows_for(self, prediction: Prediction) -> Sequence[ShardRow]:
        """Without those that are refused later, because they are too large for a network that must see all of them."""
        tile = prediction.tile
        return [row for row in self.rows if not prediction.whole_image or max(row.height, row.width) <= tile]

    def shapes(self, prediction: Prediction, facts: EngineFacts) -> dict[BatchShape, list[ShardRow]]:
        return shapes_of(self.rows_for(prediction), self.padded, prediction, facts.stride, facts.fixed_size)

    def batches(self, prediction: Prediction, facts: EngineFacts) -> Iterator[Batch]:
        rows = self.rows_for(prediction)
        return batches_of(self.arrays[0], rows, prediction, facts) if rows else iter(())

    def find_batch_size(self, engine: Engine, prediction: Prediction, memory_bytes: int) -> BatchSize | None:
        one_by_one = replace(prediction, batch_size=1)
        for batch in self.batches(one_by_one, engine.facts):
            return find_batch_size(engine, batch.pixels, batch.recipes, memory_bytes=memory_bytes)
        return None

    def rates(self, reduced: Engine, full: Engine, prediction: Prediction) -> EngineRates | None:
        """Of the first batch; None where no image can be predicted."""
        for batch in self.batches(prediction, full.facts):
            return measure_rates(reduced, full, batch.pixels, batch.recipes)
        return None

    def find_reach(self, engine: Engine, prediction: Prediction) -> Reach | None:
        """How far a network looks that a prediction takes for one that looks at the whole image, or for none."""
        one_by_one, facts = replace(prediction, batch_size=1), engine.facts
        first = next(self.batches(one_by_one, facts), None)
        if first is None or facts.fixed_size:
            return None
        far = math.nan if prediction.whole_image else far_difference(engine, first.pixels, first.recipes)
        reach = Reach(first.image_ids[0], far, math.nan)
        whole = replace(one_by_one, whole_image=True)
        if not (prediction.whole_image or sees_far(far, facts.precision)) or not self.rows_for(whole):
            return reach
        row = max(self.rows_for(whole), key=lambda row: self.padding_of(row, facts))
        padded, true = (
            next(replace(self, rows=[row]).batches(replace(whole, whole_image=is_whole), facts))
            for is_whole in (False, True)
        )
        found = [engine.probabilities(batch.pixels, batch.recipes) for batch in (padded, true)]
        shown = [one[:, 0, : row.height, : row.width] for one in found]
        return replace(reach, image=row.image_id, padding_difference=float(np.abs(shown[0] - shown[1]).max()))

    def padding_of(self, row: ShardRow, facts: EngineFacts) -> int:
        """Pixels that the size shared with others has beyond the true one."""
        height, width = (next_multiple(side, facts.stride) for side in (row.height, row.width))
        return self.padded[0] * self.padded[1] - height * width

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


def _facts(record: Mapping[str, Any]) -> EngineFacts:
    """Out of JSON, which has lists for tuples; of before there were networks of a fixed size, too."""
    tuples = {name: tuple(record[name]) for name in ("heads", "whole_image")}
    return EngineFacts(**{**record, **tuples, "fixed_size": tuple(record.get("fixed_size") or ()) or None})


def _rates_of(record: Mapping[str, Any]) -> EngineRates:
    return EngineRates(record["precision"], tuple(record["reduced"]), tuple(record["full"]))


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
