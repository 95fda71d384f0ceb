import gzip
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from segscale.errors import UnreadableImage
from segscale.storage.bundles import pack
from segscale.tasks.geometry import ras_affine
from segscale.tasks.readers.nifti import NiftiReader
from tests.tasks.readers.nifti_made import AFFINE, changed, nifti

READER = NiftiReader()
SHAPE = (3, 4, 5)
TYPES = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64")


def numbers(dtype: str, shape: tuple[int, ...] = SHAPE) -> NDArray[Any]:
    """Numbers up to both ends of a type."""
    count = int(np.prod(shape))
    if dtype.startswith("float"):
        return np.linspace(-3.5, 7.25, count).astype(dtype).reshape(shape)
    ends = np.iinfo(dtype)
    values = np.arange(count, dtype=dtype)
    values[:2] = ends.min, ends.max
    return values.reshape(shape)


LABELS = np.arange(60, dtype=np.uint8).reshape(SHAPE)
FILE = nifti(LABELS)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("version", [1, 2])
def test_every_type_in_both_byte_orders(dtype: str, order: str, version: int) -> None:
    stored = numbers(dtype)
    data = nifti(stored, version=version, order=order)
    for file in (data, gzip.compress(data)):
        values = READER.stored_values(file, "a.nii.gz")
        assert values.dtype == dtype
        assert values.flags.c_contiguous
        assert np.array_equal(values, stored[..., None])
        assert READER.value_dtype(file, "a.nii.gz") == dtype
        assert np.array_equal(READER.values(file, "a.nii.gz"), values)


@pytest.mark.parametrize("dtype", TYPES)
def test_pictures(dtype: str) -> None:
    stored = np.clip(numbers(dtype), 0, 100)
    data = nifti(stored)
    header, picture = READER.header(data, "a.nii"), READER.read(data, "a.nii")
    assert (header.shape, header.dtype) == (picture.pixels.shape, picture.pixels.dtype.name)
    assert header.dtype == ("float32" if dtype.endswith("64") else dtype)
    assert picture.full_scale == (np.iinfo(dtype).max if header.dtype.startswith(("int", "uint")) else 1)
    assert np.array_equal(picture.pixels, stored[..., None].astype(header.dtype))
    assert picture.spacing_mm == header.spacing_mm == pytest.approx((2.5, 0.5, 0.8))


def test_where_voxels_lie() -> None:
    for version in (1, 2):
        geometry = READER.header(nifti(LABELS, version=version), "a.nii").geometry
        assert geometry is not None
        assert geometry.spacing == pytest.approx((2.5, 0.5, 0.8))
        assert np.allclose(geometry.directions, [(0, 0, 1), (0, -1, 0), (1, 0, 0)])
        assert geometry.origin == pytest.approx((-10, 20, 30))  # left, back, head, where NIfTI has right, front, head
    assert READER.orientation(FILE, "a.nii") == 0


@pytest.mark.parametrize(
    ("fields", "geometry", "notes"),
    [
        pytest.param({"qform_code": 0}, True, (), id="sform alone"),
        pytest.param({"sform_code": 0}, True, (), id="qform alone"),
        pytest.param(
            {"sform_code": 0, "qform_code": 0},
            False,
            ("no affine in its header (sform_code and qform_code are 0): it has voxel sizes and no orientation",),
            id="neither",
        ),
        pytest.param({"xyzt_units": 0}, True, ("no unit of length in its header: millimetres are assumed",), id="unit"),
        pytest.param(
            {"qform_code": 0, "pixdim": {1: -1.0}},
            True,
            ("voxel sizes of 2.5 x 0.5 x -1 mm in its header (pixdim), 2.5 x 0.5 x 0.8 mm by its sform, which counts",),
            id="other voxel sizes than those of the sform",
        ),
        pytest.param({"sform_code": 0, "pixdim": {0: 0.0}}, True, (), id="pixdim[0] of 0 counts as 1"),
        pytest.param({"scl_slope": np.nan, "scl_inter": np.nan}, True, (), id="no slope, as nibabel says it"),
        pytest.param({"scl_slope": 0.0, "scl_inter": 7.0}, True, (), id="no slope, as the format says it"),
    ],
)
def test_what_is_said(fields: dict[str, Any], geometry: bool, notes: tuple[str, ...]) -> None:
    data = changed(FILE, **fields)
    header = READER.header(data, "a.nii")
    assert (header.geometry is not None, header.notes) == (geometry, notes)
    assert header.spacing_mm == pytest.approx((2.5, 0.5, 0.8))
    assert np.array_equal(READER.stored_values(data, "a.nii")[..., 0], LABELS)


