"""What predicting and training need beside the base installation, looked for before anything heavy is imported."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Literal

from segscale.errors import ConfigError

Extra = Literal["predict", "train", "onnx"]

NEEDS: dict[Extra, dict[str, str]] = {
    "predict": {"tensorflow": "TensorFlow", "keras": "Keras"},
    "onnx": {"onnx": "onnx", "openvino": "OpenVINO"},
    "train": {"tensorflow": "TensorFlow", "keras": "Keras", "grain": "Grain", "h5py": "h5py"},
}
"""Modules by the extra of pyproject.toml that brings them, with the names that their makers give them.

OpenVINO is missing of "predict": without it Keras predicts (`segscale.tasks.engines.selection`).
"""
ASKED: dict[Extra, str] = {
    "predict": "model.path: predicting",
    "onnx": "model.path: predicting with a network in ONNX",
    "train": "train: training",
}


def check_installed(extra: Extra) -> None:
    """Raise ConfigError, with the command that installs the extra, where a module of it is missing."""
    missing = [name for module, name in NEEDS[extra].items() if find_spec(module) is None]
    if missing:
        are = "is" if len(missing) == 1 else "are"
        names = " and ".join(part for part in (", ".join(missing[:-1]), missing[-1]) if part)
        raise ConfigError(f"{ASKED[extra]} needs {names}, which {are} not installed: pip install 'segscale[{extra}]'")
