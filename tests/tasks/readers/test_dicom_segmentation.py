"""DICOM SEG against its NRRD twins, against highdicom, and against what it must refuse."""

import io
from itertools import permutations, product
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray

from segscale.errors import UnreadableImage
from segscale.tasks.geometry import Geometry
from segscale.tasks.grids import Grid
from segscale.tasks.readers.dicom_file import hashed_uid
from segscale.tasks.readers.dicom_segmentation import read_segmentation
from segscale.tasks.readers.dicom_segments import Overlap, label_map, mask, overlaps, probabilities
from segscale.tasks.readers.dicom_series import read_series_header
from tests.tasks.readers.dicom_made import (
    CROOKED,
    FRAME,
    SERIES,
    ct_series,
    item,
    placed,
    segment,
    segmentation,
    values,
)

X, Y = CROOKED[:2]
PLACE = Geometry((2.5, 0.5, 0.75), ((0, 0, 1), (0, 1, 0), (1, 0, 0)), (X, Y, 0))
GRID = Grid(
    (4, 5, 6),
    PLACE,
    None,
    hashed_uid(SERIES),
    hashed_uid(FRAME),
)

ENCODINGS = ("ExplicitVRLittleEndian", "ImplicitVRLittleEndian", "RLELossless", "JPEGLSLossless")


def blob(seed: int, height: int = 5, width: int = 6) -> NDArray[np.uint8]:
    return (np.random.default_rng(seed).random((height, width)) > 0.5).astype("uint8")


def at(z: float) -> tuple[float, float, float]:
    return X, Y, z


def test_sparse_frames_lie_where_their_positions_say() -> None:
    data = segmentation([(1, at(7.5), blob(1)), (2, at(2.5), blob(2))])
    for reference, first in ((GRID, 1), (None, 0)):
        labels = label_map(read_segmentation(data, "a.dcm", reference))
        expected = np.zeros((4 - first if reference is None else 4, 5, 6), "uint8")[: None if reference else 3]
        expected[first], expected[first + 2] = 2 * blob(2), blob(1)
        assert np.array_equal(labels, expected)


def test_frames_that_do_not_end_at_a_byte() -> None:
    frames = [(1, at(2.5 * index), blob(index, 5, 5)) for index in range(4)]
    labels = label_map(read_segmentation(segmentation(frames), "a.dcm"))
    assert np.array_equal(labels, np.stack([frame for _, _, frame in frames]))


@pytest.mark.parametrize("axes", list(permutations(range(3))))
@pytest.mark.parametrize("signs", list(product((1, -1), repeat=3)))
def test_every_orientation_of_the_image_is_put_right(axes: tuple[int, ...], signs: tuple[int, ...]) -> None:
    """An image whose axes are those of the frames in another order and direction: 48 ways."""
    frames = [(1, at(2.5 * index), blob(index)) for index in range(4)]
    own = np.stack([frame for _, _, frame in frames])
    spacing, directions = np.array(PLACE.spacing), np.array(PLACE.directions)
    last = (np.array(own.shape) - 1) * spacing
    flipped = tuple(index for index, sign in enumerate(signs) if sign < 0)
    origin = np.array(PLACE.origin) + sum(last[axes[index]] * directions[axes[index]] for index in flipped)
    turned = tuple(tuple(float(v) for v in signs[index] * directions[axis]) for index, axis in enumerate(axes))
    geometry = Geometry(
        tuple(float(spacing[axis]) for axis in axes),  # type: ignore[arg-type]
        turned,  # type: ignore[arg-type]
        tuple(float(value) for value in origin),  # type: ignore[arg-type]
    )
    expected = np.flip(own.transpose(axes), flipped)
    labels = label_map(read_segmentation(segmentation(frames), "a.dcm", Grid(expected.shape, geometry)))
    assert np.array_equal(labels, expected)


def test_rows_from_the_bottom_up_are_put_right() -> None:
    frame = blob(3)
    upside_down = segmentation([(1, (X, Y + 4 * 0.5, 5.0), frame[::-1])], orientation=[1, 0, 0, 0, -1, 0])
    labels = label_map(read_segmentation(upside_down, "a.dcm", GRID))
    assert np.array_equal(labels[2], frame)
    assert labels.any(axis=(1, 2)).tolist() == [False, False, True, False]