@pytest.mark.parametrize(("code", "millimetres"), [(1, 1000.0), (2, 1.0), (3, 0.001)])
def test_units(code: int, millimetres: float) -> None:
    header = READER.header(changed(FILE, xyzt_units=code), "a.nii")
    assert header.geometry is not None
    assert header.geometry.spacing == pytest.approx(np.array([2.5, 0.5, 0.8]) * millimetres)
    assert header.geometry.origin == pytest.approx(np.array([-10, 20, 30]) * millimetres)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("codes", [{"qform_code": 0}, {"sform_code": 0}, {}])
@pytest.mark.parametrize("mirror", [1, -1])
def test_oblique_affines_as_nibabel_reads_them(version: int, codes: dict[str, Any], mirror: int) -> None:
    turn, _ = np.linalg.qr(np.random.default_rng(version).normal(size=(3, 3)))
    affine = np.eye(4)
    affine[:3, :3] = turn * (0.8, 0.5, 2.5 * mirror)
    affine[:3, 3] = (10, -20, 30)
    data = changed(nifti(LABELS, affine, version=version), version=version, **codes)
    geometry = READER.header(data, "a.nii").geometry
    assert geometry is not None
    place = geometry.origin + (np.array(geometry.directions).T * geometry.spacing) @ (2, 3, 4)
    by_nibabel = (nibabel.Nifti1Image, nibabel.Nifti2Image)[version - 1].from_bytes(data).affine
    assert place == pytest.approx((by_nibabel @ (4, 3, 2, 1))[:3] * (-1, -1, 1), abs=1e-4)
    assert geometry.spacing == pytest.approx((2.5, 0.5, 0.8), rel=1e-5)


def test_affines_that_disagree() -> None:
    data = changed(FILE, qoffset_x=3.0)
    with pytest.raises(UnreadableImage, match="its two affines disagree") as caught:
        READER.header(data, "a.nii")
    assert 'dataset.affine = "sform" or "qform"' in str(caught.value)
    by_sform, by_qform = (NiftiReader(affine=one).header(data, "a.nii").geometry for one in ("sform", "qform"))
    assert by_sform is not None
    assert by_qform is not None
    assert (by_sform.origin[0], by_qform.origin[0]) == pytest.approx((-10, -3))
    by_itself = READER.header(changed(data, qform_code=0), "a.nii").geometry
    assert by_itself is not None
    assert np.allclose(ras_affine(by_itself), AFFINE)
    with pytest.raises(UnreadableImage, match="its two affines disagree"):
        READER.header(changed(FILE, quatern_b=np.nan), "a.nii")


@pytest.mark.parametrize("fields", [{"quatern_b": np.nan}, {"pixdim": {1: 0.0}}, {"srow_x": {0: np.nan}}])
def test_of_two_affines_the_chosen_one_needs_to_be_one(fields: dict[str, Any]) -> None:
    data = changed(FILE, **fields)
    good, bad = ("qform", "sform") if "srow_x" in fields else ("sform", "qform")
    assert NiftiReader(affine=good).header(data, "a.nii").geometry is not None  # type: ignore[arg-type]
    for reader in (READER, NiftiReader(affine=bad)):  # type: ignore[arg-type]
        with pytest.raises(UnreadableImage):
            reader.header(data, "a.nii")


