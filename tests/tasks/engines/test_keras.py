from __future__ import annotations

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from segscale.tasks.engines import keras as keras_engine
from segscale.tasks.engines.keras import KerasEngine, limit_threads, normalize, prepare_runtime
from segscale.tasks.models.unet_plus_plus import build_unet_plus_plus, prune
from segscale.tasks.normalize import Recipe, apply_recipe

INFINITE = np.inf
UNIT = (-INFINITE, INFINITE, 0.0, 255.0)


def recipes(*rows: tuple[float, float, float, float]) -> NDArray[np.float32]:
    return np.array(rows, np.float32)


def random_pixels(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


def see_through(channels: int, outputs: int = 1) -> keras.Model:
    """A network whose head is the sum of its input channels times the number of the output, unchanged."""
    image = keras.Input((None, None, channels))
    kernel = np.tile(np.arange(1, outputs + 1, dtype=np.float32), (1, 1, channels, 1))
    head = keras.layers.Conv2D(outputs, 1, use_bias=False, name="seen", dtype="float32")
    model = keras.Model(image, head(image))
    head.set_weights([kernel])
    return model


@pytest.fixture(scope="module")
def supervised() -> keras.Model:
    keras.utils.set_random_seed(0)
    return build_unet_plus_plus(channels=1, outputs=1, filters=(2, 3, 4), normalization="batch")


@pytest.mark.parametrize(
    ("dtype", "stored", "recipe", "expected"),
    [
        pytest.param("uint8", 0, UNIT, 0.0, id="0 is 0"),
        pytest.param("uint8", 255, UNIT, 1.0, id="8-bit white is exactly 1"),
        pytest.param("uint16", 65535, (-INFINITE, INFINITE, 0, 65535), 1.0, id="16-bit white is exactly 1"),
        pytest.param("int16", -1024, (-1000, 400, -1000, 1400), 0.0, id="below the window"),
        pytest.param("int16", 3000, (-1000, 400, -1000, 1400), 1.0, id="above the window"),
        pytest.param("int16", -300, (-1000, 400, -1000, 1400), 0.5, id="middle of the window"),
        pytest.param("int32", 2**24, (-INFINITE, INFINITE, 0, 2**24), 1.0, id="32-bit integer"),
        pytest.param("uint64", 1, UNIT, np.float32(1) / np.float32(255), id="64-bit integer"),
        pytest.param("float32", 0.25, (-INFINITE, INFINITE, 0, 1), 0.25, id="float stays"),
    ],
)
def test_normalisation_is_exact(
    dtype: str, stored: float, recipe: tuple[float, float, float, float], expected: float
) -> None:
    seen = KerasEngine(see_through(1)).probabilities(np.full((1, 2, 3, 1), stored, dtype), recipes(recipe))
    assert seen.shape == (1, 1, 2, 3, 1)
    assert seen.dtype == np.float32
    assert set(seen.ravel().tolist()) == {float(expected)}


def test_graph_normalises_as_the_reference_does() -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    recipe = (12.0, 200.0, 101.3, 47.9)
    found, expected = np.asarray(normalize(pixels, recipes(recipe))), apply_recipe(pixels, Recipe(*recipe))
    ulps = 0 if keras.backend.backend() == "tensorflow" else 2
    np.testing.assert_array_max_ulp(found, expected, maxulp=ulps)


def test_every_image_has_its_own_recipe() -> None:
    pixels = np.full((2, 1, 1, 1), 10, np.uint8)
    seen = KerasEngine(see_through(1)).probabilities(pixels, recipes((0, 255, 0, 10), (0, 5, 0, 10)))
    assert seen.ravel().tolist() == [1.0, 0.5]


def test_grey_becomes_three_equal_channels() -> None:
    grey = np.full((1, 1, 1, 1), 255, np.uint8)
    assert KerasEngine(see_through(3)).probabilities(grey, recipes(UNIT)).item() == 3.0


def test_colours_stay_what_they_are() -> None:
    colour = np.array([0, 255, 255], np.uint8).reshape(1, 1, 1, 3)
    assert KerasEngine(see_through(3)).probabilities(colour, recipes(UNIT)).item() == 2.0


def test_non_finite_results_are_passed_on() -> None:
    seen = KerasEngine(see_through(1)).probabilities(np.ones((1, 1, 1, 1), np.uint8), recipes((0, 1, 0, 0)))
    assert np.isinf(seen).all()


@pytest.mark.parametrize("level", [1, 2])
def test_level_is_that_head_of_the_pruned_network(supervised: keras.Model, level: int) -> None:
    engine = KerasEngine(supervised, level=level)
    pixels = random_pixels(2, 8, 12, 1)
    image = pixels.astype(np.float32) / np.float32(255)
    expected = np.asarray(prune(supervised, level)(image, training=False))[np.newaxis]
    np.testing.assert_allclose(engine.probabilities(pixels, recipes(UNIT, UNIT)), expected, atol=1e-6)
    assert engine.facts.heads == (f"head_{level}",)
    assert engine.facts.stride == 2**level


def test_ensemble_is_the_mean_of_the_heads(supervised: keras.Model) -> None:
    pixels, recipe = random_pixels(1, 8, 8, 1), recipes(UNIT)
    heads = [KerasEngine(supervised, level=level).probabilities(pixels, recipe) for level in (1, 2)]
    engine = KerasEngine(supervised, level=2, ensemble=True)
    np.testing.assert_allclose(engine.probabilities(pixels, recipe), np.mean(heads, axis=0), atol=1e-6)
    assert engine.facts.heads == ("ensemble",)


@pytest.mark.parametrize("ensemble", [False, True])
def test_all_heads_come_from_one_pass(supervised: keras.Model, ensemble: bool) -> None:
    pixels, recipe = random_pixels(2, 8, 8, 1), recipes(UNIT, UNIT)
    engine = KerasEngine(supervised, level="all", ensemble=ensemble)
    found = engine.probabilities(pixels, recipe)
    heads = [KerasEngine(supervised, level=level).probabilities(pixels, recipe)[0] for level in (1, 2)]
    expected = [*heads, np.mean(heads, axis=0)] if ensemble else heads
    assert engine.facts.heads == ("head_1", "head_2", "ensemble")[: len(expected)]
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="counts the traces of TensorFlow")
def test_every_shape_is_traced_once(supervised: keras.Model) -> None:
    engine = KerasEngine(supervised, level=2)
    traced = []
    for _ in range(3):
        for width in (8, 12, 16):
            engine.probabilities(random_pixels(2, 8, width, 1), recipes(UNIT, UNIT))
        traced.append(engine._compiled.experimental_get_tracing_count())  # type: ignore[attr-defined]
    assert traced == [3, 3, 3]


