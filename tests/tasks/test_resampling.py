import re
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import floats, tuples
from numpy.typing import NDArray
from scipy import ndimage

from segscale.errors import DataError
from segscale.tasks import resampling as module
from segscale.tasks.geometry import Geometry
from segscale.tasks.grids import Grid, Size
from segscale.tasks.resampling import PARTS, resampling
from segscale.tasks.turns import turn_onto
from tests.tasks.geometries import TURNS, UPRIGHT, backwards, geometries, geometry_of, laid, rotation, sizes


def grid(
    size: Size, spacing: tuple[float, float, float] = (1, 1, 1), origin: tuple[float, float, float] = (0, 0, 0)
) -> Grid:
    return Grid(size, geometry_of(np.array(UPRIGHT), spacing, origin))


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Grid, Grid]:
    """A grid and another one that lies across it."""
    geometry, size, other_size = draw(geometries()), draw(sizes), draw(sizes)
    around = rotation(draw(tuples(*[floats(-0.6, 0.6)] * 3)))
    directions = np.array(geometry.directions) @ around.T
    spacing = [length * draw(floats(0.4, 2.5)) for length in geometry.spacing]
    middle = geometry.origin + (np.array(size) - 1) / 2 @ geometry.steps
    origin = middle - (np.array(other_size) - 1) / 2 @ (directions * np.array(spacing)[:, None])
    origin += np.array(draw(tuples(*[floats(-1, 1)] * 3)))
    return Grid(size, geometry), Grid(other_size, geometry_of(directions, tuple(spacing), tuple(origin)))


def itk_image(values: NDArray[Any], geometry: Geometry) -> Any:
    import SimpleITK as itk  # noqa: N813

    image = itk.GetImageFromArray(values)
    image.SetSpacing(geometry.spacing[::-1])
    image.SetDirection(np.array(geometry.directions)[::-1].T.ravel().tolist())
    image.SetOrigin(geometry.origin)
    return image


def by_simpleitk(values: NDArray[Any], reference: Grid, other: Grid, interpolator: str) -> NDArray[Any]:
    import SimpleITK as itk  # noqa: N813

    assert reference.geometry is not None
    assert other.geometry is not None
    target = itk_image(np.zeros(reference.size, values.dtype), reference.geometry)
    source = itk_image(values, other.geometry)
    found = itk.Resample(source, target, itk.Transform(), getattr(itk, interpolator), 0.0, source.GetPixelID())
    return np.asarray(itk.GetArrayFromImage(found))


def places(reference: Grid, other: Grid) -> NDArray[np.float64]:
    """Where each voxel of the reference lies along the axes of the other, (3, D, H, W)."""
    way = resampling(reference, other, "a")
    flat = np.indices(reference.size).reshape(3, -1)
    return (way.matrix @ flat + way.offset[:, None]).reshape(3, *reference.size)


def is_clear(reference: Grid, other: Grid) -> NDArray[np.bool_]:
    """Which voxels lie so far from every border of two boxes that no rounding decides."""
    from_border = np.abs((places(reference, other) + 0.5) - np.rint(places(reference, other) + 0.5))
    return np.asarray((from_border > 1 / PARTS).all(axis=0))


@given(pairs())
def test_nearest_is_that_of_simpleitk(drawn: tuple[Grid, Grid]) -> None:
    pytest.importorskip("SimpleITK")
    reference, other = drawn
    values = np.arange(1, np.prod(other.size) + 1, dtype=np.int32).reshape(other.size)
    found = resampling(reference, other, "a").nearest(values, 0, reference.size[0])
    expected = by_simpleitk(values, reference, other, "sitkNearestNeighbor")
    clear = is_clear(reference, other)
    assert found.dtype == np.int32
    assert np.array_equal(found[clear], expected[clear])


@given(pairs())
def test_linear_is_that_of_simpleitk(drawn: tuple[Grid, Grid]) -> None:
    pytest.importorskip("SimpleITK")
    reference, other = drawn
    values = np.random.default_rng(0).random(other.size)
    found = resampling(reference, other, "a").linear(values, 0, reference.size[0])
    expected = by_simpleitk(values, reference, other, "sitkLinear")
    clear = is_clear(reference, other)
    assert found.dtype == np.float32
    assert np.allclose(found[clear], expected[clear], atol=4 / PARTS)


@given(pairs())
def test_linear_is_that_of_scipy(drawn: tuple[Grid, Grid]) -> None:
    reference, other = drawn
    values = np.random.default_rng(1).random(other.size)
    found = resampling(reference, other, "a").linear(values, 0, reference.size[0], outside=-1)
    where = places(reference, other)
    expected = ndimage.map_coordinates(values, where, order=1, mode="nearest", prefilter=False)
    sides = np.array(other.size).reshape(3, 1, 1, 1)
    inside = ((where >= -0.5) & (where < sides - 0.5)).all(axis=0)
    clear = is_clear(reference, other)
    assert np.allclose(found[clear & inside], expected[clear & inside], atol=4 / PARTS)
    assert (found[clear & ~inside] == -1).all()


