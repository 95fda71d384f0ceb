from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from segscale.storage import tables
from segscale.tasks import train
from segscale.tasks.models.model_file import load_model
from segscale.tasks.train import TrainJob
from segscale.tasks.training.history import Row
from segscale.tasks.training.settings import SplitRule, TrainSettings

pytestmark = pytest.mark.slow

SETTINGS = TrainSettings(epochs=2, filters=(2, 3), patch=16, batch_size=2)


@pytest.fixture(scope="module")
def made(make_set_in: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    images = {
        f"{name}.png": np.random.default_rng(number).integers(0, 256, (20, 24)).astype(np.uint8)
        for number, name in enumerate("abcd")
    }
    masks = {name: (pixels > 127).astype(np.uint8) for name, pixels in images.items()}
    folder = tmp_path_factory.mktemp("train")
    made = make_set_in(folder, images, masks, groups={"patient_id": ["p1", "p1", "p2", "p3"]})
    made.ingest()
    return made


@pytest.fixture(scope="module")
def finished(made: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainJob, list[Row]]:
    """A training that has come to its end, in a folder that tests leave as it is."""
    rule = SplitRule(split_by="patient_id", validation=("p3",), validation_by="patient_id")
    output = tmp_path_factory.mktemp("trained") / "new" / "model.keras"
    job = TrainJob("set", ("background", "lesion"), SETTINGS, rule, str(output))
    return job, run(made, job)


def run(made: Any, job: TrainJob) -> list[Row]:
    rows: list[Row] = []
    assert train.train(made.store, made.entries(), made.catalog, job, rows.append) == job.output
    return rows


def test_a_training_leaves_a_model_and_its_history(finished: tuple[TrainJob, list[Row]]) -> None:
    job, rows = finished
    assert [(row["epoch"], row["split"]) for row in rows] == [
        (1, "training"), (1, "validation"), (2, "training"), (2, "validation"),
    ]  # fmt: skip
    assert load_model(job.output).output_names == ["head_1"]
    folder = Path(job.folder)
    data = (folder / train.HISTORY).read_bytes()
    history = tables.decode_frame(data)
    assert history["loss"].tolist() == [row["loss"] for row in rows]
    assert set(history["dataset"]) == {"set"}
    assert history["epoch"].dtype == "Int64"
    settings = json.loads(str(tables.note(data, "settings")))
    assert settings["head_weights"] == [1.0]
    assert settings["classes"] == ["background", "lesion"]
    split = pd.read_parquet(folder / train.SPLIT)
    assert dict(zip(split["image_id"], split["split"], strict=True)) == {
        "a": "training", "b": "training", "c": "training", "d": "validation",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"settings": SETTINGS.changed(epochs=3)}, "epochs was 2, is 3", id="more epochs, other rates"),
        pytest.param({"settings": SETTINGS.changed(seed=1)}, "seed was 0, is 1", id="seed"),
        pytest.param(
            {"split": SplitRule(split_by="patient_id", validation=("p2",))}, "the images, their split", id="split"
        ),
    ],
)
def test_the_folder_of_another_training_is_left_alone(
    made: Any, finished: tuple[TrainJob, list[Row]], changes: dict[str, Any], message: str
) -> None:
    job, _ = finished
    before = {path: path.read_bytes() for path in Path(job.folder).iterdir() if path.is_file()}
    with pytest.raises(ValueError, match=message):
        run(made, replace(job, **changes))
    assert {path: path.read_bytes() for path in before} == before


def test_a_torn_checkpoint_is_named(made: Any, finished: tuple[TrainJob, list[Row]], tmp_path: Path) -> None:
    job = replace(finished[0], output=str(tmp_path / "model.keras"))
    shutil.copytree(finished[0].folder, job.folder)
    path = Path(job.folder) / train.CHECKPOINT
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ValueError, match=r"checkpoint.npz is damaged.*remove it to train anew"):
        run(made, job)


def test_weights_from_elsewhere_are_the_first(made: Any, finished: tuple[TrainJob, list[Row]], tmp_path: Path) -> None:
    job, _ = finished
    slow = SETTINGS.changed(epochs=1, learning_rate=1e-12)
    second = replace(job, settings=slow, output=str(tmp_path / "second.keras"), initial_weights=job.output)
    run(made, second)
    first, after = (load_model(path) for path in (job.output, second.output))
    for layer in first.layers:
        if "conv" in layer.name or "head" in layer.name:
            for one, other in zip(layer.get_weights(), after.get_layer(layer.name).get_weights(), strict=True):
                np.testing.assert_allclose(one, other, atol=1e-7)
