from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from segscale.errors import ArgumentError, EngineError
from segscale.tasks.engines import quantisation
from segscale.tasks.engines.heads import HeadChoice
from segscale.tasks.engines.openvino import OpenVinoEngine, check_precision, seen_image
from segscale.tasks.engines.openvino_conversion import convert
from segscale.tasks.engines.openvino_graph import OpenVinoGraph, read_graph, write_graph
from segscale.tasks.engines.openvino_runtime import load_openvino
from segscale.tasks.engines.quantisation import LEAST_IMAGES, outer_layers, quantise

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="graphs are traced by TensorFlow")

UNIT = np.array([-np.inf, np.inf, 0.0, 255.0], np.float32)
Build = Callable[..., keras.Model]


@pytest.fixture(scope="module")
def graph(unet: Build) -> OpenVinoGraph:
    return convert(unet(normalization="batch", filters=(8, 12, 16)), 2, ensemble=False)


@pytest.fixture(scope="module")
def pixels() -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (LEAST_IMAGES, 32, 32, 1)).astype(np.uint8)


@pytest.fixture(scope="module")
def images(pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    return {str(place): seen_image(image, UNIT, 1)[0] for place, image in enumerate(pixels)}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def quantised(graph: OpenVinoGraph, images: dict[str, NDArray[np.float32]], cache: Path) -> OpenVinoGraph:
    return quantise(graph, images, folder=cache)


def blur() -> keras.Model:
    """Four means over 3x3 pixels after each other."""
    image = keras.Input((None, None, 1))
    values = image
    for filters in (4, 4, 4, 1):
        values = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False)(values)
    model = keras.Model(image, values)
    for layer in model.layers[1:]:
        (kernel,) = layer.get_weights()
        layer.set_weights([np.full(kernel.shape, 1 / (9 * kernel.shape[2]), np.float32)])
    return model


def types_of(graph: OpenVinoGraph) -> list[str]:
    network = load_openvino().Core().read_model(graph.topology, graph.weights)
    return [operation.get_type_name() for operation in network.get_ordered_ops()]


def test_inner_layers_are_rounded_to_256_steps_and_no_coarser(
    pixels: NDArray[np.uint8], images: dict[str, NDArray[np.float32]], tmp_path: Path
) -> None:
    full = convert(blur(), 1, ensemble=False)
    reduced = quantise(full, images, folder=tmp_path)
    assert "FakeQuantize" not in types_of(full)
    assert types_of(reduced).count("FakeQuantize") >= 2
    recipes = np.tile(UNIT, (len(pixels), 1))
    expected = OpenVinoEngine(full).probabilities(pixels, recipes)
    found = OpenVinoEngine(reduced, precision="int8").probabilities(pixels, recipes)
    # Two layers whose inputs, 0 to 1, are each half a step off at most; but for the few values beyond the mean of the
    # images' largest ones, which NNCF cuts off there.
    assert 0 < np.abs(found - expected).mean() < 1 / 255
    assert expected.std() > 5 / 255


def test_it_says_what_it_is(graph: OpenVinoGraph, quantised: OpenVinoGraph) -> None:
    assert (quantised.quantised, quantised.heads, quantised.stride) == (True, graph.heads, graph.stride)
    assert ", nncf 3." in quantised.made_with
    facts = OpenVinoEngine(quantised, precision="int8").facts
    assert (facts.precision, facts.graph) == ("int8", quantised.content)


def test_it_is_quantised_once_for_equal_content(
    graph: OpenVinoGraph,
    quantised: OpenVinoGraph,
    images: dict[str, NDArray[np.float32]],
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("segscale.tasks.engines.quantisation.subprocess.run", None)
    renamed = {f"other-{name}": image for name, image in images.items()}
    assert quantise(graph, renamed, folder=cache) == quantised


def test_made_again_it_has_the_same_content(
    graph: OpenVinoGraph, quantised: OpenVinoGraph, images: dict[str, NDArray[np.float32]], tmp_path: Path
) -> None:
    again = quantise(graph, images, folder=tmp_path)
    assert (again.weights, again.content) == (quantised.weights, quantised.content)
    assert again.content != graph.content


def test_a_file_says_that_a_graph_is_quantised(quantised: OpenVinoGraph, tmp_path: Path) -> None:
    write_graph(quantised, tmp_path / "graph.zip")
    assert read_graph(tmp_path / "graph.zip") == quantised


def test_the_outer_layers_are_those_with_few_others_before_or_behind(graph: OpenVinoGraph) -> None:
    network = load_openvino().Core().read_model(graph.topology, graph.weights)
    kept = [outer_layers(network, number) for number in (0, 1, 2, 3)]
    assert (kept[0], len(kept[1])) == (set(), 2)
    assert kept[1] < kept[2] < kept[3]
    kinds = {one.get_friendly_name(): one.get_type_name() for one in network.get_ordered_ops()}
    assert {kinds[name] for name in kept[3]} <= {"Convolution", "ConvolutionBackpropData"}


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_image_that_is_not_finite_is_named(
    graph: OpenVinoGraph, images: dict[str, NDArray[np.float32]], value: float
) -> None:
    broken = np.full_like(images["0"], value)
    with pytest.raises(EngineError, match=r"calibrated on image scan-7: it holds NaN or infinite values"):
        quantise(graph, {**images, "scan-7": broken})


def test_few_images_are_refused(graph: OpenVinoGraph, images: dict[str, NDArray[np.float32]]) -> None:
    few = dict(list(images.items())[1:])
    with pytest.raises(EngineError, match=r"needs 16 images or more to be calibrated on, got 15"):
        quantise(graph, few)


def test_a_missing_extra_is_named(
    graph: OpenVinoGraph, images: dict[str, NDArray[np.float32]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantisation, "nncf_is_installed", lambda: False)
    with pytest.raises(EngineError, match=r"needs NNCF.*pip install 'segscale\[int8\]'"):
        quantise(graph, images)


def test_what_the_quantiser_says_is_passed_on(images: dict[str, NDArray[np.float32]], tmp_path: Path) -> None:
    broken = OpenVinoGraph(
        b"<net/>", b"", heads=HeadChoice(("a",), ("a",)), outputs=1, channels=1, stride=1, made_with="nobody"
    )
    with pytest.raises(EngineError, match="the network cannot be quantised to int8: "):
        quantise(broken, images, folder=tmp_path)


def test_graph_and_precision_must_agree(graph: OpenVinoGraph, quantised: OpenVinoGraph) -> None:
    for one, precision in ((graph, "int8"), (quantised, "float32")):
        with pytest.raises(ArgumentError, match="precision int8 takes a quantised graph"):
            OpenVinoEngine(one, precision=precision)  # type: ignore[arg-type]


def test_a_processor_without_the_instructions_is_refused() -> None:
    check_precision("int8", frozenset({"avx512_vnni"}))
    with pytest.raises(EngineError, match="precision int8 is not there: this CPU has no instruction for it"):
        check_precision("int8", frozenset({"avx2"}))
