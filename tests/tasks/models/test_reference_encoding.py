from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from segscale.tasks.models.reference_encoding import (
    Encoding,
    Shape,
    check_model_output,
    check_reference,
    check_shapes,
    check_values,
    encode,
)
from segscale.tasks.models.unet_plus_plus import build_unet_plus_plus


def arrays(*tensors: Any) -> list[NDArray[Any]]:
    return [keras.ops.convert_to_numpy(tensor) for tensor in tensors]


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.float32, np.float64])
@pytest.mark.parametrize("axis", [False, True])
def test_indices_of_any_type_become_one_hot(dtype: type, axis: bool) -> None:
    indices: NDArray[Any] = np.array([[[0, 2, 255]]]).astype(dtype)
    prediction = np.full((1, 1, 3, 3), 1 / 3, np.float32)
    one_hot, probabilities, counted = arrays(*encode(indices[..., None] if axis else indices, prediction, "index"))
    np.testing.assert_array_equal(one_hot, [[[[1, 0, 0], [0, 0, 1], [0, 0, 0]]]])
    np.testing.assert_array_equal(probabilities, prediction * [[[[1], [1], [0]]]])
    np.testing.assert_array_equal(counted, [[[[1], [1], [0]]]])


def test_sigmoid_becomes_two_channels() -> None:
    one_hot, probabilities, _ = arrays(*encode(np.array([[[True]]]), np.full((1, 1, 1, 1), 0.75, np.float32), "index"))
    np.testing.assert_array_equal(one_hot, [[[[0, 1]]]])
    np.testing.assert_array_equal(probabilities, [[[[0.25, 0.75]]]])


@given(seed=st.integers(0, 2**32), n_classes=st.integers(2, 4))
@settings(max_examples=10, deadline=None)
def test_both_encodings_of_a_reference_are_the_same(seed: int, n_classes: int) -> None:
    generator = np.random.default_rng(seed)
    indices = generator.choice([*range(n_classes), 255], size=(2, 3, 4)).astype(np.uint8)
    prediction = generator.random((2, 3, 4, n_classes), dtype=np.float32)
    one_hot = (indices[..., None] == np.arange(n_classes)).astype(np.uint8)
    for of_indices, of_one_hot in zip(
        encode(indices, prediction, "index"), encode(one_hot, prediction, "one_hot"), strict=True
    ):
        found, wanted = arrays(of_indices, of_one_hot)
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_all_is_float32(dtype: str) -> None:
    prediction = keras.ops.full((1, 2, 2, 1), 0.5, dtype=dtype)
    for encoding, reference in (("index", np.zeros((1, 2, 2))), ("one_hot", np.zeros((1, 2, 2, 2)))):
        encoded = encode(keras.ops.cast(reference, dtype), prediction, encoding)  # type: ignore[arg-type]
        assert {keras.backend.standardize_dtype(tensor.dtype) for tensor in encoded} == {"float32"}


MISFITS = [
    pytest.param((2, 8, 6), (2, 8, 6, 2), "one_hot", 'announce reference="index"', id="index map announced as one-hot"),
    pytest.param(
        (2, 8, 6, 1), (2, 8, 6, 2), "one_hot", r"one_hot\(reference, 2\)", id="index map against two channels"
    ),
    pytest.param((2, 8, 6, 1), (2, 8, 6, 1), "one_hot", 'reference="index"', id="index map against a sigmoid"),
    pytest.param((2, 8, 6, 2), (2, 8, 6, 2), "index", 'announce reference="one_hot"', id="one-hot announced as index"),
    pytest.param((2, 8, 6, 2), (2, 8, 6, 1), "index", "argmax", id="one-hot of two against a sigmoid"),
    pytest.param((2, 8, 6, 3), (2, 8, 6, 4), "one_hot", "3 channels.*4 classes", id="one-hot of too few classes"),
    pytest.param((2, 8, 6, 3), (2, 8, 6, 1), "index", "3 channels.*2 classes", id="one-hot of too many classes"),
    pytest.param((2, 1, 8, 6), (2, 8, 6, 1), "index", "reference is channels first", id="channels first, one"),
    pytest.param((2, 4, 8, 6), (2, 8, 6, 4), "one_hot", "reference is channels first", id="channels first, one-hot"),
    pytest.param((2, 8, 6), (2, 4, 8, 6), "index", "prediction is channels first", id="network channels first"),
    pytest.param(
        (2, 8, 6, 4), (2, 4, 8, 6), "one_hot", "prediction is channels first", id="network channels first, one-hot"
    ),
    pytest.param((2, 8, 6), (2, 8, 12, 1), "index", "height and width differ", id="another width"),
    pytest.param((2, 6, 8), (2, 8, 6, 1), "index", "height and width differ", id="height and width swapped"),
    pytest.param((2, 1, 1), (2, 8, 6, 1), "index", "height and width differ", id="one pixel, which would broadcast"),
    pytest.param((1, 8, 6), (2, 8, 6, 1), "index", "batches of 1 and 2", id="one image, which would broadcast"),
    pytest.param((8, 6), (1, 8, 6, 1), "index", "newaxis", id="no batch axis"),
    pytest.param((8, 6, 1), (1, 8, 6, 1), "index", "newaxis", id="no batch axis, a channel"),
    pytest.param((2, 8, 6, 3, 1), (2, 8, 6, 1), "index", r"must be class indices", id="a volume"),
    pytest.param((2, 8, 6), (2, 8, 6), "index", "batch and class axes", id="prediction without class axis"),
    pytest.param((8, 6, 1), (8, 6, 1), "index", "batch and class axes", id="prediction without batch axis"),
]