def test_place_in_the_batch_does_not_matter(supervised: keras.Model) -> None:
    pixels = random_pixels(3, 16, 16, 1)
    engine = KerasEngine(supervised, level=2)
    together = engine.probabilities(pixels, recipes(UNIT, UNIT, UNIT))
    turned = engine.probabilities(pixels[::-1], recipes(UNIT, UNIT, UNIT))
    np.testing.assert_array_equal(together, turned[:, ::-1])


def test_facts_of_a_network_built_elsewhere() -> None:
    facts = KerasEngine(see_through(3, outputs=4), level=1).facts
    assert (facts.name, facts.heads, facts.n_classes, facts.outputs) == ("keras", ("seen",), 4, 4)
    assert (facts.channels, facts.stride, facts.precision, facts.device) == (3, 1, "float32", "cpu:0")
    assert facts.version.startswith(f"keras {keras.__version__}, {keras.backend.backend()} ")


def test_reduced_precision_is_close_and_its_result_float32(supervised: keras.Model) -> None:
    pixels, recipe = random_pixels(1, 16, 16, 1), recipes(UNIT)
    exact = KerasEngine(supervised, level=2).probabilities(pixels, recipe)
    engine = KerasEngine(supervised, level=2, precision="bfloat16")
    reduced = engine.probabilities(pixels, recipe)
    assert engine.facts.precision == "bfloat16"
    assert reduced.dtype == np.float32
    assert 0 < np.abs(reduced - exact).max() < 0.05


def test_float32_is_float32_whatever_the_model_was_trained_in() -> None:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = build_unet_plus_plus(channels=1, outputs=1, filters=(2, 2))
    finally:
        keras.config.set_dtype_policy(before)
    plain = build_unet_plus_plus(channels=1, outputs=1, filters=(2, 2))
    plain.set_weights(model.get_weights())
    pixels, recipe = random_pixels(1, 8, 8, 1), recipes(UNIT)
    np.testing.assert_array_equal(
        KerasEngine(model, level=1).probabilities(pixels, recipe),
        KerasEngine(plain, level=1).probabilities(pixels, recipe),
    )