@pytest.mark.parametrize(
    ("stored", "shape", "notes"),
    [
        pytest.param(
            LABELS[None], SHAPE, ("stored as 5 x 4 x 3 x 1: the axes of length 1 behind the third are dropped",), id="4"
        ),
        pytest.param(
            LABELS[None, None],
            SHAPE,
            ("stored as 5 x 4 x 3 x 1 x 1: the axes of length 1 behind the third are dropped",),
            id="5 axes",
        ),
        pytest.param(
            LABELS[0], (1, 4, 5), ("a flat image: where it lies in the patient is not read",), id="a flat image"
        ),
    ],
)
def test_other_numbers_of_axes(stored: NDArray[Any], shape: tuple[int, ...], notes: tuple[str, ...]) -> None:
    data = nifti(stored)
    header, usual = READER.header(data, "a.nii"), READER.header(FILE, "a.nii")
    assert (header.shape, header.notes) == ((*shape, 1), notes)
    place = (None, None) if stored.ndim == 2 else (usual.geometry, usual.spacing_mm)
    assert (header.geometry, header.spacing_mm) == place
    assert np.array_equal(READER.stored_values(data, "a.nii"), stored.reshape(*shape, 1))


def test_one_of_several_volumes() -> None:
    stored = np.arange(120, dtype=np.int16).reshape(2, *SHAPE)
    for data in (nifti(stored), gzip.compress(nifti(stored))):
        with pytest.raises(UnreadableImage, match=r"2 volumes in one file, 5 x 4 x 3 x 2; .*dataset.volume = k"):
            READER.header(data, "a.nii")
        for number in (0, 1):
            reader = NiftiReader(number=number)
            assert reader.header(data, "a.nii").notes == (f"volume {number} of 2 is read (dataset.volume)",)
            assert np.array_equal(reader.stored_values(data, "a.nii")[..., 0], stored[number])
        with pytest.raises(UnreadableImage, match=r"dataset.volume = 2, but it holds 2 volumes; .*from 0 to 1"):
            NiftiReader(number=2).header(data, "a.nii")
    with pytest.raises(UnreadableImage, match=r"dataset\.volume = 1, but it holds 1 volume;"):
        NiftiReader(number=1).header(FILE, "a.nii")
    assert np.array_equal(NiftiReader(number=0).stored_values(FILE, "a.nii")[..., 0], LABELS)
    with pytest.raises(UnreadableImage, match=r"5 x 4 x 3 x 1 x 2 voxels; expected three axes"):
        READER.header(nifti(stored[:, None]), "a.nii")


def test_scaled_numbers() -> None:
    stored = np.arange(60, dtype=np.int16).reshape(SHAPE)
    data = changed(nifti(stored), scl_slope=0.5, scl_inter=-10.0)
    picture, header = READER.read(data, "a.nii"), READER.header(data, "a.nii")
    assert (header.dtype, picture.pixels.dtype.name, picture.full_scale) == ("float32", "float32", 1.0)
    assert np.array_equal(picture.pixels[..., 0], stored * 0.5 - 10)
    assert READER.value_dtype(data, "a.nii") == np.float64
    image = nibabel.Nifti1Image.from_bytes(data)
    assert np.array_equal(READER.values(data, "a.nii")[..., 0].T, image.get_fdata())


