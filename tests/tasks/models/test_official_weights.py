from __future__ import annotations

import io
import itertools
import json
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

from segscale.tasks.models.official_weights import Misfit, WeightsReport, load_weights_by_name, place_of
from segscale.tasks.models.unet_plus_plus import build_unet_plus_plus

FILTERS = (2, 3, 4, 5, 6)
SMALL = (2, 3)
LEFT = "left as initialised: "


def _official(
    filters: Sequence[int] = FILTERS, channels: int = 3, outputs: int = 1, normalization: str | None = None
) -> keras.Model:
    """The layout of the official implementation under its names, written without the package's own builder."""
    depth = len(filters)
    nodes: dict[tuple[int, int], Any] = {}
    image = keras.Input((None, None, channels), name="main_input")
    for row, column in sorted(itertools.product(range(depth), repeat=2), key=lambda node: (sum(node), node[1])):
        if row + column >= depth:
            continue
        stage = f"{row + 1}{column + 1}"
        if column:
            up = keras.layers.Conv2DTranspose(filters[row], 2, strides=2, padding="same", name=f"up{stage}")
            earlier = [nodes[row, before] for before in range(column)]
            tensor = keras.layers.concatenate([up(nodes[row + 1, column - 1]), *earlier], name=f"merge{stage}")
        else:
            tensor = keras.layers.MaxPooling2D(2, name=f"pool{row}")(nodes[row - 1, 0]) if row else image
        for position in (1, 2):
            name = f"conv{stage}_{position}"
            if normalization:
                tensor = keras.layers.Conv2D(filters[row], 3, padding="same", use_bias=False, name=name)(tensor)
                norm_name = normalization.format(stage=stage, position=position)
                tensor = keras.layers.ReLU()(keras.layers.BatchNormalization(name=norm_name)(tensor))
            else:
                tensor = keras.layers.Conv2D(filters[row], 3, padding="same", activation="relu", name=name)(tensor)
            tensor = keras.layers.Dropout(0.5, name=f"dp{stage}_{position}")(tensor)
        nodes[row, column] = tensor
    heads = [
        keras.layers.Conv2D(outputs, 1, activation="sigmoid", name=f"output_{column}")(nodes[0, column])
        for column in range(1, depth)
    ]
    model = keras.Model(image, heads)
    # Biases begin at 0 and would agree whatever is loaded; variances must be positive.
    generator = np.random.default_rng(1)
    for variable in model.weights:
        variable.assign(generator.uniform(0.1, 1, variable.shape) * generator.choice([-1, 1], variable.shape))
        if variable.name == "moving_variance":
            variable.assign(abs(variable.numpy()))
    return model


def _ours(filters: Sequence[int] = FILTERS, channels: int = 3, **options: Any) -> keras.Model:
    return build_unet_plus_plus(channels=channels, outputs=options.pop("outputs", 1), filters=filters, **options)


def _values(model: keras.Model) -> list[Any]:
    return [variable.numpy().copy() for variable in model.weights]


def _outputs(model: keras.Model) -> list[Any]:
    images = np.random.default_rng(2).random((2, 16, 32, 3), dtype=np.float32)
    return [np.asarray(head) for head in model(images, training=False)]


# --- Writers: what Keras 3 writes, and older layouts by hand


def _save_as_keras(model: keras.Model, path: Path) -> None:
    model.save(path.with_suffix(".keras"))
    path.with_suffix(".keras").rename(path)


def _save_as_weights(model: keras.Model, path: Path) -> None:
    model.save_weights(path.with_suffix(".weights.h5"))
    path.with_suffix(".weights.h5").rename(path)


def _save_as_compiled_h5(model: keras.Model, path: Path) -> None:
    model.compile("adam", "binary_crossentropy")
    model.save(path.with_suffix(".h5"))
    path.with_suffix(".h5").rename(path)


