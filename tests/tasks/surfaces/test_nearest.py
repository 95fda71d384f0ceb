"""The nearest border voxel, by each of the ways to find it: they are exact, so all of them say the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion
from scipy.spatial import cKDTree

from segscale.tasks.bit_rows import bit_rows
from segscale.tasks.surfaces import envelopes
from segscale.tasks.surfaces import nearest as module
from segscale.tasks.surfaces.borders import border
from segscale.tasks.surfaces.nearest import Search, nearest

WAYS = {
    "place by place": Search(),
    "few places, then blocks": Search(n_places=9, n_sampled=10**9),
    "blocks": Search(n_places=1, n_sampled=10**9),
    "envelopes": Search(n_places=1, n_sampled=1, worth=0, parabola=0.0),
}


def by_tree(mask: NDArray[np.bool_], other: NDArray[np.bool_], spacing: Any) -> NDArray[np.float64]:
    """In the order of the border voxels in memory."""
    own, its = (np.argwhere(one & ~binary_erosion(one)) * spacing for one in (mask, other))
    return np.asarray(cKDTree(its).query(own)[0])


@pytest.mark.parametrize("way", WAYS)
@given(
    st.integers(0, 2**32),
    st.tuples(st.integers(1, 14), st.integers(1, 40), st.sampled_from((1, 63, 64, 65, 140))),
    st.sampled_from((0.001, 0.02, 0.4)),
    st.sampled_from((0.001, 0.02, 0.4)),
)
def test_distances_are_those_of_a_tree(
    way: str, seed: int, shape: tuple[int, int, int], share: float, other_share: float
) -> None:
    generator = np.random.default_rng(seed)
    masks = generator.random(shape) < share, generator.random(shape) < other_share
    steps = generator.uniform(0.3, 3.0, 3)
    for mask in masks:
        mask[tuple(generator.integers(shape))] = True
    borders = [border(bit_rows(mask)[None], solid=True) for mask in masks]
    found = nearest(borders[0], borders[1], steps, search=WAYS[way])
    np.testing.assert_allclose(found, by_tree(masks[0], masks[1], steps), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("way", WAYS)
def test_masks_of_a_stack_are_measured_by_themselves(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PART_VOXELS", 50)
    generator, steps = np.random.default_rng(3), np.array([1.0, 0.5, 2.0])
    masks = generator.random((2, 6, 30, 70)) < generator.choice([0.005, 0.3], (2, 6, 1, 1))
    masks[0, 1] = masks[1, 2] = masks[:, 4] = False
    borders = [border(bit_rows(one)[:, None], solid=False) for one in masks]
    found = nearest(borders[0], borders[1], steps, n_threads=2, search=WAYS[way])
    starts = borders[0].item_starts
    for item in range(6):
        one = found[starts[item] : starts[item + 1]]
        if masks[0, item].any() and masks[1, item].any():
            np.testing.assert_allclose(one, by_tree(masks[0, item], masks[1, item], steps[1:]), rtol=1e-12)
        else:
            assert np.isinf(one).all()
            assert one.size == 0 or not masks[1, item].any()


def test_what_is_far_in_bulk_goes_to_envelopes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two plates far apart: nothing is searched for but a sample of it."""
    masks = np.zeros((2, 8, 300, 300), bool)
    masks[0, 0], masks[1, 7] = True, True
    masks[1, :, :3] = True
    swept: list[int] = []

    def note(*given: Any) -> None:
        swept.append(given[6])
        envelopes.sweep(*given)

    monkeypatch.setattr(module, "sweep", note)
    borders = [border(bit_rows(mask)[None], solid=True) for mask in masks]
    steps = np.array([10.0, 0.5, 0.5])
    np.testing.assert_allclose(nearest(borders[0], borders[1], steps), by_tree(masks[0], masks[1], steps), rtol=1e-12)
    assert sorted(swept) == [0, 1, 2, 3, 4]


def test_borders_of_planes_and_of_volumes() -> None:
    """A plate of one voxel is border altogether in a volume, and as an image only along its edge."""
    rows = bit_rows(np.ones((1, 6, 70), bool))[None]
    assert border(rows, solid=True).n_voxels == 6 * 70
    assert border(rows, solid=False).n_voxels == 6 * 70 - 4 * 68