@pytest.mark.parametrize(
    ("stored", "slope", "intercept", "dtype"),
    [
        pytest.param(np.arange(60, dtype=np.uint8), 1.0, -3.0, np.int32, id="an intercept"),
        pytest.param(np.arange(0, 120, 2, dtype=np.int16), 0.5, 0.0, np.int32, id="halves of even numbers"),
        pytest.param(np.arange(60, dtype=np.uint8), 2.0**40, 1.0, np.int64, id="beyond 32 bits"),
    ],
)
def test_labels_that_are_scaled_exactly(
    stored: NDArray[Any], slope: float, intercept: float, dtype: type[np.integer[Any]]
) -> None:
    data = changed(nifti(stored.reshape(SHAPE)), scl_slope=slope, scl_inter=intercept)
    values = READER.stored_values(data, "a.nii")
    assert values.dtype == dtype
    assert np.array_equal(values.ravel(), stored.astype(np.int64) * int(slope * 2) // 2 + int(intercept))


@pytest.mark.parametrize(
    ("stored", "slope", "message"),
    [
        pytest.param(LABELS, 1 / 255, r"value = 0.00392157 x stored \+ 0\), and 59 of 60 become no whole", id="shares"),
        pytest.param(LABELS.astype(np.float32), 0.5, "30 of 60 become no whole numbers", id="floats"),
        pytest.param(LABELS.astype(np.uint64) + 2**60, 2.0, "60 of 60", id="beyond what float64 holds"),
        pytest.param(LABELS, 1e30, "59 of 60", id="beyond all integers"),
    ],
)
def test_labels_that_are_scaled_to_fractions(stored: NDArray[Any], slope: float, message: str) -> None:
    with pytest.raises(UnreadableImage, match=message):
        READER.stored_values(changed(nifti(stored), scl_slope=slope, scl_inter=0.0), "a.nii")


def test_long_integers_that_a_picture_would_change() -> None:
    stored = LABELS.astype(np.int64)
    stored[0, 0, 1] = 2**24 + 1
    with pytest.raises(UnreadableImage, match="1 of 60 pixels are integers of 64 bits that float32 does not hold, for"):
        READER.read(nifti(stored), "a.nii")


def test_colours() -> None:
    stored = np.arange(180, dtype=np.uint8).reshape(*SHAPE, 3)
    data = changed(FILE, datatype=128, bitpix=24, scl_slope=2.0)[:352] + stored.tobytes()
    assert READER.header(data, "a.nii").shape == (*SHAPE, 3)
    assert np.array_equal(READER.read(data, "a.nii").pixels, stored)


def pair(image_name: str, image: bytes, header: bytes) -> bytes:
    return pack({"a.hdr": header, image_name: image})


def test_pairs() -> None:
    header = changed(FILE, magic=b"ni1", vox_offset=0.0)[:348]
    voxels = LABELS.tobytes()
    for bundle in (
        pair("a.img", voxels, header),
        pair("a.img.gz", gzip.compress(voxels), gzip.compress(header)),
        pair("a.img", b"skipped." + voxels, changed(header, vox_offset=8.0)),
    ):
        assert np.array_equal(READER.stored_values(bundle, "a.hdr")[..., 0], LABELS)
        assert READER.header(bundle, "a.hdr").geometry is not None
    header = changed(nifti(LABELS, version=2), version=2, magic=b"ni2\0\r\n\x1a\n", vox_offset=0)[:540]
    assert np.array_equal(READER.stored_values(pair("a.img", voxels, header), "a.hdr")[..., 0], LABELS)


def test_voxels_that_do_not_begin_at_a_whole_number_of_theirs() -> None:
    stored = numbers("float64")
    data = nifti(stored)
    moved = changed(data, vox_offset=357.0)[:352] + b"12345" + data[352:]
    assert np.array_equal(READER.stored_values(moved, "a.nii")[..., 0], stored)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b"", r"the file is empty \(0 bytes\)", id="nothing"),
        pytest.param(b"\x89PNG\r\n\x1a\n" * 50, "not a NIfTI file, whatever its name says: it starts with", id="PNG"),
        pytest.param(FILE[:300], "cut off: 300 of the 348 bytes of a NIfTI header", id="half a header"),
        pytest.param(gzip.compress(FILE[:300]), "cut off: 300 of the 348", id="half a header, compressed"),
        pytest.param(FILE[:-1], "cut off: 59 of the 60 bytes of voxels", id="a voxel less"),
        pytest.param(FILE + b"\0", "1 bytes behind the 60 bytes of voxels", id="a byte more"),
        pytest.param(FILE[:351], r"begin at byte 352 \(vox_offset\) of 351", id="a header alone"),
        pytest.param(gzip.compress(FILE)[:-4], "cut off: its compressed data end", id="gzip, cut off"),
        pytest.param(gzip.compress(FILE + b"\0"), "holds more than the 412 bytes", id="gzip, a byte more"),
        pytest.param(gzip.compress(FILE[:-1]), "holds 411 of the 412 bytes", id="gzip, a voxel less"),
        pytest.param(b"\x1f\x8b\x08\x00", "the file is empty", id="four bytes of gzip"),
        pytest.param(changed(FILE, magic=b"xyz"), r"its magic is b'xyz\\x00', expected b'n\+1", id="magic"),
        pytest.param(changed(FILE, magic=b"\0\0\0"), "Analyze files have none, and do not say which", id="Analyze"),
        pytest.param(changed(FILE, magic=b"ni1"), "the header of a pair, with 0 files of voxels", id="pair alone"),
        pytest.param(pair("b.raw", b"", changed(FILE, magic=b"ni1")), "with 0 files of voxels", id="another file"),
        pytest.param(changed(FILE, dim={0: 0}), r"claims 0 axes \(dim\[0\]\)", id="no axes"),
        pytest.param(changed(FILE, dim={0: 9}), "claims 9 axes", id="nine axes"),
        pytest.param(changed(FILE, dim={0: 1}), "expected 2 to 4 sides", id="one axis"),
        pytest.param(changed(FILE, dim={2: 0}), "5 x 0 x 3 voxels", id="no rows"),
        pytest.param(changed(FILE, dim={1: -1}), "-1 x 4 x 3 voxels", id="a negative side"),
        pytest.param(changed(FILE, dim={1: 10000, 2: 10000, 3: 10000}), "decoded bytes in shape", id="10^12 voxels"),
        pytest.param(
            gzip.compress(changed(FILE, dim={1: 10000, 2: 10000, 3: 10000})), "decoded bytes in shape", id="compressed"
        ),
        pytest.param(
            gzip.compress(changed(FILE, dim={1: 1000, 2: 1000})), "cannot hold the", id="larger than its gzip"
        ),
        pytest.param(changed(FILE, dim={1: 1000}), "cut off: 60 of the 12000 bytes", id="larger than the file"),
        pytest.param(changed(FILE, vox_offset=0.0), r"begin at byte 0 \(vox_offset\); .* from 352 on", id="offset 0"),
        pytest.param(changed(FILE, vox_offset=-5.0), "begin at byte -5", id="a negative offset"),
        pytest.param(changed(FILE, vox_offset=352.5), "begin at byte 352.5", id="half a byte"),
        pytest.param(changed(FILE, vox_offset=np.nan), "begin at byte nan", id="offset NaN"),
        pytest.param(changed(FILE, vox_offset=1e30), r"begin at byte 1e\+30", id="offset beyond all"),
        pytest.param(changed(FILE, vox_offset=1e6), r"begin at byte 1000000 \(vox_offset\) of 412", id="offset behind"),
        pytest.param(changed(FILE, datatype=1), r"holds single bits \(datatype 1\)", id="bits"),
        pytest.param(changed(FILE, datatype=32), "holds complex numbers", id="complex"),
        pytest.param(changed(FILE, datatype=2304), "holds colours with alpha", id="RGBA"),
        pytest.param(changed(FILE, datatype=1536), "holds floats of 128 bits", id="float128"),
        pytest.param(changed(FILE, datatype=99), "holds numbers of an unknown type", id="unknown"),
        pytest.param(
            changed(FILE, sform_code=0, pixdim={2: -0.5}), r"\(0.8, -0.5, 2.5\); expected numbers", id="minus"
        ),
        pytest.param(changed(FILE, sform_code=0, pixdim={3: 0.0}), r"\(0.8, 0.5, 0\); expected numbers", id="zero"),
        pytest.param(changed(FILE, sform_code=0, qform_code=0, pixdim={1: 0.0}), "expected numbers above 0", id="both"),
        pytest.param(changed(FILE, sform_code=0, pixdim={1: np.nan}), r"\(nan, 0.5, 2.5\)", id="pixdim NaN"),
        pytest.param(changed(FILE, sform_code=0, pixdim={0: 5.0}), r"pixdim\[0\] is 5, which says", id="qfac"),
        pytest.param(changed(FILE, sform_code=0, quatern_c=np.nan), "the quaternion of its qform is none", id="NaN"),
        pytest.param(changed(FILE, sform_code=0, quatern_c=2.0), "of a length of at most 1", id="long quaternion"),
        pytest.param(
            changed(nifti(LABELS, version=2), version=2, sform_code=0, quatern_b=1e300), "at most 1", id="longer"
        ),
        pytest.param(changed(FILE, sform_code=0, qoffset_z=np.inf), "offset .*inf", id="infinite offset"),
        pytest.param(changed(FILE, qform_code=0, srow_x={0: np.nan}), "its geometry .* holds", id="affine NaN"),
        pytest.param(changed(FILE, qform_code=0, srow_x={0: 0.0}), "spacing .* 0", id="affine of length 0"),
        pytest.param(changed(FILE, xyzt_units=5), "its unit of length has the code 5", id="unit"),
        pytest.param(changed(FILE, scl_slope=np.inf), "scaled by scl_slope inf", id="slope"),
        pytest.param(changed(FILE, scl_slope=2.0, scl_inter=np.nan), "scl_slope 2 and scl_inter nan", id="intercept"),
    ],
)
def test_refused(data: bytes, message: str) -> None:
    with pytest.raises(UnreadableImage, match=message) as caught:
        READER.read(data, "a.nii")
    assert str(caught.value).startswith("a.nii: ")


