"""docs/networks.md: what each of its rows says, done to a network that the test makes."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras
import onnx
import pytest
from onnx import TensorProto

from segscale.errors import ConfigError, DataError
from segscale.flows.checks.extras import check_installed
from segscale.flows.checks.model import check_facts, check_model
from segscale.flows.checks.onnx_files import look_at_onnx
from segscale.flows.config.evaluation import EvaluationConfig, parse_config
from segscale.tasks.loaded_network import limit_memory, load_network
from segscale.tasks.model_facts import ModelFacts, ModelReading
from segscale.tasks.onnx_networks import header
from segscale.tasks.onnx_networks.header import read_header
from segscale.tasks.onnx_networks.network import read_network
from segscale.tasks.prediction import Prediction, shapes_of
from tests.page_rows import DOCS, PageRows
from tests.tasks.onnx_networks.made_networks import (
    argmax,
    constant,
    conv,
    either_way,
    gated,
    halving,
    model_of,
    nhwc,
    of_operator,
    plain,
    scaled,
    smaller,
    supervised,
    two_heads,
    two_inputs,
)

PAGE: PageRows[[Path]] = PageRows("networks.md", "file", "the network", "the file")
row = PAGE.row
PREDICTION = Prediction(
    weights_sha256="ff", engine="openvino", precision="float32", versions={}, heads=("mask",), level=4, ensemble=False,
    flips=False, n_classes=2, batch_size=1, batch_pixels=0, tile=128, overlap=0.25, threshold=0.5, keep="labels",
)  # fmt: skip


def test_each_row_has_a_test_and_each_test_a_row() -> None:
    assert list(PAGE.checks) == PAGE.names


@pytest.mark.parametrize("name", PAGE.names)
def test_row(name: str, tmp_path: Path) -> None:
    PAGE.checks[name](tmp_path)


def test_the_configuration_of_the_page_is_one() -> None:
    example = re.search(r"<!-- example: config -->\n```toml\n(.*?)```", (DOCS / "networks.md").read_text(), re.DOTALL)
    assert example
    assert config_of(tomllib.loads(example[1])["model"]).model.reading == ModelReading(activation="softmax")


def config_of(model: dict[str, Any]) -> EvaluationConfig:
    document = {"dataset": {"name": "d", "images": "*.png", "references": "*.png"}, "model": model}
    return parse_config(document, base=Path("/"), source="test")


def facts_of(folder: Path, model: Any, **reading: Any) -> ModelFacts:
    """Of a network in ONNX; of one of Keras where it is that."""
    if isinstance(model, keras.Model):
        model.save(folder / "net.keras")
        return load_network(folder / "net.keras", ModelReading(**reading)).facts
    (folder / "net.onnx").write_bytes(model.SerializeToString())
    return load_network(folder / "net.onnx", ModelReading(**reading)).facts


def refused(words: str, folder: Path, model: Any, **reading: Any) -> None:
    with pytest.raises(DataError, match=words):
        facts_of(folder, model, **reading)


def refused_by_header(words: str, data: bytes) -> None:
    with pytest.raises(DataError, match=words):
        read_header(data, "net.onnx")


def of_keras(sides: Sequence[int | None] = (None, None), outputs: int = 1, activation: str | None = "sigmoid") -> Any:
    image = keras.Input((*sides, 1))
    return keras.Model(image, keras.layers.Conv2D(outputs, 3, padding="same", activation=activation)(image))


@row("`.keras`, of standard Keras layers; no code from the file is run")
def _(folder: Path) -> None:
    assert facts_of(folder, of_keras()).n_classes == 2
    image = keras.Input((None, None, 1))
    code = keras.layers.Lambda(lambda tensor: tensor)(image)
    refused("Lambda layer, that is code", folder, keras.Model(image, code))


@row("`.onnx`")
def _(folder: Path) -> None:
    assert facts_of(folder, plain()).n_classes == 2
    with pytest.raises(ConfigError, match="computed on CPUs, by the engine openvino; on GPUs not yet"):
        check_model(config_of({"path": "net.onnx", "engine": "keras"}))


@row("an input of any height and width")
def _(folder: Path) -> None:
    assert (facts_of(folder, halving()).stride, facts_of(folder, halving()).fixed_size) == (4, None)
    assert list(shapes_of([], (512, 512), PREDICTION, 4)) == [(1, 128, 128)]


@row("an input of one fixed size")
def _(folder: Path) -> None:
    for model in (plain(takes=("n", 1, 48, 64)), of_keras((48, 64))):
        assert facts_of(folder, model).fixed_size == (48, 64)
    for padded in ((512, 512), (32, 32)):
        assert list(shapes_of([], padded, PREDICTION, 1, (48, 64))) == [(1, 48, 64)]


@row("one side fixed and the other free")
def _(folder: Path) -> None:
    for model in (plain(takes=("n", 1, "h", 64)), of_keras((64, None))):
        refused(r"one side (is )?fixed and the other free", folder, model)


@row("ends in sigmoid over one output, or softmax over the channels")
def _(folder: Path) -> None:
    assert facts_of(folder, plain()).activation == "sigmoid"
    assert facts_of(folder, of_keras(outputs=3, activation="softmax")).activation == "softmax"
    image = keras.Input((None, None, 1))
    operation = keras.Model(image, keras.ops.sigmoid(keras.layers.Conv2D(1, 1)(image)))
    assert facts_of(folder, operation).activation == "sigmoid"


@row("ends in logits")
def _(folder: Path) -> None:
    for model in (plain("", 3), of_keras(outputs=3, activation=None)):
        refused('write model.activation = "softmax"', folder, model)
        assert facts_of(folder, model, activation="softmax").activation == "softmax"


def _mean_of_two() -> Any:
    nodes = [conv("image", "w", "scores"), onnx.helper.make_node("Sigmoid", ["scores"], ["one"])]
    nodes += [onnx.helper.make_node("Mul", ["scores", "two"], ["twice"])]
    nodes += [onnx.helper.make_node("Sigmoid", ["twice"], ["other"])]
    nodes += [onnx.helper.make_node("Mean", ["one", "other"], ["mask"])]
    return model_of(nodes, [constant("w", [[[[1.0] * 3] * 3]]), constant("two", 2.0)])


@row("ends in probabilities that nothing tells, as a mean of two does")
def _(folder: Path) -> None:
    refused('model.activation = "none" if they are probabilities already', folder, _mean_of_two())
    assert facts_of(folder, _mean_of_two(), activation="none").activation == "sigmoid"
    refused("are no probabilities of exclusive classes", folder, plain("", 3), activation="none")


@row("an activation is asked for, and it has one already")
def _(folder: Path) -> None:
    for model in (plain(), of_keras()):
        refused("leave model.activation out", folder, model, activation="sigmoid")


@row("several outputs, all of one kind")
def _(folder: Path) -> None:
    assert facts_of(folder, supervised()).heads == ("head_1", "head_2")
    assert read_network(folder / "net.onnx", ModelReading()).levels == (1, 2)


@row("several outputs of several kinds, or one that is no segmentation")
def _(folder: Path) -> None:
    refused("choose one of them by model.output", folder, two_heads())
    assert facts_of(folder, two_heads(), output="mask").heads == ("mask",)


@row("several sigmoid channels, classes that overlap")
def _(folder: Path) -> None:
    refused("a sigmoid head has 1 output", folder, plain("Sigmoid", 3))


@row("class numbers (argmax) in place of probabilities")
def _(folder: Path) -> None:
    refused("without its argmax", folder, argmax())


@row("scales stored values itself, at its beginning")
def _(folder: Path) -> None:
    rescales = facts_of(folder, scaled(("Div", 255.0))).rescales
    with pytest.raises(ConfigError, match=r'set dataset.normalize = "none"'):
        check_facts(config_of({"path": "net.onnx"}), 2, 3, rescales)


@row("looks at the whole image: attention, global pooling, instance norm")
def _(folder: Path) -> None:
    facts_of(folder, gated("GlobalAveragePool"))
    assert read_network(folder / "net.onnx", ModelReading()).whole_image


@row("several inputs")
def _(folder: Path) -> None:
    refused("takes 2 inputs", folder, two_inputs())


@row("gives no output of the size of its input, as SegFormer without its last upsampling")
def _(folder: Path) -> None:
    refused("export the network with its last upsampling", folder, smaller())


@row("channels first (NCHW) or last (NHWC)")
def _(folder: Path) -> None:
    assert facts_of(folder, plain(takes=("n", 3, "h", "w"))).channels == 3
    assert facts_of(folder, nhwc()).channels == 2
    assert facts_of(folder, plain("Softmax", 3, ("n", 3, 32, 32), axis=1)).fixed_size == (32, 32)


@row("can be read in both layouts")
def _(folder: Path) -> None:
    refused('write model.layout = "NCHW" or model.layout = "NHWC"', folder, either_way())


def _with_data(folder: Path, location: str = "net.data") -> Path:
    # What is there already would be written behind.
    (folder / "net.data").unlink(missing_ok=True)
    onnx.save_model(
        plain(), folder / "net.onnx", save_as_external_data=True, location="net.data", size_threshold=0
    )  # fmt: skip
    model = onnx.load(folder / "net.onnx", load_external_data=False)
    for tensor in model.graph.initializer:
        tensor.external_data[0].value = location
    (folder / "net.onnx").write_bytes(model.SerializeToString())
    return folder / "net.onnx"


@row("external data beside it, or below its folder")
def _(folder: Path) -> None:
    path = _with_data(folder)
    before, (beside,) = look_at_onnx(str(path))
    assert beside.location == "net.data"
    data = (folder / "net.data").read_bytes()
    (folder / "net.data").write_bytes(bytes(len(data)))
    assert look_at_onnx(str(path))[0] != before
    (folder / "net.data").write_bytes(data[:-1])
    with pytest.raises(DataError, match="it was cut short"):
        look_at_onnx(str(path))
    (folder / "below").mkdir()
    (folder / "below" / "net.data").write_bytes(data)
    assert look_at_onnx(str(_with_data(folder, "below/net.data")))[1][0].location == "below/net.data"


@row("external data at an absolute path, by `..`, or by a link out of the folder")
def _(folder: Path) -> None:
    for location in ("/etc/hostname", "../net.data"):
        with pytest.raises(DataError, match="expected a file in the folder of the network"):
            look_at_onnx(str(_with_data(folder, location)))
    nets = folder / "nets"
    nets.mkdir()
    path = _with_data(nets)
    (nets / "net.data").rename(folder / "elsewhere.data")
    (nets / "net.data").symlink_to(folder / "elsewhere.data")
    with pytest.raises(DataError, match="a link out of the folder"):
        look_at_onnx(str(path))


@row("custom operators, or those of one runtime")
def _(_folder: Path) -> None:
    refused_by_header("not of ONNX itself: my.ops::Snake", of_operator("Snake", "my.ops").SerializeToString())


@row("draws random numbers, as dropout in training mode does")
def _(_folder: Path) -> None:
    refused_by_header("draws random numbers", of_operator("RandomNormalLike").SerializeToString())
    refused_by_header("draws random numbers", of_operator("Dropout", training=True).SerializeToString())


@row("quantized")
def _(_folder: Path) -> None:
    refused_by_header("is quantized", of_operator("DynamicQuantizeLinear").SerializeToString())


@row("corrupt or cut short")
def _(folder: Path) -> None:
    data = plain().SerializeToString()
    for damaged in (b"", b"no network", data[: len(data) // 2]):
        (folder / "net.onnx").write_bytes(damaged)
        with pytest.raises(DataError, match="damaged or cut short"):
            look_at_onnx(str(folder / "net.onnx"))


@row("claims tensors of other sizes than it has, of 4 GB for one")
def _(_folder: Path) -> None:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1, 1, 1 << 15, 1 << 15], raw_data=b"1234")
    refused_by_header("claims 4294967296 bytes", model_of([conv("image", "w", "mask")], [tensor]).SerializeToString())


@row("asks for gigabytes when it is computed")
def _(folder: Path) -> None:
    """Of the limit alone; a process that meets it is in tests/tasks/test_loaded_network.py."""
    (folder / "net.keras").write_bytes(b"")
    limit_memory(folder / "net.keras")


@row("more than 2 GB in one file")
def _(folder: Path) -> None:
    # A file without blocks: it takes no room on the disk, and is not read.
    with (folder / "net.onnx").open("wb") as file:
        file.truncate(header.LARGEST_BYTES + 1)
    with pytest.raises(DataError, match="an ONNX file at most 2 GB; export it with external data"):
        look_at_onnx(str(folder / "net.onnx"))


@row("the package onnx is missing")
def _(_folder: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "segscale.flows.checks.extras.find_spec", lambda name: None if name == "onnx" else find_spec(name)
        )
        with pytest.raises(ConfigError, match=r"pip install 'segscale\[onnx\]'"):
            check_installed("onnx")
