"""Bad volumes, a row for each way to be wrong and each format that can be: the sentence, and no memory taken for it."""

from __future__ import annotations

import gzip
import io
import tracemalloc
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from segscale.errors import UnreadableImage
from segscale.storage.bundles import pack
from segscale.tasks import readers
from segscale.tasks.geometry import Geometry
from segscale.tasks.grids import Grid
from segscale.tasks.readers.archives import NpzReader
from segscale.tasks.readers.arrays import NumpyReader
from segscale.tasks.readers.dicom_file import hashed_uid
from segscale.tasks.readers.dicom_segmentation import read_segmentation
from segscale.tasks.readers.dicom_segments import label_map
from segscale.tasks.readers.dicom_series import read_series
from segscale.tasks.readers.metaimage import MetaImageReader
from segscale.tasks.readers.nifti import NiftiReader
from segscale.tasks.readers.nrrd import NrrdReader
from tests.tasks.readers.dicom_made import CROOKED, FRAME, ct_series, ct_slice, multi_frame, segmentation, values
from tests.tasks.readers.fuzz.seeds_volumes import metaimage_header, nrrd_header
from tests.tasks.readers.nifti_made import changed, nifti

Row = tuple[str, str, Callable[[], Any], str]

VOXELS = np.arange(60, dtype="<i2").reshape(3, 4, 5)
RAW, PACKED = VOXELS.tobytes(), gzip.compress(VOXELS.tobytes())
BOMB = gzip.compress(bytes(50_000_000))
HALVES = VOXELS / np.float32(2)
NIFTI = nifti(VOXELS)
BY_SFORM: dict[str, Any] = {"qform_code": 0}
BY_QFORM: dict[str, Any] = {"sform_code": 0}
BY_SIZES = {**BY_SFORM, **BY_QFORM}
DEFLATED = "1.2.840.10008.1.2.1.99"
X, Y = CROOKED[:2]
DRAWN = np.indices((5, 6)).sum(0).astype(np.uint8) % 2
IMAGE = Grid(
    (4, 5, 6), Geometry((2.5, 0.5, 0.75), ((0, 0, 1), (0, 1, 0), (1, 0, 0)), (X, Y, 0)), None, hashed_uid("1.2.3.1"),
    hashed_uid(FRAME),
)  # fmt: skip
FORMATS = ("NIfTI", "NIfTI pair", "NRRD", "MetaImage", ".npy", ".npz", "DICOM series", "DICOM SEG")


def of_nifti(data: bytes) -> Callable[[], Any]:
    return lambda: NiftiReader().read(data, "a.nii")


def of_pair(header: bytes, image: bytes) -> Callable[[], Any]:
    return lambda: NiftiReader().read(pack({"a.hdr": header, "a.img": image}), "a.hdr")


def head(**fields: Any) -> bytes:
    """The header of a pair."""
    return changed(NIFTI, magic=b"ni1", vox_offset=0.0, **fields)


def of_nrrd(encoding: str = "raw", voxels: bytes = RAW, **fields: str) -> Callable[[], Any]:
    data = nrrd_header(encoding, **{key.replace("_", " "): value for key, value in fields.items()}) + voxels
    return lambda: NrrdReader().read(data, "a.nrrd")


def of_metaimage(voxels: bytes = RAW, **fields: str) -> Callable[[], Any]:
    data = metaimage_header(**fields) + voxels
    return lambda: MetaImageReader().read(data, "a.mha")


def npy(array: np.ndarray[Any, Any], **claims: str) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    data = stream.getvalue()
    for shape in claims.values():
        text = f"{{'descr': '<i2', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
        data = b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text.encode() + data[128:]
    return data


