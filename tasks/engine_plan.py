"""What a run predicts with: engine, precision and batch, resolved once, on images of the set, on a worker."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, is_dataclass, replace
from typing import Any, Self

from segscale.errors import EngineError
from segscale.storage.objects import ObjectStore
from segscale.tasks.batch_size import BatchSize, BatchTrial
from segscale.tasks.engine_rates import EngineRates
from segscale.tasks.engine_sample import Sample
from segscale.tasks.engines import Engine, EngineFacts, Precision
from segscale.tasks.engines.selection import Choice, EngineName
from segscale.tasks.int8 import Int8, Int8Source, Quantisation, find_int8, quantisation_of
from segscale.tasks.kept_graph import commit_graph
from segscale.tasks.parity import Parity, verdict
from segscale.tasks.prediction import Asked, Prediction, prediction_of
from segscale.tasks.reach import Reach, sees_far

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
    quantisation: Quantisation | None = None
    """How the graph of int8 was made; None for the other precisions."""

    def record(self) -> dict[str, dict[str, Any]]:
        """As JSON, without NaN: `prediction`, and `engine` with how it was resolved."""
        engine = {"facts": self.facts, "reason": self.reason, "parity": self.parity}
        engine |= {"batch": self.batch, "reach": self.reach, "rates": self.rates}
        engine |= {"quantisation": self.quantisation} if self.quantisation else {}
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
            quantisation_of(engine.get("quantisation")),
        )


def versions(facts: EngineFacts) -> dict[str, str]:
    """What of an engine must be equal on all workers for their numbers to be."""
    graph = {"graph": facts.graph} if facts.graph else {}
    return {"engine": facts.name, "runtime": facts.version, "device": facts.device, **graph}


def plan_engine(
    store: ObjectStore,
    ingest_key: str,
    asked: Asked,
    choice: Choice,
    build: Build,
    *,
    max_dice_change: float,
    memory_bytes: int,
    int8: Int8Source | None = None,
) -> tuple[EnginePlan, Engine]:
    """Resolve engine, precision and batch on an ingested shard, for what was asked.

    A reduced precision stands if no image checked changes its Dice by more than `max_dice_change` against float32 of
    the same engine; else, or where no image could be checked, it is float32. One that contends with float32 must be
    faster as well (`engine_rates`). `int8` says on which images that precision is made, where it may be. The batch is
    as large as pays and fits into `memory_bytes`.
    Raises EngineError where the engine cannot be had.
    """
    engine = build(choice.engine, "float32" if choice.precision == "int8" else choice.precision)
    sample = Sample.read(store, ingest_key, engine)
    plan = _resolved(engine, choice.reason, sample, asked, memory_bytes)
    if choice.precision == "int8":
        assert int8 is not None
        found = find_int8(store, int8, sample, engine, plan.prediction, max_dice_change)
        return _with_int8(plan, engine, found, store)
    if choice.contender is not None or choice.int8:
        plan, taken = _contended(plan, engine, choice, build, sample, max_dice_change)
        if choice.int8 and int8 is not None:
            plan, taken = _int8_contended(plan, taken, engine, sample, int8, store, max_dice_change)
        if plan.rates is None:
            return plan, taken
        return replace(plan, reason=f'{plan.reason}; model.precision = "{plan.facts.precision}" pins it'), taken
    if engine.facts.precision == "float32":
        return plan, engine
    full = build(choice.engine, "float32")
    parity = sample.compare(engine, full, plan.prediction)
    reason = f"{choice.reason}; {verdict(engine.facts.precision, parity, max_dice_change)}"
    if parity.within(max_dice_change):
        return replace(plan, parity=parity, reason=reason), engine
    return replace(_resolved(full, reason, sample, asked, memory_bytes), parity=parity), full


def _contended(
    plan: EnginePlan, full: Engine, choice: Choice, build: Build, sample: Sample, max_dice_change: float
) -> tuple[EnginePlan, Engine]:
    """The plan in float32, or in the precision that contends with it; which one is said.

    The batch and how far the network looks stay as they were found: memory that was used once is not seen to be used
    again, and float32 sees farther.
    """
    if choice.contender is None:
        return plan, full
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
        reason = f"{reason}; {verdict(choice.contender, parity, max_dice_change)}"
        taken = reduced if parity.within(max_dice_change) else full
    facts = taken.facts
    prediction = replace(plan.prediction, precision=facts.precision, versions=versions(facts))
    return replace(plan, prediction=prediction, facts=facts, reason=reason, parity=parity, rates=rates), taken


def _int8_contended(
    plan: EnginePlan,
    taken: Engine,
    full: Engine,
    sample: Sample,
    int8: Int8Source,
    store: ObjectStore,
    max_dice_change: float,
) -> tuple[EnginePlan, Engine]:
    """The plan with int8 where its price allows it and it is faster than what was taken before it."""
    try:
        found = find_int8(store, int8, sample, full, plan.prediction, max_dice_change)
    except EngineError as error:
        return replace(plan, reason=f"{plan.reason}; {error}"), taken
    rates = sample.rates(found.engine, full, plan.prediction) if found.accepted else None
    if rates is None:
        return replace(plan, reason=f"{plan.reason}; {found.reason}"), taken
    before = plan.rates if taken is not full else None
    if not rates.pays or (before is not None and before.ratio >= rates.ratio):
        slower = f", not faster than {before.precision}" if rates.pays and before is not None else ""
        reason = f"{plan.reason}; {found.reason}; {rates.in_words()}{slower}"
        return replace(plan, reason=reason, rates=plan.rates or rates), taken
    plan, engine = _with_int8(plan, full, found, store)
    return replace(plan, reason=f"{plan.reason}; {rates.in_words()}", rates=rates), engine


def _with_int8(plan: EnginePlan, full: Engine, found: Int8, store: ObjectStore) -> tuple[EnginePlan, Engine]:
    """The plan with a graph in int8, which is committed; or in float32 where its price is too high."""
    plan = replace(plan, reason=f"{plan.reason}; {found.reason}", parity=found.parity)
    if not found.accepted:
        return plan, full
    commit_graph(store, found.graph, found.quantisation)
    facts = found.engine.facts
    prediction = replace(plan.prediction, precision=facts.precision, versions=versions(facts))
    return replace(plan, prediction=prediction, facts=facts, quantisation=found.quantisation), found.engine


def _resolved(engine: Engine, reason: str, sample: Sample, asked: Asked, memory_bytes: int) -> EnginePlan:
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
    prediction: Prediction, engine: Engine, sample: Sample, memory_bytes: int
) -> tuple[Prediction, BatchSize | None]:
    """With the batch that was found, where the size was not given."""
    batch = None if prediction.batch_size else sample.find_batch_size(engine, prediction, memory_bytes)
    if batch is None:
        return prediction, None
    # Of the sample's own size, tiles included: other sizes get as many pixels.
    _, height, width = next(iter(sample.shapes(prediction, engine.facts)))
    return replace(prediction, batch_pixels=batch.n_images * height * width), batch


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
