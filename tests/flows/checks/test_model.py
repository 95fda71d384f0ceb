"""The check of the model: asked for once, and bounded in time."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from segscale.errors import ConfigError
from segscale.flows.checks import model as model_check
from segscale.flows.checks.model import check_model
from segscale.flows.config.evaluation import EvaluationConfig, parse_config
from segscale.tasks.conversion import is_converted
from segscale.tasks.engines.graph_cache import cache_folder
from segscale.tasks.inspection import known_facts, remember_facts
from segscale.tasks.models.bundled import bundled_path

FACTS: dict[str, Any] = {"channels": 1, "n_classes": 2, "levels": [4], "rescales": ""}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("SEGSCALE_CACHE", str(tmp_path / "cache"))
    model_check._begin_inspection.cache_clear()
    yield cache_folder()
    model_check._begin_inspection.cache_clear()


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that were started; in the place of each runs a program that says FACTS."""
    commands: list[list[str]] = []
    popen = subprocess.Popen

    def start(command: list[str], **options: Any) -> Any:
        commands.append(command)
        return popen(
            [sys.executable, "-c", 'print(\'{"channels": 1, "n_classes": 2, "levels": [4], "rescales": ""}\')'],
            **options,
        )

    monkeypatch.setattr("subprocess.Popen", start)
    return commands


def config_of(folder: Path, content: bytes = b"a model", **model: Any) -> EvaluationConfig:
    (folder / "model.keras").write_bytes(content)
    document = {
        "dataset": {"name": "d", "images": "*.png", "references": "*.png"},
        "model": {"path": "model.keras", **model},
        "store": {"path": "store"},
    }
    return parse_config(document, base=folder, source="test")


def test_a_model_is_loaded_once_in_a_process(tmp_path: Path, started: list[list[str]]) -> None:
    config = config_of(tmp_path)
    check_model(config)
    check_model(config)
    assert len(started) == 1