def test_engine_keeps_the_weights_it_was_given() -> None:
    model = see_through(1)
    engine = KerasEngine(model)
    model.set_weights([np.zeros((1, 1, 1, 1), np.float32)])
    assert engine.probabilities(np.full((1, 1, 1, 1), 255, np.uint8), recipes(UNIT)).item() == 1.0


@pytest.mark.parametrize(
    ("pixels", "recipe", "message"),
    [
        pytest.param(np.zeros((1, 8, 8), np.uint8), recipes(UNIT), r"\(B, H, W", id="no channel axis"),
        pytest.param(np.zeros((1, 8, 8, 3), np.uint8), recipes(UNIT), r"\(B, H, W", id="colours into one channel"),
        pytest.param(np.zeros((1, 8, 8, 1), np.float64), recipes(UNIT), "float64", id="double precision"),
        pytest.param(np.zeros((1, 8, 8, 1), np.bool_), recipes(UNIT), "bool", id="booleans"),
        pytest.param(np.zeros((1, 8, 6, 1), np.uint8), recipes(UNIT), "stride 4", id="not padded to the stride"),
        pytest.param(np.zeros((2, 8, 8, 1), np.uint8), recipes(UNIT), "a row per image", id="a recipe is missing"),
        pytest.param(np.zeros((1, 8, 8, 1), np.uint8), recipes(UNIT).astype(float), "float64", id="double recipe"),
    ],
)
def test_batches_that_do_not_fit_are_refused(
    supervised: keras.Model, pixels: NDArray[np.generic], recipe: NDArray[np.float32], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        KerasEngine(supervised, level=2).probabilities(pixels, recipe)


def test_what_is_not_there_is_refused(supervised: keras.Model) -> None:
    with pytest.raises(ValueError, match=r"level 4 is not there.*head_1, head_2"):
        KerasEngine(supervised)
    with pytest.raises(ValueError, match=r"device 'gpu:7' is not there.*cpu:0"):
        KerasEngine(supervised, level=1, device="gpu:7")
    with pytest.raises(ValueError, match="precision must be one of"):
        KerasEngine(supervised, level=1, precision="int8")


@pytest.mark.parametrize(
    ("device", "flags", "refused"),
    [
        pytest.param("cpu:0", {"avx512f"}, True, id="a CPU without"),
        pytest.param("cpu:0", {"avx512_fp16"}, False, id="a CPU with"),
        pytest.param("gpu:0", {"avx512f"}, False, id="a GPU"),
    ],
)
def test_float16_needs_instructions(
    monkeypatch: pytest.MonkeyPatch, device: str, flags: set[str], refused: bool
) -> None:
    monkeypatch.setattr(keras_engine, "cpu_flags", lambda: frozenset(flags))
    if not refused:
        keras_engine._check_precision("float16", device)
        return
    with pytest.raises(ValueError, match=r"float16 is not there: the CPU \(cpu:0\).*use float32"):
        keras_engine._check_precision("float16", device)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="asks TensorFlow for its GPUs")
@pytest.mark.parametrize("late", [False, True], ids=["before the first operation", "after it"])
def test_the_memory_of_gpus_is_taken_as_needed(monkeypatch: pytest.MonkeyPatch, late: bool) -> None:
    import tensorflow as tf

    asked = []

    def grow(gpu: str, enable: bool) -> None:
        asked.append((gpu, enable))
        if late:
            raise RuntimeError("Physical devices cannot be modified after being initialized")

    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [f"{kind}:0", f"{kind}:1"])
    monkeypatch.setattr(tf.config.experimental, "set_memory_growth", grow)
    prepare_runtime(0)
    assert asked == [("GPU:0", True), ("GPU:1", True)]


def test_threads_cannot_change_once_the_runtime_runs(supervised: keras.Model) -> None:
    with pytest.raises(ValueError, match=r"too late|TensorFlow only"):
        KerasEngine(supervised, level=1, threads=3)
    with pytest.raises(ValueError, match="0 or more"):
        limit_threads(-1)
