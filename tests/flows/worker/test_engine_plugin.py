from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from dask.system import CPU_COUNT

from segscale.errors import EngineError, PermanentError
from segscale.flows.checks.model import ModelFile
from segscale.flows.config.sections import Model
from segscale.flows.worker import engine_plugin as held
from segscale.flows.worker.engine import threads_of
from segscale.flows.worker.engine_plugin import EnginePlugin
from segscale.storage.objects import ObjectStore
from segscale.tasks import engine_plan
from segscale.tasks.engine_plan import EnginePlan, versions
from segscale.tasks.engines import EngineFacts
from segscale.tasks.engines.selection import Choice, Surroundings
from segscale.tasks.prediction import Asked, Prediction

FACTS = EngineFacts("openvino", "cpu", "float32", "openvino 1", ("head_4",), 2, 1, 1, 16)
MODEL = ModelFile("model.keras", "ff")
ASKED = Asked(
    weights_sha256="ff", level=4, ensemble=False, flips=False, n_classes=2, batch_size=0, tile=1024, overlap=0.25,
    threshold=0.5, keep="labels",
)  # fmt: skip
PLANNED = Prediction(
    weights_sha256="ff", engine="openvino", precision="float32", versions=versions(FACTS), heads=("head_4",), level=4,
    ensemble=False, flips=False, n_classes=2, batch_size=0, batch_pixels=4096, tile=1024, overlap=0.25, threshold=0.5,
    keep="labels",
)  # fmt: skip
STORE = ObjectStore("memory://plan")


@pytest.fixture(autouse=True)
def nothing_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held, "_HELD", held._HeldEngine())


def plugin_of(asked: Asked) -> EnginePlugin:
    made = EnginePlugin(MODEL, asked, neighbours=2)
    made.setup(worker_with())
    return made


def worker_with(**resources: float) -> Any:
    return SimpleNamespace(
        memory_manager=SimpleNamespace(memory_limit=10**10), state=SimpleNamespace(total_resources=resources)
    )


@pytest.fixture
def plugin() -> EnginePlugin:
    return plugin_of(ASKED)


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The engines that were built, all of which have the same facts."""
    asked = []

    def build(_model: ModelFile, _asked: Asked, _neighbours: int, engine: str, precision: str) -> Any:
        asked.append((engine, precision))
        return SimpleNamespace(facts=FACTS)

    monkeypatch.setattr(held, "build_engine", build)
    return asked


def test_the_engine_of_the_plan_is_built_once(plugin: EnginePlugin, built: list[tuple[str, str]]) -> None:
    assert plugin.engine_for(PLANNED, STORE) is plugin.engine_for(PLANNED, STORE)
    assert built == [("openvino", "float32")]


@pytest.mark.usefixtures("unconvertible")
def test_the_engine_of_the_plan_stays_for_the_shards(plugin: EnginePlugin, built: list[tuple[str, str]]) -> None:
    plugin.plan("key", STORE, Model(engine="keras"))
    # Before the shards the driver registers its plugin again.
    plugin_of(ASKED).engine_for(PLANNED, STORE)
    assert built == []


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(replace(ASKED, weights_sha256="ee"), id="other weights"),
        pytest.param(replace(ASKED, level=3), id="another level"),
        pytest.param(replace(ASKED, ensemble=True), id="the mean of heads"),
        pytest.param(replace(ASKED, flips=True), id="flips"),
    ],
)
def test_runs_that_share_a_worker_do_not_get_each_others_network(other: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    """The facts of the engines are equal: nothing but what was asked for tells them apart."""
    monkeypatch.setattr(held, "build_engine", lambda _, asked, *__: SimpleNamespace(facts=FACTS, asked=asked))
    planned = replace(
        PLANNED, **{name: getattr(other, name) for name in ("weights_sha256", "level", "ensemble", "flips")}
    )
    plugins = {plugin.name: plugin for plugin in map(plugin_of, (ASKED, other))}
    monkeypatch.setattr(held, "get_worker", lambda: SimpleNamespace(plugins=plugins))
    for prediction, asked in ((PLANNED, ASKED), (planned, other), (PLANNED, ASKED)):
        engine: Any = held.plugin_of(prediction).engine_for(prediction, STORE)
        assert engine.asked == asked


def test_an_engine_of_another_precision_makes_room(plugin: EnginePlugin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held, "build_engine", lambda *asked: SimpleNamespace(facts=replace(FACTS, precision=asked[4])))
    for precision in ("float32", "bfloat16"):
        facts = plugin.engine_for(replace(PLANNED, precision=precision), STORE).facts
        assert facts.precision == precision


@pytest.mark.parametrize(
    "planned",
    [
        pytest.param(replace(PLANNED, precision="bfloat16"), id="another precision"),
        pytest.param(replace(PLANNED, heads=("head_3",)), id="another head"),
        pytest.param(replace(PLANNED, versions={**PLANNED.versions, "runtime": "openvino 2"}), id="another version"),
        pytest.param(replace(PLANNED, versions={**PLANNED.versions, "device": "gpu:0"}), id="another device"),
    ],
)
@pytest.mark.usefixtures("built")
def test_a_worker_that_cannot_do_what_was_planned_refuses(plugin: EnginePlugin, planned: Prediction) -> None:
    with pytest.raises(PermanentError, match="this worker cannot do what the run was planned with"):
        plugin.engine_for(planned, STORE)


def test_an_engine_that_cannot_be_built_here_is_a_refusal(
    plugin: EnginePlugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(*_: object) -> Any:
        raise EngineError("engine openvino is not installed")

    monkeypatch.setattr(held, "build_engine", build)
    with pytest.raises(PermanentError, match=r"planned .* it has engine openvino is not installed"):
        plugin.engine_for(PLANNED, STORE)


@pytest.fixture
def unconvertible(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that Keras can have and OpenVINO cannot."""

    def choose(engine: str, precision: str, _: object, onnx: bool) -> Choice:
        assert not onnx
        chosen: Any = "openvino" if engine == "auto" else engine
        return Choice(chosen, "float32", f"{chosen} for {engine}, {precision}")

    def plan(_store: object, _key: str, _asked: Asked, choice: Choice, *_: object, **__: object) -> Any:
        if choice.engine == "openvino":
            raise EngineError("no counterpart of layer X")
        facts = replace(FACTS, name="keras")
        return EnginePlan(PLANNED, facts, choice.reason, None, None), SimpleNamespace(facts=FACTS)

    monkeypatch.setattr(held, "choose_engine", choose)
    monkeypatch.setattr(engine_plan, "plan_engine", plan)


