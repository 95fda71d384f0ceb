"""What is said where the libraries of an extra are missing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from segscale.flows.checks.extras import NEEDS, Extra, check_installed, check_predicts
from segscale.flows.config.evaluation import ConfigError, parse_config


def without(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    for name in modules:
        monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.parametrize("extra", NEEDS)
def test_nothing_is_said_where_everything_is_there(extra: Extra) -> None:
    check_installed(extra)


@pytest.mark.parametrize(
    ("extra", "missing", "said"),
    [
        ("predict", ("keras",), "model.path: predicting needs Keras, which is not installed: pip install"),
        ("predict", ("tensorflow", "keras"), "predicting needs TensorFlow and Keras, which are not installed"),
        ("train", ("grain",), "train: training needs Grain, which is not installed: pip install 'segscale[train]'"),
        ("train", ("tensorflow", "keras", "grain", "h5py"), "needs TensorFlow, Keras, Grain and h5py, which are not"),
    ],
)
def test_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, extra: Extra, missing: tuple[str, ...], said: str) -> None:
    without(monkeypatch, *missing)
    with pytest.raises(ConfigError) as caught:
        check_installed(extra)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("sections", "refused"),
    [
        pytest.param({"model": {"path": "phantom"}}, True, id="a network predicts"),
        pytest.param({"predictions": {"path": "p"}}, False, id="predictions are there"),
        pytest.param({}, False, id="a manifest may bring predictions"),
    ],
)
def test_only_who_predicts_needs_a_network(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sections: dict[str, dict[str, str]], refused: bool
) -> None:
    without(monkeypatch, "keras")
    document = {"dataset": {"name": "a", "images": "b", "references": "c"}, "store": {"path": "d"}, **sections}
    config = parse_config(document, base=tmp_path, source="test")
    if refused:
        with pytest.raises(ConfigError, match="Keras"):
            check_predicts(config)
    else:
        check_predicts(config)
