"""What is said where the libraries of an extra are missing."""

from __future__ import annotations

import sys

import pytest

from segscale.errors import ConfigError
from segscale.flows.checks.extras import NEEDS, Extra, check_installed


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
        ("onnx", ("onnx",), "a network in ONNX needs onnx, which is not installed: pip install 'segscale[onnx]'"),
        ("train", ("grain",), "train: training needs Grain, which is not installed: pip install 'segscale[train]'"),
        ("train", ("tensorflow", "keras", "grain", "h5py"), "needs TensorFlow, Keras, Grain and h5py, which are not"),
    ],
)
def test_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, extra: Extra, missing: tuple[str, ...], said: str) -> None:
    without(monkeypatch, *missing)
    with pytest.raises(ConfigError) as caught:
        check_installed(extra)
    assert said in str(caught.value)
