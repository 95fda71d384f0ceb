from __future__ import annotations

import json
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from segscale.tasks.model_facts import ModelFacts
from segscale.tasks.models.model_file import inspect_model, load_model, save_model
from segscale.tasks.models.unet_plus_plus import build_unet_plus_plus

IMAGES = np.random.default_rng(0).random((2, 16, 24, 1), dtype=np.float32)


@pytest.fixture(scope="module")
def small() -> keras.Model:
    keras.utils.set_random_seed(0)
    return build_unet_plus_plus(channels=1, outputs=1, filters=(2, 3, 4, 5), normalization="batch")


def test_facts_say_what_the_network_takes_and_gives(small: keras.Model) -> None:
    assert inspect_model(small) == ModelFacts(
        channels=1,
        n_classes=2,
        outputs=1,
        activation="sigmoid",
        heads=("head_1", "head_2", "head_3"),
        stride=8,
        parameters=small.count_params(),
        rescales="",
    )


def test_saved_network_comes_back_equal(small: keras.Model, tmp_path: Path) -> None:
    path = tmp_path / "small.keras"
    save_model(small, path)
    loaded = load_model(path)
    assert inspect_model(loaded) == inspect_model(small)
    for after, before in zip(loaded(IMAGES, training=False), small(IMAGES, training=False), strict=True):
        np.testing.assert_array_equal(after, before)


def test_saving_leaves_optimizer_and_loss_out(tmp_path: Path) -> None:
    model = build_unet_plus_plus(channels=1, outputs=1, filters=(2, 2), deep_supervision=False)
    model.compile(optimizer="adam", loss="binary_crossentropy")
    model.train_on_batch(IMAGES, np.zeros((2, 16, 24, 1)))
    save_model(model, tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        assert not json.loads(archive.read("config.json")).get("compile_config")


def _plain_network(activation: str | None = "sigmoid", outputs: int = 1) -> keras.Model:
    return keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(outputs, 1, activation=activation)])


def test_network_built_elsewhere_is_loaded(tmp_path: Path) -> None:
    _plain_network().save(tmp_path / "plain.keras")
    facts = inspect_model(load_model(tmp_path / "plain.keras"))
    assert (facts.channels, facts.n_classes, facts.stride, len(facts.heads)) == (3, 2, 1, 1)


def test_activation_of_a_nested_network_is_found() -> None:
    image = keras.Input((None, None, 3))
    assert inspect_model(keras.Model(image, _plain_network("softmax", 4)(image))).n_classes == 4


def test_softmax_layer_counts_as_activation() -> None:
    image = keras.Input((None, None, 1))
    scores = keras.layers.Conv2D(2, 1)(image)
    assert inspect_model(keras.Model(image, keras.layers.Softmax()(scores))).activation == "softmax"


def test_outputs_by_name_are_taken_in_the_order_of_the_names(tmp_path: Path) -> None:
    image = keras.Input((None, None, 1))
    heads = {name: keras.layers.Conv2D(1, 1, activation="sigmoid", name=name)(image) for name in ("fine", "coarse")}
    keras.Model(image, heads).save(tmp_path / "model.keras")
    assert inspect_model(load_model(tmp_path / "model.keras")).heads == ("coarse", "fine")


def _write_text(path: Path) -> None:
    path.write_text("weights")


def _write_other_archive(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "no model")


def _write_damaged(path: Path) -> None:
    save_model(build_unet_plus_plus(channels=1, outputs=1, filters=(2, 2)), path)
    path.write_bytes(path.read_bytes()[:-2000])


def _write_without_weights(path: Path) -> None:
    save_model(build_unet_plus_plus(channels=1, outputs=1, filters=(2, 2)), path)
    with zipfile.ZipFile(path) as archive:
        config, metadata = archive.read("config.json"), archive.read("metadata.json")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", config)
        archive.writestr("metadata.json", metadata)
        archive.writestr("model.weights.h5", b"no weights")


def _write_lambda(path: Path) -> None:
    image = keras.Input((None, None, 1))
    keras.Model(image, keras.layers.Lambda(lambda tensor: tensor)(image)).save(path)


def _write_custom_layer(path: Path) -> None:
    _plain_network().save(path)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts["config.json"] = parts["config.json"].replace(b'"module": "keras.layers"', b'"module": "elsewhere"')
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


