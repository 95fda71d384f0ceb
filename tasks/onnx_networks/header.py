"""The header of an ONNX file: what it claims, held against what is there, before anything computes with it."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from segscale.errors import DataError, EngineError

LARGEST_BYTES = 2**31 - 1
"""What Protocol Buffers hold; the weights of a larger network lie in files beside it."""

NOT_INSTALLED = "networks in ONNX need the package onnx, which is not installed: pip install 'segscale[onnx]'"

_STANDARD = frozenset({"", "ai.onnx"})
_RANDOM = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)
_QUANTIZED = frozenset(
    {"ConvInteger", "DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger", "QLinearConv", "QLinearMatMul",
     "QuantizeLinear"}
)  # fmt: skip
_NOT_BY_BYTES = frozenset({"FLOAT4E2M1", "INT2", "INT4", "STRING", "UINT2", "UINT4"})
"""Types of elements that share a byte, or have no one size."""
_TRUTH = 9
"""TensorProto.BOOL."""
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class ExternalFile:
    """A file beside a network that holds weights of it."""

    location: str
    """As the network names it: a relative path below its folder."""
    n_bytes: int
    """So many the file must have at least."""


def read_header(data: bytes, name: str) -> tuple[ExternalFile, ...]:
    """The files that hold weights of an ONNX network besides its own, in the order of their names.

    Nothing but `data` is read, and no memory taken for what the file only claims. Raises DataError for bytes that are
    no ONNX graph, or cut short; tensors of other sizes than they claim; weights outside the folder of the network; and
    operators that are not of ONNX itself, draw random numbers or compute with integers. EngineError where the package
    onnx is missing.
    """
    if importlib.util.find_spec("onnx") is None:
        raise EngineError(NOT_INSTALLED)
    model = _parsed(data, name)
    _check_operators(model, name)
    ends: dict[str, int] = {}
    for tensor in _tensors(model):
        external = _external(tensor, name)
        if external is not None:
            ends[external.location] = max(ends.get(external.location, 0), external.n_bytes)
    return tuple(ExternalFile(location, ends[location]) for location in sorted(ends))


def _parsed(data: bytes, name: str) -> Any:
    import onnx
    from google.protobuf.message import DecodeError

    if len(data) > LARGEST_BYTES:
        raise DataError(
            f"{name} holds {len(data) / 1e9:.1f} GB, an ONNX file at most 2 GB; export it with external data"
        )
    try:
        model = onnx.load_model_from_string(data)
    except DecodeError as error:
        raise DataError(f"{name} is no ONNX file, or is damaged or cut short; export it again") from error
    if not (model.graph.node and model.graph.input and model.graph.output):
        raise DataError(f"{name} holds no ONNX graph, or is damaged or cut short; export it again")
    return model


def _graphs(model: Any) -> Iterator[tuple[Sequence[Any], Sequence[Any]]]:
    """Nodes and constants of the graph, of those inside of its nodes, and of its functions."""
    left = [(model.graph.node, _constants(model.graph)), *((function.node, ()) for function in model.functions)]
    while left:
        nodes, constants = left.pop()
        yield nodes, constants
        for node in nodes:
            for attribute in node.attribute:
                inner = [*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])]
                left += [(graph.node, _constants(graph)) for graph in inner]


def _constants(graph: Any) -> list[Any]:
    sparse = [part for tensor in graph.sparse_initializer for part in (tensor.values, tensor.indices)]
    return [*graph.initializer, *sparse]


def _tensors(model: Any) -> Iterator[Any]:
    for nodes, constants in _graphs(model):
        yield from constants
        for node in nodes:
            for attribute in node.attribute:
                yield from attribute.tensors
                if attribute.HasField("t"):
                    yield attribute.t


def _check_operators(model: Any, name: str) -> None:
    known = {(function.domain, function.name) for function in model.functions}
    nodes = [node for group, _ in _graphs(model) for node in group]
    foreign = {f"{node.domain}::{node.op_type}" for node in nodes if node.domain not in _STANDARD}
    foreign -= {f"{domain}::{kind}" for domain, kind in known}
    if foreign:
        raise DataError(
            f"{name} computes with operators that are not of ONNX itself: {_listed(foreign)}; export the network "
            "without them, before any optimisation for one runtime"
        )
    kinds = {node.op_type for node in nodes if node.domain in _STANDARD}
    untrue = {tensor.name for tensor in _tensors(model) if _is_untrue(tensor)}
    untrue |= {node.output[0] for node in nodes if node.op_type == "Constant" and _holds_untrue(node)}
    random = (kinds & _RANDOM) | {"Dropout" for node in nodes if _is_trained(node, untrue)}
    if random:
        raise DataError(
            f"{name} draws random numbers ({_listed(random)}), so an image would have other probabilities "
            "each time; export the network for inference (model.eval() in PyTorch)"
        )
    if kinds & _QUANTIZED:
        raise DataError(
            f"{name} is quantized ({_listed(kinds & _QUANTIZED)}), which no engine here computes with; export the "
            "network before it is quantized"
        )


def _is_trained(node: Any, untrue: set[str]) -> bool:
    """Whether a dropout may be in training mode: its third input says so, and is left out or untrue where it is not."""
    return node.op_type == "Dropout" and len(node.input) > 2 and node.input[2] not in {"", *untrue}


def _is_untrue(tensor: Any) -> bool:
    return tensor.data_type == _TRUTH and not any(tensor.raw_data) and not any(tensor.int32_data)


def _holds_untrue(node: Any) -> bool:
    return any(_is_untrue(attribute.t) for attribute in node.attribute if attribute.HasField("t"))


def _listed(names: set[str] | frozenset[str]) -> str:
    shown = sorted(names)[:_SHOWN]
    return ", ".join(shown) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def _external(tensor: Any, name: str) -> ExternalFile | None:
    """Where the bytes of a tensor lie, if not in the file itself. Raises DataError where they are no such bytes."""
    from onnx.external_data_helper import ExternalDataInfo, uses_external_data

    claimed = _claimed_bytes(tensor, name)
    if not uses_external_data(tensor):
        if tensor.HasField("raw_data") and claimed is not None and claimed != len(tensor.raw_data):
            raise DataError(
                f"{name}: tensor {tensor.name!r} claims {claimed} bytes and has {len(tensor.raw_data)}; export it again"
            )
        return None
    try:
        told = ExternalDataInfo(tensor)
        offset, length = int(told.offset or 0), int(told.length or 0)
    except ValueError as error:
        raise DataError(f"{name}: tensor {tensor.name!r} does not say where it lies ({error})") from error
    length = length or claimed or 0
    if offset < 0 or length < 0 or (claimed is not None and claimed != length):
        raise DataError(
            f"{name}: tensor {tensor.name!r} claims {claimed} bytes, {length} from byte {offset} of "
            f"{told.location!r} on; export it again"
        )
    return ExternalFile(_checked_location(str(told.location), name), offset + length)


def _claimed_bytes(tensor: Any, name: str) -> int | None:
    """Of a tensor by its shape; None for types that are smaller than a byte, or are text."""
    from onnx import TensorProto, helper

    if any(size < 0 for size in tensor.dims):
        raise DataError(f"{name}: tensor {tensor.name!r} has the shape {list(tensor.dims)}; export it again")
    known = TensorProto.DataType.items()
    kind = next((label for label, number in known if number == tensor.data_type), "UNDEFINED")
    if kind == "UNDEFINED":
        raise DataError(f"{name}: tensor {tensor.name!r} is of no known type ({tensor.data_type}); export it again")
    if kind in _NOT_BY_BYTES:
        return None
    n_elements: int = math.prod(tensor.dims)
    return n_elements * int(helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)


def _checked_location(location: str, name: str) -> str:
    """The path itself. Raises DataError where it does not lie below the folder of the network by its own words."""
    parts = location.split("/")
    if not location or "\0" in location or "" in parts or ".." in parts or "\\" in location:
        raise DataError(
            f"{name}: weights are said to lie at {location!r}; expected a file in the folder of the network: export it "
            "with its external data beside it"
        )
    return str(PurePosixPath(location))
