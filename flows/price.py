"""Price: what each precision of a network would give and cost, on some images of a set, and nothing of it kept."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, cast

import pandas as pd

from segscale.errors import ConfigError
from segscale.flows.checks.model import check_model
from segscale.flows.config.cluster import Cluster
from segscale.flows.config.evaluation import EvaluationConfig
from segscale.flows.config.sections import Store
from segscale.flows.ingest import ingest_images
from segscale.flows.precisions import FULL, PRECISIONS, table_of, try_precisions
from segscale.flows.report import reports_folder
from segscale.flows.run import Run
from segscale.flows.sampling import N_IMAGES, Sampling, draw
from segscale.flows.workers import Workers
from segscale.storage.catalog import rows_by_shard
from segscale.storage.enumeration import counted
from segscale.storage.ledger import Ledger, content_key
from segscale.storage.objects import ObjectStore
from segscale.storage.reports import encode_report_table
from segscale.tasks import predict
from segscale.tasks.engine_plan import versions
from segscale.tasks.engines import Engine, Precision
from segscale.tasks.label_changes import label_changes
from segscale.tasks.metrics.price import IMAGES, MEASURES, Price
from segscale.tasks.metrics.price import price as price_of
from segscale.tasks.predict import PredictJob, predict_shard
from segscale.tasks.prediction import Prediction
from segscale.tasks.report import per_image_table
from segscale.tasks.run_counts import Layout, collect
from segscale.tasks.shard_plan import STAGE as INGEST

logger = logging.getLogger("segscale")


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
    precisions: tuple[str, ...] = (),
) -> dict[str, pd.DataFrame]:
    """What each precision of a network would give and cost on this machine, before anything is deployed.

    Images are drawn from the set and predicted in each precision, beside float32 of the same engine. Nothing is
    written: neither a report, nor the store, nor the plan of a run.

    Args:
        config: as `load_config` returns it, with a network.
        images: so many are drawn at most.
        seed: of the draw.
        where: by column of the data set the value that drawn images have in it.
        precisions: those that are priced beside float32; none: all that the engine offers.

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


def price_precisions(config: EvaluationConfig, sampling: Sampling, precisions: Collection[str] = ()) -> Priced:
    """The speed and the price of each precision of a network on this machine, against float32 of the same engine.

    Images are read anew into a folder that ends with the call: neither the store nor a plan of a run is touched. Raises
    ConfigError where nothing can be priced.
    """
    sampling.check()
    unknown = [one for one in precisions if one not in PRECISIONS]
    if unknown:
        raise ConfigError(f"precision: expected some of {', '.join(PRECISIONS)}, got {unknown[0]!r}")
    if not config.model.path:
        raise ConfigError("model.path: expected a network, for a price is that of a precision; predictions have none")
    with tempfile.TemporaryDirectory(prefix="segscale-price-") as folder:
        own = _own(config, folder)
        check_model(own)
        with Workers(own.cluster, alone=True) as workers:
            run = Run(own, workers=workers, scored=False)
            n_listed = draw(run, sampling)
            ingest_images(run)
        return _priced(config, run, sampling, n_listed, cast(Collection[Precision], precisions))


def _own(config: EvaluationConfig, folder: str) -> EvaluationConfig:
    """The configuration with a store of its own, on this machine, without what no price needs."""
    asked: dict[str, Any] = {
        "store": Store(path=folder, shard_images=config.store.shard_images, keep="labels"),
        "cluster": Cluster(),
        "model": config.model.model_copy(update={"precision": FULL}),
        "metrics": config.metrics.model_copy(update={"slices": False, "surface": False, "lesions": False}),
    }
    return config.model_copy(update=asked)


def _priced(
    config: EvaluationConfig, run: Run, sampling: Sampling, n_listed: int, asked: Collection[Precision]
) -> Priced:
    # What is found on the shard with the most images holds for the most, as in a run.
    ingest_key = str(run.catalog["shard"].value_counts(sort=True).index[0])
    prediction, shape, tried = try_precisions(run, ingest_key, asked)
    engines = [one.engine for one in tried if one.engine is not None]
    predicted = {engine.facts.precision: _predicted(run, prediction, engine) for engine in engines}
    full = predicted[FULL]
    if not (full.per_image["status"] == "ok").any():
        n_images, error = counted(len(run.catalog), "image"), full.per_image["error"].iloc[0]
        raise ConfigError(f"dataset: none of {n_images} could be predicted, the first because: {error}")
    prices = {
        name: _price(run, prediction, full, one) for name, one in predicted.items() if name != FULL and one.is_sound
    }
    tables = {
        "precisions": table_of(tried, shape, {name: one.per_image for name, one in predicted.items()}),
        "price": _labelled({name: one.measures for name, one in prices.items()}, tuple(MEASURES)),
        "images": _labelled({name: one.images for name, one in prices.items()}, IMAGES),
    }
    facts = _facts(config, run, sampling, n_listed, prediction)
    key = content_key({**facts, "precisions": [asdict(engine.facts) for engine in engines]})
    return Priced(tables, facts, f"{reports_folder(config)}/price-{key[:12]}")


@dataclass(frozen=True, slots=True)
class _Predicted:
    """All images in one precision."""

    keys: dict[str, str]
    """Of the predicted shards, by those of the ingested ones."""
    per_image: pd.DataFrame
    """Of the head whose labels are kept, the last one."""

    @property
    def is_sound(self) -> bool:
        """Whether there are probabilities of any image."""
        return bool((self.per_image["status"] == "ok").any())


def _predicted(run: Run, prediction: Prediction, engine: Engine) -> _Predicted:
    config, store, catalog = run.config, run.store, run.catalog
    own = replace(prediction, precision=engine.facts.precision, versions=versions(engine.facts))
    keys = {key: predict.predict_key(key, own) for key in rows_by_shard(catalog)}
    for number, (ingest_key, key) in enumerate(keys.items(), 1):
        predict_shard(store, PredictJob(key, ingest_key), own, engine)
        logger.info("price: %s: %d of %s", own.precision, number, counted(len(keys), "shard"))
    dataset, metrics = config.dataset, config.metrics
    layout = Layout(dataset.classes, own.heads, metrics.threshold, metrics.threshold_count, tuple(dataset.regions))
    entries = [Ledger(store).read(predict.STAGE, key) for key in keys.values()]
    table = per_image_table(collect(store, entries, catalog, layout), catalog, layout, metrics)
    return _Predicted(keys, table[table["head"] == own.heads[-1]].reset_index(drop=True))


def _price(run: Run, prediction: Prediction, full: _Predicted, reduced: _Predicted) -> Price:
    ledger = Ledger(run.store)
    both = set.intersection(*(set(one.per_image.query("status == 'ok'")["image_id"]) for one in (full, reduced)))
    if not both:
        raise ConfigError("dataset: no image could be predicted both in float32 and in the priced precision")
    rows = [
        row
        for ingest_key, key in reduced.keys.items()
        for row in label_changes(
            run.store,
            ledger.read(INGEST, ingest_key),
            ledger.read(predict.STAGE, full.keys[ingest_key]),
            ledger.read(predict.STAGE, key),
            prediction,
            both,
        )
    ]
    return price_of(full.per_image, reduced.per_image, pd.DataFrame(rows), run.config.metrics)


def _labelled(frames: Mapping[str, pd.DataFrame], columns: tuple[str, ...]) -> pd.DataFrame:
    """One below the other, each row with its precision in front."""
    if not frames:
        return pd.DataFrame(columns=["precision", *columns])
    parts = [frame.assign(precision=name)[["precision", *columns]] for name, frame in frames.items()]
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