def test_a_model_that_is_known_and_converted_starts_nothing(
    tmp_path: Path, started: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(tmp_path)
    remember_facts(model_check.find_model(config).sha256, FACTS)
    monkeypatch.setattr("segscale.flows.checks.model.is_converted", lambda *_: True)
    check_model(config)
    assert started == []


def test_a_known_model_is_converted_without_anyone_waiting(
    tmp_path: Path, started: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(tmp_path, engine="openvino")
    remember_facts(model_check.find_model(config).sha256, FACTS)
    monkeypatch.setattr(model_check._Process, "facts", lambda *_: pytest.fail("waited"))
    check_model(config)
    assert [command[-2:] for command in started] == [["--convert", "4"]]


def test_keras_needs_no_graph(tmp_path: Path, started: list[list[str]]) -> None:
    check_model(config_of(tmp_path, engine="keras"))
    assert "--convert" not in started[0]


SCALED = {**FACTS, "rescales": "'scale' (Rescaling) multiplies its input by 0.00784 and subtracts 127.5 from it"}


@pytest.mark.usefixtures("started")
@pytest.mark.parametrize("engine", ["auto", "keras", "openvino"])
@pytest.mark.parametrize(
    ("method", "given"),
    [("unit", "0 to 1"), ("window", "0 to 1"), ("percentile", "0 to 1"), ("zscore", "values around 0")],
)
def test_a_network_that_rescales_by_itself_is_refused_with_both_remedies(
    tmp_path: Path, engine: str, method: str, given: str
) -> None:
    config = config_of(tmp_path, engine=engine)
    remember_facts(model_check.find_model(config).sha256, SCALED)
    scaled = config.model_copy(update={"dataset": config.dataset.model_copy(update={"normalize": method})})
    with pytest.raises(ConfigError) as refusal:
        check_model(scaled)
    said = str(refusal.value)
    for words in (
        "model.path",
        "dataset.normalize",
        "'scale' (Rescaling)",
        f"normalize = {method!r} would give it {given}",
    ):
        assert words in said
    assert 'set dataset.normalize = "none"' in said
    assert "save the model without that layer" in said


def test_a_network_that_rescales_by_itself_gets_stored_values(tmp_path: Path, started: list[list[str]]) -> None:
    config = config_of(tmp_path, engine="keras")
    remember_facts(model_check.find_model(config).sha256, SCALED)
    check_model(config.model_copy(update={"dataset": config.dataset.model_copy(update={"normalize": "none"})}))
    assert started == []


def test_a_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    (tmp_path / "model.keras").unlink()
    with pytest.raises(ConfigError, match=r"model\.path: expected a \.keras file"):
        check_model(config)


def test_a_file_that_takes_for_ever_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    popen, processes = subprocess.Popen, []

    def hang(_command: list[str], **options: Any) -> Any:
        processes.append(popen([sys.executable, "-c", "import signal; signal.pause()"], **options))
        return processes[-1]

    monkeypatch.setattr("subprocess.Popen", hang)
    monkeypatch.setattr(model_check, "INSPECTION_SECONDS", 0.1)
    with pytest.raises(ConfigError, match=r"model\.keras could not be loaded within 0\.1 s"):
        check_model(config_of(tmp_path))
    assert processes[0].wait(30) < 0


def test_what_was_wrong_is_said_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that runs the same configuration twice in one process."""
    popen = subprocess.Popen

    def fail(_command: list[str], **options: Any) -> Any:
        return popen([sys.executable, "-c", "import sys; sys.exit('no segmentation model')"], **options)

    monkeypatch.setattr("subprocess.Popen", fail)
    for _ in range(2):
        with pytest.raises(ConfigError, match="no segmentation model"):
            check_model(config_of(tmp_path))


@pytest.mark.parametrize("engine", ["auto", "keras", "openvino"])
def test_float16_that_no_engine_here_has_starts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, started: list[list[str]], engine: str
) -> None:
    monkeypatch.setattr(model_check, "cpu_flags", frozenset)
    monkeypatch.setattr(model_check, "sees_nvidia_gpu", lambda: False)
    with pytest.raises(ConfigError, match=r"^model: precision"):
        check_model(config_of(tmp_path, engine=engine, precision="float16"))
    assert started == []


@pytest.mark.parametrize(
    ("backend", "words"),
    [
        pytest.param("torch", "runs on tensorflow or jax, KERAS_BACKEND is 'torch'", id="not built for it"),
        pytest.param("jax", r"run on jax \(KERAS_BACKEND\), which is not installed", id="not installed"),
    ],
)
def test_a_backend_that_cannot_be_had_starts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, started: list[list[str]], backend: str, words: str
) -> None:
    monkeypatch.setenv("KERAS_BACKEND", backend)
    monkeypatch.setattr(model_check, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=words):
        check_model(config_of(tmp_path, engine="keras"))
    assert started == []


def test_openvino_is_not_for_gpus(tmp_path: Path, started: list[list[str]]) -> None:
    config = config_of(tmp_path, engine="openvino")
    gpus = config.model_copy(update={"cluster": config.cluster.model_copy(update={"kind": "gpus"})})
    with pytest.raises(ConfigError, match=r"model\.engine: openvino computes on CPUs"):
        check_model(gpus)
    assert started == []


def test_a_cache_that_may_not_be_looked_into_has_nothing(
    tmp_path: Path, started: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Path) -> bool:
        raise PermissionError

    config = config_of(tmp_path, engine="openvino")
    remember_facts(model_check.find_model(config).sha256, FACTS)
    monkeypatch.setattr(Path, "exists", refuse)
    check_model(config)
    assert len(started) == 1


@pytest.mark.slow
def test_a_bundled_model_is_looked_at_and_converted(tmp_path: Path) -> None:
    config = config_of(tmp_path, Path(bundled_path("phantom")).read_bytes())
    check_model(config)
    model = model_check.find_model(config)
    facts = known_facts(model.sha256)
    assert facts is not None
    assert (facts["n_classes"], facts["levels"]) == (2, [1, 2, 3, 4])
    begun = model_check._begin_inspection(model, config.model.reading, model_check._graph_needed(config))._process
    assert begun is not None
    begun._process.wait(120)
    assert is_converted(model.sha256, 4, False)


@pytest.mark.slow
def test_a_file_that_is_no_model_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^model\.path: .*model\.keras"):
        check_model(config_of(tmp_path))