@pytest.mark.parametrize(("reference", "prediction", "encoding", "fix"), MISFITS)
def test_misfit_is_refused_with_both_shapes_and_the_fix(
    reference: tuple[int, ...], prediction: tuple[int, ...], encoding: Encoding, fix: str
) -> None:
    with pytest.raises(ValueError, match=fix) as caught:
        encode(np.zeros(reference, np.uint8), np.zeros(prediction, np.float32), encoding)
    assert f"reference {reference}" in str(caught.value)
    assert f"prediction {prediction}" in str(caught.value)


@pytest.mark.parametrize(
    ("reference", "prediction", "encoding", "fix"),
    [
        pytest.param((2, 8, 6), (None, None, None, 1), "index", "", id="indices"),
        pytest.param((2, 8, 6, 1), (None, None, None, 4), "index", "", id="indices with an axis"),
        pytest.param((None, None, None, 2), (None, 8, 6, 1), "one_hot", "", id="one-hot"),
        pytest.param((2, 8, 6), (None, 8, 12, 1), "index", "height and width", id="a known size differs"),
        pytest.param((2, 1, 8, 6), (None, None, None, 1), "index", "channels first", id="channels first"),
        pytest.param((2, 8, 6, 2), (None, None, None, 2), "index", "one-hot", id="one-hot announced as index"),
        pytest.param((2, 8, 6), (None, 8, 6, None), "index", "class axes", id="unknown number of classes"),
    ],
)
def test_unknown_sizes_fit_whatever_they_may_be(
    reference: Shape, prediction: Shape, encoding: Encoding, fix: str
) -> None:
    if not fix:
        check_shapes(reference, prediction, encoding)
        return
    with pytest.raises(ValueError, match=fix):
        check_shapes(reference, prediction, encoding)


@pytest.mark.parametrize(
    ("reference", "fits"),
    [
        pytest.param((2, 8, 6), True, id="equal"),
        pytest.param((1, 8, 6), False, id="one image"),
        pytest.param((2, 1, 1), False, id="one pixel"),
        pytest.param((2, 6, 8), False, id="swapped"),
    ],
)
def test_sizes_unknown_to_a_graph_are_compared_when_it_runs(reference: tuple[int, ...], fits: bool) -> None:
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec([None] * 3), tf.TensorSpec([None, None, None, 1])])  # type: ignore[untyped-decorator]
    def overlap(reference: Any, prediction: Any) -> Any:
        one_hot, probabilities, _ = encode(reference, prediction, "index")
        return keras.ops.sum(one_hot * probabilities)

    prediction = np.full((2, 8, 6, 1), 0.25, np.float32)
    if fits:
        assert float(overlap(np.ones(reference, np.float32), prediction)) == 24.0
        return
    with pytest.raises(tf.errors.InvalidArgumentError, match="Shapes of all inputs must match"):
        overlap(np.ones(reference, np.float32), prediction)


def test_unknown_encoding_is_refused() -> None:
    with pytest.raises(ValueError, match=r"one of \('index', 'one_hot'\), got 'labels'"):
        encode(np.zeros((1, 2, 2)), np.zeros((1, 2, 2, 1)), "labels")  # type: ignore[arg-type]


def grid(*values: float, dtype: Any = np.uint8) -> NDArray[Any]:
    """(1, 2, 2) with these values, filled up with 0."""
    return np.array([*values, *[0] * (4 - len(values))], dtype=dtype).reshape(1, 2, 2)


@pytest.mark.parametrize(
    ("reference", "n_classes", "encoding"),
    [
        pytest.param(grid(1, 255), 2, "index", id="foreground and ignored"),
        pytest.param(grid(), 2, "index", id="empty"),
        pytest.param(grid(3, 1, dtype=np.float64)[..., None], 4, "index", id="floats"),
        pytest.param(grid(1).astype(bool), 2, "index", id="a mask"),
        pytest.param(np.eye(4, dtype=np.float32)[grid(3, 1)], 4, "one_hot", id="one-hot"),
        pytest.param(np.zeros((1, 2, 2, 4)), 4, "one_hot", id="one-hot, all ignored"),
    ],
)
def test_references_that_fit_pass(reference: NDArray[Any], n_classes: int, encoding: Encoding) -> None:
    check_reference(reference, (None, None, None, n_classes), n_classes, encoding)


