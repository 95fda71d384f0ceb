"""The program that converts, in processes of its own, and what a worker that uses its graphs has in memory."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import pytest

from segscale.errors import EngineError, UnconvertibleError
from segscale.tasks import conversion
from segscale.tasks.conversion import converted_graph
from segscale.tasks.engines.heads import HeadChoice
from segscale.tasks.models.model_file import save_model
from segscale.tasks.models.unet_plus_plus import build_unet_plus_plus

WORKER = """
import hashlib, sys
from pathlib import Path
import numpy as np
from segscale.tasks.conversion import converted_graph
from segscale.tasks.engines.openvino import OpenVinoEngine
model, folder = Path(sys.argv[1]), Path(sys.argv[2])
graph = converted_graph(model, hashlib.sha256(model.read_bytes()).hexdigest(), "all", True, folder)
recipe = np.array([[-np.inf, np.inf, 0, 255]], np.float32)
found = OpenVinoEngine(graph).probabilities(np.full((1, 8, 8, 1), 128, np.uint8), recipe)
assert found.shape == (3, 1, 8, 8, 1), found.shape
print(*(name for name in ("openvino", "tensorflow", "keras", "jax") if name in sys.modules))
"""


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.keras"
    save_model(build_unet_plus_plus(channels=1, outputs=1, filters=(2, 3, 4)), path)
    return path


@pytest.fixture(scope="module")
def smooth_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound model with a layer that OpenVINO is not given for images of any size."""
    path = tmp_path_factory.mktemp("model") / "smooth.keras"
    image = keras.Input((None, None, 1))
    raised = keras.layers.UpSampling2D(2, interpolation="bilinear")(keras.layers.MaxPooling2D(2)(image))
    save_model(keras.Model(image, keras.layers.Conv2D(1, 1, activation="sigmoid")(raised), name="smooth"), path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.mark.slow
def test_a_model_is_converted_once(model_file: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    sha256 = hashlib.sha256(model_file.read_bytes()).hexdigest()
    first = converted_graph(model_file, sha256, "all", ensemble=True, folder=folder)
    assert first.heads == HeadChoice(("head_1", "head_2"), ("head_1", "head_2", "ensemble"))
    monkeypatch.setattr(conversion, "_convert", lambda *_: pytest.fail("converted again"))
    assert converted_graph(model_file, sha256, "all", ensemble=True, folder=folder) == first


@pytest.mark.slow
def test_a_worker_never_loads_tensorflow(model_file: Path, folder: Path) -> None:
    command = [sys.executable, "-c", WORKER, str(model_file), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["openvino"]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"level": 1}, id="level"),
        pytest.param({"ensemble": True}, id="ensemble"),
        pytest.param({"level": "all"}, id="all heads"),
        pytest.param({"version": "2"}, id="another release"),
        pytest.param({"weights": "ff"}, id="weights"),
        pytest.param({"code": 99}, id="another way of converting"),
    ],
)
def test_what_determines_a_graph_is_part_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    identities: list[object] = []
    monkeypatch.setattr(conversion, "cached_graph", lambda identity, *_: identities.append(identity))
    converted_graph(tmp_path / "m.keras", "00", 2, ensemble=False)
    if "version" in change:
        monkeypatch.setattr(conversion, "versions_of", lambda *names: dict.fromkeys(names, change["version"]))
    if "code" in change:
        monkeypatch.setattr(conversion, "CODE_VERSION", change["code"])
    weights, level = change.get("weights", "00"), change.get("level", 2)
    converted_graph(tmp_path / "m.keras", weights, level, change.get("ensemble", False))
    assert identities[0] != identities[1]


@pytest.mark.parametrize(
    ("model", "level", "code", "message"),
    [
        pytest.param("model_file", "2", 0, "", id="converted"),
        pytest.param("model_file", "all", 0, "", id="all heads"),
        pytest.param(
            "model_file", "4", 2, "level 4 is not there: the model has the outputs head_1, head_2\n", id="no such level"
        ),
        pytest.param("tmp_path", "2", 2, "a model file must end in .keras", id="no model file"),
        pytest.param(
            "smooth_file", "1", 3, "model 'smooth' cannot be converted for the engine openvino: Exception encountered "
            "when calling UpSampling2D.call().; use engine keras\n", id="no counterpart in OpenVINO",
        ),
    ],
)  # fmt: skip
def test_the_program_says_in_one_line_why_not(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    tmp_path: Path, model: str, level: str, code: int, message: str,
) -> None:  # fmt: skip
    graph = tmp_path / "graph.zip"
    arguments = [str(request.getfixturevalue(model)), str(graph), "--level", level]
    monkeypatch.setattr(sys, "argv", ["conversion", *arguments])
    assert conversion.main() == code
    said = capsys.readouterr().err
    assert said.startswith(message)
    assert said.count("\n") == (code != 0)
    assert graph.exists() is (code == 0)


@pytest.mark.parametrize(
    ("code", "said", "kind", "message"),
    [
        pytest.param(2, "level 4 is not there", EngineError, "^level 4 is not there$", id="unusable"),
        pytest.param(3, "chatter\nno such layer", UnconvertibleError, "^no such layer$", id="unconvertible"),
        pytest.param(1, "MemoryError", EngineError, "m.keras could not be converted: MemoryError", id="it broke"),
        pytest.param(-9, "", EngineError, "m.keras could not be converted: it ended with -9", id="it was killed"),
    ],
)
def test_how_the_program_ended_is_what_is_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, said: str, kind: type[EngineError], message: str
) -> None:
    answer = subprocess.CompletedProcess([], code, "", said)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: answer)
    with pytest.raises(EngineError, match=message) as raised:
        converted_graph(tmp_path / "m.keras", "00", 2, ensemble=False, folder=tmp_path)
    assert type(raised.value) is kind


def test_not_installed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversion, "openvino_is_installed", lambda: False)
    with pytest.raises(ValueError, match="engine openvino is not installed"):
        converted_graph(tmp_path / "m.keras", "00", 2, ensemble=False, folder=tmp_path)
