"""Every shared file of other formats, through the functions that everything else reads by.

A table says how each is checked: beside a reader that is none of ours, voxel by voxel and place by place, or that it is
refused, and why. A file that no row of the table covers fails.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from segscale.errors import UnreadableImage
from segscale.storage.bundles import pack
from segscale.tasks.grids import Grid
from segscale.tasks.readers import (
    NO_CHOICE,
    Choice,
    read_header,
    read_labels,
    read_picture,
    read_probabilities,
    reader_for,
    stores_floats,
)

pytestmark = pytest.mark.data

DATA = Path(os.environ.get("SEGSCALE_DATA", Path(__file__).parents[3].parent / "shared" / "data")) / "formats"
FILES = sorted(path for path in DATA.rglob("*") if path.is_file() and path.suffix not in (".txt", ".csv"))
Array = NDArray[Any]
TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""From right, front and head, as NIfTI counts, and back."""
SLOWEST_FIRST = [2, 1, 0, 3]


@dataclass(frozen=True, slots=True)
class Read:
    """Numbers (D, H, W), and the matrix (4, 4) from an index to mm left, back and head; None where nothing says it."""

    values: Array
    matrix: Array | None


# What others read.


def by_nibabel(path: Path, form: str = "affine") -> Read:
    import nibabel

    image = nibabel.load(path)
    affine = image.affine if form == "affine" else image.get_sform()
    return Read(np.asanyarray(image.dataobj).T, (TO_LPS @ affine)[:, SLOWEST_FIRST])


def by_simpleitk(path: Path) -> Read:
    sitk = pytest.importorskip("SimpleITK")
    image = sitk.ReadImage(str(path))
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    matrix[:3, 3] = image.GetOrigin()
    return Read(sitk.GetArrayFromImage(image), matrix[:, SLOWEST_FIRST])


def by_tifffile(path: Path) -> Read:
    import tifffile

    pages = tifffile.imread(path)
    return Read(pages if pages.ndim == 3 else pages[np.newaxis], None)


def by_pydicom(path: Path) -> Read:
    """Planes in the order of their frames: their positions are in the header of the file, or of each frame."""
    import pydicom

    file = pydicom.dcmread(path)
    frames = list(file.get("PerFrameFunctionalGroupsSequence", [file]))
    shared = file.get("SharedFunctionalGroupsSequence", [file])[0]

    def said(frame: Any, sequence: str, key: str) -> list[float]:
        holder = next(one for one in (frame, shared, file) if sequence in one or key in one)
        found = holder[sequence][0][key] if sequence in holder else holder[key]
        return [float(one) for one in found.value]

    along_w, along_h = np.split(np.array(said(frames[0], "PlaneOrientationSequence", "ImageOrientationPatient")), 2)
    row, column = said(frames[0], "PixelMeasuresSequence", "PixelSpacing")
    places = np.array([said(frame, "PlanePositionSequence", "ImagePositionPatient") for frame in frames])
    # Of one slice nothing but its thickness is known.
    normal = np.cross(along_w, along_h)
    apart = places[1] - places[0] if len(places) > 1 else normal * float(file.get("SliceThickness", 1))
    matrix = np.eye(4)
    matrix[:3] = np.stack([apart, along_h * row, along_w * column, places[0]], axis=1)
    pixels = file.pixel_array.reshape(len(frames), file.Rows, file.Columns)
    scale = file if "RescaleSlope" in file else None
    if scale is None:
        return Read(pixels, matrix)
    return Read(pixels * float(scale.RescaleSlope) + float(scale.RescaleIntercept), matrix)


def by_highdicom(path: Path) -> Read:
    """Of one segment; the planes of highdicom may run the other way."""
    highdicom = pytest.importorskip("highdicom")
    volume = highdicom.seg.segread(path).get_volume(rescale_fractional=True)
    return Read(volume.array[..., 0], volume.affine)


# What we read.


def matrix_of(grid: Grid | None) -> Array | None:
    if grid is None or grid.geometry is None:
        return None
    matrix = np.eye(4)
    matrix[:3] = np.concatenate([grid.geometry.steps.T, np.array(grid.geometry.origin)[:, None]], axis=1)
    return matrix


