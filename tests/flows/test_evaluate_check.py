"""What is checked before a run starts, where a run before it has loaded the model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from segscale.errors import ConfigError
from segscale.flows import evaluate
from segscale.flows.checks.model import ModelFile
from segscale.flows.config.evaluation import EvaluationConfig, parse_config
from segscale.flows.layouts.listed import DatasetListing
from segscale.flows.plan import plan_key
from segscale.tasks.engine_plan import EnginePlan
from segscale.tasks.engines import EngineFacts
from segscale.tasks.prediction import Prediction

PREDICTION = Prediction(
    weights_sha256="ff", engine="keras", precision="float32", versions={}, heads=("head_4",), level=4, ensemble=False,
    flips=False, n_classes=2, batch_size=0, batch_pixels=4096, tile=1024, overlap=0.25, threshold=0.5, keep="labels",
)  # fmt: skip


def config_of(folder: Path, **dataset: Any) -> EvaluationConfig:
    document = {
        "dataset": {"name": "d", "images": "*.png", "references": "*.png", **dataset},
        "model": {"path": "phantom"},
        "store": {"path": "store"},
        "report": {"path": "reports"},
    }
    return parse_config(document, base=folder, source="test")


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> EnginePlan:
    """A plan record of a network of three channels."""
    facts = EngineFacts("keras", "cpu", "float32", "keras 3", ("head_4",), 2, 1, 3, 16)
    known = EnginePlan(PREDICTION, facts, "asked for", None, None)
    monkeypatch.setattr(evaluate, "find_plan", lambda *_: known)
    monkeypatch.setattr("segscale.flows.run.list_dataset", lambda _: DatasetListing(pd.DataFrame({"image_id": ["a"]})))
    monkeypatch.setattr("segscale.flows.run.Run.look", lambda _: None)
    monkeypatch.setattr(evaluate, "check_model", lambda _: pytest.fail("the model was loaded"))
    return known


@pytest.mark.usefixtures("planned")
@pytest.mark.parametrize("channels", [0, 3])
def test_a_planned_model_is_not_loaded_again(tmp_path: Path, channels: int) -> None:
    evaluate.check(config_of(tmp_path, channels=channels))


@pytest.mark.usefixtures("planned")
def test_other_channels_are_refused_also_where_the_run_is_planned(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"dataset\.channels: expected what the model takes, 3, got 1"):
        evaluate.check(config_of(tmp_path, channels=1))


@pytest.fixture
def planned_rescaling(planned: EnginePlan, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same of a network that rescales its input."""
    rescales = replace(
        planned, facts=replace(planned.facts, rescales="'r' (Rescaling) multiplies its input by 0.00392")
    )
    monkeypatch.setattr(evaluate, "find_plan", lambda *_: rescales)


@pytest.mark.usefixtures("planned_rescaling")
@pytest.mark.parametrize("method", ["unit", "window", "percentile", "zscore"])
def test_a_network_that_rescales_is_refused_also_where_the_run_is_planned(tmp_path: Path, method: str) -> None:
    with pytest.raises(ConfigError, match=r"^model\.path, dataset\.normalize: phantom rescales .*normalize = \"none\""):
        evaluate.check(config_of(tmp_path, normalize=method))


@pytest.mark.usefixtures("planned_rescaling")
def test_a_network_that_rescales_is_given_stored_values(tmp_path: Path) -> None:
    evaluate.check(config_of(tmp_path, normalize="none"))


def test_a_plan_is_of_a_normalisation(tmp_path: Path) -> None:
    model = ModelFile("model.keras", "ff")
    methods: list[dict[str, Any]] = [
        {}, {"normalize": "none"}, {"normalize": "percentile"}, {"normalize": "window"},
        {"normalize": "window", "window": [0.0, 80.0]},
    ]  # fmt: skip
    assert len({plan_key(config_of(tmp_path, **method), model) for method in methods}) == 5
    # The window has no say in the other methods.
    assert plan_key(config_of(tmp_path, window=[0.0, 80.0]), model) == plan_key(config_of(tmp_path), model)


def test_the_backend_and_its_version_are_part_of_a_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, model, keys = config_of(tmp_path), ModelFile("model.keras", "ff"), set()
    for backend, version in (("", "1"), ("jax", "1"), ("jax", "2")):
        monkeypatch.setenv("KERAS_BACKEND", backend)
        monkeypatch.setattr(
            "segscale.flows.plan.installed_version", lambda name, now=version: now if name == "jax" else "0"
        )
        keys.add(plan_key(config, model))
    assert len(keys) == 3
