"""Networks that look at the whole image: every image goes through them at its true size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from segscale.storage import parts, shards
from segscale.storage.ledger import Entry, Ledger
from segscale.tasks import predict
from segscale.tasks.engines import Engine, EngineFacts, check_batch
from segscale.tasks.engines.flips import FlippedEngine
from segscale.tasks.normalize import Recipe, apply_recipe
from segscale.tasks.predict import PredictJob, predict_key, predict_shard
from segscale.tasks.prediction import Prediction, shapes_of
from segscale.tasks.shard_rows import ShardRow
from segscale.tasks.tiling import next_multiple, pad_to

MakeSet = Callable[..., Any]
SIZES = {"a": (20, 24), "b": (31, 24), "c": (20, 24), "d": (17, 30), "e": (20, 22)}
"""All share the padded size 32 x 32; with a stride of 4, a, c and e have one size too."""


class MeanEngine:
    """Brighter than the mean of all that it is given is foreground: every pixel sees every other one."""

    def __init__(self, stride: int = 1, one_by_one: bool = False) -> None:
        self.facts = EngineFacts(
            "fake", "cpu:0", "float32", "1", ("head",), 2, 1, 1, stride, one_by_one, whole_image=("'mean' (Mean)",)
        )
        self.shapes: list[tuple[int, ...]] = []

    def probabilities(self, pixels: NDArray[Any], recipe: NDArray[np.float32]) -> NDArray[np.float32]:
        check_batch(pixels, recipe, self.facts)
        self.shapes.append(pixels.shape[:3])
        return np.stack([of_image(image, Recipe(*map(float, row))) for image, row in zip(pixels, recipe, strict=True)])[
            np.newaxis
        ]


def of_image(image: NDArray[Any], recipe: Recipe) -> NDArray[np.float32]:
    seen = apply_recipe(image, recipe)
    return np.asarray(0.5 + (seen - seen.mean(dtype=np.float64)) / 2, np.float32)


def prediction_of(**changes: Any) -> Prediction:
    usual = {
        "weights_sha256": "ff", "engine": "fake", "precision": "float32", "versions": {}, "heads": ("head",),
        "level": 4, "ensemble": False, "flips": False, "n_classes": 2, "batch_size": 2, "batch_pixels": 524288,
        "tile": 1024, "overlap": 0.25, "threshold": 0.5, "keep": "labels", "whole_image": True,
    }  # fmt: skip
    return Prediction(**{**usual, **changes})


def predicted(data: Any, engine: Engine, **changes: Any) -> Entry:
    data.ingest()
    (ingested,) = data.entries()
    prediction = prediction_of(**changes)
    job = PredictJob(predict_key(ingested.key, prediction), ingested.key)
    predict_shard(data.store, job, prediction, engine)
    return Ledger(data.store).read(predict.STAGE, job.key)


def kept(data: Any, entry: Entry, image_id: str) -> NDArray[np.uint8]:
    (array,) = shards.open_arrays(data.store, entry, "labels")
    crop: NDArray[np.uint8] = data.rows()[image_id].crop(array)
    return crop


def picture(seed: int, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Bright at the right and at the bottom, so that mirroring there changes the mean."""
    ramp = np.add.outer(np.arange(shape[-2]), np.arange(shape[-1])) * 2
    return (ramp + np.random.default_rng(seed).integers(0, 40, shape)).astype(np.uint8)


def set_of(make_set: MakeSet) -> Any:
    images = {f"{name}.png": picture(seed, size) for seed, (name, size) in enumerate(SIZES.items())}
    masks = {name: (image > 90).astype(np.uint8) for name, image in images.items()}
    return make_set(images, masks)


def expected(seed: int, shape: tuple[int, ...], stride: int) -> NDArray[np.uint8]:
    """The labels that the network gives an image of its true size, mirrored to the next multiples of the stride."""
    image = picture(seed, shape)[np.newaxis, ..., np.newaxis]
    padded = pad_to(image, next_multiple(shape[0], stride), next_multiple(shape[1], stride), "reflect")
    probabilities = of_image(padded[0], Recipe(-np.inf, np.inf, 0.0, 255.0))
    return (probabilities[: shape[0], : shape[1], 0] >= np.float32(0.5)).astype(np.uint8)


