"""The main job with networks that scale their input themselves, and that look at the whole image."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
from keras import layers
from numpy.typing import NDArray
from PIL import Image

pytestmark = pytest.mark.nightly(part="models")

SIZES = {"a": (45, 70), "b": (64, 33), "c": (52, 66)}


@pytest.fixture(scope="module")
def network() -> keras.Model:
    """Normalisation of 8-bit values, and squeeze and excite at a quarter of the size."""
    keras.utils.set_random_seed(3)
    image = keras.Input((None, None, 1))
    # Keras numbers layers that have no name, those of other tests in this process too; messages name this one.
    tensor = layers.Normalization(mean=120, variance=3600, name="normalization")(image)
    tensor = layers.MaxPooling2D(4)(layers.Conv2D(6, 3, padding="same", activation="relu")(tensor))
    weights = layers.Dense(6, activation="sigmoid")(layers.GlobalAveragePooling2D(keepdims=True)(tensor))
    tensor = layers.UpSampling2D(4)(layers.Multiply()([tensor, layers.Rescaling(4.0)(weights)]))
    return keras.Model(image, layers.Conv2D(1, 3, padding="same", activation="sigmoid", name="mask")(tensor))


def picture(seed: int, shape: tuple[int, int]) -> NDArray[np.uint8]:
    ramp = np.add.outer(np.arange(shape[0]), 2 * np.arange(shape[1]))
    return (ramp + np.random.default_rng(seed).integers(0, 60, shape)).astype(np.uint8)


def dice(network: keras.Model, image: NDArray[np.uint8], reference: NDArray[np.bool_]) -> float:
    """Of the image at its true size, mirrored to multiples of 4."""
    pads = [(0, -side % 4) for side in image.shape]
    padded = np.pad(image, pads, "reflect").astype(np.float32)[np.newaxis, ..., np.newaxis]
    found = np.asarray(network(padded))[0, : image.shape[0], : image.shape[1], 0] >= np.float32(0.5)
    return float(2 * np.sum(found & reference) / (np.sum(found) + np.sum(reference)))


@pytest.mark.parametrize("engine", ["keras", "openvino"])
def test_a_network_is_given_what_it_was_made_for(
    segscale: Any, tmp_path: Path, write_config: Callable[..., Path], network: keras.Model, engine: str
) -> None:
    network.save(tmp_path / "net.keras")
    expected = {}
    for seed, (name, size) in enumerate(SIZES.items()):
        image = picture(seed, size)
        reference = image > 100
        for folder, content in (("images", image), ("masks", reference.astype(np.uint8))):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(content).save(tmp_path / folder / f"{name}.png")
        expected[name] = dice(network, image, reference)

    def run(dataset: dict[str, str], tile: str = "1024") -> Any:
        usual = {"name": '"own"', "images": '"images"', "references": '"masks"', "label_values": "[0, 1]"}
        model = {"path": '"net.keras"', "engine": f'"{engine}"', "precision": '"float32"', "tile": tile}
        config = write_config(
            dataset={**usual, **dataset}, model=model, metrics={"bootstrap": "0"}, cluster={"workers": "1"}
        )
        return segscale("run", config)

    refused = run({})
    assert refused.code == 2
    assert "rescales stored values by itself: 'normalization' (Normalization) takes 120 for the mean" in refused.err
    large = run({"normalize": '"none"'}, tile="64")
    assert large.code == 2
    assert "model.tile: expected images of at most 64 x 64 pixels, 2 are larger: a (45 x 70), c (52 x 66)" in large.err
    outcome = run({"normalize": '"none"'})
    assert outcome.code == 0, outcome.err
    assert "padding would change probabilities of image" in outcome.err
    report = Path(outcome.out.strip().splitlines()[-1].removeprefix("report: "))
    rows = pd.read_parquet(report / "per_image.parquet").query("class_index == 1").set_index("image_id")
    for name, value in expected.items():
        assert rows.loc[name, "dice"] == pytest.approx(value, abs=2e-3 if engine == "openvino" else 1e-12)
    record = json.loads((report / "run.json").read_text())
    assert record["plan"]["whole_image"] is True
    assert record["engine"]["reach"]["padding_difference"] > 1e-3
    assert record["engine"]["reach"]["far_difference"] is None