def _bytes(names: Iterable[str]) -> Any:
    """Names as Keras 2 wrote them: byte strings of one length."""
    return np.array([name.encode() for name in names], "S")


def _weight_names(layer: Any) -> list[str]:
    return [f"{layer.name}/{variable.name}:0" for variable in layer.weights]


def _write_keras_2(group: Any, model: keras.Model, scope: str = "", backwards: bool = False) -> None:
    group.attrs["layer_names"] = _bytes(layer.name for layer in model.layers)
    group.attrs["backend"] = b"tensorflow"
    group.attrs["keras_version"] = b"2.2.2"
    for layer in model.layers:
        member = group.create_group(layer.name)
        pairs = list(zip(_weight_names(layer), layer.weights, strict=True))[:: -1 if backwards else 1]
        member.attrs["weight_names"] = _bytes(scope + name for name, _ in pairs)
        for name, variable in pairs:
            member[scope + name] = variable.numpy()


def _save_as_keras_2(model: keras.Model, path: Path) -> None:
    with h5py.File(path, "w") as file:
        _write_keras_2(file, model)


def _save_as_keras_2_bias_first(model: keras.Model, path: Path) -> None:
    with h5py.File(path, "w") as file:
        _write_keras_2(file, model, scope="second_session/", backwards=True)


