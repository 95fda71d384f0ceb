"""A training is killed with SIGKILL and started again: its history is that of one that nothing happened to."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from segscale.tasks.models.model_file import load_model
from segscale.tasks.phantom import write_phantoms

pytestmark = pytest.mark.slow

EPOCHS = 6
TIMES = ["seconds", "waiting_seconds"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("training") / "data"
    write_phantoms(folder, 24, seed=5)
    return folder


def write_training(data: Path, work: Path, **changes: Any) -> Path:
    options = {
        "epochs": EPOCHS, "filters": [2, 4, 4], "patch": 32, "batch_size": 4, "dropout": 0.2, "l2": 1e-4,
        "split_by": "site", "validation": ["north"], "foreground_share": 0.5, **changes,
    }  # fmt: skip
    lines = "\n".join(f"{name} = {json.dumps(value)}" for name, value in options.items())
    config = work / "train.toml"
    config.write_text(
        f"""
        [dataset]
        name = "phantom"
        manifest = "{data}/manifest.csv"
        label_values = [0, 255]
        channels = 1
        [store]
        path = "{work}/store"
        [train]
        output = "{work}/model.keras"
        {lines}
        """
    )
    return config


def history_in(work: Path) -> pd.DataFrame:
    return pd.read_parquet(work / "model.training" / "history.parquet")


@pytest.fixture(scope="module")
def undisturbed(segscale: Any, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("undisturbed")
    outcome = segscale("train", write_training(data, work))
    assert outcome.code == 0, outcome.err
    assert outcome.out.strip() == f"{work}/model.keras"
    return work


def kill_after(process: subprocess.Popen[str], line: str) -> None:
    """SIGKILL as soon as the process has said so much."""
    assert process.stderr is not None
    said = []
    for text in process.stderr:
        said.append(text)
        if line in text:
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
            return
    raise AssertionError(f"it ended before it could be killed:\n{''.join(said)}")


@pytest.mark.nightly(part="drivers")
def test_killed_in_epoch_3_of_6_ends_as_if_nothing_had_happened(
    segscale: Any, data: Path, undisturbed: Path, tmp_path: Path
) -> None:
    config = write_training(data, tmp_path)
    kill_after(segscale.start("train", config), "epoch 3, training")
    assert not (tmp_path / "model.keras").exists()

    outcome = segscale("train", config)
    assert outcome.code == 0, outcome.err
    assert "goes on after epoch 3 of 6" in outcome.err
    resumed, expected = history_in(tmp_path), history_in(undisturbed)
    assert expected["epoch"].tolist() == [epoch for epoch in range(1, EPOCHS + 1) for _ in range(2)]
    pd.testing.assert_frame_equal(resumed.drop(columns=TIMES), expected.drop(columns=TIMES), rtol=1e-6, atol=1e-7)
    first, second = (load_model(work / "model.keras").get_weights() for work in (tmp_path, undisturbed))
    assert all((one == other).all() for one, other in zip(first, second, strict=True))


def test_everything_that_a_training_leaves_is_there(undisturbed: Path) -> None:
    folder = undisturbed / "model.training"
    record = json.loads((folder / "training.json").read_text())
    history = history_in(undisturbed)
    assert set(history["training_id"]) == {record["training_id"]}
    assert record["settings"]["epochs"] == EPOCHS
    split = pd.read_parquet(folder / "split.parquet")
    assert split["split"].value_counts().to_dict() == {
        "training": record["n_training"], "validation": record["n_validation"],
    }  # fmt: skip
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in (folder / "tensorboard").iterdir()) == ["training", "validation"]
    metadata = pq.read_schema(folder / "history.parquet").metadata
    assert metadata[b"kind"] == b"training-history"
    assert json.loads(metadata[b"settings"])["classes"] == record["classes"]
    total = history["regularization"].to_numpy()
    for head in ("head_1", "head_2"):
        total = total + (history[f"{head}_loss"] * history[f"{head}_weight"]).to_numpy()
    assert "head_3_loss" not in history
    np.testing.assert_allclose(total, history["loss"], rtol=0, atol=1e-5)


def test_a_finished_training_is_found_and_diagnosed(segscale: Any, undisturbed: Path) -> None:
    before = (undisturbed / "model.training" / "history.parquet").read_bytes()
    again = segscale("train", undisturbed / "train.toml")
    assert again.code == 0, again.err
    assert "goes on after epoch 6 of 6" in again.err
    assert (undisturbed / "model.training" / "history.parquet").read_bytes() == before
    found = segscale("diagnose", undisturbed / "model.training" / "history.parquet", "--json")
    assert found.code == 0, found.err
    assert isinstance(json.loads(found.out), dict)


def test_a_folder_with_another_training_is_refused(segscale: Any, data: Path, undisturbed: Path) -> None:
    checkpoint = (undisturbed / "model.training" / "checkpoint.npz").read_bytes()
    write_training(data, undisturbed, learning_rate=1e-3)
    try:
        outcome = segscale("train", undisturbed / "train.toml")
    finally:
        write_training(data, undisturbed)
    assert outcome.code == 2
    assert "learning_rate was 0.002, is 0.001" in outcome.err.splitlines()[-1]
    assert (undisturbed / "model.training" / "checkpoint.npz").read_bytes() == checkpoint
