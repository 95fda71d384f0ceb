"""The plan record: engine, precision and batch of a run, resolved once by a worker and committed."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from segscale.errors import ClusterLostError, ConfigError
from segscale.flows.checks.model import ModelFile, check_facts
from segscale.flows.config.evaluation import EvaluationConfig
from segscale.flows.config.sections import Model
from segscale.flows.dataset import preparation
from segscale.flows.ingest import shard_plans
from segscale.flows.run import Run
from segscale.flows.shards.retry import Finished, Limits
from segscale.flows.stage import ShardPlan
from segscale.flows.versions import installed_version
from segscale.storage.ledger import Ledger, content_key, record_path
from segscale.storage.objects import ObjectStore
from segscale.tasks import int8, predict
from segscale.tasks.engine_plan import EnginePlan
from segscale.tasks.metrics.regions import without_none
from segscale.tasks.predict import PredictJob
from segscale.tasks.prediction import Asked
from segscale.tasks.slice_axis import stacks_in
from segscale.tasks.tiling import STRIDE, next_multiple

logger = logging.getLogger("segscale")
PLAN = "plan"
SAMPLES = 3
"""So many shards are tried to plan on, where workers end at one."""
CALIBRATION_SHARDS = 8
"""From so many at most images are drawn for int8, beside the one that is planned on: reading all takes too long."""
SHOWN = 3
"""Images and layers that a message names."""


def plan_key(config: EvaluationConfig, model: ModelFile) -> str:
    """The key of the plan record: what was asked for.

    The images are no part of it. What was resolved on the first of them holds for those that come later, so that a
    nightly run costs what changed; a data set of another name is resolved anew.
    """
    prepared = preparation(config)
    return content_key(
        {
            "dataset": config.dataset.name,
            "model": _said(config.model),
            # What the network is given: what a precision costs, and how far the network looks, is found on it.
            "normalize": [prepared.normalize, *prepared.window],
            "weights": model.sha256,
            "n_classes": len(config.dataset.classes),
            **without_none({"regions": config.dataset.region_classes}),
            "threshold": config.metrics.threshold,
            "keep": config.store.keep,
            # Another version of what computes is another plan, not a refusal of the old one.
            "versions": {name: installed_version(name) for name in _libraries(config.model)},
            "backend": os.environ.get("KERAS_BACKEND") or "",
            "code_version": predict.CODE_VERSION,
        }
    )


def _libraries(model: Model) -> tuple[str, ...]:
    """What computes, and for int8 what quantises."""
    backend = os.environ.get("KERAS_BACKEND")
    quantiser = ("nncf",) if model.precision in ("int8", "fastest") else ()
    return ("keras", "tensorflow", "openvino", *((backend,) if backend else ()), *quantiser)


def _said(model: Model) -> dict[str, Any]:
    """[model] without its path; how the file is read is part of it where something is said of that."""
    silent = {"output", "activation", "layout"} - model.reading.said().keys()
    return model.model_dump(mode="json", exclude={"path", "replan", *silent})


def find_plan(config: EvaluationConfig, model: ModelFile, store: ObjectStore) -> EnginePlan | None:
    """The plan record of this run, if it was resolved before."""
    entry = Ledger(store).find(PLAN, plan_key(config, model))
    return None if entry is None else EnginePlan.from_record(entry.facts)


def resolve(run: Run, catalog: pd.DataFrame) -> EnginePlan:
    """The plan record: as it was committed, or resolved now by a worker, on the first shard, and committed.

    With `model.replan` it is resolved in any case, and takes the place of the one before. What was predicted with that
    one stays, and is found again by whoever pins its precision.
    """
    config, model, store = run.config, run.model, run.store
    known = None if config.model.replan else find_plan(config, model, store)
    if known is not None:
        check_sizes(config, known, catalog)
        return known
    give_model(run)
    plan = _ask(run, _samples(catalog), _calibration_shards(catalog), shard_plans(config, catalog))
    check_facts(config, plan.facts.n_classes, plan.facts.channels, plan.facts.rescales)
    check_sizes(config, plan, catalog)
    logger.info("predict: %s, %s on %s: %s", plan.facts.name, plan.facts.precision, plan.facts.device, plan.reason)
    if plan.batch:
        logger.info("predict: batches of %d images: %s", plan.batch.n_images, plan.batch.reason)
    if plan.prediction.whole_image:
        logger.info("predict: %s", _whole_image_words(plan))
    if plan.facts.fixed_size:
        logger.info("predict: %s", _fixed_size_words(plan))
    key = plan_key(config, model)
    if config.model.replan:
        store.remove(record_path(PLAN, key))
    return EnginePlan.from_record(Ledger(store).record(PLAN, key, plan.record()).facts)


def check_sizes(config: EvaluationConfig, plan: EnginePlan, catalog: pd.DataFrame) -> None:
    """Raise ConfigError where a network that looks at the whole image would have to see an image in tiles."""
    if not plan.prediction.whole_image:
        return
    # Of volumes the network sees slices.
    of_slices, tile = stacks_in(catalog)[:, 1:], plan.prediction.tile
    sides = of_slices.max(axis=1)
    large = np.flatnonzero(sides > tile)
    if not large.size:
        return
    named = zip(catalog["image_id"].iloc[large[:SHOWN]], of_slices[large[:SHOWN]].tolist(), strict=True)
    shown = ", ".join(f"{image_id} ({height} x {width})" for image_id, (height, width) in named)
    more = f" and {len(large) - SHOWN} more" if len(large) > SHOWN else ""
    raise ConfigError(
        f"model.tile: expected images of at most {tile} x {tile} pixels, {len(large)} are larger: {shown}{more}; "
        f"{config.model.path} looks at the whole image ({_how_known(plan)}), so tiles would change what it says: set "
        f"model.tile to {next_multiple(int(sides.max()), STRIDE)} or more, as far as the memory goes, or leave these "
        "images out"
    )


def _whole_image_words(plan: EnginePlan) -> str:
    found = f"the network looks at the whole image ({_how_known(plan)}): images go through it at their true size"
    difference = math.nan if plan.reach is None else plan.reach.padding_difference
    if plan.reach is None or math.isnan(difference):
        return found
    return f"{found}; padding would change probabilities of image {plan.reach.image} by up to {difference:.2g}"


def _fixed_size_words(plan: EnginePlan) -> str:
    assert plan.facts.fixed_size is not None
    size = "{} x {}".format(*plan.facts.fixed_size)
    words = (
        f"the network takes images of {size} pixels alone: larger ones go through it in tiles of that size that share "
        f"{plan.prediction.overlap:.0%} of their sides, smaller ones are padded by reflection"
    )
    if not plan.facts.whole_image:
        return words
    return f"{words}; both change what it says, for it looks at the whole image ({_how_known(plan)})"


def _how_known(plan: EnginePlan) -> str:
    layers = plan.facts.whole_image
    if not layers:
        return "as changes far away in one image showed"
    return ", ".join(layers[:SHOWN]) + (f" and {len(layers) - SHOWN} more layers" if len(layers) > SHOWN else "")


def _samples(catalog: pd.DataFrame) -> list[str]:
    """The shards with the most images, of several the first in the catalog: what is found on one holds for the most."""
    return [str(key) for key in catalog["shard"].value_counts(sort=True).index[:SAMPLES]]


def _calibration_shards(catalog: pd.DataFrame) -> tuple[str, ...]:
    """Shards of the whole set, from which images are drawn to calibrate int8; seeded, in the catalog's order."""
    every = catalog["shard"].unique()
    drawn = np.random.default_rng(int8.SEED).permutation(len(every))[:CALIBRATION_SHARDS]
    return tuple(str(every[place]) for place in sorted(drawn))


