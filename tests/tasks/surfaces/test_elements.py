"""Areas of surface elements, and percentiles that are weighted by them."""

from __future__ import annotations

import numpy as np
import pytest

from segscale.tasks.surfaces.distances import surface_distances
from segscale.tasks.surfaces.elements import element_areas

FACES = {
    # Voxels of a 2x2x2 cell by z, y, x: 1 is x, 2 is y, 4 is z.
    "a corner": ([0], np.sqrt(3) / 8),
    "an edge": ([0, 1], np.sqrt(2) / 2),
    "a face": ([0, 1, 2, 3], 1.0),
    "a corner with its neighbours": ([0, 1, 2, 4], 6 * np.sqrt(3) / 8),
    "three of a face": ([0, 1, 2], 0.5 + 3 * np.sqrt(3) / 8),
    "two opposite corners": ([0, 7], 2 * np.sqrt(3) / 8),
    "all but a corner": ([0, 1, 2, 3, 4, 5, 6], np.sqrt(3) / 8),
}


@pytest.mark.parametrize("name", FACES)
def test_areas_in_a_unit_cell(name: str) -> None:
    corners, area = FACES[name]
    assert element_areas(np.ones(3))[sum(1 << corner for corner in corners)] == pytest.approx(area)


def test_a_box_has_the_area_of_its_faces_but_for_its_cut_edges() -> None:
    spacing, size = np.array([2.0, 1.0, 0.5]), np.array([6, 7, 8])
    areas = element_areas(spacing)
    box = np.pad(np.ones(size, bool), 1)
    shapes = sum(
        box[z : z + 7, y : y + 8, x : x + 9].astype(int) << (4 * z + 2 * y + x)
        for z in range(2) for y in range(2) for x in range(2)
    )  # fmt: skip
    lengths = (size - 1) * spacing
    faces = 2 * (lengths[0] * lengths[1] + lengths[0] * lengths[2] + lengths[1] * lengths[2])
    edges = sum(4 * (size[k] - 1) * spacing[k] * np.linalg.norm(np.delete(spacing, k)) / 2 for k in range(3))
    corner = np.linalg.norm(np.prod(spacing) / spacing) / 8
    assert areas[shapes].sum() == pytest.approx(faces + edges + 8 * corner)


def test_lengths_of_images() -> None:
    lengths = element_areas(np.array([3.0, 4.0]))
    assert lengths.tolist() == [0, 2.5, 2.5, 4, 2.5, 3, 5, 2.5, 2.5, 5, 3, 2.5, 4, 2.5, 2.5, 0]


def test_a_mask_that_is_moved() -> None:
    masks = np.zeros((2, 9, 80), bool)
    masks[0, 2:7, 10:60] = masks[1, 2:7, 13:63] = True
    found = surface_distances(masks[0], masks[1], (1.0, 0.5))
    assert found.percentile(100, "surface_weighted") == 1.5
    assert found.percentile(0, "surface_weighted") == 0.0
    # 100 of 115 mm of contour lie on the other's, or nearly.
    assert found.hd95_surface_weighted == 1.5
