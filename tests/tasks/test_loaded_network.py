"""What a network is read with: arguments of a command, and a process with so much memory."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from segscale.tasks.loaded_network import add_reading, reading_arguments
from segscale.tasks.model_facts import AS_IT_IS, ModelReading
from tests.tasks.onnx_networks.made_networks import constant, model_of, plain


@pytest.mark.parametrize("reading", [AS_IT_IS, ModelReading("a 'b' \"c\"", "softmax", "NCHW")], ids=["nothing", "all"])
def test_how_a_network_is_read_comes_through_a_command(reading: ModelReading) -> None:
    parser = argparse.ArgumentParser()
    add_reading(parser)
    assert parser.parse_args(reading_arguments(reading)).reading == reading


@pytest.mark.slow
def test_a_few_bytes_that_ask_for_gigabytes_end_in_a_sentence(tmp_path: Path) -> None:
    """A constant of 8 GB, made from its shape alone."""
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["large"]),
        helper.make_node("ReduceSum", ["large"], ["sum"]),
        helper.make_node("Add", ["image", "sum"], ["mask"]),
    ]
    path = tmp_path / "net.onnx"
    path.write_bytes(model_of(nodes, [constant("shape", [1 << 31], np.int64)]).SerializeToString())
    reading = reading_arguments(ModelReading(activation="sigmoid"))
    command = [sys.executable, "-m", "segscale.tasks.inspection", str(path), "ff", *reading]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 2
    assert "net.onnx" in answer.stderr
    assert "asks for more memory than a network of its size is worth" in answer.stderr


def test_a_network_in_onnx_needs_neither_keras_nor_tensorflow(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(plain().SerializeToString())
    program = (
        "import sys; from pathlib import Path; sys.modules.update(keras=None, tensorflow=None);"
        "from segscale.tasks.loaded_network import load_network; from segscale.tasks.model_facts import AS_IT_IS;"
        f"network = load_network(Path({str(tmp_path / 'net.onnx')!r}), AS_IT_IS);"
        "print(network.facts.n_classes, network.graph('all', False).channels)"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["2", "1"]
