from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from segscale.errors import ConfigError
from segscale.flows import train
from segscale.flows.config.evaluation import EvaluationConfig
from segscale.storage.catalog import COLUMNS


def config(dataset: dict[str, Any] | None = None, metrics: dict[str, Any] | None = None, **chosen: Any) -> Any:
    return EvaluationConfig.model_validate(
        {
            "dataset": {"name": "set", "manifest": "manifest.csv", **(dataset or {})},
            "metrics": metrics or {},
            "train": chosen,
        }
    )


def catalog(channels: list[int], **groups: list[str]) -> pd.DataFrame:
    frame = pd.DataFrame({"channels": channels, **groups})
    return frame.reindex(columns=[*COLUMNS, *groups])


@pytest.mark.slow
def test_a_job_is_what_the_configuration_says() -> None:
    chosen = config(
        {"classes": ["background", "a", "b"]},
        {"threshold": 0.4},
        activation="softmax",
        filters=[4, 8, 16],
        head_weights=[0.5, 1.0],
        loss="tversky",
        tversky_alpha=0.1,
        degrees=3.0,
        flips=False,
        validation_fraction=0.2,
        validation_by="patient_id",
        output="here/model.keras",
    )
    job = train.train_job(chosen, catalog([1, 3], patient_id=["a", "b"]))
    settings = job.settings
    assert (settings.channels, settings.n_classes, settings.threshold) == (3, 3, 0.4)
    assert settings.class_weights == pytest.approx((1 / 3,) * 3)
    assert (settings.loss, settings.tversky_alpha, settings.head_weights) == ("tversky", 0.1, (0.5, 1.0))
    assert (settings.augmentation.degrees, settings.augmentation.flips) == (3.0, False)
    assert (job.split.validation_fraction, job.split.validation_by, job.split.split_by) == (0.2, "patient_id", "")
    assert job.folder == "here/model.training"


@pytest.mark.slow
def test_the_defaults_of_the_file_are_those_of_the_record() -> None:
    from segscale.tasks.training.settings import TrainSettings

    settings = train.train_job(config(), catalog([1])).settings
    assert settings == TrainSettings(epochs=30)


def test_channels_are_those_of_the_data_set_where_it_names_them() -> None:
    assert train.train_job(config({"channels": 3}), catalog([1])).settings.channels == 3


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        pytest.param(config(output="s3://bucket/model.keras"), "train.output", id="a checkpoint needs a local folder"),
        pytest.param(config(output="model.h5"), "ending in .keras", id="another kind of file"),
        pytest.param(config({"classes": ["a", "b", "c"]}), "use softmax", id="one output for three classes"),
        pytest.param(config(initial_weights="nowhere.h5"), "none is at nowhere.h5", id="weights that are not there"),
    ],
)
def test_what_cannot_work_is_said_before_it_starts(chosen: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        train.check_training(chosen)


def test_a_sound_training_passes(tmp_path: Path) -> None:
    train.check_training(config(output=str(tmp_path / "model.keras")))


@pytest.mark.parametrize("key", ["split_by", "validation_by"])
def test_an_unknown_column_is_named(key: str) -> None:
    others: dict[str, Any] = {"validation": ["x"]} if key == "split_by" else {"validation_fraction": 0.1}
    chosen = config(**{**others, key: "site"})
    with pytest.raises(ConfigError, match=rf"train\.{key}: expected a column .* \['patient_id'\], got 'site'"):
        train._check_groups(chosen, catalog([1], patient_id=["a"]))


def test_more_samples_than_memory_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"take 1000000\.0 GB as samples"):
        train._check_memory(10**15)
    train._check_memory(1000)