def test_frames_of_a_part_of_the_image() -> None:
    frame = blob(4, 2, 3)
    labels = label_map(read_segmentation(segmentation([(1, (X + 0.75, Y + 1.0, 5.0), frame)]), "a.dcm", GRID))
    expected = np.zeros(GRID.size, "uint8")
    expected[2, 2:4, 1:4] = frame
    assert np.array_equal(labels, expected)


def test_segments_that_overlap_are_told_and_given_one_by_one() -> None:
    first, second = blob(1), blob(2)
    shared = int((first & second).sum())
    data = segmentation([(1, at(0), first), (4, at(0), second), (4, at(2.5), first), (7, at(2.5), 1 - first)])
    read = read_segmentation(data, "a.dcm", GRID)
    assert overlaps(read) == (Overlap(1, 4, shared),)
    assert np.array_equal(mask(read, 4)[:2], [second, first])
    assert mask(read, 7).sum() == (1 - first).sum()
    with pytest.raises(UnreadableImage, match=f"segments overlap.*: 1 and 4 share {shared} voxels; expected at most"):
        label_map(read)
    with pytest.raises(UnreadableImage, match=r"no segment 2; expected one of \(1, 4, 7\)"):
        mask(read, 2)


def test_fractions_are_probabilities_and_no_labels() -> None:
    stored = np.arange(30, dtype="uint8").reshape(5, 6) * 6
    read = read_segmentation(segmentation([(1, at(2.5), stored)], "FRACTIONAL"), "a.dcm", GRID)
    fractions = probabilities(read, 1)
    assert fractions.dtype == np.float32
    assert np.array_equal(fractions[1], stored / np.float32(200))
    assert not fractions[[0, 2, 3]].any()
    for volume in (lambda: label_map(read), lambda: mask(read, 1)):
        with pytest.raises(UnreadableImage, match=r"holds fractions \(FRACTIONAL\)"):
            volume()
    occupancy = segmentation([(1, at(2.5), stored)], "FRACTIONAL", SegmentationFractionalType="OCCUPANCY")
    assert "how much of a voxel is covered" in read_segmentation(occupancy, "a.dcm", GRID).notes[0]
    with pytest.raises(UnreadableImage, match="BINARY segments and no probabilities"):
        probabilities(read_segmentation(segmentation([(1, at(0), blob(1))]), "a.dcm"), 1)


def test_a_label_map_keeps_its_numbers_and_its_padding() -> None:
    stored = blob(1) * 3
    read = read_segmentation(segmentation([(0, at(2.5), stored)], "LABELMAP", PixelPaddingValue=9), "a.dcm", GRID)
    labels = label_map(read)
    assert np.array_equal(labels[1], stored)
    assert (labels[[0, 2, 3]] == 9).all()
    assert np.array_equal(mask(read, 3)[1], stored == 3)
    assert overlaps(read) == ()


def test_numbers_above_255() -> None:
    labels = label_map(read_segmentation(segmentation([(300, at(0), blob(1))]), "a.dcm"))
    assert labels.dtype == np.uint16
    assert labels.max() == 300


def test_the_smallest_distance_stands_in_for_a_spacing_that_is_not_said() -> None:
    data = segmentation([(1, at(z), blob(1)) for z in (0, 5, 20)], gap=None)
    read = read_segmentation(data, "a.dcm")
    assert read.grid.size == (5, 5, 6)
    assert placed(read.grid).spacing[0] == 5
    assert "smallest distance of frames is taken, 5 mm" in read.notes[0]


