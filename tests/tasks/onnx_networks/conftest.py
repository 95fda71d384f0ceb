"""Networks in ONNX as files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

from tests.tasks.onnx_networks.made_networks import plain


@pytest.fixture
def written(tmp_path: Path) -> Callable[[Any], Path]:
    """written(model): the path of a file that holds it."""

    def write(model: Any, name: str = "net.onnx") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
        return path

    return write


@pytest.fixture
def with_data_beside(tmp_path: Path) -> Callable[..., Path]:
    """with_data_beside(location): a network in a folder of its own, whose weights lie in a file beside it."""

    def write(location: str = "net.onnx.data") -> Path:
        folder = tmp_path / "nets"
        folder.mkdir(exist_ok=True)
        path = folder / "net.onnx"
        onnx.save_model(
            plain(), path, save_as_external_data=True, all_tensors_to_one_file=True, location="net.onnx.data",
            size_threshold=0,
        )  # fmt: skip
        if location != "net.onnx.data":
            model = onnx.load(path, load_external_data=False)
            for tensor in model.graph.initializer:
                for entry in tensor.external_data:
                    if entry.key == "location":
                        entry.value = location
            path.write_bytes(model.SerializeToString())
        return path

    return write