def npz(member: bytes, size: int | None = None) -> bytes:
    """An archive of one array; `size` is what it claims to inflate to."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.npy", member)
    data = stream.getvalue()
    return data if size is None else data.replace(len(member).to_bytes(4, "little"), size.to_bytes(4, "little"))


def of_npz(member: bytes, size: int | None = None) -> Callable[[], Any]:
    data = npz(member, size)
    return lambda: NpzReader().read(data, "a.npz")


def of_series(files: Mapping[str, bytes]) -> Callable[[], Any]:
    return lambda: read_series(files, "case")


def one_more(z: float = 10, **elements: Any) -> Callable[[], Any]:
    """Four slices, and one with other elements."""
    return of_series({**ct_series(values(4)), "x.dcm": ct_slice(values(1)[0], z, **elements)})


def of_seg(*frames: tuple[int, float], grid: Grid | None = None, **elements: Any) -> Callable[[], Any]:
    """Of frames (segment number, height)."""
    data = segmentation([(number, (X, Y, z), DRAWN) for number, z in frames or ((1, 0),)], **elements)
    return lambda: label_map(read_segmentation(data, "a.dcm", grid))


def as_labels(data: bytes, name: str) -> Callable[[], Any]:
    return lambda: readers.read_label_map(data, name)


def without(index: int) -> dict[str, bytes]:
    files = ct_series(values(6))
    del files[f"{index}.dcm"]
    return files


TABLE: tuple[Row, ...] = (
    (
        "cut off in its compressed part",
        "NIfTI",
        of_nifti(gzip.compress(NIFTI)[:-9]),
        "cut off: its compressed data end",
    ),
    ("cut off in its compressed part", "NIfTI pair", of_pair(head(), PACKED[:-9]), "cut off: its compressed data end"),
    ("cut off in its compressed part", "NRRD", of_nrrd("gzip", PACKED[:-9]), "cut off: its compressed data end"),
    (
        "cut off in its compressed part",
        "MetaImage",
        of_metaimage(PACKED[:-9], CompressedData="True"),
        "cut off: its compressed data end",
    ),
    (
        "cut off in its compressed part",
        ".npz",
        lambda: NpzReader().read(npz(npy(VOXELS))[:-9], "a.npz"),
        "damaged or unsupported .npz archive",
    ),
    (
        "cut off in its compressed part",
        "DICOM series",
        of_series({"x.dcm": ct_slice(values(1)[0], 5, DEFLATED)[:-40]}),
        r"x\.dcm: (\d+ bytes of pixels; expected 60|cut)",
    ),
    (
        "cut off in its compressed part",
        "DICOM SEG",
        lambda: read_segmentation(segmentation([(1, (X, Y, 0), DRAWN)], syntax=DEFLATED)[:-40], "a.dcm"),
        r"a\.dcm: (cut off|damaged|\d+ bytes of pixels)",
    ),
    ("another magic", "NIfTI", of_nifti(changed(NIFTI, magic=b"xyz")), r"its magic is b'xyz\\x00', expected b'n\+1"),
    (
        "another magic",
        "NIfTI pair",
        of_pair(b"\x89PNG\r\n\x1a\n" * 50, RAW),
        "not a NIfTI file, whatever its name says",
    ),
    ("another magic", "NRRD", lambda: NrrdReader().read(b"GIF89a" * 9, "a.nrrd"), "it begins as a GIF image"),
    (
        "another magic",
        "MetaImage",
        lambda: MetaImageReader().read(b"\x89PNG\r\n\x1a\n", "a.mha"),
        "not a MetaImage, whatever",
    ),
    (
        "another magic",
        ".npy",
        lambda: NumpyReader().read(NIFTI, "a.npy"),
        "not a .npy file of numpy, whatever its name",
    ),
    ("another magic", ".npz", lambda: NpzReader().read(PACKED, "a.npz"), "it begins as a file packed with gzip"),
    ("another magic", "DICOM series", of_series({"x.dcm": NIFTI}), r"x\.dcm: not DICOM, whatever its name says"),
    ("another magic", "DICOM SEG", lambda: read_segmentation(NIFTI, "a.dcm"), "not DICOM, whatever its name says"),
    ("more voxels than the file has", "NIfTI", of_nifti(changed(NIFTI, dim={3: 30})), "cut off: 120 of the 1200 bytes"),
    ("more voxels than the file has", "NIfTI pair", of_pair(head(dim={3: 30}), RAW), "cut off: 120 of the 1200 bytes"),
    ("more voxels than the file has", "NRRD", of_nrrd(sizes="5 4 30"), "cut off: 120 of the 1200 bytes of voxels"),
    ("more voxels than the file has", "MetaImage", of_metaimage(DimSize="5 4 30"), "cut off: 120 of the 1200 bytes"),
    (
        "more voxels than the file has",
        ".npy",
        lambda: NumpyReader().read(npy(VOXELS, shape="(30, 4, 5)"), "a.npy"),
        "cut off: 120 of 1200 bytes",
    ),
    ("more voxels than the file has", ".npz", of_npz(npy(VOXELS, shape="(30, 4, 5)")), "has 248 bytes; expected 1328"),
    (
        "more voxels than the file has",
        "DICOM series",
        of_series({"x.dcm": ct_slice(values(1)[0], 5, Rows=5000)}),
        r"x\.dcm: 60 bytes of pixels; expected 60000",
    ),
    ("more voxels than the file has", "DICOM SEG", of_seg(Rows=500), r"\d+ bytes of pixels; expected 375"),
    (
        "more inside than it claims",
        "NIfTI",
        of_nifti(gzip.compress(NIFTI + bytes(50_000_000))),
        "holds more than the 472",
    ),
    ("more inside than it claims", "NIfTI pair", of_pair(head(), BOMB), "holds more than the 120 bytes"),
    ("more inside than it claims", "NRRD", of_nrrd("gzip", BOMB), "holds more than the 120 bytes"),
    (
        "more inside than it claims",
        "MetaImage",
        of_metaimage(BOMB, CompressedData="True"),
        "holds more than the 120 bytes",
    ),
    ("more inside than it claims", ".npz", of_npz(npy(VOXELS) + bytes(50_000_000)), "has 50000248 bytes; expected 248"),
    (
        "more inside than it claims",
        "DICOM series",
        of_series({"x.dcm": ct_slice(values(1)[0], 5, DEFLATED, PixelData=bytes(2_000_000))}),
        "bytes of pixels; expected 60",
    ),
    (
        "more inside than it claims",
        "DICOM SEG",
        of_seg(syntax=DEFLATED, PixelData=bytes(2_000_000)),
        "bytes of pixels; expected 4",
    ),
    (
        "less inside than it claims",
        "NIfTI",
        of_nifti(gzip.compress(changed(NIFTI, dim={1: 1000, 2: 1000, 3: 1000}))),
        "cannot hold the 2000000352 bytes",
    ),
    ("less inside than it claims", "NIfTI pair", of_pair(head(dim={1: 1000, 2: 1000, 3: 1000}), PACKED), "cannot hold"),
    (
        "less inside than it claims",
        "NRRD",
        of_nrrd("gzip", PACKED, sizes="1000 1000 1000"),
        "cannot hold the 2000000000",
    ),
    (
        "less inside than it claims",
        "MetaImage",
        of_metaimage(PACKED, CompressedData="True", DimSize="1000 1000 1000"),
        "cannot hold the 2000000000 bytes",
    ),
    (
        "less inside than it claims",
        ".npz",
        of_npz(npy(VOXELS, shape="(1000, 1000, 1000)"), 2_000_000_128),
        "cannot hold the 2000000128 that its array claims",
    ),
    (
        "less inside than it claims",
        "DICOM series",
        of_series({"x.dcm": ct_slice(values(1)[0], 5, Rows=20_000, Columns=20_000)}),
        "60 bytes of pixels; expected 800000000",
    ),
    (
        "less inside than it claims",
        "DICOM SEG",
        of_seg(Rows=60_000, Columns=8_000),
        r"\d+ bytes of pixels; expected 60000000",
    ),
    ("a slice missing", "DICOM series", of_series(without(2)), r"1 slices are missing.*between 2\.5 and 7\.5 mm"),
    (
        "a slice missing",
        "DICOM SEG",
        of_seg((1, 0), (1, 4), (1, 5)),
        r"frames lie at 0, 4, 5 mm.*no multiples of 2\.5 mm",
    ),
    ("a slice doubled", "DICOM series", one_more(2.5), r"1 slices lie where another does, for example two at 2\.5 mm"),
    ("a slice doubled", "DICOM SEG", of_seg((1, 0), (1, 0)), "frames 1 and 2 are both of segment 1"),
    (
        "two series in one",
        "DICOM series",
        one_more(SeriesInstanceUID="1.9"),
        r"files of 2 series: 4 of CT, from 0 to 7\.5 mm along their normal; 1 of CT, from 10 to 10 mm",
    ),
    (
        "of another series",
        "DICOM SEG",
        of_seg(grid=Grid(IMAGE.size, IMAGE.geometry, None, hashed_uid("1.9"), IMAGE.frame_of_reference_id)),
        r"was drawn on another series \(sha256 \w{8}\.\.\.\) than the image's \(sha256 \w{8}\.\.\.\)",
    ),
    ("NaN in its geometry", "NIfTI", of_nifti(changed(NIFTI, **BY_SFORM, srow_x={0: np.nan})), "its geometry .* holds"),
    ("NaN in its geometry", "NIfTI pair", of_pair(head(**BY_QFORM, quatern_b=np.nan), RAW), "quaternion of its qform"),
    ("NaN in its geometry", "NRRD", of_nrrd(space_directions="(1,0,0) (0,nan,0) (0,0,1)"), "its geometry .* holds"),
    ("NaN in its geometry", "MetaImage", of_metaimage(TransformMatrix="1 0 0 0 nan 0 0 0 1"), "nan"),
    (
        "NaN in its geometry",
        "DICOM series",
        one_more(ImagePositionPatient=["nan", 0, 10]),
        "ImagePositionPatient is .*nan",
    ),
    (
        "NaN in its geometry",
        "DICOM SEG",
        of_seg(orientation=["nan", 0, 0, 0, 1, 0]),
        "ImageOrientationPatient is .*nan",
    ),
    (
        "a singular geometry",
        "NIfTI",
        of_nifti(changed(NIFTI, **BY_SFORM, srow_x={0: 0.0, 1: 1.0}, srow_y={0: 0.0, 1: 1.0})),
        "its geometry|spacing",
    ),
    ("a singular geometry", "NIfTI pair", of_pair(head(**BY_SFORM, srow_x={0: 0.0}), RAW), "spacing .* 0"),
    ("a singular geometry", "NRRD", of_nrrd(space_directions="(1,0,0) (2,0,0) (0,0,1)"), "its geometry is singular"),
    ("a singular geometry", "MetaImage", of_metaimage(TransformMatrix="1 0 0 1 0 0 0 0 1"), "its geometry is singular"),
    ("a singular geometry", "DICOM series", one_more(ImageOrientationPatient=[1, 0, 0, 1, 0, 0]), "at a right angle"),
    ("a singular geometry", "DICOM SEG", of_seg(orientation=[1, 0, 0, 1, 0, 0]), "two unit vectors at a right angle"),
    (
        "a spacing below 0",
        "NIfTI",
        of_nifti(changed(NIFTI, **BY_SIZES, pixdim={2: -0.5})),
        r"\(0.8, -0.5, 2.5\); expected",
    ),
    ("a spacing below 0", "NIfTI pair", of_pair(head(**BY_QFORM, pixdim={2: -0.5}), RAW), r"\(0.8, -0.5, 2.5\)"),
    (
        "a spacing below 0",
        "NRRD",
        lambda: NrrdReader().read(
            nrrd_header("raw").replace(b"space directions: (0.8,0,0) (0,0.5,0) (0,0,2.5)", b"spacings: 1 -1 1") + RAW,
            "a.nrrd",
        ),
        "above 0",
    ),
    ("a spacing below 0", "MetaImage", of_metaimage(ElementSpacing="1 -1 1"), "expected millimetres above 0"),
    ("a spacing below 0", "DICOM series", one_more(PixelSpacing=[0.5, -1]), r"a spacing of \(0\.5, -1\) mm"),
    ("a spacing below 0", "DICOM SEG", of_seg(spacing=(-0.5, 0.75)), r"a spacing of \(-0\.5, 0\.75\) mm"),
    ("a spacing of 0", "NIfTI", of_nifti(changed(NIFTI, **BY_QFORM, pixdim={3: 0.0})), r"\(0.8, 0.5, 0\); expected"),
    ("a spacing of 0", "NIfTI pair", of_pair(head(**BY_SIZES, pixdim={1: 0.0}), RAW), "expected numbers above 0"),
    ("a spacing of 0", "NRRD", of_nrrd(space_directions="(1,0,0) (0,0,0) (0,0,1)"), "spacing .* 0"),
    ("a spacing of 0", "MetaImage", of_metaimage(ElementSpacing="1 0 1"), "its ElementSpacing is 1 0 1"),
    ("a spacing of 0", "DICOM series", one_more(PixelSpacing=[0.5, 0]), r"a spacing of \(0\.5, 0\) mm"),
    ("a spacing of 0", "DICOM SEG", of_seg(spacing=(0.5, 0)), r"a spacing of \(0\.5, 0\) mm"),
    (
        "fractions for labels",
        "NIfTI",
        lambda: NiftiReader().stored_values(changed(NIFTI, scl_slope=0.5), "a.nii"),
        "30 of 60 become no whole numbers",
    ),
    (
        "fractions for labels",
        "NIfTI pair",
        lambda: NiftiReader().stored_values(pack({"a.hdr": head(scl_slope=0.5), "a.img": RAW}), "a.hdr"),
        "30 of 60 become no whole numbers",
    ),
    (
        "fractions for labels",
        "NRRD",
        as_labels(nrrd_header("raw", type="float") + HALVES.tobytes(), "a.nrrd"),
        "not whole",
    ),
    (
        "fractions for labels",
        "MetaImage",
        as_labels(metaimage_header(ElementType="MET_FLOAT") + HALVES.tobytes(), "a.mha"),
        "not whole numbers",
    ),
    ("fractions for labels", ".npy", as_labels(npy(HALVES), "a.npy"), "30 of 60 values are not whole numbers"),
    ("fractions for labels", ".npz", as_labels(npz(npy(HALVES)), "a.npz"), "not whole numbers"),
    (
        "fractions for labels",
        "DICOM SEG",
        lambda: label_map(read_segmentation(segmentation([(1, (X, Y, 0), 100 * DRAWN)], "FRACTIONAL"), "a.dcm")),
        r"holds fractions \(FRACTIONAL\) and no labels",
    ),
    (
        "10^12 voxels",
        "NIfTI",
        of_nifti(changed(NIFTI, dim={1: 10_000, 2: 10_000, 3: 10_000})),
        "claims 2000000000000 decoded",
    ),
    (
        "10^12 voxels",
        "NIfTI pair",
        of_pair(head(dim={1: 10_000, 2: 10_000, 3: 10_000}), PACKED),
        "claims 2000000000000 decoded bytes",
    ),
    ("10^12 voxels", "NRRD", of_nrrd(sizes="10000 10000 10000"), "claims 2000000000000 decoded bytes"),
    ("10^12 voxels", "MetaImage", of_metaimage(DimSize="10000 10000 10000"), "claims 2000000000000 decoded bytes"),
    (
        "10^12 voxels",
        ".npy",
        lambda: NumpyReader().read(npy(VOXELS, shape="(10000, 10000, 10000)"), "a.npy"),
        "cut off: 120 of 2000000000000",
    ),
    (
        "10^12 voxels",
        ".npz",
        of_npz(npy(VOXELS, shape="(10000, 10000, 10000)")),
        "has 248 bytes; expected 2000000000128",
    ),
    (
        "10^12 voxels",
        "DICOM series",
        of_series({"x.dcm": multi_frame(values(3), [0, 1, 2], NumberOfFrames=2**31 - 1)}),
        "claims 2147483647 frames and describes 3",
    ),
    ("10^12 voxels", "DICOM SEG", of_seg((1, 0), (1, 2.5e11)), "decoded bytes"),
)

NO_GEOMETRY, NO_SERIES, NO_COMPRESSION = "has no geometry", "is one file without slices of its own", "is not compressed"
ALONE = ("NIfTI", "NIfTI pair", "NRRD", "MetaImage", ".npy", ".npz")
CANNOT: Mapping[tuple[str, str], str] = {
    **{
        (reason, ".npy"): NO_COMPRESSION
        for reason in ("cut off in its compressed part", "more inside than it claims", "less inside than it claims")
    },
    **{
        (reason, name): NO_GEOMETRY
        for reason in ("NaN in its geometry", "a singular geometry", "a spacing below 0", "a spacing of 0")
        for name in (".npy", ".npz")
    },
    **{
        (reason, name): NO_SERIES
        for reason in ("a slice missing", "a slice doubled", "two series in one", "of another series")
        for name in ALONE
    },
    ("two series in one", "DICOM SEG"): "is one file",
    ("of another series", "DICOM series"): "refers to none",
    ("fractions for labels", "DICOM series"): "is an image, never labels",
}
"""What a format cannot be, and why."""


@pytest.mark.parametrize(
    ("reason", "name", "read", "sentence"), TABLE, ids=[f"{name}, {reason}" for reason, name, *_ in TABLE]
)
def test_bad(reason: str, name: str, read: Callable[[], Any], sentence: str) -> None:
    if reason == "fractions for labels" and name in ("NRRD", "MetaImage", ".npz"):
        _skip_unless_known({"NRRD": "a.nrrd", "MetaImage": "a.mha", ".npz": "a.npz"}[name])
    with pytest.raises(UnreadableImage, match=sentence):  # what is imported for it is no memory of the file's
        read()
    tracemalloc.start()
    try:
        with pytest.raises(UnreadableImage) as caught:
            read()
        assert tracemalloc.get_traced_memory()[1] < 2**23, "memory is taken for what is only claimed"
    finally:
        tracemalloc.stop()
    message = str(caught.value)
    assert message.startswith(("a.", "x.", "case: ")), "it says which file"
    assert "\n" not in message
    assert len(message) < 600


def _skip_unless_known(name: str) -> None:
    try:
        readers.reader_for(name)
    except UnreadableImage:
        pytest.skip("labels of this format are read elsewhere")


def test_every_format_has_a_row_for_whatever_it_can_be() -> None:
    rows = [(reason, name) for reason, name, _, _ in TABLE]
    assert len(rows) == len(set(rows))
    assert not set(rows) & set(CANNOT)
    assert {*rows, *CANNOT} == {(reason, name) for reason, _ in rows for name in FORMATS}