def _write_classifier(path: Path) -> None:
    keras.Sequential([keras.Input((None, None, 1)), keras.layers.GlobalMaxPooling2D()]).save(path)


def _write_logits(path: Path) -> None:
    _plain_network(activation=None).save(path)


def _write_shrinking(path: Path) -> None:
    image = keras.Input((None, None, 1))
    keras.Model(image, keras.layers.Conv2D(1, 3, activation="sigmoid")(image)).save(path)


def _write_half_fixed_size(path: Path) -> None:
    keras.Sequential([keras.Input((64, None, 1)), keras.layers.Conv2D(1, 1, activation="sigmoid")]).save(path)


def _write_fixed_batch(path: Path) -> None:
    image = keras.Input(batch_shape=(4, None, None, 1))
    keras.Model(image, keras.layers.Conv2D(1, 1, activation="sigmoid")(image)).save(path)


class _Twice(keras.layers.Layer):  # type: ignore[misc]  # keras ships no types
    def call(self, tensor: Any) -> Any:
        return tensor * 2


def _write_registered_layer(path: Path) -> None:
    image = keras.Input((None, None, 1))
    keras.saving.register_keras_serializable("elsewhere")(_Twice)
    try:
        keras.Model(image, keras.layers.Conv2D(1, 1, activation="sigmoid")(_Twice()(image))).save(path)
    finally:
        # Only what was added: losses and metrics of ours are registered there as well.
        del keras.saving.get_custom_objects()["elsewhere>_Twice"]


def _write_unbuilt(path: Path) -> None:
    built = keras.Sequential([keras.layers.Conv2D(1, 1, activation="sigmoid")])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        built.save(path)


def _write_shared_head(path: Path) -> None:
    image, head = keras.Input((None, None, 1)), keras.layers.Conv2D(1, 1, activation="sigmoid", name="head")
    keras.Model(image, [head(image), head(keras.layers.ReLU()(image))]).save(path)


def _write_softmax_over_rows(path: Path) -> None:
    image = keras.Input((None, None, 1))
    keras.Model(image, keras.layers.Softmax(axis=1)(keras.layers.Conv2D(2, 1)(image))).save(path)


def _write_quantized(path: Path) -> None:
    inner = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Dense(2, activation="softmax")])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        inner.quantize("int8")
    image = keras.Input((None, None, 3))
    keras.Model(image, inner(image)).save(path)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        pytest.param(_write_text, "not a Keras 3 model file", id="text"),
        pytest.param(_write_other_archive, "not a Keras 3 model file", id="zip of something else"),
        pytest.param(_write_damaged, "damaged", id="cut off"),
        pytest.param(_write_without_weights, "cannot be read", id="weights replaced"),
        pytest.param(_write_lambda, "Lambda", id="code"),
        pytest.param(_write_custom_layer, "standard Keras layers", id="custom layer"),
        pytest.param(_write_registered_layer, "custom 'elsewhere>_Twice'; only standard", id="registered layer"),
        pytest.param(_write_unbuilt, "never built", id="no weights yet"),
        pytest.param(_write_shared_head, "several outputs named 'head'", id="one layer ends two outputs"),
        pytest.param(_write_softmax_over_rows, "softmax over axis 1", id="softmax over rows"),
        pytest.param(_write_quantized, r"quantized weights \(int8", id="quantized"),
        pytest.param(_write_classifier, r"must be \(B, H, W, outputs\)", id="classifier"),
        pytest.param(_write_logits, "sigmoid or softmax", id="logits"),
        pytest.param(_write_shrinking, "size of its input", id="unpadded convolution"),
        pytest.param(_write_half_fixed_size, "one side fixed and the other free", id="one side fixed"),
        pytest.param(_write_fixed_batch, "batches of 4 images only", id="batches of one size"),
    ],
)
def test_loading_refuses(write: Callable[[Path], None], message: str, tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    write(path)
    with pytest.raises(ValueError, match=message) as caught:
        load_model(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"), [("model.h5", r"end in \.keras"), ("missing.keras", "does not exist")], ids=["h5", "missing"]
)
def test_loading_names_a_path_that_cannot_be_one(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        load_model(tmp_path / name)