def test_every_cut_is_noticed() -> None:
    compressed = gzip.compress(FILE)
    for data in (FILE, compressed):
        for length in range(len(data)):
            with pytest.raises(UnreadableImage):
                READER.read(data[:length], "a.nii")


@settings(max_examples=300, deadline=None)
@given(place=st.integers(0, 347), value=st.integers(0, 255), packed=st.booleans())
def test_headers_with_a_byte_changed_give_documented_errors_alone(place: int, value: int, packed: bool) -> None:
    data = FILE[:place] + bytes([value]) + FILE[place + 1 :]
    try:
        READER.read(gzip.compress(data, 1) if packed else data, "a.nii")
        READER.stored_values(data, "a.nii")
    except UnreadableImage as error:
        assert str(error).startswith("a.nii: ")  # noqa: PT017  of those that are refused


def test_four_bytes_that_claim_a_gigabyte_take_none() -> None:
    data = gzip.compress(changed(FILE, dim={1: 1000, 2: 1000, 3: 2000}))
    READER.header(data, "a.nii")
    tracemalloc.start()
    with pytest.raises(UnreadableImage, match="cannot hold"):
        READER.read(data, "a.nii")
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_extensions_are_passed_over() -> None:
    extension = struct.pack("<ii", 16, 6) + b"a note.\0"
    data = changed(FILE, vox_offset=368.0)[:348] + b"\1\0\0\0" + extension + FILE[352:]
    assert np.array_equal(READER.stored_values(data, "a.nii")[..., 0], LABELS)


