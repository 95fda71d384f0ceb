"""Images whose channels are in a file each, through a network of as many, as nnU-Net raw data sets have them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
from keras import layers

from tests.flows.layouts.made_sets import RAW, describe
from tests.tasks.encoded import npy
from tests.tasks.volumes import GEOMETRY, nifti

pytestmark = pytest.mark.slow

CASES, SIZE = ("a", "b", "c"), (3, 20, 24)
COUNTS = ["true_positive", "false_positive", "false_negative", "true_negative"]


def report_folder(out: str) -> Path:
    return Path(out.strip().splitlines()[-1].removeprefix("report: "))


def _save_network(path: Path) -> None:
    """The second channel is weighed against the first, so that neither their order nor one of them is all the same."""
    keras.utils.set_random_seed(2)
    image = keras.Input((None, None, 2))
    tensor = layers.Conv2D(4, 3, padding="same", activation="relu")(image)
    keras.Model(image, layers.Conv2D(1, 1, activation="sigmoid")(tensor)).save(path)


def _channel(case: str, number: int) -> Any:
    drawn = np.random.default_rng([ord(case), number]).integers(0, 1000, SIZE)
    return drawn.astype(np.int16)


def _save_channel(folder: Path, case: str, number: int, values: Any) -> None:
    (folder / f"{case}_{number:04d}.nii.gz").write_bytes(nifti(values, GEOMETRY))


def test_files_of_channels_are_predicted_as_one_file_of_all(
    segscale: Any, tmp_path: Path, write_config: Callable[..., Path]
) -> None:
    """The same counts; and where one file of one case changes, that case alone is done again."""
    raw = describe(tmp_path / "raw", RAW, channel_names={"0": "T1", "1": "FLAIR"})
    for folder in (raw / "imagesTr", raw / "labelsTr", tmp_path / "stacked"):
        folder.mkdir()
    for case in CASES:
        channels = [_channel(case, number) for number in range(2)]
        for number, values in enumerate(channels):
            _save_channel(raw / "imagesTr", case, number, values)
        (tmp_path / f"stacked/{case}.npy").write_bytes(npy(np.stack(channels, axis=-1)))
        label = (channels[0] > channels[1]).astype(np.uint8)
        (raw / f"labelsTr/{case}.nii.gz").write_bytes(nifti(label, GEOMETRY))
    _save_network(tmp_path / "net.keras")

    def run(**dataset: str) -> pd.DataFrame:
        config = write_config(
            dataset={"name": '"set"', "normalize": '"zscore"', "references": '"raw/labelsTr"', **dataset},
            model={"path": '"net.keras"', "engine": '"keras"', "precision": '"float32"'},
            metrics={"bootstrap": "0"},
            store={"path": '"store"', "shard_images": "1"},
            cluster={"workers": "1"},
        )
        outcome = segscale("run", config)
        assert outcome.code == 0, outcome.err
        rows = pd.read_parquet(report_folder(outcome.out) / "per_image.parquet")
        return rows[rows["class_index"] == 1].set_index("image_id")

    found = run(layout='"nnunet"')
    stacked = run(images='"stacked/*.npy"', label_values="[0, 1]", classes='["background", "lesion"]')
    pd.testing.assert_frame_equal(found[COUNTS], stacked[COUNTS])
    assert (found["true_positive"] > 0).all()
    done = {stage: set((tmp_path / "store/ledger" / stage).iterdir()) for stage in ("ingest", "predict")}
    _save_channel(raw / "imagesTr", "b", 1, _channel("x", 1))
    again = run(layout='"nnunet"')
    assert (found["image_sha256"] != again["image_sha256"]).to_dict() == {"a": False, "b": True, "c": False}
    assert found["soft_intersection"]["b"] != again["soft_intersection"]["b"]
    for stage, before in done.items():
        assert len(set((tmp_path / "store/ledger" / stage).iterdir()) - before) == 1, stage


def test_a_network_of_another_number_of_channels_is_given_none(
    segscale: Any, tmp_path: Path, write_config: Callable[..., Path]
) -> None:
    raw = describe(tmp_path / "raw", RAW, channel_names={"0": "T1"})
    for folder in (raw / "imagesTr", raw / "labelsTr"):
        folder.mkdir()
    _save_channel(raw / "imagesTr", "a", 0, _channel("a", 0))
    (raw / "labelsTr/a.nii.gz").write_bytes(nifti((_channel("a", 0) > 500).astype(np.uint8), GEOMETRY))
    _save_network(tmp_path / "net.keras")
    config = write_config(
        dataset={"name": '"set"', "layout": '"nnunet"', "references": '"raw"', "normalize": '"zscore"'},
        model={"path": '"net.keras"', "engine": '"keras"', "precision": '"float32"'},
        cluster={"workers": "1"},
    )
    outcome = segscale("run", config)
    assert outcome.code == 1
    assert "has 1 channel, the network takes 2; expected as many" in outcome.err + outcome.out
