"""Reference files read on their own: which axes they have, and what is refused as it may be two things."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from segscale.errors import ContradictionError, DataError
from segscale.tasks.labels import IGNORED, LabelRule
from segscale.tasks.reference_file import read_reference

TWO = LabelRule(2)


def _saved(labels: NDArray[Any]) -> bytes:
    sink = io.BytesIO()
    np.save(sink, labels)
    return sink.getvalue()


def _labels(shape: tuple[int, ...], n_classes: int = 2, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, n_classes, shape, np.uint8)


def _one_hot(shape: tuple[int, ...], n_classes: int, axis: int, value: int = 1) -> NDArray[np.uint8]:
    planes = np.arange(n_classes) == _labels(shape, n_classes)[..., np.newaxis]
    return np.moveaxis(planes.astype(np.uint8) * value, -1, axis)


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        pytest.param((12, 9), (1, 12, 9), id="height, width"),
        pytest.param((5, 12, 9), (5, 12, 9), id="depth, height, width"),
        pytest.param((12, 9, 1), (1, 12, 9), id="a channel behind is no slice"),
        pytest.param((1, 12, 9), (1, 12, 9), id="nor is one before"),
        pytest.param((1, 5, 12, 9, 1), (5, 12, 9), id="axes of length 1 around a volume"),
        pytest.param((5, 1, 12, 9), (5, 12, 9), id="and within it"),
        pytest.param((1, 1), (1, 1, 1), id="a single pixel"),
        pytest.param((12,), (1, 1, 12), id="a single line"),
        pytest.param((2, 12, 9), (2, 12, 9), id="as many slices as classes, and no one-hot planes"),
        pytest.param((12, 9, 2), (12, 9, 2), id="a width of as many as there are classes"),
    ],
)
def test_axes_without_an_image(shape: tuple[int, ...], size: tuple[int, int, int]) -> None:
    labels = _labels(shape)
    found = read_reference(_saved(labels), "a.npy", TWO)
    assert found.shape == size
    np.testing.assert_array_equal(found, labels.reshape(size))


@pytest.mark.parametrize("axis", [0, 1, 2], ids=["planes first", "planes between", "planes last"])
@pytest.mark.parametrize(("n_classes", "value"), [(2, 1), (3, 1), (3, 255)])
def test_one_hot_planes_without_an_image_are_refused_and_both_readings_named(
    n_classes: int, value: int, axis: int
) -> None:
    """As a volume every one of them would be counted, and nobody would notice."""
    planes = _one_hot((12, 9), n_classes, axis, value)
    shown = "x".join(map(str, planes.shape))
    with pytest.raises(DataError) as caught:
        read_reference(_saved(planes), "a.npy", LabelRule(n_classes))
    assert str(caught.value) == (
        f"a.npy: an array {shown} without an image beside it; expected height and width, or depth, height and width: "
        f"it may be a volume, or {n_classes} one-hot planes; name the images (dataset.images), whose size tells which, "
        "or save the class of each pixel as a number"
    )


@pytest.mark.parametrize(("n_classes", "axis"), [(2, 0), (3, 0), (3, 2)])
def test_beside_its_image_they_are_what_they_are(n_classes: int, axis: int) -> None:
    planes = _one_hot((12, 9), n_classes, axis)
    rule = LabelRule(n_classes)
    found = read_reference(_saved(planes), "a.npy", rule, (1, 12, 9))
    np.testing.assert_array_equal(found[0], _labels((12, 9), n_classes))
    if n_classes == 2:
        volume = read_reference(_saved(planes), "a.npy", rule, planes.shape)
        np.testing.assert_array_equal(volume, planes)


def test_more_axes_are_no_reference() -> None:
    with pytest.raises(DataError, match=r"^a\.npy: an array 2x5x12x9 without an image beside it; expected height and "):
        read_reference(_saved(_labels((2, 5, 12, 9))), "a.npy", TWO)


def test_another_size_than_its_image_is_refused() -> None:
    with pytest.raises(DataError, match="expected the size of its image 12x9, got 9x12"):
        read_reference(_saved(_labels((9, 12))), "a.npy", TWO, (1, 12, 9))


def test_ignored_pixels_and_values_are_those_of_the_rule() -> None:
    labels = np.array([[5, 3, 9], [7, 5, 3]], np.uint8)
    found = read_reference(_saved(labels), "a.npy", LabelRule(3, (5, 3, 9), ignored=7))
    assert found.tolist() == [[[0, 1, 2], [IGNORED, 0, 1]]]
    with pytest.raises(DataError, match="label values 7"):
        read_reference(_saved(labels), "a.npy", LabelRule(3, (5, 3, 9)))


def test_what_contradicts_the_set_names_the_key() -> None:
    """Of two classes whose values were found in other files, a third value is no bad file but another kind of set."""
    labels = np.array([[0, 1, 2]], np.uint8)
    with pytest.raises(ContradictionError, match=r"^dataset\.label_values: reference a\.npy"):
        read_reference(_saved(labels), "a.npy", LabelRule(2, found=True))
