from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from segscale.tasks.training.augmentation import augment
from segscale.tasks.training.settings import NO_AUGMENTATION, Augmentation

STRONG = Augmentation(degrees=30.0, scaling=0.3, elastic=6.0, warped_share=1.0)
WARP = NO_AUGMENTATION.changed(degrees=30.0, scaling=0.3, elastic=6.0, warped_share=1.0)

seeds = st.integers(0, 2**31)


def draw_patch(seed: int, side: int = 24, channels: int = 2) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    generator = np.random.default_rng(seed)
    reference = generator.choice(np.array([0, 1, 4, 255], np.uint8), (side, side))
    return generator.standard_normal((side, side, channels), np.float32), reference


def change(
    image: NDArray[np.float32], reference: NDArray[np.uint8], settings: Augmentation, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    return augment(image, reference, settings, np.random.default_rng(seed))


@given(seed=seeds, side=st.integers(1, 40), channels=st.integers(1, 3))
def test_shapes_types_and_values_are_kept(seed: int, side: int, channels: int) -> None:
    image, reference = draw_patch(seed, side, channels)
    before = image.copy(), reference.copy()
    changed, changed_reference = change(image, reference, STRONG, seed)
    assert (changed.shape, changed.dtype.name) == (image.shape, "float32")
    assert (changed_reference.shape, changed_reference.dtype.name) == (reference.shape, "uint8")
    assert set(np.unique(changed_reference)) <= set(np.unique(reference))
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(reference, before[1])


@given(seed=seeds)
def test_same_generator_same_bits(seed: int) -> None:
    patch = draw_patch(seed)
    for one, other in zip(change(*patch, STRONG, seed), change(*patch, STRONG, seed), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(NO_AUGMENTATION, id="nothing asked"),
        pytest.param(
            NO_AUGMENTATION.changed(degrees=30.0, elastic=5.0, warped_share=0.0),
            id="none warped",
        ),
        pytest.param(NO_AUGMENTATION.changed(warped_share=1.0), id="warped by nothing"),
    ],
)
def test_identity_keeps_every_bit(settings: Augmentation) -> None:
    image, reference = draw_patch(1)
    image[0, :, 0] = -0.0
    changed, changed_reference = change(image, reference, settings, 2)
    np.testing.assert_array_equal(changed.view(np.uint32), image.view(np.uint32))
    np.testing.assert_array_equal(changed_reference, reference)


@given(seed=seeds)
def test_flips_move_image_and_reference_alike(seed: int) -> None:
    _, reference = draw_patch(seed)
    image = reference[..., np.newaxis].astype(np.float32)
    changed, changed_reference = change(image, reference, NO_AUGMENTATION.changed(flips=True), seed)
    np.testing.assert_array_equal(changed[..., 0], changed_reference)
    assert np.bincount(changed_reference.ravel()).tolist() == np.bincount(reference.ravel()).tolist()


def test_all_eight_flips_occur() -> None:
    reference = np.arange(9, dtype=np.uint8).reshape(3, 3)
    seen = {
        change(np.zeros((3, 3, 1), np.float32), reference, NO_AUGMENTATION.changed(flips=True), seed)[1].tobytes()
        for seed in range(99)
    }
    assert len(seen) == 8


@given(seed=seeds, value=st.floats(-1e3, 1e3, width=32))
def test_warp_of_a_constant_image_is_constant(seed: int, value: float) -> None:
    changed, _ = change(np.full((20, 20, 1), value, np.float32), np.zeros((20, 20), np.uint8), WARP, seed)
    np.testing.assert_allclose(changed, np.float32(value), rtol=1e-6)


@given(seed=seeds)
def test_warp_moves_image_and_reference_alike(seed: int) -> None:
    """Where a warped mask is not blended, all pixels that it was taken from agree, the nearest one among them."""
    reference = np.kron(np.random.default_rng(seed).integers(0, 2, (4, 4)), np.ones((8, 8))).astype(np.uint8)
    changed, changed_reference = change(reference[..., np.newaxis].astype(np.float32), reference, WARP, seed)
    whole = np.isin(changed[..., 0], (0.0, 1.0))
    np.testing.assert_array_equal(changed[..., 0][whole], changed_reference[whole])
    assert whole.mean() > 0.3


