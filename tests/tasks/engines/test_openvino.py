from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from segscale.tasks.engines import Engine, Precision, openvino
from segscale.tasks.engines.hardware import cpu_flags, has_bfloat16
from segscale.tasks.engines.heads import Level
from segscale.tasks.engines.keras import KerasEngine
from segscale.tasks.engines.openvino import OpenVinoEngine
from segscale.tasks.engines.openvino_conversion import convert
from segscale.tasks.engines.openvino_graph import OpenVinoGraph
from segscale.tasks.normalize import Recipe, apply_recipe

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="graphs are traced by TensorFlow")
needs_bfloat16 = pytest.mark.skipif(not has_bfloat16(cpu_flags()), reason="the CPU has no bfloat16")

UNIT = (-np.inf, np.inf, 0.0, 255.0)
Build = Callable[..., keras.Model]


def batch(*shape: int, dtype: str = "uint8", low: int = 0, high: int = 256) -> NDArray[Any]:
    return np.random.default_rng(1).integers(low, high, shape).astype(dtype)


def recipes(count: int, recipe: tuple[float, float, float, float] = UNIT) -> NDArray[np.float32]:
    return np.tile(np.array(recipe, np.float32), (count, 1))


def see_through(channels: int = 1) -> keras.Model:
    """A network whose head is the mean of its input channels, unchanged."""
    image = keras.Input((None, None, channels))
    head = keras.layers.Conv2D(1, 1, use_bias=False, name="seen", dtype="float32")
    model = keras.Model(image, head(image))
    head.set_weights([np.full((1, 1, channels, 1), 1 / channels, np.float32)])
    return model


@pytest.fixture(scope="module")
def graph(unet: Build) -> OpenVinoGraph:
    return convert(unet(normalization="batch"), "all", ensemble=True)


@pytest.fixture(scope="module")
def seen() -> OpenVinoGraph:
    return convert(see_through(), 1, ensemble=False)


@pytest.mark.parametrize(
    ("network", "level", "ensemble"),
    [
        pytest.param({}, 1, False, id="plain, pruned to level 1"),
        pytest.param({}, 2, False, id="plain, level 2"),
        pytest.param({"normalization": "batch"}, 2, False, id="batch normalisation"),
        pytest.param({"outputs": 3, "activation": "softmax"}, "all", False, id="three classes, all heads"),
        pytest.param({"channels": 3}, 2, True, id="colours, mean of the heads"),
        pytest.param({"filters": (4, 4, 4, 4, 4), "normalization": "batch"}, "all", True, id="four heads and the mean"),
        pytest.param({"filters": (4, 4, 4, 4, 4)}, 3, False, id="level 3 of 4"),
        pytest.param({"deep_supervision": False}, 2, False, id="one head"),
    ],
)
def test_it_agrees_with_keras(unet: Build, network: dict[str, Any], level: Level, ensemble: bool) -> None:
    model = unet(**network)
    channels = network.get("channels", 1)
    pixels, recipe = batch(3, 48, 80, channels), recipes(3)
    expected = KerasEngine(model, level=level, ensemble=ensemble)
    found = OpenVinoEngine(convert(model, level, ensemble), threads=2)
    ours, theirs = found.facts, expected.facts
    for name in ("heads", "n_classes", "outputs", "channels", "stride", "precision"):
        assert getattr(ours, name) == getattr(theirs, name)
    probabilities = found.probabilities(pixels, recipe)
    assert probabilities.dtype == np.float32
    # Probabilities of all kinds: equal ones would agree whatever was computed.
    assert probabilities.std() > 0.01
    np.testing.assert_allclose(probabilities, expected.probabilities(pixels, recipe), atol=2e-5, rtol=0)