@pytest.mark.usefixtures("unconvertible")
def test_auto_falls_back_to_keras_and_says_why(plugin: EnginePlugin) -> None:
    found = plugin.plan("key", STORE, Model())
    assert found.facts.name == "keras"
    assert found.reason == "no counterpart of layer X; keras for keras, auto"


@pytest.mark.usefixtures("unconvertible")
def test_an_engine_that_was_asked_for_is_not_replaced(plugin: EnginePlugin) -> None:
    with pytest.raises(EngineError, match="no counterpart of layer X"):
        plugin.plan("key", STORE, Model(engine="openvino"))


@pytest.mark.parametrize("neighbours", [1, 2, 10**6])
def test_workers_of_one_machine_share_its_cores(neighbours: int) -> None:
    assert threads_of(neighbours) == max(1, CPU_COUNT // neighbours)


def test_threads_are_those_that_a_job_or_pod_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGSCALE_THREADS", "7")
    assert threads_of(4) == 7


@pytest.mark.parametrize("given", ["", "0", "-2", "all", "1.5"])
def test_threads_that_are_no_number_are_refused(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("SEGSCALE_THREADS", given)
    with pytest.raises(ValueError, match=r"SEGSCALE_THREADS: expected a number of threads, 1 or more, got"):
        threads_of(2)


def build_on_cpu(_model: ModelFile, _asked: Asked, _neighbours: int, engine: str, precision: Any) -> Any:
    return SimpleNamespace(facts=replace(FACTS, name=engine, precision=precision, version=f"{engine} 1"))


def plan_without_trying(
    _store: object, _key: str, _asked: Asked, choice: Choice, build: Any, **_: object
) -> tuple[EnginePlan, Any]:
    engine = build(choice.engine, choice.precision)
    return EnginePlan(PLANNED, engine.facts, choice.reason, None, None), engine


@pytest.mark.parametrize(
    ("asked", "openvino", "expected", "reason"),
    [
        pytest.param(
            ("auto", "auto"), True, ("openvino", "float32"),
            "a GPU is there, which keras 1 cannot use: install the extra gpu (README.md); no GPU is visible, openvino "
            "is installed, the CPU has no instruction for bfloat16", id="openvino instead",
        ),
        pytest.param(
            ("auto", "auto"), False, ("keras", "float32"),
            "a GPU is there, which keras 1 cannot use: install the extra gpu (README.md); no GPU is visible, openvino "
            "is not installed, keras computes in float32 on a CPU", id="not bfloat16, which is for GPUs",
        ),
        pytest.param(
            ("keras", "float32"), True, ("keras", "float32"),
            "engine keras was asked for, precision float32 was asked for", id="nothing was left to choose",
        ),
    ],
)  # fmt: skip
def test_a_gpu_that_keras_cannot_use_is_none(
    plugin: EnginePlugin, monkeypatch: pytest.MonkeyPatch, asked: Any, openvino: bool, expected: Any, reason: str
) -> None:
    monkeypatch.setattr(held, "look_around", lambda: Surroundings(gpu=True, openvino=openvino, bfloat16=False))
    monkeypatch.setattr(held, "build_engine", build_on_cpu)
    monkeypatch.setattr(engine_plan, "plan_engine", plan_without_trying)
    found = plugin.plan("key", STORE, Model(engine=asked[0], precision=asked[1]))
    assert (found.facts.name, found.facts.precision) == expected
    assert found.reason == reason


@pytest.mark.parametrize("engine", ["auto", "keras", "openvino"])
def test_a_worker_for_a_gpu_does_not_compute_on_the_cpu_in_silence(
    plugin: EnginePlugin, monkeypatch: pytest.MonkeyPatch, engine: Any
) -> None:
    monkeypatch.setattr(held, "look_around", lambda: Surroundings(gpu=True, openvino=True, bfloat16=False))
    monkeypatch.setattr(held, "build_engine", build_on_cpu)
    monkeypatch.setattr(engine_plan, "plan_engine", plan_without_trying)
    plugin.setup(worker_with(GPU=1))
    with pytest.raises(EngineError, match=r'cluster.kind = "gpus" asks for a GPU, and .* 1 computes on cpu'):
        plugin.plan("key", STORE, Model(engine=engine))