def test_rotation_turns_about_the_centre() -> None:
    """Every radius of a disc stays what it was, the centre of a spot moves by no more than the angle allows."""
    rows, columns = np.mgrid[:65, :65] - 32.0
    disc = (np.hypot(rows, columns) < 20).astype(np.uint8)
    radius = np.hypot(rows, columns).astype(np.float32)[..., np.newaxis]
    turning = NO_AUGMENTATION.changed(degrees=45.0, warped_share=1.0)
    changed, changed_disc = change(radius, disc, turning, 5)
    inner = disc.astype(bool)
    np.testing.assert_allclose(changed[inner], radius[inner], atol=0.3)
    assert np.count_nonzero(changed_disc != disc) < 60


@pytest.mark.parametrize("seed", range(4))
def test_scaling_keeps_within_its_limits(seed: int) -> None:
    """Distances from the centre are divided by one factor, at most 1 +- scaling."""
    rows, columns = np.mgrid[:65, :65] - 32.0
    scaling = NO_AUGMENTATION.changed(scaling=0.25, warped_share=1.0)
    changed, _ = change(rows.astype(np.float32)[..., np.newaxis], np.zeros((65, 65), np.uint8), scaling, seed)
    middle = np.abs(rows) + np.abs(columns) < 20
    factors = changed[..., 0][middle & (rows != 0)] / rows[middle & (rows != 0)]
    np.testing.assert_allclose(factors, factors[0], rtol=1e-5)
    assert 1 / 1.25 <= factors[0] <= 1 / 0.75


@pytest.mark.parametrize("elastic", [0.5, 4.0])
def test_elastic_displacement_has_the_size_asked_for(elastic: float) -> None:
    """A ramp tells where its pixels came from. In the middle no displacement reaches a border that is mirrored."""
    settings = NO_AUGMENTATION.changed(elastic=elastic, warped_share=1.0)
    ramps = np.moveaxis(np.indices((96, 96), np.float32), 0, -1)
    fields = [change(ramps, np.zeros((96, 96), np.uint8), settings, seed)[0] - ramps for seed in range(150)]
    middle = np.stack(fields)[:, 32:64, 32:64]
    assert math.sqrt(np.square(middle).sum(axis=-1).mean()) == pytest.approx(elastic, rel=0.1)
    assert np.abs(np.diff(middle, axis=1)).max() < elastic / 6, "smooth: neighbours move together"


def test_share_of_warped_patches() -> None:
    settings = NO_AUGMENTATION.changed(elastic=3.0, warped_share=0.3)
    image, reference = draw_patch(0, side=8)
    warped = sum(not np.array_equal(change(image, reference, settings, seed)[0], image) for seed in range(1000))
    assert warped == pytest.approx(300, abs=4 * math.sqrt(1000 * 0.3 * 0.7))


@given(seed=seeds, intensity=st.floats(0, 0.5), shift=st.floats(0, 0.5))
def test_intensity_is_one_line_for_the_patch(seed: int, intensity: float, shift: float) -> None:
    image = np.array([0.0, 1.0], np.float32).reshape(1, 2, 1).repeat(2, axis=0)
    settings = NO_AUGMENTATION.changed(intensity=intensity, shift=shift)
    changed, _ = change(image, np.zeros((2, 2), np.uint8), settings, seed)
    added, gain = float(changed[0, 0, 0]), float(changed[0, 1, 0] - changed[0, 0, 0])
    assert abs(added) <= shift + 1e-6
    assert abs(gain - 1) <= intensity + 1e-6
    np.testing.assert_array_equal(changed[0], changed[1])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        pytest.param({"degrees": -1.0}, "degrees", id="negative"),
        pytest.param({"scaling": 1.0}, "scaling", id="an image scaled to nothing"),
        pytest.param({"elastic": math.nan}, "elastic", id="no number"),
        pytest.param({"warped_share": 1.5}, "warped_share", id="share"),
        pytest.param({"intensity": 2.0}, "intensity", id="gains below 0 invert the image"),
        pytest.param({"shift": math.inf}, "shift", id="infinite"),
    ],
)
def test_senseless_settings_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Augmentation(**settings)