@pytest.mark.parametrize(
    ("pixels", "recipe"),
    [
        pytest.param(batch(2, 16, 24, 1), UNIT, id="8 bits"),
        pytest.param(batch(2, 16, 24, 1, dtype="uint16", high=65536), (500, 60000, 40000.5, 9000), id="16 bits"),
        pytest.param(batch(2, 16, 24, 1, dtype="int16", low=-2000, high=3000), (-1000, 400, -1000, 1400), id="CT"),
        pytest.param(batch(2, 16, 24, 1, dtype="int32", high=2**24), (-np.inf, np.inf, 0, 2**24), id="32 bits"),
        pytest.param(batch(2, 16, 24, 1, dtype="float32") / np.float32(97), (0, 2, 1.1, 0.7), id="floats"),
    ],
)
@pytest.mark.parametrize("channels", [1, 3], ids=["grey", "grey to colour"])
def test_pixels_of_every_type_are_what_keras_sees(
    unet: Build, channels: int, pixels: NDArray[Any], recipe: tuple[float, float, float, float]
) -> None:
    model = unet(channels=channels, filters=(4, 4))
    found = OpenVinoEngine(convert(model, 1, ensemble=False)).probabilities(pixels, recipes(2, recipe))
    expected = KerasEngine(model, level=1).probabilities(pixels, recipes(2, recipe))
    np.testing.assert_allclose(found, expected, atol=2e-5, rtol=0)


def test_normalisation_is_exact(seen: OpenVinoGraph) -> None:
    pixels, recipe = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1), (12.0, 200.0, 101.3, 47.9)
    found = OpenVinoEngine(seen).probabilities(pixels, recipes(1, recipe))
    np.testing.assert_array_equal(found[0], apply_recipe(pixels, Recipe(*recipe)))


def test_every_image_has_its_own_recipe(seen: OpenVinoGraph) -> None:
    rows = np.array([(0, 255, 0, 10), (0, 5, 0, 10)], np.float32)
    found = OpenVinoEngine(seen).probabilities(np.full((2, 1, 1, 1), 10, np.uint8), rows)
    assert found.ravel().tolist() == [1.0, 0.5]


def test_non_finite_results_are_passed_on(seen: OpenVinoGraph) -> None:
    found = OpenVinoEngine(seen).probabilities(np.ones((1, 2, 2, 1), np.uint8), recipes(1, (0, 1, 0, 0)))
    assert np.isinf(found).all()


@needs_bfloat16
def test_bfloat16_is_close_and_its_result_float32(graph: OpenVinoGraph) -> None:
    pixels, recipe = batch(2, 32, 48, 1), recipes(2)
    exact = OpenVinoEngine(graph).probabilities(pixels, recipe)
    engine = OpenVinoEngine(graph, precision="bfloat16")
    reduced = engine.probabilities(pixels, recipe)
    assert engine.facts.precision == "bfloat16"
    assert reduced.dtype == np.float32
    assert 0 < np.abs(reduced - exact).max() < 2e-2


@needs_bfloat16
def test_bfloat16_keeps_the_recipe_in_float32(seen: OpenVinoGraph) -> None:
    # In bfloat16 the offset would be 40192, more than the whole range of these pixels away.
    pixels = batch(1, 8, 8, 1, dtype="uint16", low=40090, high=40110)
    found = OpenVinoEngine(seen, precision="bfloat16").probabilities(pixels, recipes(1, (0, 65535, 40100, 10)))
    np.testing.assert_allclose(found[0], (pixels.astype(np.float32) - 40100) / 10, atol=0.01)


@pytest.mark.parametrize("precision", ["float32", pytest.param("bfloat16", marks=needs_bfloat16)])
def test_neither_batch_nor_streams_nor_threads_change_a_bit(graph: OpenVinoGraph, precision: Precision) -> None:
    pixels, recipe = batch(8, 64, 96, 1), recipes(8)
    one, two = (OpenVinoEngine(graph, precision=precision, threads=threads) for threads in (1, 2))
    expected = one.probabilities(pixels, recipe)
    for engine in (one, two):
        for size in (1, 3, 8):
            found = [
                engine.probabilities(pixels[start : start + size], recipe[start : start + size])
                for start in range(0, 8, size)
            ]
            np.testing.assert_array_equal(np.concatenate(found, axis=1), expected)