def ours(path: Path, choice: Choice = NO_CHOICE, data: bytes | None = None, name: str = "") -> Read:
    """Labels of a file, or the probabilities of one that holds fractions, which is refused as labels."""
    data, name = path.read_bytes() if data is None else data, name or path.name
    reader_for(name, choice)
    try:
        labels = read_labels(data, name, choice=choice)
    except UnreadableImage as error:
        if "are not whole numbers" not in str(error):
            raise
        assert stores_floats(data, name, choice)
        probabilities = read_probabilities(data, name, choice)
        return Read(probabilities.values, matrix_of(probabilities.grid))
    return Read(labels.values, matrix_of(labels.grid))


def check_picture(path: Path, expected: Read, choice: Choice = NO_CHOICE) -> None:
    """As an image it is the same, and its header says as much before a pixel is decoded."""
    data = path.read_bytes()
    header, picture = read_header(data, path.name, choice), read_picture(data, path.name, choice)
    assert header.shape == picture.pixels.shape == (*expected.values.shape, 1)
    assert np.array_equal(picture.pixels[..., 0], expected.values.astype(picture.pixels.dtype))
    check_place(matrix_of(header.grid), expected.matrix)


def check_place(found: Array | None, expected: Array | None) -> None:
    assert (found is None) == (expected is None)
    if found is not None and expected is not None:
        # Headers hold float32, and quaternions of them.
        assert np.allclose(found, expected, atol=2e-3, rtol=0)


def check_by_position(found: Read, expected: Read) -> None:
    """Every voxel is that of the other array at the same place in the patient; beyond that nothing is set."""
    assert found.matrix is not None
    assert expected.matrix is not None
    indices = np.indices(found.values.shape).reshape(3, -1)
    moved = np.linalg.solve(expected.matrix, found.matrix) @ np.concatenate([indices, np.ones_like(indices[:1])])
    places = np.rint(moved[:3]).astype(int)
    assert np.abs(moved[:3] - places).max() < 0.01, "the centres of voxels are the same"
    inside = ((places >= 0) & (places < np.array(expected.values.shape)[:, None])).all(axis=0)
    values = found.values.reshape(-1)
    assert np.allclose(values[inside], expected.values[tuple(places[:, inside])], atol=1e-6, rtol=0)
    assert not values[~inside].any()
    assert np.count_nonzero(values) == np.count_nonzero(expected.values)


# How a file is checked.

Check = Callable[[Path], None]


def equal_to(read: Callable[[Path], Read]) -> Check:
    def check(path: Path) -> None:
        found, expected = ours(path), read(path)
        assert np.array_equal(found.values, expected.values)
        check_place(found.matrix, expected.matrix)
        check_picture(path, expected)

    return check


def placed_as(read: Callable[[Path], Read]) -> Check:
    return lambda path: check_by_position(ours(path), read(path))


def by_sform(path: Path) -> None:
    """Two affines 0.2 degrees apart are refused, with both and the key that decides."""
    with pytest.raises(UnreadableImage, match=r"(?s)its two affines disagree\. By its sform.*By its qform.*affine"):
        ours(path)
    choice, expected = Choice(affine="sform"), by_nibabel(path, "sform")
    found = ours(path, choice)
    assert np.array_equal(found.values, expected.values)
    check_place(found.matrix, expected.matrix)
    check_picture(path, expected, choice)


def volume_published(path: Path) -> None:
    """The voxels of label 1 times their size are what PyRadiomics publishes."""
    equal_to(by_simpleitk)(path)
    found = ours(path)
    assert found.matrix is not None
    with (path.parent / "baseline_shape.csv").open(newline="") as file:
        published = {row["featureName"]: row[path.stem.removesuffix("_label")] for row in csv.DictReader(file)}
    volume = np.count_nonzero(found.values == 1) * abs(np.linalg.det(found.matrix[:3, :3]))
    assert volume == pytest.approx(float(published["original_shape_VoxelVolume"]), rel=1e-9)


def twin(nrrd: str, series: str) -> Check:
    """Alone, and drawn on its series, whose files may lie in the other order."""

    def check(path: Path) -> None:
        root = DATA / "dcmqi_dicom_seg"
        expected = by_simpleitk(root / nrrd)
        check_by_position(ours(path), expected)
        drawn_on = read_header(series_bytes(root / series), f"{series}/").grid
        found = ours(path, Choice(drawn_on=drawn_on))
        check_by_position(found, expected)
        check_place(found.matrix, matrix_of(drawn_on))

    return check


def series_bytes(folder: Path) -> bytes:
    """A folder as it is handed to readers."""
    return pack({path.name: path.read_bytes() for path in sorted(folder.iterdir())})