def _save_as_keras_2_whole_model(model: keras.Model, path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = b"{}"
        root = file.create_group("model_weights")
        _write_keras_2(root, model)
        names = root.attrs["layer_names"]
        del root.attrs["layer_names"]
        root.attrs["layer_names0"], root.attrs["layer_names1"] = names[:7], names[7:]
        file.create_group("optimizer_weights").attrs["weight_names"] = _bytes(["Adam/iterations:0"])


def _save_as_keras_2_of_several_gpus(model: keras.Model, path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = _bytes(["main_input", "lambda_1", "model_1", "output_1"])
        for name in file.attrs["layer_names"]:
            file.create_group(name).attrs["weight_names"] = _bytes([])
        inner = file["model_1"]
        inner.attrs["weight_names"] = _bytes(name for layer in model.layers for name in _weight_names(layer))
        for layer in model.layers:
            for name, variable in zip(_weight_names(layer), layer.weights, strict=True):
                inner[name] = variable.numpy()


def _save_as_keras_1(model: keras.Model, path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = _bytes(layer.name for layer in model.layers)
        for layer in model.layers:
            names = [f"{layer.name}_{part}" for part, _ in zip("Wb", layer.weights, strict=False)]
            file.create_group(layer.name).attrs["weight_names"] = _bytes(names)
            for name, variable in zip(names, layer.weights, strict=True):
                file[layer.name][name] = variable.numpy()


def _unnamed(container: str) -> Callable[[keras.Model, Path], None]:
    """A .keras file of older versions: names of layers are in its configuration alone."""

    def save(model: keras.Model, path: Path) -> None:
        _save_as_keras(model, path)
        with zipfile.ZipFile(path) as archive:
            config, weights = archive.read("config.json"), io.BytesIO(archive.read("model.weights.h5"))
        with h5py.File(weights, "r+") as file:
            for layer in file["layers"].values():
                layer["vars"].attrs.clear()
            if container != "layers":
                file.move("layers", container)
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("config.json", config)
            archive.writestr("model.weights.h5", weights.getvalue())

    return save


@pytest.fixture(scope="module")
def official() -> keras.Model:
    return _official()


@pytest.fixture(scope="module")
def official_outputs(official: keras.Model) -> list[Any]:
    return _outputs(official)


@pytest.fixture(scope="module")
def full() -> keras.Model:
    return _ours()


@pytest.fixture
def unloaded(full: keras.Model) -> keras.Model:
    """A network of the full depth that knows nothing of earlier tests."""
    for variable in full.weights:
        variable.assign(np.zeros(variable.shape))
    return full


@pytest.fixture(scope="module")
def small_official() -> keras.Model:
    return _official(SMALL)


@pytest.mark.parametrize(
    "save",
    [
        pytest.param(_save_as_weights, id="keras_3_weights"),
        pytest.param(_save_as_keras, id="keras_3_model"),
        pytest.param(_save_as_compiled_h5, id="keras_3_h5_with_optimizer"),
        pytest.param(_save_as_keras_2, id="keras_2_weights"),
        pytest.param(_save_as_keras_2_bias_first, id="keras_2_weights_in_another_order_and_scope"),
        pytest.param(_save_as_keras_2_whole_model, id="keras_2_model_with_its_names_in_two_attributes"),
        pytest.param(_save_as_keras_2_of_several_gpus, id="keras_2_model_inside_a_model"),
        pytest.param(_save_as_keras_1, id="keras_1_weights"),
        pytest.param(_unnamed("layers"), id="keras_3_model_with_names_in_its_configuration_only"),
        pytest.param(_unnamed("_layer_checkpoint_dependencies"), id="keras_2_13_model"),
    ],
)
def test_official_weights_give_equal_outputs_at_every_head(
    official: keras.Model,
    official_outputs: list[Any],
    unloaded: keras.Model,
    save: Callable[[keras.Model, Path], None],
    tmp_path: Path,
) -> None:
    path = tmp_path / "official"  # no suffix: the content tells the format
    save(official, path)
    report = load_weights_by_name(unloaded, path, strict=True)
    assert report.loaded == tuple(layer.name for layer in unloaded.layers if layer.weights)
    assert (report.as_initialised, report.unplaced) == ((), ())
    assert report.describe() == f"{path}: weights of 44 of the model's 44 layers loaded"
    heads = _outputs(unloaded)
    assert len(heads) == 4
    for head, expected in zip(heads, official_outputs, strict=True):
        assert np.ptp(expected) > 0
        np.testing.assert_array_equal(head, expected)


@pytest.mark.parametrize("name", ["bn{stage}_{position}", "norm{stage}_{position}", "conv{stage}_{position}_bn"])
def test_batch_normalisation_is_matched_under_the_names_in_use(name: str, tmp_path: Path) -> None:
    theirs = _official(SMALL, normalization=name)
    _save_as_keras_2_bias_first(theirs, tmp_path / "normalised.h5")
    model = _ours(SMALL, normalization="batch")
    assert len(load_weights_by_name(model, tmp_path / "normalised.h5", strict=True).loaded) == 14
    image = np.random.default_rng(2).random((1, 8, 8, 3), dtype=np.float32)
    np.testing.assert_array_equal(model(image, training=False)[0], theirs(image, training=False)[0])


def test_weights_of_this_package_are_matched_under_its_own_names(tmp_path: Path) -> None:
    before, after = _ours(SMALL), _ours(SMALL)
    before.save(tmp_path / "ours.keras")
    assert len(load_weights_by_name(after, tmp_path / "ours.keras", strict=True).loaded) == 8
    for ours, theirs in zip(_values(after), _values(before), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_other_floats_become_those_of_the_model(small_official: keras.Model, dtype: str, tmp_path: Path) -> None:
    kernel = np.arange(54).reshape(3, 3, 3, 2)
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        _write_keras_2(file, small_official)
        del file["conv11_1/conv11_1/kernel:0"]
        file["conv11_1/conv11_1/kernel:0"] = kernel.astype(dtype)
    model = _ours(SMALL)
    load_weights_by_name(model, tmp_path / "weights.h5", strict=True)
    np.testing.assert_array_equal(model.get_layer("X_0_0_conv_1").kernel, kernel)
    assert model.get_layer("X_0_0_conv_1").kernel.dtype == "float32"


@pytest.mark.parametrize(
    ("name", "place"),
    [
        pytest.param("conv11_1", "X_0_0_conv_1", id="the first convolution"),
        pytest.param("conv24_2", "X_1_3_conv_2", id="depth before column"),
        pytest.param("up42", "X_3_1_up", id="an upsampling bears the node it leads to"),
        pytest.param("output_3", "head_3", id="heads are counted from 1 on both sides"),
        pytest.param("bn15_1", "X_0_4_norm_1", id="normalisation"),
        pytest.param("X_0_1_up", "X_0_1_up", id="a name of this package"),
        pytest.param("output", "output", id="the official U-Net's head is no head of UNet++"),
        pytest.param("conv01_1", "conv01_1", id="there is no stage 0"),
        pytest.param("conv11_3", "conv11_3", id="a node has two convolutions"),
        pytest.param("decoder_stage1-2_conv1", "decoder_stage1-2_conv1", id="another network of the same authors"),
    ],
)
def test_official_names_have_their_places(name: str, place: str) -> None:
    assert place_of(name) == place


def test_examples_of_the_documentation_hold() -> None:
    text = (Path(__file__).parents[3] / "docs" / "weights.md").read_text(encoding="utf-8")
    examples = re.findall(r"`(\w+)` is `(\w+)`", text)
    assert len(examples) == 2
    assert [place_of(name) for name, _ in examples] == [place for _, place in examples]


# --- What does not fit


@pytest.mark.parametrize(
    ("theirs", "ours", "lines"),
    [
        pytest.param(
            {"outputs": 3},
            {},
            [
                "weights of 7 of the model's 8 layers loaded",
                (
                    f"does not fit, {LEFT}head_1: trained for 3 outputs, the model has 1 "
                    "(output_1 has ((1, 1, 2, 3), (3,)), the model ((1, 1, 2, 1), (1,)))"
                ),
            ],
            id="a head of another number of classes",
        ),
        pytest.param(
            {},
            {"channels": 1},
            [
                "weights of 7 of the model's 8 layers loaded",
                (
                    f"does not fit, {LEFT}X_0_0_conv_1: trained on images of 3 channels, the model takes 1 "
                    "(conv11_1 has ((3, 3, 3, 2), (2,)), the model ((3, 3, 1, 2), (2,)))"
                ),
            ],
            id="colour against grey images",
        ),
        pytest.param(
            {"filters": (2, 4)},
            {},
            [
                "weights of 5 of the model's 8 layers loaded",
                *(
                    f"does not fit, {LEFT}X_{place}: of another shape (X has ((Y), (Z,)), the model ((Y), (Z,)))"
                    for place in ("1_0_conv_1", "1_0_conv_2", "0_1_up")
                ),
            ],
            id="another width at one depth",
        ),
        pytest.param(
            {},
            {"filters": (2, 3, 4)},
            ["weights of 8 of the model's 17 layers loaded", f"not in the file, {LEFT}X_2_0_conv_1, X_2_0_conv_2, "],
            id="a file of fewer depths",
        ),
        pytest.param(
            {"filters": (2, 3, 4)},
            {},
            [
                "weights of 8 of the model's 8 layers loaded",
                (
                    "in the file, without a place in the model: conv13_1, conv13_2, output_2, conv31_1, conv31_2, "
                    "conv22_1, conv22_2, up22, up13"
                ),
            ],
            id="a file of more depths",
        ),
        pytest.param(
            {"normalization": "bn{stage}_{position}"},
            {},
            [
                "weights of 2 of the model's 8 layers loaded",
                *(
                    f"does not fit, {LEFT}X_{place}: made of 1 arrays in the file, of 2 in the model"
                    for place in ("0_0_conv_1", "0_0_conv_2", "1_0_conv_1", "1_0_conv_2", "0_1_conv_1", "0_1_conv_2")
                ),
                "in the file, without a place in the model: bn11_1, bn11_2, bn21_1, bn21_2, bn12_1, bn12_2",
            ],
            id="normalised weights for the plain network",
        ),
        pytest.param(
            {"normalization": "my_norm_{stage}_{position}"},
            {"normalization": "batch"},
            [
                "weights of 8 of the model's 14 layers loaded",
                f"not in the file, {LEFT}X_0_0_norm_1, X_0_0_norm_2, X_1_0_norm_1, ",
                "in the file, without a place in the model: my_norm_11_1, ",
            ],
            id="normalisation under names of one's own",
        ),
        pytest.param(
            {"filters": (2, 3, 4)},
            {"filters": (2, 3, 4), "deep_supervision": False},
            [
                "weights of 16 of the model's 16 layers loaded",
                "in the file, without a place in the model: output_1",
            ],
            id="heads that a network without deep supervision lacks",
        ),
    ],
)
def test_what_does_not_fit_is_said_and_left_alone(
    theirs: dict[str, Any], ours: dict[str, Any], lines: list[str], tmp_path: Path
) -> None:
    _save_as_weights(_official(**{"filters": SMALL, **theirs}), tmp_path / "weights")
    model = _ours(**{"filters": SMALL, **ours})
    before = {layer.name: [value.numpy() for value in layer.weights] for layer in model.layers}
    report = load_weights_by_name(model, tmp_path / "weights")
    described = report.describe().splitlines()
    assert len(described) == len(lines)
    for line, expected in zip(described, lines, strict=True):
        assert expected.partition(" (X has")[0] in line
    for name in report.as_initialised:
        for value, initial in zip(model.get_layer(name).weights, before[name], strict=True):
            np.testing.assert_array_equal(value, initial)


def test_report_holds_both_shapes(small_official: keras.Model, tmp_path: Path) -> None:
    _save_as_weights(small_official, tmp_path / "weights")
    assert load_weights_by_name(_ours(SMALL, outputs=2, activation="softmax"), tmp_path / "weights") == WeightsReport(
        path=str(tmp_path / "weights"),
        loaded=(
            *("X_0_0_conv_1", "X_0_0_conv_2", "X_1_0_conv_1", "X_1_0_conv_2"),
            *("X_0_1_up", "X_0_1_conv_1", "X_0_1_conv_2"),
        ),
        missing=(),
        misfits=(Misfit("head_1", "output_1", expected=((1, 1, 2, 2), (2,)), found=((1, 1, 2, 1), (1,))),),
        unplaced=(),
    )


def test_strict_refuses_with_the_report_and_changes_nothing(small_official: keras.Model, tmp_path: Path) -> None:
    _save_as_weights(small_official, tmp_path / "weights")
    model = _ours((2, 3, 4), channels=1)
    before = _values(model)
    with pytest.raises(ValueError, match=r"(?s)7 of the model's 17 .* left as initialised: X_2_0_conv_1.*3 channels"):
        load_weights_by_name(model, tmp_path / "weights", strict=True)
    for value, initial in zip(_values(model), before, strict=True):
        np.testing.assert_array_equal(value, initial)


# --- Files that are refused


@pytest.fixture(scope="module")
def target() -> keras.Model:
    return _ours(SMALL)


@pytest.fixture
def refused(target: keras.Model, tmp_path: Path) -> Iterator[Callable[[str], None]]:
    """Loads tmp_path / "file" and requires one line that matches; the model must be as before."""
    before = _values(target)

    def check(reason: str) -> None:
        with pytest.raises(ValueError, match=reason) as caught:
            load_weights_by_name(target, tmp_path / "file")
        assert len(str(caught.value).splitlines()) == 1
        assert str(tmp_path / "file") in str(caught.value)

    yield check
    for value, initial in zip(_values(target), before, strict=True):
        np.testing.assert_array_equal(value, initial)


@pytest.fixture(scope="module", params=[_save_as_weights, _save_as_keras, _save_as_compiled_h5, _save_as_keras_2])
def whole_file(
    request: pytest.FixtureRequest, small_official: keras.Model, tmp_path_factory: pytest.TempPathFactory
) -> bytes:
    path = tmp_path_factory.mktemp("whole") / "file"
    request.param(small_official, path)
    return path.read_bytes()


@pytest.mark.parametrize("kept", [0.0, 0.001, 0.1, 0.5, 0.9, 0.9999])
def test_cut_file_is_refused(whole_file: bytes, kept: float, refused: Callable[[str], None], tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(whole_file[: int(kept * len(whole_file))])
    refused("damaged")


def _archive(path: Path, **members: bytes) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "."), content)


def _hdf5(**members: Any) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for name, value in members.items():
            file[name] = value
    return buffer.getvalue()


CONFIG = json.dumps({"config": {"layers": []}}).encode()


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        pytest.param(lambda _: None, "does not exist", id="missing"),
        pytest.param(Path.mkdir, "does not exist", id="folder"),
        pytest.param(lambda path: path.write_text("weights"), "neither HDF5", id="text"),
        pytest.param(lambda path: path.write_bytes(_hdf5(image=[1.0])), "no layers of a Keras", id="other HDF5"),
        pytest.param(
            lambda path: _archive(path, data__pkl=b"cos\nsystem\n(S'exit'\ntR."), "no .keras file", id="PyTorch"
        ),
        pytest.param(lambda path: _archive(path, model__weights__h5=b"", config__json=b"{"), "damaged", id="no JSON"),
        pytest.param(
            lambda path: _archive(path, model__weights__h5=b"x", config__json=CONFIG), "damaged", id="no HDF5"
        ),
        pytest.param(
            lambda path: _archive(path, model__weights__h5=bytes(10**6), config__json=CONFIG),
            "unpacks to 1000000 bytes",
            id="archive that unpacks to far more than it is",
        ),
    ],
)
def test_foreign_file_is_refused(
    write: Callable[[Path], object], reason: str, refused: Callable[[str], None], tmp_path: Path
) -> None:
    write(tmp_path / "file")
    refused(reason)


def _outside(file: Any) -> str:
    return str(Path(file.filename).with_name("outside.h5"))


def _link_softly(file: Any) -> None:
    file["conv11_1"] = h5py.SoftLink("/conv11_2")


def _link_outside(file: Any) -> None:
    file["conv11_1"] = h5py.ExternalLink(_outside(file), "/conv11_1")


def _link_weights_outside(file: Any) -> None:
    group = file.create_group("conv11_1")
    group.attrs["weight_names"] = _bytes(["conv11_1/kernel:0", "conv11_1/bias:0"])
    group["conv11_1/kernel:0"] = h5py.ExternalLink(_outside(file), "/conv11_1/conv11_1/kernel:0")


def _keep_numbers_outside(file: Any) -> None:
    group = file.create_group("conv11_1")
    group.attrs["weight_names"] = _bytes(["kernel:0"])
    group.create_dataset("kernel:0", (3, 3, 3, 2), "f4", external=[(_outside(file), 0, h5py.h5f.UNLIMITED)])


def _map_numbers_from_outside(file: Any) -> None:
    group = file.create_group("conv11_1")
    group.attrs["weight_names"] = _bytes(["kernel:0"])
    layout = h5py.VirtualLayout((3, 3, 3, 2), "f4")
    layout[:] = h5py.VirtualSource(_outside(file), "conv11_1/conv11_1/kernel:0", (3, 3, 3, 2))
    group.create_virtual_dataset("kernel:0", layout)


def _drop(file: Any) -> None:
    """The names still announce it."""


def _store_a_group(file: Any) -> None:
    group = file.create_group("conv11_1")
    group.attrs["weight_names"] = _bytes(["kernel:0"])
    group.create_group("kernel:0")


def _kernel(value: Any) -> Callable[[Any], None]:
    def store(file: Any) -> None:
        group = file.create_group("conv11_1")
        group.attrs["weight_names"] = _bytes(["conv11_1/kernel:0", "conv11_1/bias:0"])
        group["conv11_1/kernel:0"], group["conv11_1/bias:0"] = value, np.zeros(2, "f4")

    return store


def _name_twice(file: Any) -> None:
    file.move("conv12_1", "X_0_0_conv_1")
    file.move("conv12_2", "conv11_1")
    names = [name.decode() for name in file.attrs["layer_names"] if not name.startswith(b"conv12")]
    file.attrs["layer_names"] = _bytes([*names, "X_0_0_conv_1"])


def _save_under_theano(file: Any) -> None:
    file.attrs["backend"] = b"theano"


def _rename_all(file: Any) -> None:
    file.move("conv11_2", "block1")
    file.attrs["layer_names"] = _bytes(["block1"])


def _name_nothing(file: Any) -> None:
    file.attrs["layer_names"] = _bytes([])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param(_link_softly, "'conv11_1' is a link", id="soft link"),
        pytest.param(_link_outside, "'conv11_1' is a link", id="external link to a layer"),
        pytest.param(_link_weights_outside, "'conv11_1/kernel:0' is a link", id="external link to a kernel"),
        pytest.param(_keep_numbers_outside, "in another file", id="kernel in an external file"),
        pytest.param(_map_numbers_from_outside, "in another file", id="virtual kernel"),
        pytest.param(_drop, "'conv11_1' is not there", id="layer that is only announced"),
        pytest.param(_store_a_group, "no array", id="group in place of a kernel"),
        pytest.param(_kernel(h5py.Empty("f4")), "no array", id="kernel without a size"),
        pytest.param(_kernel(np.zeros((3, 3, 3, 2), "i1")), "int8 where weights are floats", id="quantised kernel"),
        pytest.param(_kernel(np.full((3, 3, 3, 2), np.nan, "f4")), "not finite", id="kernel of NaN"),
        pytest.param(_kernel(np.full((3, 3, 3, 2), 1e300)), "not finite", id="kernel beyond float32"),
        pytest.param(_name_twice, "are both 'X_0_0_conv_1'", id="two layers for one place"),
        pytest.param(_save_under_theano, "mirrored", id="kernels of Theano"),
        pytest.param(_rename_all, r"none of its 1 layers \(block1", id="names of another network"),
        pytest.param(_name_nothing, "holds no weights", id="no layers"),
    ],
)
def test_altered_file_is_refused(
    small_official: keras.Model,
    change: Callable[[Any], None],
    reason: str,
    refused: Callable[[str], None],
    tmp_path: Path,
) -> None:
    _save_as_keras_2(small_official, tmp_path / "outside.h5")
    with h5py.File(tmp_path / "file", "w") as file:
        _write_keras_2(file, small_official)
        del file["conv11_1"]
        change(file)
    refused(reason)


