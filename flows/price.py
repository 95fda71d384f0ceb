"""Price: what each precision of a network would give and cost, on some images of a set, and nothing of it kept."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, cast, get_args

import numpy as np
import pandas as pd
import psutil

from segscale.errors import ArgumentError, ConfigError, DataError, EngineError
from segscale.flows.checks.model import check_model
from segscale.flows.config.cluster import Cluster
from segscale.flows.config.evaluation import EvaluationConfig
from segscale.flows.config.sections import Store
from segscale.flows.ingest import ingest_images
from segscale.flows.plan import asked_of
from segscale.flows.report import reports_folder
from segscale.flows.run import Run
from segscale.flows.worker.engine import build_engine
from segscale.flows.workers import Workers
from segscale.storage.catalog import rows_by_shard
from segscale.storage.enumeration import counted, first_of
from segscale.storage.ledger import Ledger, content_key
from segscale.storage.objects import ObjectStore
from segscale.storage.reports import encode_report_table
from segscale.storage.sources import ROLES
from segscale.tasks import predict
from segscale.tasks.engine_plan import plan_engine, versions
from segscale.tasks.engine_rates import rates_in_turns
from segscale.tasks.engines import Engine, Precision
from segscale.tasks.engines.selection import Choice, EngineName, choose_engine
from segscale.tasks.ingest import IMAGES
from segscale.tasks.label_changes import label_changes
from segscale.tasks.metrics.price import Price
from segscale.tasks.metrics.price import price as price_of
from segscale.tasks.network_input import refused_rows
from segscale.tasks.predict import PredictJob, predict_shard
from segscale.tasks.prediction import Prediction, batches_of
from segscale.tasks.report import per_image_table
from segscale.tasks.run_counts import Layout, collect
from segscale.tasks.shard_plan import STAGE as INGEST
from segscale.tasks.shard_rows import read_shard_rows

logger = logging.getLogger("segscale")
FULL: Precision = "float32"
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
"""All that an engine may offer, the full one first; which ones this machine has is found out by building them."""
N_IMAGES = 128
_SPARE = 0.75
"""Of the memory that is free, so much may a batch take."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """Which images of a set are priced."""

    n_images: int = N_IMAGES
    """At most, drawn without replacement."""
    seed: int = 0
    where: Mapping[str, str] = field(default_factory=dict)
    """Columns of the listing, and the value that the images have in each."""


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


@dataclass(frozen=True, slots=True)
class Priced:
    """What was found."""

    tables: Mapping[str, pd.DataFrame]
    """``precisions``, ``price`` and ``images``."""
    facts: Mapping[str, Any]
    """What was asked, and of what network on which images."""
    folder: str
    """Where the tables belong."""


def price(
    config: EvaluationConfig,
    *,
    images: int = N_IMAGES,
    seed: int = 0,
    where: Mapping[str, str] | None = None,
    precisions: tuple[str, ...] = PRECISIONS,
) -> dict[str, pd.DataFrame]:
    """What each precision of a network would give and cost on this machine, before anything is deployed.

    Images are drawn from the set and predicted in each precision, beside float32 of the same engine. Nothing is
    written: neither a report, nor the store, nor the plan of a run.

    Args:
        config: as `load_config` returns it, with a network.
        images: so many are drawn at most.
        seed: of the draw.
        where: by column of the data set the value that drawn images have in it.
        precisions: those that are priced, of "bfloat16", "float16" and "float32", which is always there.

    Returns:
        The tables ``precisions``, ``price`` and ``images`` as docs/inference.md describes them; changes are the priced
        precision minus float32, NaN is undefined.

    Raises:
        ConfigError: the configuration, the network or what is asked for is wrong, or no image could be predicted.
    """
    return dict(price_precisions(config, Sampling(images, seed, where or {}), precisions).tables)


def write_price(priced: Priced, folder: str) -> str:
    """Write the tables and `price.json`, what was asked; returns where. What was there of an earlier call is replaced:
    what decides numbers is in the name of the folder, so they are the same, and speeds are those of the last call."""
    store = ObjectStore(folder)
    for name, frame in priced.tables.items():
        store.write(f"{name}.parquet", encode_report_table(frame))
    store.write("price.json", (json.dumps(priced.facts, indent=1, sort_keys=True) + "\n").encode())
    return store.url


def price_precisions(
    config: EvaluationConfig, sampling: Sampling = Sampling(), precisions: Collection[str] = PRECISIONS
) -> Priced:
    """The speed and the price of each precision of a network on this machine, against float32 of the same engine.

    Images are read anew into a folder that ends with the call: neither the store nor a plan of a run is touched. Raises
    ConfigError where nothing can be priced.
    """
    _check_asked(sampling, precisions)
    with tempfile.TemporaryDirectory(prefix="segscale-price-") as folder:
        own = _own(config, folder)
        check_model(own)
        with Run(own, workers=Workers(own.cluster, alone=True), scored=False) as run:
            listed = _draw(run, sampling)
            ingest_images(run)
        run.workers.close()
        return _priced(config, run, sampling, listed, [FULL, *(one for one in PRECISIONS[1:] if one in precisions)])


def _check_asked(sampling: Sampling, precisions: Collection[str]) -> None:
    unknown = [one for one in precisions if one not in PRECISIONS]
    if unknown:
        raise ConfigError(f"precision: expected some of {', '.join(PRECISIONS)}, got {unknown[0]!r}")
    if sampling.n_images < 1:
        raise ConfigError(f"images: expected 1 or more, got {sampling.n_images}")
    if sampling.seed < 0:
        raise ConfigError(f"seed: expected 0 or more, got {sampling.seed}")


def _own(config: EvaluationConfig, folder: str) -> EvaluationConfig:
    """The configuration with a store of its own, on this machine, without what no price needs."""
    asked: dict[str, Any] = {
        "store": Store(path=folder, shard_images=config.store.shard_images, keep="labels"),
        "cluster": Cluster(),
        "model": config.model.model_copy(update={"precision": FULL}),
        "metrics": config.metrics.model_copy(update={"slices": False, "surface": False, "lesions": False}),
    }
    return config.model_copy(update=asked)


def _draw(run: Run, sampling: Sampling) -> int:
    """Leave of the listing the images that are priced; returns of how many they were drawn."""
    images = run.listing()
    chosen = np.ones(len(images), bool)
    known = [str(name) for name in images if name not in {"image_id", *ROLES, *(f"{role}_version" for role in ROLES)}]
    for column, value in sampling.where.items():
        if column not in known:
            there = ", ".join(known) or "none"
            raise ConfigError(f"where: expected a column of the data set, got {column!r}; there are {there}")
        values = images[column].astype(str)
        if not (values == value).any():
            raise ConfigError(f"where: no image has {column} = {value!r}; there are {first_of(sorted(set(values)))}")
        chosen &= (values == value).to_numpy()
    places = np.flatnonzero(chosen)
    if not places.size:
        said = " and ".join(f"{column} = {value!r}" for column, value in sampling.where.items())
        raise ConfigError(f"where: no image has {said}" if said else "dataset: there are no images to price")
    n_drawn = min(sampling.n_images, places.size)
    drawn = np.random.default_rng(sampling.seed).choice(places, n_drawn, replace=False)
    run.keep_only(np.sort(drawn))
    return int(places.size)


def _priced(
    config: EvaluationConfig, run: Run, sampling: Sampling, n_listed: int, precisions: Sequence[Precision]
) -> Priced:
    catalog = run.catalog
    largest = str(catalog["shard"].value_counts(sort=True).index[0])
    prediction, tried = _tried(run, largest, precisions)
    engines = [one.engine for one in tried if one.engine is not None]
    shape, rates = _rates(run, largest, prediction, engines)
    found = dict(zip((engine.facts.precision for engine in engines), rates, strict=True))
    tried = [replace(one, rates=found.get(one.precision, ())) for one in tried]
    frames = {engine.facts.precision: _predicted(run, prediction, engine) for engine in engines}
    full = frames[FULL][1]
    if not (full["status"] == "ok").any():
        error = full["error"].iloc[0]
        raise ConfigError(f"dataset: none of {counted(len(catalog), 'image')} could be predicted, the first: {error}")
    prices = {
        name: _price(run, prediction, full_keys=frames[FULL][0], keys=keys, full=full, reduced=table)
        for name, (keys, table) in frames.items()
        if name != FULL
    }
    per_image = {name: table for name, (_, table) in frames.items()}
    tables = {
        "precisions": _precisions(tried, per_image, shape),
        "price": _labelled({name: one.measures for name, one in prices.items()}),
        "images": _labelled({name: one.images for name, one in prices.items()}),
    }
    facts = _facts(config, run, sampling, n_listed, prediction)
    key = content_key({**facts, "precisions": [asdict(engine.facts) for engine in engines]})
    return Priced(tables, facts, f"{reports_folder(config)}/price-{key[:12]}")


def _tried(run: Run, ingest_key: str, precisions: Sequence[Precision]) -> tuple[Prediction, list[Tried]]:
    """How the run would predict in float32, and each precision built, or why it is not there."""
    config = run.config
    asked, name = asked_of(config, run.model), config.model.engine

    def build(engine: EngineName, precision: Precision) -> Engine:
        try:
            return build_engine(run.model, asked, 1, engine, precision)
        except (DataError, ArgumentError, ConfigError) as error:
            raise error if isinstance(error, EngineError) else EngineError(str(error)) from error

    memory_bytes = int(_SPARE * psutil.virtual_memory().available)

    def plan(choice: Choice) -> tuple[Prediction, Engine]:
        planned, engine = plan_engine(
            run.store, ingest_key, asked, choice, build, max_dice_change=0.0, memory_bytes=memory_bytes
        )
        return planned.prediction, engine

    try:
        choice = choose_engine(name, FULL, onnx=config.model.is_onnx)
        prediction, full = plan(choice)
    except EngineError as error:
        # As a worker does: what OpenVINO cannot express is for Keras, where the choice is left to it.
        if name != "auto" or config.model.is_onnx:
            raise
        logger.info("price: %s", error)
        choice = choose_engine("keras", FULL)
        prediction, full = plan(choice)
    tried = [Tried(FULL, full)]
    for precision in precisions[1:]:
        try:
            tried.append(Tried(precision, build(choice.engine, precision)))
        except EngineError as error:
            tried.append(Tried(precision, None, str(error)))
    return prediction, tried


def _rates(
    run: Run, ingest_key: str, prediction: Prediction, engines: Sequence[Engine]
) -> tuple[tuple[int, ...], list[tuple[float, ...]]]:
    """The shape (B, H, W) of the batch that all engines computed in turns, and what each reached in each turn."""
    entry, facts = Ledger(run.store).read(INGEST, ingest_key), engines[0].facts
    rows = read_shard_rows(run.store, entry)
    # Without a sound image there are no arrays, and nothing to measure on.
    if any(row.is_sound for row in rows):
        (images,) = predict.shards.open_arrays(run.store, entry, IMAGES)
        refused = refused_rows(rows, facts, (images,), predict.STAGE)
        taken = [row for row in rows if row.is_sound and row.image_id not in refused]
        for batch in batches_of(images, taken, prediction, facts) if taken else ():
            return batch.pixels.shape[:3], rates_in_turns(engines, batch.pixels, batch.recipes)
    return (0, 0, 0), [()] * len(engines)


def _predicted(run: Run, prediction: Prediction, engine: Engine) -> tuple[dict[str, str], pd.DataFrame]:
    """The keys of the predicted shards by those of the ingested ones, and the table per_image of the head kept."""
    config, store, catalog = run.config, run.store, run.catalog
    own = replace(prediction, precision=engine.facts.precision, versions=versions(engine.facts))
    keys = {key: predict.predict_key(key, own) for key in rows_by_shard(catalog)}
    for number, (ingest_key, key) in enumerate(keys.items(), 1):
        predict_shard(store, PredictJob(key, ingest_key), own, engine)
        logger.info("price: %s: %d of %s", own.precision, number, counted(len(keys), "shard"))
    dataset, metrics = config.dataset, config.metrics
    layout = Layout(
        dataset.classes, own.heads, metrics.threshold, metrics.threshold_count, tuple(dataset.regions)
    )
    entries = [Ledger(store).read(predict.STAGE, key) for key in keys.values()]
    table = per_image_table(collect(store, entries, catalog, layout), catalog, layout, metrics)
    # Labels are kept of the last one.
    return keys, table[table["head"] == own.heads[-1]].reset_index(drop=True)


def _price(
    run: Run,
    prediction: Prediction,
    *,
    full_keys: Mapping[str, str],
    keys: Mapping[str, str],
    full: pd.DataFrame,
    reduced: pd.DataFrame,
) -> Price:
    ledger = Ledger(run.store)
    rows = [
        row
        for ingest_key in keys
        for row in label_changes(
            run.store,
            ledger.read(INGEST, ingest_key),
            ledger.read(predict.STAGE, full_keys[ingest_key]),
            ledger.read(predict.STAGE, keys[ingest_key]),
            prediction,
        )
    ]
    return price_of(full, reduced, pd.DataFrame(rows), run.config.metrics)


def _precisions(
    tried: Sequence[Tried], per_image: Mapping[str, pd.DataFrame], shape: tuple[int, ...]
) -> pd.DataFrame:
    """A row per precision that was asked for."""
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


def _labelled(frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """One below the other, each row with its precision in front."""
    if not frames:
        return pd.DataFrame({"precision": pd.Series([], dtype="str")})
    parts = [frame.assign(precision=name)[["precision", *frame]] for name, frame in frames.items()]
    return pd.concat(parts, ignore_index=True).astype({"precision": "str"})


def _facts(
    config: EvaluationConfig, run: Run, sampling: Sampling, n_listed: int, prediction: Prediction
) -> dict[str, Any]:
    deciding = {name: value for name, value in prediction.record().items() if name != "batch_pixels"}
    return {
        "dataset": config.dataset.name, "split": config.dataset.split, "where": dict(sampling.where),
        "model": config.model.path, "weights_sha256": run.model.sha256, "prediction": deciding,
        "metrics": run.config.metrics.model_dump(mode="json"), "catalog_sha256": run.catalog_sha256,
        "n_listed": n_listed, "n_images": len(run.catalog), "seed": sampling.seed,
    }  # fmt: skip
