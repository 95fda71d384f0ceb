"""On which shards a worker is asked for its plan, where they end workers."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from segscale.errors import ClusterLostError, ConfigError
from segscale.flows import plan
from segscale.flows.checks.model import ModelFile
from segscale.flows.config.evaluation import parse_config
from segscale.flows.shards.retry import Finished, Lost
from segscale.flows.stage import ShardPlan
from segscale.storage.objects import ObjectStore
from segscale.tasks.engine_plan import EnginePlan
from segscale.tasks.engines import EngineFacts
from segscale.tasks.prediction import Prediction
from segscale.tasks.reach import Reach

DEADLY = "WorkerDied"
PREDICTION = Prediction(
    weights_sha256="ff", engine="keras", precision="float32", versions={}, heads=("mask",), level=4, ensemble=False,
    flips=False, n_classes=2, batch_size=0, batch_pixels=4096, tile=128, overlap=0.25, threshold=0.5, keep="labels",
)  # fmt: skip
FACTS = EngineFacts("keras", "cpu", "float32", "keras 3", ("mask",), 2, 1, 1, 16)


def ask(outcomes: dict[str, str]) -> tuple[Any, list[str]]:
    """What is planned, and the shards that were tried; `outcomes` says of each what ends it, "" for nothing."""
    tried: list[str] = []

    def stream(_work: Any, jobs: list[Any], *given: Any, **__: Any) -> list[Finished | Lost]:
        (job,) = jobs
        assert given[-1] == (job.ingest_key, "z"), "the shard, and those that images for int8 are drawn from"
        tried.append(job.ingest_key)
        reason = outcomes[job.key]
        if not reason:
            return [Finished(job.key, ("the plan of", job.key), 1)]
        return [Lost(job.key, f"{reason}: so it was", 1, reason if reason == DEADLY else "")]

    document = {"dataset": {"name": "d", "images": "x", "references": "x"}, "model": {"path": "phantom"}}
    config = parse_config(document, base=Path("/"), source="test")
    run: Any = SimpleNamespace(
        config=config, model=ModelFile("m", "ff"), store=None, workers=SimpleNamespace(stream=stream)
    )
    return plan._ask(run, list(outcomes), ("z",), dict.fromkeys(outcomes, ShardPlan(1, 1.0, dict))), tried


def test_the_first_shard_is_asked() -> None:
    assert ask({"a": "", "b": ""}) == (("the plan of", "a"), ["a"])


def test_a_shard_that_ends_workers_is_passed_over() -> None:
    assert ask({"a": DEADLY, "b": ""}) == (("the plan of", "b"), ["a", "b"])


@pytest.mark.parametrize(
    "outcomes",
    [
        pytest.param({"a": DEADLY, "b": DEADLY}, id="all of them end workers"),
        pytest.param({"a": "OSError", "b": ""}, id="what is raised is no image's fault"),
    ],
)
def test_no_plan_is_no_run(outcomes: dict[str, str]) -> None:
    with pytest.raises(ClusterLostError, match=r"no worker could try the network on a shard: .*so it was"):
        ask(outcomes)


def resolved(store: ObjectStore, found: EnginePlan, **model: Any) -> EnginePlan:
    """What a run has whose worker finds this plan."""
    document = {"dataset": {"name": "d", "images": "x", "references": "x"}, "model": {"path": "net.keras", **model}}
    own: Any = SimpleNamespace(
        config=parse_config(document, base=Path("/"), source="test"), model=ModelFile("m", "ff"), store=store
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "give_model", lambda _: None)
        patch.setattr(plan, "shard_plans", lambda *_: {})
        patch.setattr(plan, "_ask", lambda *_: found)
        return plan.resolve(own, sizes((8, 8)).assign(shard="s"))


def test_a_plan_stays_until_it_is_asked_for_anew(tmp_path: Path) -> None:
    store = ObjectStore(str(tmp_path))
    full = EnginePlan(PREDICTION, FACTS, "float32 it was", None, None)
    reduced = replace(full, prediction=replace(PREDICTION, precision="bfloat16"), reason="the clock says bfloat16")
    assert resolved(store, full) == full
    assert resolved(store, reduced) == full
    assert resolved(store, reduced, replan=True) == reduced
    assert resolved(store, full) == reduced, "what took its place stays"


def sizes(*sides: tuple[int, int]) -> pd.DataFrame:
    return pd.DataFrame(
        [(f"p{place}", *size) for place, size in enumerate(sides)], columns=["image_id", "height", "width"]
    ).assign(depth=1, slice_axis="")


def planned(layers: tuple[str, ...], *, whole_image: bool, far: float = math.nan) -> EnginePlan:
    prediction, facts = replace(PREDICTION, whole_image=whole_image), replace(FACTS, whole_image=layers)
    return EnginePlan(prediction, facts, "asked for", None, None, Reach("p0", far, 0.14))


def config() -> Any:
    document = {"dataset": {"name": "d", "images": "x", "references": "x"}, "model": {"path": "net.keras"}}
    return parse_config(document, base=Path("/"), source="test")


@pytest.mark.parametrize(
    ("layers", "sides", "words"),
    [
        pytest.param(
            ("'norm' (GroupNormalization)",), [(100, 129)], r"1 are larger: p0 \(100 x 129\); .*160 or", id="one"
        ),
        pytest.param(
            tuple(f"'n{place}' (GroupNormalization)" for place in range(5)),
            [(500, 20), (128, 128), (0, 0), (129, 1), (300, 300), (200, 9)],
            r"4 are larger: p0 .*p3 .*p4 \(300 x 300\) and 1 more; .*'n2' \(\w+\) and 2 more layers.*512 or",
            id="many",
        ),
        pytest.param((), [(300, 3)], ".*as changes far away in one image showed", id="found by a change"),
    ],
)
def test_images_that_would_need_tiles_are_refused(
    layers: tuple[str, ...], sides: list[tuple[int, int]], words: str
) -> None:
    found = planned(layers, whole_image=True, far=math.nan if layers else 0.2)
    with pytest.raises(ConfigError, match=rf"^model\.tile: expected images of at most 128 x 128 pixels, {words}"):
        plan.check_sizes(config(), found, sizes(*sides))


def test_images_within_a_tile_and_networks_of_neighbourhoods_are_not() -> None:
    plan.check_sizes(config(), planned(("'norm' (GroupNormalization)",), whole_image=True), sizes((128, 128), (0, 0)))
    plan.check_sizes(config(), planned((), whole_image=False, far=0.0), sizes((5000, 5000)))
    # Of a volume the network sees slices, and no side along which they follow one another.
    volume = sizes((5000, 128)).assign(depth=100, slice_axis="h")
    plan.check_sizes(config(), planned(("'norm' (GroupNormalization)",), whole_image=True), volume)
    with pytest.raises(ConfigError, match=r"1 are larger: p0 \(5000 x 128\)"):
        plan.check_sizes(
            config(), planned(("'norm' (GroupNormalization)",), whole_image=True), volume.assign(slice_axis="d")
        )


def test_the_log_says_what_padding_would_have_changed() -> None:
    words = plan._whole_image_words(planned(("'norm' (GroupNormalization)",), whole_image=True))
    assert words.endswith("padding would change probabilities of image p0 by up to 0.14")
    untried = replace(planned((), whole_image=True), reach=None)
    assert plan._whole_image_words(untried).endswith("at their true size")


@pytest.mark.parametrize(
    ("said", "changes"),
    [
        pytest.param({}, False, id="nothing, as before there was anything to say"),
        pytest.param({"activation": "sigmoid"}, True, id="activation"),
        pytest.param({"output": "mask"}, True, id="output"),
        pytest.param({"layout": "NCHW"}, True, id="layout"),
    ],
)
def test_how_a_model_is_read_is_in_the_keys_where_something_is_said(said: dict[str, str], changes: bool) -> None:
    document = {"dataset": {"name": "d", "images": "x", "references": "x"}, "model": {"path": "m.onnx", **said}}
    config, model = parse_config(document, base=Path("/"), source="test"), ModelFile("m.onnx", "ff")
    record = plan.asked_of(config, model).record()
    assert {"output", "activation", "layout"} & record.keys() == said.keys()
    document["model"] = {"path": "m.onnx"}
    plain = plan.plan_key(parse_config(document, base=Path("/"), source="test"), model)
    assert (plan.plan_key(config, model) != plain) is changes


def test_the_log_says_which_size_a_network_takes() -> None:
    facts = replace(FACTS, fixed_size=(256, 320), whole_image=("'attention' (MatMul)",))
    words = plan._fixed_size_words(EnginePlan(PREDICTION, facts, "", None, None))
    assert "images of 256 x 320 pixels alone" in words
    assert "share 25% of their sides" in words
    assert "it looks at the whole image ('attention' (MatMul))" in words
