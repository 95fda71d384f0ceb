"""Training histories of ours and of others, and the one line that ends everything else."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from segscale.errors import ConfigError
from segscale.flows.reports.histories import is_history, read_history
from segscale.storage import tables
from segscale.tasks.training.diagnosis.course import TrainingFacts

SETTINGS = {
    "loss": "dice", "reduction_axes": "batch", "smooth": 1.0, "class_weights": [0.3, 0.7], "l2": 1e-4,
    "classes": ["background", "lesion"], "head_weights": [1, 1], "learning_rate": 5e-5, "filters": [8, 16, 32],
}  # fmt: skip
OWN = pd.DataFrame(
    {"epoch": [1, 1, 2, 2], "split": ["training", "validation"] * 2, "loss": [1.5, 1.4, 1.25, 1.3], "dice_pooled": 0.5}
)
KERAS = {"loss": [1.5, 1.25], "dsc": [0.25, 0.5], "val_loss": [1.75, 1.5], "val_dsc": [0.125, 0.25], "lr": [0.001, 0.0]}
AS_READ = pd.DataFrame(
    {
        "epoch": [1, 1, 2, 2], "split": ["training", "validation"] * 2, "loss": [1.5, 1.75, 1.25, 1.5],
        "dsc": [0.25, 0.125, 0.5, 0.25], "learning_rate": [0.001, np.nan, 0.0, np.nan],
    }
)  # fmt: skip


def _own(metadata: dict[str, str] | None = None, frame: pd.DataFrame = OWN) -> bytes:
    known = {"kind": "training-history", "schema_version": "1", "settings": json.dumps(SETTINGS)}
    return tables.encode_frame(frame, metadata={**known, **(metadata or {})})


def _read(tmp_path: Path, data: bytes | str, name: str = "history") -> tuple[pd.DataFrame, TrainingFacts]:
    path = tmp_path / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return read_history(str(path))


@pytest.mark.parametrize("place", [pytest.param("", id="its folder"), pytest.param("/history.parquet", id="the file")])
def test_a_history_of_ours(place: str, tmp_path: Path) -> None:
    folder = tmp_path / "model.training"
    folder.mkdir()
    (folder / "history.parquet").write_bytes(_own())
    assert is_history(f"{folder}{place}")
    frame, facts = read_history(f"{folder}{place}")
    pd.testing.assert_frame_equal(frame, OWN)
    assert facts == TrainingFacts(
        loss="dice", reduction_axes="batch", smooth=1.0, class_weights=(0.3, 0.7), l2=1e-4,
        classes=("background", "lesion"), head_weights=(1, 1),
    )  # fmt: skip


def _rows() -> list[dict[str, float]]:
    columns: dict[str, list[float]] = {"epoch": [0.0, 1.0], **KERAS}
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(json.dumps(KERAS), id="History.history"),
        pytest.param(json.dumps({"history": KERAS, "epoch": [0, 1], "params": {}}), id="a whole History"),
        pytest.param(json.dumps(_rows()), id="a list of rows"),
        pytest.param("\n".join(map(json.dumps, _rows())), id="a row per line"),
        pytest.param(pd.DataFrame(_rows()).to_csv(index=False), id="CSVLogger"),
        pytest.param("\ufeff" + pd.DataFrame(_rows()).to_csv(index=False, sep=";"), id="semicolons of a spreadsheet"),
        pytest.param(pd.DataFrame(_rows()).assign(epoch=[1, 2], host="a").to_csv(index=False), id="epochs from 1"),
        pytest.param(pd.DataFrame(_rows()).assign(epoch=0).to_csv(index=False), id="two trainings, appended"),
    ],
)
def test_histories_of_others(text: str, tmp_path: Path) -> None:
    frame, facts = _read(tmp_path, text)
    pd.testing.assert_frame_equal(frame, AS_READ, check_like=True, check_dtype=False)
    assert facts == TrainingFacts()


def test_a_table_of_ours_saved_as_csv(tmp_path: Path) -> None:
    frame, _ = _read(tmp_path, OWN.to_csv(index=False))
    pd.testing.assert_frame_equal(frame, OWN, check_like=True, check_dtype=False)


HEADS: dict[str, list[float]] = {"x1_loss": [0.75, 0.5], "x2_loss": [0.5, 0.25], "x2_dsc": [0.25, 0.5]}


@pytest.mark.parametrize(
    ("total", "regularization"),
    [
        pytest.param([1.5, 1.0], [0.25, 0.25], id="more than the sum: regularization"),
        pytest.param([1.25, 0.75], [0.0, 0.0], id="the sum"),
        pytest.param([0.625, 0.375], None, id="less than the sum: weights that are not 1"),
    ],
)
def test_outputs_are_heads(total: list[float], regularization: list[float] | None, tmp_path: Path) -> None:
    frame, facts = _read(tmp_path, json.dumps({"loss": total, **HEADS}))
    assert facts.head_names == ("x1", "x2")
    assert frame["head_1_loss"].tolist() == [0.75, 0.5]
    assert frame["x2_dsc"].tolist() == [0.25, 0.5]
    if regularization is None:
        assert not {"regularization", "head_1_weight"} & set(frame)
    else:
        assert frame["regularization"].tolist() == regularization
        assert frame["head_2_weight"].tolist() == [1.0, 1.0]


def test_one_loss_beside_the_loss_is_a_metric(tmp_path: Path) -> None:
    frame, facts = _read(tmp_path, json.dumps({"loss": [1.5], "dice_loss": [1.25]}))
    assert facts.head_names is None
    assert frame["dice_loss"].tolist() == [1.25]


@pytest.mark.parametrize(
    "history",
    [
        pytest.param({"loss": [4.0, 3.0, 2.0, 1.0, 0.5], "val_loss": [3.5, 1.5]}, id="every second epoch"),
        pytest.param([{"loss": 4}, {"loss": 3, "val_loss": 3.5}, {"loss": 2}, {"loss": 1, "val_loss": 1.5}], id="rows"),
    ],
)
def test_validation_of_some_epochs(history: Any, tmp_path: Path) -> None:
    frame, _ = _read(tmp_path, json.dumps(history))
    rows = frame[frame["split"] == "validation"]
    assert rows["epoch"].tolist() == [2, 4]
    assert rows["loss"].tolist() == [3.5, 1.5]


@pytest.mark.parametrize("loss", [pytest.param("nan", id="nan"), pytest.param("inf", id="inf")])
def test_a_loss_that_is_never_finite_is_kept(loss: str, tmp_path: Path) -> None:
    frame, _ = _read(tmp_path, f"epoch,loss\n0,{loss}\n1,{loss}\n")
    assert not np.isfinite(frame["loss"]).any()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param(b"", "is empty: expected a training history", id="empty"),
        pytest.param(b"\n \n", "is empty", id="blank"),
        pytest.param(_own()[:200], "is damaged: expected Parquet", id="cut Parquet"),
        pytest.param(tables.encode_frame(OWN), "expected a Parquet file of the kind training-history, got None",
                     id="another's Parquet"),
        pytest.param(_own({"kind": "per_image"}), "got per_image", id="another table"),
        pytest.param(_own({"schema_version": "2"}), "has schema version 2, this Segscale reads 1", id="a later one"),
        pytest.param(_own({"settings": "[1]"}), "is damaged: expected the settings", id="other settings"),
        pytest.param(_own({"settings": "{"}), "is damaged: expected the settings", id="cut settings"),
        pytest.param(_own(frame=OWN[:0]), "holds no epochs", id="no rows"),
        pytest.param(_own(frame=OWN.drop(columns="loss")), "columns ['loss'] are missing", id="no loss"),
        pytest.param(b"a,b\n1,2\n", "expected a column loss, got a, b", id="another CSV"),
        pytest.param(b"loss\n", "expected a column loss", id="a header alone"),
        pytest.param(b"epoch,loss\n0,1,2,3\n4,5\n6,7,8,9,10\n", "is damaged: expected CSV", id="damaged CSV"),
        pytest.param(b'{"loss": [1, 2', "is damaged: expected JSON", id="cut JSON"),
        pytest.param(b'[1, 2]', "expected a list for each column", id="JSON of something else"),
        pytest.param(b'{"price": [1, 2]}', "expected a column loss, got price", id="JSON without loss"),
        pytest.param(b'{"loss": [1, 2, 3, 4, 5], "a": [1, 2, 3]}', "a has 3 values for 5 epochs", id="uneven lists"),
        pytest.param(b"\x89PNG\r\n\x1a\n\xff", "expected Parquet, CSV or JSON, got other bytes", id="a picture"),
    ],
)  # fmt: skip
def test_what_is_no_history_is_one_line(data: bytes, words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        _read(tmp_path, data)
    assert words in str(raised.value)
    assert str(raised.value).startswith(str(tmp_path / "history"))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        pytest.param("nowhere.csv", "nowhere.csv: expected a training history, found none", id="missing file"),
        pytest.param("nowhere", "nowhere/history.parquet: expected a training history, found none", id="no folder"),
        pytest.param("m.keras", "a model has no history; of segscale train it lies in", id="a model"),
    ],
)
def test_what_is_not_there_is_one_line(name: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=words):
        read_history(str(tmp_path / name))


def test_a_report_is_no_history(tmp_path: Path) -> None:
    assert not is_history(str(tmp_path))
    (tmp_path / "history.parquet").write_bytes(_own())
    assert is_history(str(tmp_path))
    (tmp_path / "run.json").write_text("{}")
    assert not is_history(str(tmp_path))