def slice_and_series(path: Path) -> None:
    """A slice is read as it is; the folder is a volume in which each lies at its own place."""
    alone = by_pydicom(path)
    found = ours(path)
    assert np.array_equal(found.values, alone.values)
    assert found.matrix is not None
    assert alone.matrix is not None
    check_place(found.matrix[:, 1:], alone.matrix[:, 1:])  # how thick one slice is, is another matter
    series = ours(path.parent, data=series_bytes(path.parent), name=f"{path.parent.name}/")
    assert series.matrix is not None
    assert series.values.shape[0] == len(list(path.parent.iterdir()))
    place = np.linalg.solve(series.matrix, alone.matrix[:, 3])
    plane = round(place[0])
    assert np.allclose(place, [plane, 0, 0, 1], atol=0.01)
    assert np.array_equal(series.values[plane], alone.values[0])


def refused(reason: str) -> Check:
    def check(path: Path) -> None:
        data = path.read_bytes()
        for read in (read_labels, read_picture):
            with pytest.raises(UnreadableImage, match=re.escape(reason)):
                read(data, path.name)

    return check


TABLE: dict[str, Check] = {
    # Refused with both affines in words; dataset.affine = "sform" reads it.
    "sct_spinal_cord/t2s/t2s_seg-deepseg.nii.gz": equal_to(by_nibabel),  # a network wrote it, with one affine
    "sct_spinal_cord/t2s/*.nii.gz": by_sform,
    "**/*.nii.gz": equal_to(by_nibabel),
    # The shapes that PyRadiomics publishes have voxel volumes.
    "pyradiomics_nrrd/prostate_phantom_subvolume-label.nrrd": equal_to(by_simpleitk),  # it is in no table
    "pyradiomics_nrrd/*_label.nrrd": volume_published,
    "**/*.nrrd": equal_to(by_simpleitk),
    # Planes become a volume.
    "stardist_tiff/*.tif": equal_to(by_tifffile),
    # What a segmentation holds was written as NRRD too; the CT of the liver lies the other way round.
    "dcmqi_dicom_seg/liver.dcm": twin("liver_seg.nrrd", "ct-3slice"),
    "dcmqi_dicom_seg/23x38x3/seg/label.seg": twin("23x38x3/nrrd/label.nrrd", "23x38x3/image"),
    "dcmqi_dicom_seg/24x38x3/seg/label.seg": twin("24x38x3/nrrd/label.nrrd", "24x38x3/image"),
    "dcmqi_dicom_seg/sparse-labelmap-noppv.dcm": twin("sparse_labelmap_noppv_seg.nrrd", "24x38x3/image"),
    "dcmqi_dicom_seg/sparse-labelmap-ppv5.dcm": twin("sparse_labelmap_ppv5_seg.nrrd", "24x38x3/image"),
    # One label map cannot hold them; test_dicom_segmentation.py reads each segment by itself, beside its twins.
    "dcmqi_dicom_seg/partial_overlaps.dcm": refused("segments overlap, so that one label map cannot hold them"),
    "highdicom_seg/seg_image_ct_binary_overlap.dcm": refused("segments overlap"),
    "dcmqi_dicom_seg/*/multiframe/mf.dcm": placed_as(by_pydicom),
    "dcmqi_dicom_seg/*/image/*.dcm": slice_and_series,
    "dcmqi_dicom_seg/ct-3slice/*.dcm": slice_and_series,
    "highdicom_seg/ct_image.dcm": equal_to(by_pydicom),
    "highdicom_seg/seg_image_ct_*.dcm": placed_as(by_highdicom),
    # Slides are no volumes.
    "highdicom_seg/seg_image_sm_control_labelmap.dcm": refused("tiles of a slide (whole slide microscopy)"),
    "highdicom_seg/sm_image_control.dcm": refused("a colour image (RGB)"),
}


def check_of(path: Path) -> Check | None:
    """The first row that covers a file."""
    return next((check for pattern, check in TABLE.items() if path in PATHS[pattern]), None)


PATHS = {pattern: set(DATA.glob(pattern)) for pattern in TABLE}


@pytest.mark.skipif(not FILES, reason="needs shared/data/formats; set SEGSCALE_DATA")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(DATA).as_posix())
def test_a_file_is_read_as_others_read_it(path: Path) -> None:
    check = check_of(path)
    assert check is not None, "no row of the table covers it: say how it is checked"
    check(path)


@pytest.mark.skipif(not FILES, reason="needs shared/data/formats; set SEGSCALE_DATA")
@pytest.mark.parametrize("pattern", list(TABLE))
def test_every_row_covers_a_file(pattern: str) -> None:
    assert PATHS[pattern]
