"""What notebooks hand over, and what is said of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import segscale
from segscale.errors import ConfigError
from segscale.flows.arguments import EVALUATE, names, path_text, sections
from tests.drawn_pairs import draw


@pytest.mark.parametrize(
    ("given", "message"),
    [
        pytest.param(
            {"classes": "a,b"}, r'classes: expected a list of names, got the text "a,b"; write \["a", "b"\]', id="text"
        ),
        pytest.param({"classes": ("a", 1)}, "classes: expected a list of names", id="a number"),
        pytest.param({"group_by": 3}, "group_by: expected a list of names, got 3", id="no names"),
        pytest.param({"by": pd.DataFrame({"a": [1, 2, 3]})}, "by: expected a path .* got a DataFrame", id="a table"),
        pytest.param({"predictions": None}, "predictions: expected a path .* got None", id="nothing"),
        pytest.param({"references": b"masks"}, "references: expected a path", id="bytes"),
        pytest.param({"output": ""}, "output: expected a path .* got ''", id="empty"),
        pytest.param({"unit": ("site",)}, "unit: expected a name as text", id="several units"),
        pytest.param(
            {"settings": {"foo": 1}}, "settings: expected keys by section, such as .* got 'foo': 1", id="no section"
        ),
        pytest.param(
            {"settings": {"metrics.threshold": 0.5}}, r'write \{"metrics": \{"threshold": 0.5\}\}', id="a dotted key"
        ),
        pytest.param({"settings": [("metrics", {})]}, "settings: expected keys by section", id="no mapping"),
        pytest.param({"settings": {"metrics": {"x": 1}}}, "metrics.x: unknown key", id="an unknown key"),
        pytest.param({"references": "nowhere"}, "^references: .*there is no", id="an absent folder"),
        pytest.param({"predictions": Path("masks")}, "^predictions, references: expected two places", id="one folder"),
        pytest.param({"by": Path("nowhere.csv")}, "^by: .*expected a table", id="no table"),
        pytest.param({"classes": ["a"]}, "^classes: expected two names", id="one class"),
    ],
)
def test_what_is_wrong_is_said_of_the_argument(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], message: str
) -> None:
    draw(tmp_path, {"reference": "masks/{id}.png", "prediction": "preds/{id}.png"})
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=message):
        segscale.evaluate(**{"predictions": "preds", "references": "masks", **given})
    assert not (tmp_path / "segscale-report" / "reports").exists()


def test_what_is_taken() -> None:
    assert path_text("output", Path("a") / "b") == "a/b"
    assert path_text("by", "", optional=True) == ""
    assert names("group_by", "site", one_will_do=True) == ("site",)
    assert names("group_by", "", one_will_do=True) == ()
    assert names("classes", ["a", "b"]) == ("a", "b")
    assert sections(None) == {}


def test_a_key_with_a_value_is_a_setting() -> None:
    said = EVALUATE.say('dataset.references: 0, 7; set dataset.foreground = "any"')
    assert said == 'references: 0, 7; set settings={"dataset": {"foreground": "any"}}'
