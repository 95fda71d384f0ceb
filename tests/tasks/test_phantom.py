from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segscale.tasks.phantom import SITES, SIZES, draw_phantom, write_phantoms


def test_phantom_is_the_same_whenever_it_is_drawn() -> None:
    first, second = draw_phantom(5, seed=1), draw_phantom(5, seed=1)
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.reference, second.reference)
    assert (first.site, first.image_id) == (second.site, second.image_id) == (first.site, "phantom_0005")


@pytest.mark.parametrize(("index", "seed"), [(6, 1), (5, 2)], ids=["another index", "another seed"])
def test_another_phantom_is_another_image(index: int, seed: int) -> None:
    first, other = draw_phantom(5, seed=1), draw_phantom(index, seed=seed)
    assert first.image.shape != other.image.shape or (first.image != other.image).any()


def test_a_quarter_has_no_lesion_and_all_others_have_one() -> None:
    for index in range(40):
        phantom = draw_phantom(index, seed=0)
        has_lesion = index % 4 != 3
        assert bool(phantom.reference.any()) == bool(phantom.lesion_radii_pixels) == has_lesion


def test_arrays_are_what_a_reader_expects() -> None:
    phantoms = [draw_phantom(index, seed=0) for index in range(40)]
    for phantom in phantoms:
        assert phantom.image.dtype == phantom.reference.dtype == np.uint8
        assert phantom.image.shape == phantom.reference.shape
        assert set(np.unique(phantom.reference)) <= {0, 255}
        assert phantom.image.std() > 5
    assert {phantom.image.shape for phantom in phantoms} == set(SIZES)
    assert {phantom.site for phantom in phantoms} == set(SITES)


def test_a_tenth_of_the_images_holds_a_large_share_of_the_foreground() -> None:
    areas = np.sort([np.count_nonzero(draw_phantom(index, seed=0).reference) for index in range(120)])
    assert areas[-12:].sum() > 0.3 * areas.sum()
    assert np.median(areas[areas > 0]) < 0.4 * areas.mean()


def test_lesions_are_brighter_than_their_surroundings_on_average() -> None:
    contrast = []
    for index in range(0, 40, 4):
        phantom = draw_phantom(index, seed=0)
        lesion = phantom.reference > 0
        contrast.append(phantom.image[lesion].mean() - phantom.image[~lesion].mean())
    assert np.mean(contrast) > 15


def test_set_on_disk_is_what_was_drawn(tmp_path: Path) -> None:
    manifest = write_phantoms(tmp_path / "set", count=5, seed=3)
    with manifest.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["image_id", "image", "reference", "site"]
    assert [row["image_id"] for row in rows] == [f"phantom_{index:04d}" for index in range(5)]
    for index, row in enumerate(rows):
        phantom = draw_phantom(index, seed=3)
        assert row["site"] == phantom.site
        np.testing.assert_array_equal(np.asarray(Image.open(manifest.parent / row["image"])), phantom.image)
        np.testing.assert_array_equal(np.asarray(Image.open(manifest.parent / row["reference"])), phantom.reference)


def test_larger_set_starts_with_the_smaller_one(tmp_path: Path) -> None:
    small, large = write_phantoms(tmp_path / "small", 2, seed=0), write_phantoms(tmp_path / "large", 4, seed=0)
    assert large.read_text().startswith(small.read_text())
    for name in ("images/phantom_0001.png", "masks/phantom_0001.png"):
        assert (small.parent / name).read_bytes() == (large.parent / name).read_bytes()


@pytest.mark.parametrize(("index", "seed"), [(-1, 0), (0, -1)])
def test_negative_index_or_seed_is_refused(index: int, seed: int) -> None:
    with pytest.raises(ValueError, match="0 or more"):
        draw_phantom(index, seed)


def test_empty_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="count must be 1 or more"):
        write_phantoms(tmp_path, 0, seed=0)
