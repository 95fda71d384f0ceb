import os
import re
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from segscale.errors import UnreadableImage
from segscale.tasks.affine_choice import AffineName, chosen_geometry
from segscale.tasks.geometry import Geometry, from_ras_affine

SIZE = (4, 5, 6)
SFORM = np.diag([-1.0, -1.0, 2.0, 1.0])
ROUNDED = SFORM + 1e-3 * np.eye(4)[:, [3, 0, 1, 2]]
"""The same grid, with the dust of a quaternion."""
MOVED = SFORM + np.array([[0, 0, 0, 7.0], [0] * 4, [0] * 4, [0] * 4])
MIRRORED = np.diag([1.0, -1.0, 2.0, 1.0])
SHEARED = SFORM + np.array([[0, 0.3, 0, 0], [0] * 4, [0] * 4, [0] * 4])
BROKEN = np.full((4, 4), np.nan)


def geometry(affine: Any) -> Geometry:
    return from_ras_affine(affine, "a.nii")


@pytest.mark.parametrize(
    ("sform", "qform", "choice", "stands"),
    [
        pytest.param(None, None, None, None, id="neither: a spacing and nothing else"),
        pytest.param(None, None, "sform", None, id="neither, whatever was chosen"),
        pytest.param(SFORM, None, None, SFORM, id="sform alone"),
        pytest.param(None, MOVED, None, MOVED, id="qform alone"),
        pytest.param(None, MOVED, "sform", MOVED, id="a choice decides nothing where there is one"),
        pytest.param(MOVED, None, "qform", MOVED, id="the same with the other"),
        pytest.param(SFORM, ROUNDED, None, SFORM, id="both say the same"),
        pytest.param(SFORM, MOVED, "sform", SFORM, id="sform chosen"),
        pytest.param(SFORM, MOVED, "qform", MOVED, id="qform chosen"),
        pytest.param(SFORM, BROKEN, "sform", SFORM, id="what was not chosen may be anything"),
        pytest.param(SHEARED, SFORM, "qform", SFORM, id="a sform from a registration"),
    ],
)
def test_which_stands(sform: Any, qform: Any, choice: AffineName | None, stands: Any) -> None:
    found = chosen_geometry(sform, qform, SIZE, choice, "a.nii")
    assert found == (None if stands is None else geometry(stands))


@pytest.mark.parametrize(
    ("sform", "qform", "words"),
    [
        pytest.param(
            SFORM,
            MOVED,
            ("first voxel at (0, 0, 0) mm", "first voxel at (-7, 0, 0) mm"),
            id="moved",
        ),
        pytest.param(SFORM, MIRRORED, ("axes to S, P, L", "axes to S, P, R"), id="left is right"),
        pytest.param(SHEARED, SFORM, ("sheared: the axes H and W", "4x5x6 voxels"), id="one is no grid"),
        pytest.param(SFORM, BROKEN, ("4x5x6 voxels", "holds nan"), id="NaN"),
        pytest.param(BROKEN, SHEARED, ("holds nan", "sheared"), id="both are none"),
    ],
)
def test_affines_that_disagree(sform: Any, qform: Any, words: tuple[str, str]) -> None:
    expected = (
        rf"^a\.nii: its two affines disagree\. By its sform: .*{re.escape(words[0])}.*\. By its qform: "
        rf".*{re.escape(words[1])}.* set dataset\.affine = \"sform\" or \"qform\"$"
    )
    with pytest.raises(UnreadableImage, match=expected):
        chosen_geometry(sform, qform, SIZE, None, "a.nii")


def test_what_stands_alone_and_is_no_grid_is_refused_for_what_it_is() -> None:
    with pytest.raises(UnreadableImage, match=r"^a\.nii: its geometry is sheared"):
        chosen_geometry(SHEARED, SFORM, SIZE, "sform", "a.nii")
    with pytest.raises(UnreadableImage, match=r"^a\.nii: its geometry \(.*\) holds nan"):
        chosen_geometry(None, BROKEN, SIZE, None, "a.nii")


def test_nothing_is_said_of_a_larger_volume_by_a_smaller_one() -> None:
    # A tenth of a degree: nothing over 6 voxels, half a voxel over 300.
    turned = SFORM.copy()
    angle = np.deg2rad(0.1)
    turned[:2, :2] = -np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    assert chosen_geometry(SFORM, turned, SIZE, None, "a.nii") == geometry(SFORM)
    with pytest.raises(UnreadableImage, match=r"disagree"):
        chosen_geometry(SFORM, turned, (4, 300, 300), None, "a.nii")


def test_as_nibabel_reads_both() -> None:
    image = nibabel.Nifti1Image(np.zeros(SIZE[::-1], np.uint8), None)
    image.set_qform(SFORM, 1)
    image.set_sform(MOVED, 2)
    (sform, _), (qform, _) = image.get_sform(coded=True), image.get_qform(coded=True)
    with pytest.raises(UnreadableImage, match="disagree"):
        chosen_geometry(sform, qform, SIZE, None, "a.nii")
    assert chosen_geometry(sform, qform, SIZE, "qform", "a.nii") == geometry(SFORM)


DATA = Path(os.environ.get("SEGSCALE_DATA", Path(__file__).parents[3] / "shared" / "data"))
FILES = sorted((DATA / "formats").rglob("*.nii.gz"))


@pytest.mark.data
@pytest.mark.skipif(not FILES, reason="needs the NIfTI files of shared/data/formats; set SEGSCALE_DATA")
def test_real_files_lie_where_simpleitk_has_them() -> None:
    itk = pytest.importorskip("SimpleITK")
    for path in FILES:
        header = nibabel.load(path).header
        size = header.get_data_shape()[::-1]
        (sform, _), (qform, _) = header.get_sform(coded=True), header.get_qform(coded=True)
        found = chosen_geometry(sform, qform, size, None, path.name)
        assert found is not None, path.name
        image = itk.ReadImage(str(path))
        assert found.spacing == pytest.approx(image.GetSpacing()[::-1], rel=1e-5), path.name
        corner = [side - 1 for side in size]
        place = np.array(found.origin) + corner @ found.steps
        assert place == pytest.approx(image.TransformIndexToPhysicalPoint(corner[::-1]), abs=1e-3), path.name
