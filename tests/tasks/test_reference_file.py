"""References with and without the image that they belong to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from segscale.errors import ContradictionError, DataError
from segscale.tasks.labels import IGNORED, LabelRule
from segscale.tasks.reference_file import read_reference
from tests.tasks.encoded import npy, png, tiff

FLAT = np.random.default_rng(0).integers(0, 2, (9, 11), np.uint8)
VOLUME = np.random.default_rng(1).integers(0, 3, (5, 9, 11), np.uint8)
TWO, THREE = LabelRule(2), LabelRule(3)


def planes(labels: NDArray[np.uint8], n_classes: int, axis: int) -> NDArray[np.uint8]:
    return np.stack([(labels == index).astype(np.uint8) for index in range(n_classes)], axis=axis)


@pytest.mark.parametrize(
    ("data", "name", "rule", "expected"),
    [
        pytest.param(png(FLAT * 255), "r.png", TWO, FLAT[None], id="PNG"),
        pytest.param(tiff(VOLUME), "r.tif", THREE, VOLUME, id="volume"),
        pytest.param(npy(FLAT), "r.npy", TWO, FLAT[None], id="height, width"),
        pytest.param(npy(FLAT[None]), "r.npy", TWO, FLAT[None], id="depth of one"),
        pytest.param(npy(FLAT[..., None]), "r.npy", TWO, FLAT[None], id="an axis of one behind"),
        pytest.param(npy(FLAT[:1]), "r.npy", TWO, FLAT[None, :1], id="one row"),
        pytest.param(npy(FLAT[:, :1]), "r.npy", TWO, FLAT[None, :, :1], id="one column"),
        pytest.param(npy(VOLUME[:3]), "r.npy", THREE, VOLUME[:3], id="as many slices as classes, not one-hot"),
        pytest.param(npy(planes(VOLUME, 3, 0)), "r.npy", THREE, VOLUME, id="one-hot planes of a volume, first"),
        pytest.param(npy(planes(VOLUME, 3, 1)), "r.npy", THREE, VOLUME, id="behind the depth"),
        pytest.param(npy(planes(VOLUME, 3, -1)), "r.npy", THREE, VOLUME, id="last"),
    ],
)
def test_the_size_of_a_reference_alone(data: bytes, name: str, rule: LabelRule, expected: NDArray[np.uint8]) -> None:
    found = read_reference(data, name, rule)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(read_reference(data, name, rule, expected.shape), expected)


@pytest.mark.parametrize("axis", [0, -1], ids=["first", "last"])
def test_one_hot_planes_of_a_flat_image_need_the_image(axis: int) -> None:
    data = npy(planes(FLAT, 2, axis))
    np.testing.assert_array_equal(read_reference(data, "r.npy", TWO, (1, 9, 11)), FLAT[None])
    with pytest.raises(DataError, match=r"r\.npy: labels of shape .* could be .* slices, or one-hot planes of 2"):
        read_reference(data, "r.npy", TWO)


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (2, 3, 2, 4, 5)])
def test_more_axes_than_a_volume_has(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"r\.npy: labels of shape .*; expected height and width"):
        read_reference(npy(np.zeros(shape, np.uint8)), "r.npy", THREE)


def test_a_reference_fits_its_image() -> None:
    with pytest.raises(DataError, match=r"r\.png: expected the size of its image 9x12, .*got 9x11"):
        read_reference(png(FLAT), "r.png", TWO, (1, 9, 12))


def test_ignored_pixels_and_contradictions() -> None:
    stored: NDArray[Any] = np.where(np.arange(99).reshape(9, 11) < 20, 7, FLAT * 255).astype(np.uint8)
    found = read_reference(png(stored), "r.png", LabelRule(2, (0, 255), ignored=7))
    assert np.count_nonzero(found == IGNORED) == 20
    with pytest.raises(ContradictionError, match=r"dataset\.label_values: reference r\.png: "):
        read_reference(png(stored), "r.png", LabelRule(2, found=True))