@pytest.mark.parametrize("one_by_one", [False, True])
@pytest.mark.parametrize("stride", [1, 4, 64])
@pytest.mark.parametrize("batch_size", [0, 1, 2, 16])
def test_every_image_is_predicted_at_its_true_size(
    make_set: MakeSet, stride: int, batch_size: int, one_by_one: bool
) -> None:
    data, engine = set_of(make_set), MeanEngine(stride, one_by_one)
    entry = predicted(data, engine, batch_size=batch_size)
    for seed, (name, size) in enumerate(SIZES.items()):
        assert (kept(data, entry, name)[0] == expected(seed, size, stride)).all(), name
    rows = {(row["image_id"], row["class_index"]): row for row in parts.read_part(data.store, entry).to_pylist()}
    for seed, (name, size) in enumerate(SIZES.items()):
        reference, found = picture(seed, size) > 90, expected(seed, size, stride) == 1
        assert rows[name, 1]["true_positive"] == np.sum(reference & found)
        assert rows[name, 1]["false_positive"] == np.sum(~reference & found)


def test_the_padding_that_others_share_would_change_labels(make_set: MakeSet) -> None:
    data = set_of(make_set)
    true, padded = (predicted(data, MeanEngine(), whole_image=whole) for whole in (True, False))
    assert any((kept(data, true, name) != kept(data, padded, name)).any() for name in SIZES)


def test_images_of_one_size_make_batches_together(make_set: MakeSet) -> None:
    engine = MeanEngine(stride=4)
    predicted(set_of(make_set), engine, batch_size=2)
    assert sorted(engine.shapes) == [(1, 20, 32), (1, 32, 24), (2, 20, 24), (2, 20, 24)]


def test_flips_are_of_the_true_size(make_set: MakeSet) -> None:
    engine = MeanEngine()
    data = set_of(make_set)
    entry = predicted(data, FlippedEngine(engine), flips=True, batch_size=1)
    assert {shape[1:] for shape in engine.shapes} == set(SIZES.values())
    for seed, (name, size) in enumerate(SIZES.items()):
        # The mean of an image is that of its mirror images, up to rounding.
        assert np.mean(kept(data, entry, name)[0] != expected(seed, size, 1)) < 0.01


def test_slices_of_a_volume_are_images_of_their_own(make_set: MakeSet) -> None:
    volume = np.stack([picture(seed, (20, 22)) // (1 + seed) for seed in range(3)])
    data = make_set({"v.npy": volume}, {"v.npy": (volume > 60).astype(np.uint8)})
    entry = predicted(data, MeanEngine(), batch_size=2)
    for place, image in enumerate(volume):
        labels = of_image(image[..., np.newaxis], Recipe(-np.inf, np.inf, 0.0, 255.0))[..., 0] >= np.float32(0.5)
        assert (kept(data, entry, "v")[place] == labels).all()


def test_whether_images_have_their_true_size_is_in_the_key() -> None:
    whole, padded = (prediction_of(whole_image=whole) for whole in (True, False))
    assert predict_key("aa", whole) != predict_key("aa", padded)


def row_of(number: int, height: int, width: int, depth: int) -> ShardRow:
    return ShardRow(f"{number}", 0, depth, height, width, "", "", 0.0, 0.0, 0.0, 1.0, False, None)


@given(
    st.lists(st.tuples(st.integers(1, 64), st.integers(1, 64), st.integers(1, 3)), min_size=1, max_size=12),
    st.sampled_from([1, 2, 16, 128]),
    st.integers(0, 5),
)
def test_no_shape_is_larger_than_its_images_need(
    sizes: list[tuple[int, int, int]], stride: int, batch_size: int
) -> None:
    rows = [row_of(number, *size) for number, size in enumerate(sizes)]
    found = shapes_of(rows, (64, 64), prediction_of(batch_size=batch_size), stride)
    assert sorted(row.image_id for group in found.values() for row in group) == sorted(row.image_id for row in rows)
    for (images, height, width), group in found.items():
        assert 1 <= images <= sum(row.depth for row in group)
        for row in group:
            assert 0 <= height - row.height < stride
            assert 0 <= width - row.width < stride
            assert height % stride == width % stride == 0