@pytest.mark.parametrize("turn", TURNS, ids=str)
@given(geometry=geometries(), size=sizes)
def test_a_turned_grid_needs_no_interpolation(turn: Any, geometry: Geometry, size: Size) -> None:
    values = np.random.default_rng(0).random((*size, 2), dtype=np.float32)
    other, other_size = laid(turn, geometry, size)
    way = resampling(Grid(size, geometry), Grid(other_size, other), "a")
    stored = backwards(turn, values)
    assert turn_onto(Grid(size, geometry), Grid(other_size, other)) == turn
    assert np.array_equal(way.nearest(stored, 0, size[0]), values)
    assert np.array_equal(way.linear(stored, 0, size[0]), values)
    assert way.n_outside() == 0


def test_worked_by_hand() -> None:
    # Voxels of 2 mm at 0 and 2; those of 1 mm lie at -2, -1, ... 4: at -1, -0.5, 0, 0.5, 1, 1.5, 2 voxels of the other.
    row = np.array([[[10, 20]]])
    way = resampling(grid((1, 1, 7), origin=(-2, 0, 0)), grid((1, 1, 2), (1, 1, 2)), "a")
    # A voxel on the border of two belongs to the later one, at the first border to the first, at the last to none.
    assert way.nearest(row, 0, 1).tolist() == [[[0, 10, 10, 20, 20, 0, 0]]]
    assert way.linear(row.astype(float), 0, 1).tolist() == [[[0, 10, 10, 15, 20, 0, 0]]]
    assert way.n_outside() == 3


def test_what_lies_half_way_lies_so_in_every_row() -> None:
    # 0.1 + 0.2 and the like: by no rounding of a header may one row go to the left and the next to the right.
    coarse, fine = (0.3, 0.3, 0.3), (0.1 * 1.5, 0.3 / 2, np.float32(0.15))
    reference = grid((6, 40, 300), fine, (1.1, -7.7, 900.1))  # type: ignore[arg-type]
    other = grid((3, 20, 150), coarse, (1.1 + 0.075, -7.7 + 0.075, 900.1 + 0.075))
    values = np.indices(other.size)[2]
    found = resampling(reference, other, "a").nearest(values, 0, 6)
    assert (found[:, :40, :150] == found[0, 0, :150]).all()


def test_channels_have_an_outside_of_their_own() -> None:
    way = resampling(grid((1, 1, 3)), grid((1, 1, 2)), "a")
    stack = np.array([[[[0.25, 0.75], [0.5, 0.5]]]])
    assert way.linear(stack, 0, 1, outside=(1, 0)).tolist() == [[[[0.25, 0.75], [0.5, 0.5], [1, 0]]]]


def test_nan_spreads_to_what_is_made_of_it_and_no_further() -> None:
    row = np.array([[[1.0, np.nan, 3.0, 4.0]]])
    way = resampling(grid((1, 1, 7), (1, 1, 0.5)), grid((1, 1, 4)), "a")
    found = way.linear(row, 0, 1)[0, 0]
    assert np.isnan(found).tolist() == [False, True, True, True, False, False, False]


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int8, np.int16, np.uint64, np.float32])
def test_labels_keep_their_type(dtype: Any) -> None:
    values = np.ones((2, 3, 4), dtype)
    found = resampling(grid((4, 6, 8), (0.5, 0.5, 0.5)), grid((2, 3, 4)), "a").nearest(values, 0, 4)
    assert found.dtype == dtype
    assert found.any()


def test_the_largest_label_is_exact() -> None:
    values = np.full((2, 2, 2), 2**64 - 1, np.uint64)
    assert resampling(grid((2, 2, 2)), grid((2, 2, 2)), "a").nearest(values, 0, 2).max() == 2**64 - 1


@given(pairs(), st.integers(1, 60))
def test_blocks_change_nothing(drawn: tuple[Grid, Grid], block: int) -> None:
    reference, other = drawn
    values = np.random.default_rng(0).random((*other.size, 2), dtype=np.float32)
    way = resampling(reference, other, "a")
    for take in (way.nearest, way.linear):
        whole = take(values, 0, reference.size[0])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "BLOCK_VALUES", block)
            planes = [take(values, top, top + 1) for top in range(reference.size[0])]
        assert np.array_equal(np.concatenate(planes), whole)


@given(pairs())
def test_outside_is_counted_as_it_is_filled(drawn: tuple[Grid, Grid]) -> None:
    reference, other = drawn
    way = resampling(reference, other, "a")
    found = way.nearest(np.ones(other.size, np.uint8), 0, reference.size[0])
    assert way.n_outside() == np.count_nonzero(found == 0)


def test_memory_is_that_of_a_block() -> None:
    reference = grid((300, 512, 512), (0.5, 0.5, 0.5))
    other = grid((3, 256, 256))
    values = np.ones((*other.size, 2), np.float32)
    way = resampling(reference, other, "a")
    tracemalloc.start()
    way.linear(values, 2, 4)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 * 512 * 512 * 2 * 4 + 40e6


@pytest.mark.parametrize(
    ("reference", "other", "words"),
    [
        pytest.param(grid((2, 2, 2)), Grid((2, 2, 2)), "it has no geometry", id="numpy"),
        pytest.param(Grid((2, 2, 2)), grid((2, 2, 2)), "its reference has no geometry", id="the reference"),
        pytest.param(grid((2, 2, 2)), Grid((2, 2, 2), stated=(1, 1, 1)), "it has no geometry", id="a spacing alone"),
    ],
)
def test_without_a_geometry(reference: Grid, other: Grid, words: str) -> None:
    with pytest.raises(
        DataError, match=re.escape(f"a.npz: cannot be resampled into the grid of its reference: {words}")
    ):
        resampling(reference, other, "a.npz")