def real_files(folder: Path) -> list[Path]:
    return sorted((folder / "formats").rglob("*.nii.gz"))


@pytest.mark.data
def test_real_files_as_nibabel_reads_them(data_folder: Path) -> None:
    files = real_files(data_folder)
    assert len(files) > 20
    for path in files:
        data, image = path.read_bytes(), nibabel.load(path)
        reader = NiftiReader(affine="sform")
        values = reader.values(data, path.name)
        expected = np.asanyarray(image.dataobj)
        assert values.dtype == expected.dtype.newbyteorder("=")
        assert np.array_equal(values[..., 0].T, expected.reshape(values.shape[2::-1]))
        geometry = reader.header(data, path.name).geometry
        assert geometry is not None
        index = np.array(values.shape[:3]) - 1
        place = geometry.origin + (np.array(geometry.directions).T * geometry.spacing) @ index
        affine = image.affine
        assert place == pytest.approx((affine @ [*index[::-1], 1])[:3] * (-1, -1, 1), abs=1e-4)


@pytest.mark.data
def test_real_files_as_simpleitk_reads_them(data_folder: Path) -> None:
    sitk = pytest.importorskip("SimpleITK")
    for path in real_files(data_folder):
        image = sitk.ReadImage(str(path))
        values = NiftiReader(affine="sform").values(path.read_bytes(), path.name)
        assert np.array_equal(values[..., 0], sitk.GetArrayFromImage(image).reshape(values.shape[:3]))
