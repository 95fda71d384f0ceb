"""Many images in one call: what each gives by itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from segscale.errors import ArgumentError
from segscale.tasks.surfaces import stacks
from segscale.tasks.surfaces.distances import surface_distances
from segscale.tasks.surfaces.stacks import SUMMARIES, stack_distances, stack_surface_scores


@pytest.mark.parametrize("missing", ["worst", "inf", "nan"])
@pytest.mark.parametrize("spacing", [None, (0.8, 2.0)])
@pytest.mark.parametrize("n_threads", [1, 2])
def test_scores_are_those_of_each_pair(
    missing: Any, spacing: Any, n_threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stacks, "CHUNK_PIXELS", 4 * 30 * 70)
    generator = np.random.default_rng(1)
    masks = generator.random((2, 11, 30, 70)) < generator.choice([0.0, 0.005, 0.3, 1.0], (2, 11, 1, 1))
    masks[0, 3] = masks[1, 4] = masks[:, 5] = False
    given: dict[str, Any] = {"spacing_mm": spacing, "missing": missing, "n_threads": n_threads}
    found = stack_surface_scores(masks[0], masks[1], tolerances_mm=(0.5, 2.4), **given)
    alone = [surface_distances(masks[0, k], masks[1, k], **given) for k in range(11)]
    for name in (*SUMMARIES, "boundary_iou"):
        # In pixels to the bit: squares of whole numbers are exact.
        rtol = 1e-12 if spacing else 0
        np.testing.assert_allclose(getattr(found, name), [getattr(one, name) for one in alone], rtol=rtol)
    np.testing.assert_array_equal(found.nsd, [[one.nsd(0.5), one.nsd(2.4)] for one in alone])
    assert found.distance_unit == alone[0].distance_unit


def test_far_pixels_are_found_in_company_as_alone() -> None:
    generator = np.random.default_rng(2)
    masks = np.zeros((2, 5, 900, 130), bool)
    masks[0, :, :200] = generator.random((5, 200, 130)) < 0.3
    masks[1, :, 700:] = generator.random((5, 200, 130)) < 0.02
    masks[1, 2, :10] = True
    together = stack_distances(masks[0], masks[1]).images()
    for k, (from_reference, from_prediction) in enumerate(together):
        alone = surface_distances(masks[0, k], masks[1, k])
        np.testing.assert_array_equal(from_reference, alone.from_reference)
        np.testing.assert_array_equal(from_prediction, alone.from_prediction)


def test_a_stack_of_no_images() -> None:
    found = stack_surface_scores(np.zeros((0, 4, 5), bool), np.zeros((0, 4, 5), bool), tolerances_mm=(1.0,))
    assert found.hd.shape == (0,)
    assert found.nsd.shape == (0, 1)
    assert found.distance_unit == "px"


@pytest.mark.parametrize("shape", [(4, 5), (2, 3, 4, 5)])
def test_other_axes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ArgumentError, match="stacks of images"):
        stack_surface_scores(np.zeros(shape, bool), np.zeros(shape, bool))