def test_several_threads_may_ask_at_once(graph: OpenVinoGraph) -> None:
    engine, pixels, recipe = OpenVinoEngine(graph, threads=2), batch(6, 16, 16, 1), recipes(6)
    expected = engine.probabilities(pixels, recipe)
    found: dict[int, NDArray[np.float32]] = {}

    def ask(start: int) -> None:
        found[start] = engine.probabilities(pixels[start : start + 2], recipe[:2])

    threads = [threading.Thread(target=ask, args=(start,)) for start in (0, 2, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    np.testing.assert_array_equal(np.concatenate([found[start] for start in (0, 2, 4)], axis=1), expected)


def counted(engine: OpenVinoEngine, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int, int]]:
    """What the engine compiles from now on: (height, width, streams)."""
    compiled: list[tuple[int, int, int]] = []
    compile_size = engine._compile

    def compile_and_count(*size: int) -> Any:
        compiled.append(size)  # type: ignore[arg-type]
        return compile_size(*size)

    monkeypatch.setattr(engine, "_compile", compile_and_count)
    return compiled


def test_a_size_is_compiled_once_and_few_are_kept(seen: OpenVinoGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = OpenVinoEngine(seen, threads=1)
    compiled = counted(engine, monkeypatch)
    for width in (8, 16, 8, 24, 32, 8, 40, 8, 16):
        engine.probabilities(batch(2, 8, width, 1), recipes(2))
    assert [width for _, width, _ in compiled] == [8, 16, 24, 32, 40, 16]
    assert len(engine._compiled) == 4


def test_large_images_are_kept_and_computed_fewer_at_a_time(
    seen: OpenVinoGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino, "_PIXELS_IN_FLIGHT", 256)
    engine = OpenVinoEngine(seen, threads=4)
    compiled = counted(engine, monkeypatch)
    for side in (8, 16, 32, 8):
        engine.probabilities(batch(3, side, side, 1), recipes(3))
    assert compiled == [(8, 8, 3), (16, 16, 1), (32, 32, 1), (8, 8, 3)]
    assert list(engine._compiled) == [(8, 8, 3)]


def test_a_short_batch_takes_what_is_compiled(seen: OpenVinoGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = OpenVinoEngine(seen, threads=4)
    compiled = counted(engine, monkeypatch)
    for count in (8, 3, 1):
        engine.probabilities(batch(count, 8, 8, 1), recipes(count))
    assert compiled == [(8, 8, 4)]


def test_facts(graph: OpenVinoGraph) -> None:
    facts = OpenVinoEngine(graph, threads=1).facts
    assert (facts.name, facts.device, facts.stride, facts.n_classes) == ("openvino", "cpu", 4, 2)
    assert facts.heads == ("head_1", "head_2", "ensemble")
    assert [part.split()[0] for part in facts.version.split(", ")] == ["openvino", "keras", "tensorflow"]


@pytest.mark.parametrize(
    ("precision", "flags", "message"),
    [
        pytest.param("float16", {"avx512_fp16"}, r"must be one of \('float32', 'bfloat16', 'int8'\)", id="float16"),
        pytest.param("bfloat16", {"avx512f"}, r"bfloat16 is not there: this CPU.*use float32", id="imitated only"),
    ],
)
def test_what_the_cpu_lacks_is_refused(
    seen: OpenVinoGraph, monkeypatch: pytest.MonkeyPatch, precision: Precision, flags: set[str], message: str
) -> None:
    monkeypatch.setattr(openvino, "cpu_flags", lambda: frozenset(flags))
    with pytest.raises(ValueError, match=message):
        OpenVinoEngine(seen, precision=precision)


def test_batches_that_do_not_fit_are_refused(graph: OpenVinoGraph) -> None:
    engine: Engine = OpenVinoEngine(graph)
    with pytest.raises(ValueError, match="stride 4"):
        engine.probabilities(batch(1, 8, 6, 1), recipes(1))
    with pytest.raises(ValueError, match="0 or more"):
        OpenVinoEngine(graph, threads=-1)