def asked_of(config: EvaluationConfig, model: ModelFile) -> Asked:
    """What the configuration says of the prediction with a model."""
    return Asked(
        weights_sha256=model.sha256,
        level=config.model.level,
        ensemble=config.model.ensemble,
        flips=config.model.flips,
        n_classes=len(config.dataset.classes),
        batch_size=config.model.batch_size,
        tile=config.model.tile,
        overlap=config.model.overlap,
        threshold=config.metrics.threshold,
        keep=config.store.keep,
        regions=config.dataset.region_classes,
        output=config.model.output,
        activation=config.model.activation,
        layout=config.model.layout,
    )


def give_model(run: Run) -> None:
    """Tell the workers which network this run predicts with."""
    from segscale.flows.cluster.scheduler import answered, neighbours
    from segscale.flows.worker.engine_plugin import EnginePlugin

    client, model = run.workers.client, run.model
    plugin = EnginePlugin(model, asked_of(run.config, model), neighbours(client))
    answered(client, client.register_plugin, plugin)


def _ask(run: Run, keys: Sequence[str], calibration: tuple[str, ...], planned: Mapping[str, ShardPlan]) -> EnginePlan:
    """What a worker plans with the first of the shards at which no worker ends: an image that ends them is for the
    stage to find and quarantine."""
    from segscale.flows.worker.engine_plugin import ENGINE_SECONDS, EngineUnavailable, plan_engine

    limits = Limits(lambda key: ENGINE_SECONDS + planned[key].seconds)
    model, asked = run.config.model, asked_of(run.config, run.model)
    reason = ""
    for key in keys:
        job = PredictJob(key, key)
        arguments = run.store, model, asked, (key, *calibration)
        (outcome,) = run.workers.stream(plan_engine, [job], *arguments, limits=limits)
        if isinstance(outcome, Finished):
            if isinstance(outcome.result, EngineUnavailable):
                raise ConfigError(f"model: {outcome.result.reason}")
            plan: EnginePlan = outcome.result
            return plan
        reason = outcome.error
        if not outcome.deadly:
            break
        logger.warning("predict: shard %s cannot be planned on: %s", key[:12], reason)
    raise ClusterLostError(
        f"predict: no worker could try the network on a shard: {reason}; see the logs of the workers, and whether they "
        "have the memory for it"
    )
