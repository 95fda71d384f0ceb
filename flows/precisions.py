"""Precisions: those that an engine offers, built on this machine and timed in turns."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import cast, get_args

import numpy as np
import pandas as pd
import psutil

from segscale.errors import ArgumentError, ConfigError, DataError, EngineError
from segscale.flows.plan import asked_of
from segscale.flows.run import Run
from segscale.flows.worker.engine import build_engine
from segscale.storage import shards
from segscale.storage.ledger import Ledger
from segscale.tasks.engine_plan import plan_engine
from segscale.tasks.engine_rates import rates_in_turns
from segscale.tasks.engines import Engine, Precision
from segscale.tasks.engines.selection import Choice, EngineName, choose_engine
from segscale.tasks.inference import Batch
from segscale.tasks.ingest import IMAGES
from segscale.tasks.network_input import refused_rows
from segscale.tasks.predict import STAGE
from segscale.tasks.prediction import Prediction, batches_of
from segscale.tasks.shard_plan import STAGE as INGEST
from segscale.tasks.shard_rows import read_shard_rows, sound

logger = logging.getLogger("segscale")
FULL: Precision = "float32"
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
Shape = tuple[int, int, int]
OFFERED: Mapping[EngineName, tuple[Precision, ...]] = {
    "openvino": ("bfloat16",),
    "keras": ("bfloat16", "float16"),
}
"""The reduced precisions of each engine; whether a machine has one is found out by building it."""
_WHY_NOT: Mapping[Precision, str] = {
    "int8": 'it is quantised when a run is planned, which says its price on images of the set: precision = "int8"'
}
_SPARE = 0.75
"""Of the memory that is free, so much may a batch take."""


@dataclass(frozen=True, slots=True)
class Tried:
    """A precision on this machine."""

    precision: Precision
    engine: Engine | None
    """None where this machine does not have it."""
    reason: str = ""
    """Why not."""
    rates: tuple[float, ...] = ()
    """Images per second of each turn."""


def try_precisions(run: Run, ingest_key: str, asked: Collection[Precision]) -> tuple[Prediction, Shape, list[Tried]]:
    """How a run over a set would predict in float32, the shape (B, H, W) of the batch that was timed, and precisions.

    float32 comes first, then those of `asked` (none: what the engine offers), each built beside it, or why it is not
    there. The batch is the first of the ingested shard; without a sound image nothing is timed. Raises EngineError
    where the engine cannot be had.
    """
    prediction, full = _planned(run, ingest_key)
    name = cast(EngineName, full.facts.name)
    tried = [Tried(FULL, full)]
    for precision in PRECISIONS:
        if precision == FULL or precision not in (asked or OFFERED[name]):
            continue
        if precision not in OFFERED[name]:
            tried.append(
                Tried(precision, None, _WHY_NOT.get(precision, f"the engine {name} does not compute in {precision}"))
            )
            continue
        try:
            tried.append(Tried(precision, _build(run, name, precision)))
        except EngineError as error:
            tried.append(Tried(precision, None, str(error)))
    there = [one.engine for one in tried if one.engine is not None]
    batch = _first_batch(run, ingest_key, prediction, full)
    if batch is None:
        return prediction, (0, 0, 0), tried
    rates = iter(rates_in_turns(there, batch.pixels, batch.recipes))
    depth, height, width = batch.pixels.shape[:3]
    timed = [replace(one, rates=next(rates)) if one.engine is not None else one for one in tried]
    return prediction, (depth, height, width), timed


def _planned(run: Run, ingest_key: str) -> tuple[Prediction, Engine]:
    config, memory_bytes = run.config, int(_SPARE * psutil.virtual_memory().available)

    def plan(choice: Choice) -> tuple[Prediction, Engine]:
        planned, engine = plan_engine(
            run.store, ingest_key, asked_of(config, run.model), choice, partial(_build, run),
            max_dice_change=0.0, memory_bytes=memory_bytes,
        )  # fmt: skip
        return planned.prediction, engine

    choice = choose_engine(config.model.engine, FULL, onnx=config.model.is_onnx)
    try:
        return plan(choice)
    except EngineError as error:
        # As a worker does: what OpenVINO cannot express is for Keras, where the choice is left to it.
        if config.model.engine != "auto" or config.model.is_onnx or choice.engine == "keras":
            raise
        logger.info("price: %s", error)
    return plan(choose_engine("keras", FULL))


def _build(run: Run, engine: EngineName, precision: Precision) -> Engine:
    try:
        return build_engine(run.model, asked_of(run.config, run.model), 1, engine, precision)
    except EngineError:
        raise
    except (DataError, ArgumentError, ConfigError) as error:
        raise EngineError(str(error)) from error


def _first_batch(run: Run, ingest_key: str, prediction: Prediction, engine: Engine) -> Batch | None:
    entry = Ledger(run.store).read(INGEST, ingest_key)
    rows = sound(read_shard_rows(run.store, entry))
    if not rows:
        return None
    (images,) = shards.open_arrays(run.store, entry, IMAGES)
    refused = refused_rows(rows, engine.facts, (images,), STAGE)
    taken = [row for row in rows if row.image_id not in refused]
    return next(iter(batches_of(images, taken, prediction, engine.facts)), None) if taken else None


def table_of(tried: Sequence[Tried], shape: Shape, per_image: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """A row per precision: how fast it is, how many images failed in it, or why it is not there."""
    slowest = tried[0].rates
    rows = []
    for one in tried:
        times = [rate / full for rate, full in zip(one.rates, slowest, strict=True)] if one.rates else []
        facts = one.engine.facts if one.engine else None
        table = per_image.get(one.precision)
        statuses = None if table is None else table.drop_duplicates("image_id")["status"]
        rows.append({
            "precision": one.precision, "engine": facts.name if facts else "", "device": facts.device if facts else "",
            "version": facts.version if facts else "", "reason": one.reason,
            **_spread("images_per_second", one.rates), **_spread("times_full", times),
            "batch_images": shape[0], "batch_height": shape[1], "batch_width": shape[2],
            "n_images": None if statuses is None else len(statuses),
            "n_failed": None if statuses is None else int((statuses == "failed").sum()),
        })  # fmt: skip
    whole = ["batch_images", "batch_height", "batch_width", "n_images", "n_failed"]
    return pd.DataFrame(rows).astype(dict.fromkeys(whole, "Int64"))


def _spread(name: str, values: Sequence[float]) -> dict[str, float]:
    """Median, lowest and highest of some turns; NaN of none."""
    found = (np.median(values), min(values), max(values)) if values else (np.nan, np.nan, np.nan)
    return {key: float(value) for key, value in zip((name, f"{name}_low", f"{name}_high"), found, strict=True)}