@pytest.mark.parametrize(
    ("data", "reference", "sentence"),
    [
        (segmentation([(1, at(0), blob(1))], ReferencedSeriesSequence=None), GRID, None),
        (segmentation([(1, at(0), blob(1))]), Grid(GRID.size, GRID.geometry), None),
        (
            segmentation([(1, at(0), blob(1))]),
            Grid(GRID.size, GRID.geometry, None, "0123456789abcdef", hashed_uid(FRAME)),
            r"was drawn on another series \(sha256 \w{8}\.\.\.\) than the image's \(sha256 01234567\.\.\.\)",
        ),
        (segmentation([(1, at(0), blob(1))], FrameOfReferenceUID="1.5"), GRID, "another frame of reference"),
        (segmentation([(1, at(10), blob(1))]), GRID, r"1 of 1 frames lie outside of the image.*20\.25, 10\) mm"),
        (segmentation([(1, at(1), blob(1))]), GRID, r"lie between the voxels of the image, for example frame 1"),
        (segmentation([(1, at(0), blob(1))], spacing=(0.5, 0.5)), GRID, r"no voxels of the image, spacing \(2\.5"),
        (segmentation([(1, at(0), blob(1))], orientation=[0.8, 0.6, 0, -0.6, 0.8, 0]), GRID, "no voxels of the image"),
        (segmentation([(1, at(0), blob(1)), (1, at(0), blob(2))]), GRID, "frames 1 and 2 are both of segment 1"),
        (
            segmentation([(1, at(0), blob(1)), (1, at(4), blob(2)), (1, at(5), blob(2))]),
            None,
            r"frames lie at 0, 4, 5 mm along the normal, which are no multiples of 2\.5 mm \(Spacing Between Slices\)",
        ),
        (segmentation([(1, at(0), blob(1))], SegmentSequence=[segment(2)]), None, "frames of segment 1, which"),
        (segmentation([(0, at(0), blob(1))], "LABELMAP", SegmentSequence=[segment(2)]), None, "with the value 1"),
        (segmentation([(1, at(0), 3 * blob(1))], packed=False), None, "a frame with the value 3; expected at most 1"),
        (segmentation([(1, at(0), blob(1))], SegmentationType="NONE"), None, "no DICOM segmentation"),
        (segmentation([(1, at(0), blob(1)), (1, at(2.5e9), blob(1))]), None, "decoded bytes"),
        (ct_series(values(1))["0.dcm"], None, "no DICOM segmentation"),
    ],
)  # fmt: skip
def test_what_a_segmentation_belongs_to(data: bytes, reference: Grid | None, sentence: str | None) -> None:
    if sentence is None:
        assert "matched by positions alone" in read_segmentation(data, "a.dcm", reference).notes[0]
        return
    with pytest.raises(UnreadableImage, match=sentence):
        read_segmentation(data, "a.dcm", reference)


@pytest.fixture
def real(data_folder: Path) -> Path:
    return data_folder / "formats" / "dcmqi_dicom_seg"


def twin(path: Path) -> NDArray[Any]:
    sitk = pytest.importorskip("SimpleITK")
    labels: NDArray[Any] = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    return labels


def series_grid(folder: Path) -> Grid:
    return read_series_header({path.name: path.read_bytes() for path in folder.iterdir()}, folder.name).grid


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "series", "nrrd"),
    [
        ("liver.dcm", "ct-3slice", "liver_seg.nrrd"),
        ("23x38x3/seg/label.seg", "23x38x3/image", "23x38x3/nrrd/label.nrrd"),
        ("24x38x3/seg/label.seg", "24x38x3/image", "24x38x3/nrrd/label.nrrd"),
        ("sparse-labelmap-noppv.dcm", "24x38x3/image", "sparse_labelmap_noppv_seg.nrrd"),
        ("sparse-labelmap-ppv5.dcm", "24x38x3/image", "sparse_labelmap_ppv5_seg.nrrd"),
    ],
)
def test_real_segmentations_equal_their_twins(real: Path, name: str, series: str, nrrd: str) -> None:
    """Alone, and in the grid of their series, whose files lie in the opposite order for the liver."""
    data, expected = (real / name).read_bytes(), twin(real / nrrd)
    assert np.array_equal(label_map(read_segmentation(data, name)), expected)
    assert np.array_equal(label_map(read_segmentation(data, name, series_grid(real / series))), expected)


