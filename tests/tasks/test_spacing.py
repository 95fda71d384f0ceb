import csv
import os
from pathlib import Path

import numpy as np
import pytest

from segscale.tasks.geometry import Geometry, Vector, from_steps
from segscale.tasks.grids import Grid
from segscale.tasks.spacing import coarsest_axis, spacing_of, voxel_ml
from tests.tasks.geometries import UPRIGHT

GIVEN = (3.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("grid", "given", "spacing"),
    [
        pytest.param(
            Grid((4, 5, 6), Geometry((2.0, 0.5, 0.5), UPRIGHT, (0.0, 0.0, 0.0))), GIVEN, (2.0, 0.5, 0.5), id="geometry"
        ),
        pytest.param(Grid((4, 5, 6), stated=(2.0, 1.0, 1.0)), GIVEN, (2.0, 1.0, 1.0), id="a spacing in the file"),
        pytest.param(Grid((4, 5, 6)), GIVEN, GIVEN, id="given for files that have none"),
        pytest.param(Grid((4, 5, 6)), None, None, id="nobody says"),
    ],
)
def test_spacing_of(grid: Grid, given: Vector | None, spacing: Vector | None) -> None:
    assert spacing_of(grid, given) == spacing


def test_a_thousand_cubes_of_a_millimetre_are_a_millilitre() -> None:
    assert 1000 * voxel_ml((1.0, 1.0, 1.0)) == 1.0


@pytest.mark.parametrize(
    ("spacing", "axis"),
    [
        pytest.param((5.0, 0.8, 0.8), 0, id="axial"),
        pytest.param((0.8, 5.0, 0.8), 1, id="coronal"),
        pytest.param((0.8, 0.8, 3.3), 2, id="sagittal, stored as it was taken"),
        pytest.param((1.0, 1.0, 1.0), 0, id="all equal: the first"),
        pytest.param((0.5, 1.0, 1.0), 1, id="two equal: the first of them"),
        pytest.param((0.8, 0.8, 0.80000114), 0, id="equal but for the digits of a header"),
        pytest.param((1.0, 1.0, 1.002), 2, id="coarser"),
        pytest.param(None, 0, id="no spacing"),
    ],
)
def test_coarsest_axis(spacing: Vector | None, axis: int) -> None:
    assert coarsest_axis(spacing) == axis


DATA = Path(os.environ.get("SEGSCALE_DATA", Path(__file__).parents[3] / "shared" / "data"))
RADIOMICS = DATA / "formats" / "pyradiomics_nrrd"


@pytest.mark.data
@pytest.mark.skipif(not RADIOMICS.is_dir(), reason="needs the NRRD files of PyRadiomics; set SEGSCALE_DATA")
@pytest.mark.parametrize("case", ["brain1", "brain2", "breast1", "lung1", "lung2"])
def test_volumes_that_pyradiomics_publishes(case: str) -> None:
    nrrd = pytest.importorskip("nrrd")
    with (RADIOMICS / "baseline_shape.csv").open(newline="") as file:
        published = {row["featureName"]: row[case] for row in csv.DictReader(file)}
    values, header = nrrd.read(str(RADIOMICS / f"{case}_label.nrrd"))
    geometry = from_steps(header["space directions"][::-1].tolist(), header["space origin"], case)
    volume = np.count_nonzero(values == 1) * voxel_ml(geometry.spacing)
    assert volume == pytest.approx(float(published["original_shape_VoxelVolume"]) / 1000, rel=1e-9)
