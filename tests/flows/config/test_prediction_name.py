"""What predictions are called in reports: the folder, or a name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from segscale.errors import ConfigError
from segscale.flows.config.evaluation import parse_config
from segscale.flows.config.prediction_name import folder_label


@pytest.mark.parametrize(
    ("pattern", "label"),
    [
        pytest.param("/data/preds/*.png", "preds", id="a pattern"),
        pytest.param("/data/preds/*", "preds", id="any file"),
        pytest.param("/data/preds", "preds", id="a folder"),
        pytest.param("/data/preds/", "preds", id="a folder with a slash"),
        pytest.param("/data/fold.2", "fold.2", id="a folder with a dot"),
        pytest.param("/data/preds/one.PNG", "preds", id="a file"),
        pytest.param("/data/preds/one.nii.gz", "preds", id="a file of two endings"),
        pytest.param("/data/unet/**/*.npy", "unet", id="folders below"),
        pytest.param("/data/run-?/masks/*.npy", "masks", id="many folders above"),
        pytest.param("/data/preds[1]/*.png", "preds[1]", id="brackets in a name"),
        pytest.param("/data/set[[]1]/*.png", "set[1]", id="brackets that were escaped"),
        pytest.param("s3://bucket/key/preds/*.png", "preds", id="a URL"),
        pytest.param("s3://bucket/*.png", "bucket", id="a bucket"),
        pytest.param("*.png", "", id="no folder"),
        pytest.param("", "", id="nothing"),
        pytest.param("/data/\udc80/*.png", "\\udc80", id="no text"),
    ],
)
def test_the_label_of_a_folder(pattern: str, label: str) -> None:
    assert folder_label(pattern) == label


def _label(predictions: dict[str, Any]) -> str:
    document = {"dataset": {"name": "d", "images": "i", "references": "r"}, "predictions": predictions}
    return parse_config(document, base=Path("/work/set [1]"), source="test").predictions.label


@pytest.mark.parametrize(
    ("predictions", "label"),
    [
        pytest.param({"path": "preds/*.png"}, "preds", id="the folder"),
        pytest.param({"path": "*.png"}, "set [1]", id="the folder of the configuration"),
        pytest.param({"path": "preds/*.png", "name": "U-Net, fold 3"}, "U-Net, fold 3", id="the name"),
        pytest.param({}, "", id="neither: a manifest names them"),
        pytest.param({"name": "ours"}, "ours", id="a name for those of a manifest"),
    ],
)
def test_the_label_of_predictions(predictions: dict[str, Any], label: str) -> None:
    assert _label(predictions) == label


@pytest.mark.parametrize("name", ["a\nb", " a", "a\x1b", "x" * 101])
def test_names_that_no_table_should_hold_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"predictions\.name"):
        _label({"name": name})