@pytest.mark.data
def test_real_overlapping_segments_equal_their_twins(real: Path) -> None:
    read = read_segmentation((real / "partial_overlaps.dcm").read_bytes(), "a.dcm", series_grid(real / "ct-3slice"))
    parts = [twin(path) for path in sorted(real.glob("partial_overlaps-*.nrrd"))]
    labels = {number: part == number for part in parts for number in np.unique(part)}
    masks = {number: mask(read, number) for number in read.segments}
    assert read.segments == (1, 2, 3, 4, 5)
    assert all(np.array_equal(masks[number], labels[number]) for number in masks)
    assert {(pair.first, pair.second): pair.voxels for pair in overlaps(read)} == {
        (a, b): int((masks[a] & masks[b]).sum()) for a in masks for b in masks if a < b and (masks[a] & masks[b]).any()
    }


@pytest.mark.data
def test_a_real_segmentation_of_another_series_is_refused(real: Path) -> None:
    data = (real / "24x38x3" / "seg" / "label.seg").read_bytes()
    with pytest.raises(UnreadableImage, match="was drawn on another series"):
        read_segmentation(data, "label.seg", series_grid(real / "24x38x3" / "multiframe"))
    with pytest.raises(UnreadableImage, match="another frame of reference"):
        read_segmentation(data, "label.seg", series_grid(real / "ct-3slice"))


@pytest.mark.data
@pytest.mark.parametrize(
    "name", ["binary", "binary_fractional", "binary_overlap", "binary_single_frame", "true_fractional"]
)
def test_real_segments_are_what_highdicom_reads(data_folder: Path, name: str) -> None:
    highdicom = pytest.importorskip("highdicom")
    path = data_folder / "formats" / "highdicom_seg" / f"seg_image_ct_{name}.dcm"
    volume = highdicom.seg.segread(path).get_volume(rescale_fractional=True)
    read = read_segmentation(path.read_bytes(), path.name)
    volumes = [(probabilities if "fractional" in name else mask)(read, number) for number in read.segments]
    # highdicom puts planes along the opposite of the normal.
    ours = np.stack(volumes, axis=-1)
    theirs = volume.array if np.allclose(volume.position, placed(read.grid).origin) else volume.array[::-1]
    assert np.allclose(ours, theirs.reshape(ours.shape))


@pytest.mark.data
@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL", "LABELMAP"])
@pytest.mark.parametrize("syntax", ENCODINGS)
def test_every_encoding_that_highdicom_writes(real: Path, kind: str, syntax: str) -> None:
    hd = pytest.importorskip("highdicom")
    folder = real / "23x38x3" / "image"
    source = [pydicom.dcmread(path) for path in sorted(folder.iterdir())]
    drawn = np.random.default_rng(0).integers(0, 2, (3, 38, 23)).astype("uint8")
    described = hd.seg.SegmentDescription(
        1, "a", hd.sr.CodedConcept("10200004", "SCT", "Liver"), hd.sr.CodedConcept("10200004", "SCT", "Liver"), "MANUAL"
    )
    try:
        written = hd.seg.Segmentation(
            source, drawn, kind, [described], hd.UID(), 1, hd.UID(), 1, "m", "m", "1", "1",
            max_fractional_value=1 if kind == "FRACTIONAL" else 255,
            transfer_syntax_uid=getattr(pydicom.uid, syntax),
        )  # fmt: skip
    except (ValueError, NotImplementedError) as error:
        pytest.skip(f"not written: {error}")
    stream = io.BytesIO()
    written.save_as(stream)
    read = read_segmentation(stream.getvalue(), "a.dcm", series_grid(folder))
    volume = probabilities(read, 1) if kind == "FRACTIONAL" else label_map(read)
    assert np.array_equal(volume, drawn)


def test_frames_of_two_orientations_are_refused_in_a_grid_too() -> None:
    header = pydicom.dcmread(io.BytesIO(segmentation([(1, at(0), blob(1)), (1, at(2.5), blob(2))])))
    turned = item(ImageOrientationPatient=[0, 1, 0, 1, 0, 0])
    header.PerFrameFunctionalGroupsSequence[1].PlaneOrientationSequence = [turned]
    stream = io.BytesIO()
    header.save_as(stream)
    with pytest.raises(UnreadableImage, match="two orientations"):
        read_segmentation(stream.getvalue(), "a.dcm", GRID)
