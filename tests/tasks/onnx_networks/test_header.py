"""What an ONNX file claims: files beside it, sizes, operators."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from segscale.errors import DataError, EngineError
from segscale.tasks.onnx_networks import header
from segscale.tasks.onnx_networks.header import ExternalFile, read_header
from tests.tasks.onnx_networks.made_networks import conv, model_of, of_operator, plain


def test_a_network_in_one_file_has_none_beside_it() -> None:
    assert read_header(plain().SerializeToString(), "net.onnx") == ()


def test_files_beside_it_are_told_with_the_bytes_that_they_must_have(with_data_beside: Callable[..., Path]) -> None:
    path = with_data_beside()
    size = path.with_name("net.onnx.data").stat().st_size
    assert read_header(path.read_bytes(), "net.onnx") == (ExternalFile("net.onnx.data", size),)


@pytest.mark.parametrize(
    "location",
    [
        pytest.param("/etc/hostname", id="absolute"),
        pytest.param("../net.onnx.data", id="out of the folder"),
        pytest.param("weights/../../net.onnx.data", id="out of it by a detour"),
        pytest.param("s3://bucket/weights", id="a URL"),
        pytest.param("..\\net.onnx.data", id="as Windows writes it"),
        pytest.param("", id="nowhere"),
        pytest.param("a\0b", id="no name of a file"),
    ],
)
def test_weights_outside_the_folder_are_refused(with_data_beside: Callable[..., Path], location: str) -> None:
    path = with_data_beside(location)
    with pytest.raises(DataError, match="expected a file in the folder of the network"):
        read_header(path.read_bytes(), "net.onnx")


def _cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _claimed() -> bytes:
    """A length of 4 GB in front of a graph that is not there: field 7 of a model, as Protocol Buffers write it."""
    return b"\x3a\xff\xff\xff\xff\x0f" + b"graph"


def _lying() -> bytes:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1, 1, 1 << 15, 1 << 15], raw_data=b"1234")
    return bytes(model_of([conv("image", "w", "mask")], [tensor]).SerializeToString())


def _negative() -> bytes:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[-1, 4], raw_data=b"1234")
    return bytes(model_of([conv("image", "w", "mask")], [tensor]).SerializeToString())


def _of_no_type() -> bytes:
    tensor = TensorProto(name="w", data_type=99, dims=[1], raw_data=b"1234")
    return bytes(model_of([conv("image", "w", "mask")], [tensor]).SerializeToString())


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param(b"", "holds no ONNX graph", id="empty"),
        pytest.param(b"not a network at all", "is no ONNX file, or is damaged or cut short", id="text"),
        pytest.param(_cut(plain().SerializeToString()), "damaged or cut short", id="cut short"),
        pytest.param(_claimed(), "damaged or cut short", id="4 GB claimed by a length"),
        pytest.param(_lying(), r"tensor 'w' claims 4294967296 bytes and has 4", id="4 GB claimed by a shape"),
        pytest.param(_negative(), r"tensor 'w' has the shape \[-1, 4\]", id="less than nothing"),
        pytest.param(_of_no_type(), r"tensor 'w' is of no known type \(99\)", id="a type that is none"),
    ],
)
def test_what_is_no_network_is_refused_by_what_it_is(data: bytes, words: str) -> None:
    with pytest.raises(DataError, match=words) as refusal:
        read_header(data, "net.onnx")
    assert str(refusal.value).startswith("net.onnx")


def test_a_file_beyond_2_gb_is_refused_before_it_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(header, "LARGEST_BYTES", 10)
    with pytest.raises(DataError, match="an ONNX file at most 2 GB; export it with external data"):
        read_header(plain().SerializeToString(), "net.onnx")


def _inside() -> Any:
    """A foreign operator inside of a branch."""
    value = helper.make_tensor_value_info("mask", TensorProto.FLOAT, None)
    branch = helper.make_graph([helper.make_node("Snake", ["image"], ["mask"], domain="my.ops")], "b", [], [value])
    yes = helper.make_tensor("yes", TensorProto.BOOL, [], [True])
    node = helper.make_node("If", ["yes"], ["mask"], then_branch=branch, else_branch=branch)
    return model_of([node], [yes], domains=["my.ops"])


@pytest.mark.parametrize(
    ("model", "words"),
    [
        pytest.param(of_operator("Snake", "my.ops"), "not of ONNX itself: my.ops::Snake", id="custom"),
        pytest.param(
            of_operator("FusedConv", "com.microsoft"), "com.microsoft::FusedConv", id="optimised for one runtime"
        ),
        pytest.param(_inside(), "my.ops::Snake", id="custom, in a branch"),
        pytest.param(of_operator("RandomNormalLike"), r"draws random numbers \(RandomNormalLike\)", id="random"),
        pytest.param(
            of_operator("Dropout", training=True), r"draws random numbers \(Dropout\)", id="still in training"
        ),
        pytest.param(of_operator("DynamicQuantizeLinear"), r"is quantized \(DynamicQuantizeLinear\)", id="quantized"),
    ],
)
def test_operators_that_no_network_may_have_are_refused_by_name(model: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        read_header(model.SerializeToString(), "net.onnx")


@pytest.mark.parametrize("by_node", [False, True], ids=["an initializer", "a node"])
def test_a_dropout_that_is_told_not_to_train_draws_nothing(by_node: bool) -> None:
    model = of_operator("Dropout", training=True)
    told = model.graph.initializer.pop()
    untrue = numpy_helper.from_array(np.array(False), told.name)
    if by_node:
        model.graph.node.insert(0, helper.make_node("Constant", [], [told.name], value=untrue))
    else:
        model.graph.initializer.append(untrue)
    assert read_header(model.SerializeToString(), "net.onnx") == ()


def test_a_function_of_the_file_itself_is_no_custom_operator() -> None:
    model = of_operator("Twice", "here")
    body = [helper.make_node("Add", ["x", "x"], ["y"])]
    model.functions.append(helper.make_function("here", "Twice", ["x"], ["y"], body, [helper.make_opsetid("", 17)]))
    assert read_header(model.SerializeToString(), "net.onnx") == ()


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "onnx" else find_spec(name))
    monkeypatch.delitem(sys.modules, "onnx", raising=False)
    with pytest.raises(EngineError, match=r"pip install 'segscale\[onnx\]'"):
        read_header(b"", "net.onnx")