ONE_HOT = np.eye(2, dtype=np.uint8)[grid(1)]


@pytest.mark.parametrize(
    ("reference", "outputs", "encoding", "fix"),
    [
        pytest.param(grid(255), 1, "index", "0 and 255, and 255 means ignored: divide", id="labels 0 and 255"),
        pytest.param(grid(255.0, dtype=np.float32), 2, "index", "divide them by 255", id="labels 0.0 and 255.0"),
        pytest.param(ONE_HOT * 255, 2, "one_hot", "0 and 255: divide", id="one-hot of 0 and 255"),
        pytest.param(grid(1, 2), 1, "index", r"\[2\] are none of \[0, 1, 255\]: map", id="a label that is no class"),
        pytest.param(grid(-1, 1, dtype=np.int8), 1, "index", r"\[-1\]", id="a negative label"),
        pytest.param(grid(1, 128, 255), 1, "index", r"\[128\]", id="grey levels"),
        pytest.param(grid(1, 0.5, dtype=np.float32), 1, "index", "nearest neighbour", id="interpolated"),
        pytest.param(ONE_HOT * 0.5, 1, "one_hot", "nearest neighbour", id="interpolated one-hot"),
        pytest.param(np.ones((1, 2, 2, 2), np.uint8), 2, "one_hot", "several classes", id="overlapping classes"),
        pytest.param(grid(1)[..., None], 2, "one_hot", 'reference="index"', id="indices announced as one-hot"),
        pytest.param(ONE_HOT, 1, "index", 'reference="one_hot"', id="one-hot announced as indices"),
        pytest.param(grid(1), 3, "index", "2 softmax outputs or one sigmoid output", id="too many outputs"),
    ],
)
def test_references_that_do_not_fit_are_refused_with_both_shapes(
    reference: NDArray[Any], outputs: int, encoding: Encoding, fix: str
) -> None:
    prediction = (None, None, None, outputs)
    with pytest.raises(ValueError, match=fix) as caught:
        check_reference(reference, prediction, 2, encoding)
    assert str(reference.shape) in str(caught.value)
    assert str(prediction) in str(caught.value)


def test_values_of_all_references_tell_ignored_pixels_from_labels_of_255() -> None:
    empty, present = grid(0, 255), grid(0, 1)
    with pytest.raises(ValueError, match="0 and 255"):
        check_values(np.unique(empty), 2, "index")
    check_values(np.union1d(empty, present), 2, "index")


def network(*layers: keras.layers.Layer) -> keras.Model:
    return keras.Sequential([keras.Input((4, 4, 3)), *layers])


def conv(filters: int, activation: str | None = None) -> keras.layers.Layer:
    return keras.layers.Conv2D(filters, 1, activation=activation)


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(lambda: network(conv(1, "sigmoid")), id="sigmoid"),
        pytest.param(lambda: network(conv(2, "softmax")), id="softmax"),
        pytest.param(lambda: network(conv(2), keras.layers.Softmax()), id="softmax layer"),
        pytest.param(
            lambda: network(conv(2), keras.layers.Activation("softmax"), keras.layers.Activation("linear")),
            id="cast after the softmax",
        ),
        pytest.param(lambda: network(network(conv(1, "sigmoid"))), id="nested"),
        pytest.param(lambda: network(conv(2), keras.layers.Rescaling(1.0)), id="activation not known"),
        pytest.param(lambda: build_unet_plus_plus(channels=1, outputs=1, filters=(2, 4, 8)), id="UNet++, two heads"),
    ],
)
def test_networks_that_give_probabilities_pass(model: Any) -> None:
    check_model_output(model())


@pytest.mark.parametrize(
    ("model", "fix"),
    [
        pytest.param(lambda: network(conv(1, "softmax")), "use sigmoid", id="softmax over one channel"),
        pytest.param(lambda: network(conv(1), keras.layers.Softmax()), "use sigmoid", id="softmax layer over one"),
        pytest.param(
            lambda: network(conv(1, "softmax"), keras.layers.Identity()), "use sigmoid", id="behind another layer"
        ),
        pytest.param(lambda: network(network(conv(1, "softmax"))), "use sigmoid", id="nested"),
        pytest.param(lambda: network(conv(2, "sigmoid")), "use softmax", id="sigmoid over two channels"),
        pytest.param(lambda: network(conv(2)), "no activation", id="logits"),
        pytest.param(lambda: network(conv(2, "softmax"), keras.layers.Flatten()), "class axes", id="no image"),
    ],
)
def test_networks_that_cannot_give_probabilities_are_refused(model: Any, fix: str) -> None:
    built = model()
    with pytest.raises(ValueError, match=fix) as caught:
        check_model_output(built)
    assert str(built.output_shape) in str(caught.value)
    assert built.layers[-1].name in str(caught.value)