def test_weights_without_names_of_layers_are_refused(
    small_official: keras.Model, refused: Callable[[str], None], tmp_path: Path
) -> None:
    _save_as_weights(small_official, tmp_path / "file")
    with h5py.File(tmp_path / "file", "r+") as file:
        for layer in file["layers"].values():
            layer["vars"].attrs.clear()
    refused("does not hold the names of its layers")


def test_archive_with_altered_weights_is_refused(
    small_official: keras.Model, refused: Callable[[str], None], tmp_path: Path
) -> None:
    _save_as_keras(small_official, tmp_path / "file")
    altered = bytearray((tmp_path / "file").read_bytes())
    altered[len(altered) // 2] ^= 1
    (tmp_path / "file").write_bytes(altered)
    refused("damaged.*CRC")


def test_announced_size_alone_takes_no_memory(small_official: keras.Model, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        _write_keras_2(file, small_official)
        del file["output_1/output_1/kernel:0"]
        file["output_1"].create_dataset("output_1/kernel:0", (1, 1, 2, 10**15), "f4", chunks=(1, 1, 2, 10))
    report = load_weights_by_name(_ours(SMALL), tmp_path / "weights.h5")
    assert report.as_initialised == ("head_1",)
    assert f"trained for {10**15} outputs, the model has 1" in report.describe()
