"""Series and multi-frame files as volumes, and what is refused with its sentence."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segscale.errors import UnreadableImage
from segscale.tasks.geometry import Geometry
from segscale.tasks.readers.dicom_series import read_series, read_series_header
from tests.tasks.readers.dicom_made import CROOKED, ct_series, ct_slice, multi_frame, placed, segmentation, values

UPRIGHT = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))


def test_slices_are_ordered_by_position_whatever_their_names_and_numbers() -> None:
    volume = values()
    files = [
        (f"{name}.dcm", ct_slice(plane, 2.5 * index, InstanceNumber=name))
        for name, (index, plane) in zip([3, 1, 4, 2], enumerate(volume), strict=True)
    ]
    random.Random(0).shuffle(files)
    series = read_series(dict(files), "case")
    assert np.array_equal(series.values, volume)
    assert series.header.grid.geometry == Geometry((2.5, 0.5, 0.75), UPRIGHT, (*CROOKED[:2], 0.0))
    assert series.header.grid.size == volume.shape
    assert (series.header.modality, series.header.dtype, series.header.notes) == ("CT", "int16", ())
    assert read_series_header(dict(files), "case") == series.header


def test_rows_run_along_the_third_axis_and_planes_along_their_normal() -> None:
    volume = values(3)
    sagittal = [0, 1, 0, 0, 0, -1]  # a row runs to the back, a column to the feet: the normal to the right
    files = {
        str(index): ct_slice(plane, index, position=(-2.0 * index, 0, 0), ImageOrientationPatient=sagittal)
        for index, plane in enumerate(volume)
    }
    series = read_series(files, "case")
    assert placed(series.header.grid).directions == ((-1.0, 0.0, 0.0), (0.0, 0.0, -1.0), (0.0, 1.0, 0.0))
    assert placed(series.header.grid).spacing == (2.0, 0.5, 0.75)
    assert np.array_equal(series.values, volume)


@pytest.mark.parametrize(
    ("slope", "intercept", "dtype", "reason"),
    [
        (1, 0, "int16", "as stored"),
        (1, -1024, "int32", "whole numbers that 16 bits cannot be sure to hold"),
        (0.5, 1, "float32", "fractions"),
        (-1, 0, "int32", "a negative slope turns the range round"),
    ],
)
def test_values_are_rescaled_in_the_smallest_type(slope: float, intercept: float, dtype: str, reason: str) -> None:
    volume = values()
    series = read_series(ct_series(volume, RescaleSlope=slope, RescaleIntercept=intercept), "case")
    assert series.values.dtype == dtype, reason
    assert np.array_equal(series.values, volume * slope + intercept)


def test_each_slice_has_its_own_slope() -> None:
    volume = values(2, dtype="uint16")
    files = {str(z): ct_slice(volume[z], z, RescaleSlope=z + 0.5, RescaleIntercept=0) for z in (0, 1)}
    expected = (volume * np.array([0.5, 1.5])[:, None, None]).astype("float32")
    assert np.array_equal(read_series(files, "case").values, expected)


def test_twelve_of_sixteen_bits_need_no_more_room() -> None:
    volume = np.abs(values(dtype="int16")).astype("uint16") % 4096
    files = ct_series(volume, BitsStored=12, HighBit=11, RescaleSlope=1, RescaleIntercept=-1024)
    series = read_series(files, "case")
    assert series.values.dtype == "int16"
    assert np.array_equal(series.values, volume.astype("int16") - 1024)


def test_white_as_zero_is_inverted_and_said() -> None:
    volume = np.abs(values(dtype="int16")).astype("uint16") % 4096
    series = read_series(ct_series(volume, PhotometricInterpretation="MONOCHROME1", BitsStored=12, HighBit=11), "case")
    assert np.array_equal(series.values, 4095 - volume)
    assert "MONOCHROME1" in series.header.notes[0]


def test_a_multi_frame_file_is_ordered_by_the_positions_of_its_frames() -> None:
    volume = values(3)
    series = read_series({"a.dcm": multi_frame(volume[[2, 0, 1]], [4, 0, 2])}, "case")
    assert np.array_equal(series.values, volume.astype("int32") - 1024)
    assert placed(series.header.grid).spacing[0] == 2


def test_one_slice_takes_its_thickness_and_says_so() -> None:
    header = read_series_header({"a": ct_slice(values(1)[0], 5)}, "case")
    assert placed(header.grid).spacing[0] == 3
    assert "thickness, 3 mm" in header.notes[0]


def test_files_that_are_no_images_are_left_out_and_named() -> None:
    volume = values()
    report = ct_slice(
        volume[0], 1, SOPClassUID="1.2.840.10008.5.1.4.1.1.88.22", Modality="SR", PixelData=None, Rows=None
    )
    files = {"readme.txt": b"hello", **ct_series(volume), "report.dcm": report}
    series = read_series(files, "case")
    assert np.array_equal(series.values, volume)
    assert series.header.notes == (
        "readme.txt: left out, it is no DICOM file",
        "report.dcm: left out, it holds no image (modality SR)",
    )


def _without(index: int) -> dict[str, bytes]:
    files = ct_series(values(6))
    del files[f"{index}.dcm"]
    return files


def _with(name: str, plane: Any = None, z: float = 10, **elements: Any) -> dict[str, bytes]:
    return {**ct_series(values(4)), name: ct_slice(values(1)[0] if plane is None else plane, z, **elements)}


def _tilted() -> dict[str, bytes]:
    return {str(z): ct_slice(plane, z, position=(0, z * 0.5, z)) for z, plane in enumerate(values())}


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        (_without(2), r"1 slices are missing, for example between 2\.5 and 7\.5 mm.*0, 2\.5, 7\.5, 10, 12\.5 mm"),
        (_with("x.dcm", z=2.5), r"1 slices lie where another does, for example two at 2\.5 mm.*0, 2\.5, 2\.5, 5, 7\.5"),
        (_with("x.dcm", z=9), r"gaps between slices are uneven, from 1\.5 to 2\.5 mm.*0, 2\.5, 5, 7\.5, 9 mm"),
        (
            _tilted(),
            r"not stacked along their normal: \(0, 1\.5, 3\) mm lies 1\.5 mm sideways.*tilted by 26\.6 degrees",
        ),
        (
            _with("x.dcm", SeriesInstanceUID="1.9", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]),
            r"files of 2 series: 4 of CT, from 0 to 7\.5 mm along their normal; 1 of CT \(1 of them localizers\)",
        ),
        (_with("x.dcm", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), r"1 of 5 files are localizers \(scouts\)"),
        (_with("x.dcm", ImageOrientationPatient=[0, 1, 0, 0, 0, -1]), r"two orientations.*a localizer among them\?"),
        (_with("x.dcm", PixelSpacing=[0.5, 0.5]), r"two spacings, \(0\.5, 0\.75\) and \(0\.5, 0\.5\) mm"),
        (_with("x.dcm", np.zeros((5, 7), "int16")), r"slices of 5 x 6 and 5 x 7 pixels; expected one size"),
        (_with("x.dcm", FrameOfReferenceUID="1.8"), r"slices of several frames of reference"),
        (_with("x.dcm", ImagePositionPatient=None), r"x\.dcm: no ImagePositionPatient of 3 numbers"),
        (_with("x.dcm", ImageType=["ORIGINAL", "PRIMARY", "MOSAIC"]), r"x\.dcm: a mosaic of many slices"),
        (_with("x.dcm", PixelSpacing=[0.5, 0]), r"x\.dcm: a spacing of \(0\.5, 0\) mm"),
        (_with("x.dcm", PixelSpacing=[0.5, -1]), r"x\.dcm: a spacing of \(0\.5, -1\) mm"),
        (_with("x.dcm", ImageOrientationPatient=[1, 0, 0, 1, 0, 0]), r"expected two unit vectors at a right angle"),
        (_with("x.dcm", PhotometricInterpretation="RGB", SamplesPerPixel=3), r"x\.dcm: a colour image \(RGB\)"),
        (_with("x.dcm", PhotometricInterpretation="PALETTE COLOR"), r"interpretation PALETTE_COLOR; expected grey"),
        (
            _with("x.dcm", PhotometricInterpretation="MONOCHROME1", RescaleSlope=2, RescaleIntercept=0),
            r"values are rescaled too",
        ),
        (_with("x.dcm", RescaleSlope=0, RescaleIntercept=0), r"slope 0 and intercept 0; expected finite"),
        (_with("x.dcm", BitsStored=17), r"17 bits up to bit 15 of 16"),
        (_with("x.dcm", PixelData=b"\0" * 8), r"8 bytes of pixels; expected 60"),
        ({"x.dcm": ct_slice(values(1)[0], 5, SliceThickness=None)}, r"neither its thickness nor the spacing"),
        ({"notes.txt": b"hello"}, r"none of its 1 files is a DICOM image"),
        ({"x.dcm": b""}, r"x\.dcm: the file is empty"),
        ({"x.dcm": b"\x89PNG" * 50}, r"x\.dcm: not DICOM, whatever its name says"),
        ({"x.dcm": ct_slice(values(1)[0], 5)[:400]}, r"x\.dcm: (cut off|damaged)"),
        ({"x.dcm": multi_frame(values(3), [0, 2, 6])}, r"1 slices are missing, for example between 2 and 6 mm"),
        ({"x.dcm": multi_frame(values(3), [0, 2, 2])}, r"two at 2 mm"),
        (
            {"x.dcm": multi_frame(values(3), [0, 2, 4], NumberOfFrames=10**9)},
            r"claims 1000000000 frames and describes 3",
        ),
        (
            {**ct_series(values(4)), "x.dcm": segmentation([(1, (0, 0, 0), np.ones((5, 6), "uint8"))])},
            r"x\.dcm is a DICOM segmentation; expected the slices",
        ),
    ],
    ids=lambda value: "" if isinstance(value, dict) else str(value)[:40],
)
def test_refused(files: dict[str, bytes], sentence: str) -> None:
    with pytest.raises(UnreadableImage, match=sentence):
        read_series(files, "case")


def test_a_trillion_voxels_in_a_header_are_refused_before_anything_is_allocated() -> None:
    files = {"x.dcm": ct_slice(values(1)[0], 5, Rows=65535, Columns=65535)}
    with pytest.raises(UnreadableImage, match="claims 65535 x 65535"):
        read_series(files, "case")


def test_positions_rounded_to_a_thousandth_are_even() -> None:
    heights = [0.0, 0.333, 0.667, 1.0]
    files = {str(z): ct_slice(plane, z) for z, plane in zip(heights, values(), strict=True)}
    assert placed(read_series_header(files, "case").grid).spacing[0] == pytest.approx(1 / 3)


@pytest.mark.data
@pytest.mark.parametrize(
    "folder", ["ct-3slice", "23x38x3/image", "24x38x3/image", "23x38x3/multiframe", "24x38x3/multiframe"]
)
def test_real_series_are_what_an_independent_reader_reads(data_folder: Path, folder: str) -> None:
    sitk = pytest.importorskip("SimpleITK")
    place = data_folder / "formats" / "dcmqi_dicom_seg" / folder
    series = read_series({path.name: path.read_bytes() for path in sorted(place.iterdir())}, folder)
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(place))
    image = sitk.ReadImage(names[0] if len(names) == 1 else names)
    geometry = placed(series.header.grid)
    assert np.array_equal(series.values, sitk.GetArrayFromImage(image))
    assert geometry.spacing[::-1] == pytest.approx(image.GetSpacing())
    assert geometry.origin == pytest.approx(image.GetOrigin())
    assert np.array(geometry.directions[::-1]).T.ravel() == pytest.approx(image.GetDirection())


@pytest.mark.parametrize(
    "turn",
    [
        ((1, 0, 0), (0, 1, 0)),
        ((-1, 0, 0), (0, 1, 0)),
        ((0, 1, 0), (0, 0, -1)),
        ((0.8, 0.6, 0), (0, 0, -1)),
        ((2 / 3, 2 / 3, -1 / 3), (-2 / 3, 1 / 3, -2 / 3)),
    ],
    ids=["axial", "axial, normal downward", "sagittal", "turned about the head", "oblique"],
)
def test_directions_are_those_of_an_independent_reader(tmp_path: Path, turn: Any) -> None:
    sitk = pytest.importorskip("SimpleITK")
    across, down = turn
    normal = np.cross(across, down)
    volume = values(3)
    files = {
        f"{9 - index}.dcm": ct_slice(
            plane,
            index,
            position=[round(float(value), 6) for value in (3, 4, 5) + 2.5 * index * normal],
            ImageOrientationPatient=[round(float(value), 8) for value in (*across, *down)],
        )
        for index, plane in enumerate(volume)
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    image = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path)))
    series = read_series(files, "case")
    geometry = placed(series.header.grid)
    assert np.array_equal(series.values, sitk.GetArrayFromImage(image))
    assert geometry.spacing[::-1] == pytest.approx(image.GetSpacing(), abs=1e-5)
    assert geometry.origin == pytest.approx(image.GetOrigin(), abs=1e-5)
    assert np.array(geometry.directions[::-1]).T.ravel() == pytest.approx(image.GetDirection(), abs=1e-5)
