import gzip
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segscale.errors import UnreadableImage
from segscale.storage.bundles import pack
from segscale.tasks.readers.metaimage import MetaImageReader, metaimage_data_files

READER = MetaImageReader()
SHAPE = (3, 4, 5)
VOXELS = np.arange(60, dtype=np.int16).reshape(SHAPE)
FIELDS = {
    "ObjectType": "Image",
    "NDims": "3",
    "BinaryData": "True",
    "BinaryDataByteOrderMSB": "False",
    "CompressedData": "False",
    "TransformMatrix": "0 0 1 1 0 0 0 1 0",
    "Offset": "1 2 3",
    "CenterOfRotation": "0 0 0",
    "AnatomicalOrientation": "RAI",
    "ElementSpacing": "0.8 0.5 2.5",
    "DimSize": "5 4 3",
    "ElementType": "MET_SHORT",
    "ElementDataFile": "LOCAL",
}


def header(line_end: str = "\n", **fields: str | None) -> bytes:
    """A header with other fields; None leaves one out."""
    given = {**FIELDS, **fields}
    last = given.pop("ElementDataFile")
    lines = [f"{key} = {value}" for key, value in [*given.items(), ("ElementDataFile", last)] if value is not None]
    return (line_end.join(lines) + line_end).encode()


def metaimage(voxels: bytes = VOXELS.tobytes(), **fields: Any) -> bytes:
    return header(**fields) + voxels


FILE = metaimage()
TEXT = " ".join(map(str, VOXELS.ravel())).encode()


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(FILE, id="in one file"),
        pytest.param(metaimage(line_end="\r\n"), id="lines as Windows ends them"),
        pytest.param(metaimage(ObjectType=None, BinaryData=None, CompressedData=None), id="without what is usual"),
        pytest.param(metaimage(VOXELS.astype(">i2").tobytes(), BinaryDataByteOrderMSB="True"), id="the other order"),
        pytest.param(
            metaimage(VOXELS.astype(">i2").tobytes(), BinaryDataByteOrderMSB=None, ElementByteOrderMSB="True"),
            id="the other order by its other name",
        ),
        pytest.param(metaimage(zlib.compress(VOXELS.tobytes()), CompressedData="True"), id="compressed"),
        pytest.param(metaimage(gzip.compress(VOXELS.tobytes()), CompressedData="True"), id="compressed as gzip"),
        pytest.param(metaimage(TEXT, BinaryData="False"), id="text"),
        pytest.param(metaimage(TransformMatrix=None, Rotation=FIELDS["TransformMatrix"]), id="older names"),
        pytest.param(
            metaimage(Offset=None, Position="1 2 3", ElementSpacing=None, ElementSize="0.8 0.5 2.5"), id="old"
        ),
        pytest.param(pack({"a.mhd": header(ElementDataFile="a.raw"), "a.raw": VOXELS.tobytes()}), id="a file beside"),
        pytest.param(
            pack({"a.mhd": header(ElementDataFile="a.raw", HeaderSize="4"), "a.raw": b"1234" + VOXELS.tobytes()}),
            id="behind a header",
        ),
        pytest.param(
            pack({"a.mhd": header(ElementDataFile="a.raw", HeaderSize="-1"), "a.raw": b"1234" + VOXELS.tobytes()}),
            id="the last bytes",
        ),
        pytest.param(
            pack(
                {
                    "a.mhd": header(ElementDataFile="%02d.raw 1 3 1"),
                    **{f"0{k + 1}.raw": VOXELS[k].tobytes() for k in range(3)},
                }
            ),
            id="files by a pattern",
        ),
        pytest.param(
            pack(
                {
                    "a.mhd": header(ElementDataFile="LIST") + b"c.raw\nb.raw\na.raw\n",
                    **{f"{'cba'[k]}.raw": VOXELS[k].tobytes() for k in range(3)},
                }
            ),
            id="files in a list",
        ),
    ],
)
def test_ways_to_store_voxels(data: bytes) -> None:
    values = READER.stored_values(data, "a.mha")
    assert (values.dtype.name, values.shape) == ("int16", (*SHAPE, 1))
    assert np.array_equal(values[..., 0], VOXELS)
    found = READER.header(data, "a.mha")
    assert found.geometry is not None
    assert found.notes == ()
    assert (found.geometry.spacing, found.geometry.origin) == ((2.5, 0.5, 0.8), (1, 2, 3))
    assert found.geometry.directions == ((0, 1, 0), (1, 0, 0), (0, 0, 1))


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("ending", ["mha", "mhd"])
def test_what_simpleitk_writes(dtype: str, compressed: bool, ending: str, tmp_path: Path) -> None:
    sitk = pytest.importorskip("SimpleITK")
    stored = np.arange(60).astype(dtype).reshape(SHAPE)
    image = sitk.GetImageFromArray(stored)
    image.SetSpacing((0.8, 0.5, 2.5))
    image.SetOrigin((1, 2, 3))
    image.SetDirection((0, 1, 0, 0, 0, -1, 1, 0, 0))
    name = f"a.{ending}"
    sitk.WriteImage(image, str(tmp_path / name), compressed)
    data = (tmp_path / name).read_bytes()
    beside = metaimage_data_files(data, name)
    if beside:
        data = pack({name: data, **{one: (tmp_path / one).read_bytes() for one in beside}})
    values, found = READER.values(data, name), READER.header(data, name)
    assert values.dtype == stored.dtype
    assert np.array_equal(values[..., 0], stored)
    assert found.geometry is not None
    assert found.geometry.spacing == (2.5, 0.5, 0.8)
    for index in ((1, 0, 0), (0, 2, 0), (3, 1, 2)):
        steps = np.array(found.geometry.directions).T * found.geometry.spacing
        expected = image.TransformIndexToPhysicalPoint(index)
        assert steps @ index[::-1] + found.geometry.origin == pytest.approx(expected)


def test_colours() -> None:
    stored = np.arange(180, dtype=np.uint8).reshape(*SHAPE, 3)
    data = metaimage(stored.tobytes(), ElementType="MET_UCHAR", ElementNumberOfChannels="3")
    assert np.array_equal(READER.read(data, "a.mha").pixels, stored)
    with pytest.raises(UnreadableImage, match=r"2 channels in shape \(3, 4, 5, 2\); expected 1 or 3"):
        READER.read(metaimage(ElementNumberOfChannels="2"), "a.mha")


@pytest.mark.parametrize(
    ("fields", "spacing", "note"),
    [
        pytest.param(
            {"TransformMatrix": None, "Offset": None},
            (2.5, 0.5, 0.8),
            "no place in the patient (its header lacks TransformMatrix and Offset)",
            id="a spacing alone",
        ),
        pytest.param(
            {"ElementSpacing": None},
            None,
            "no ElementSpacing in its header: neither spacing nor place in the patient",
            id="no spacing",
        ),
        pytest.param(
            {"NDims": "2", "DimSize": "5 12", "ElementSpacing": "1 1"},
            None,
            "a flat image: where it lies in the patient is not read",
            id="a flat image",
        ),
    ],
)
def test_places_that_are_not_known(fields: dict[str, Any], spacing: tuple[float, ...] | None, note: str) -> None:
    found = READER.header(metaimage(**fields), "a.mha")
    assert (found.geometry, found.spacing_mm, found.notes) == (None, spacing, (note,))


def test_a_fourth_axis() -> None:
    found = READER.header(metaimage(NDims="4", DimSize="5 4 3 1"), "a.mha")
    assert found.shape == (*SHAPE, 1)
    assert found.notes[0] == "stored as 5 x 4 x 3 x 1: the axes of length 1 behind the third are dropped"
    with pytest.raises(UnreadableImage, match="5 x 2 x 3 x 2 voxels; expected two or three axes"):
        READER.header(metaimage(NDims="4", DimSize="5 2 3 2"), "a.mha")


def test_a_byte_order_that_is_not_given_is_said() -> None:
    found = READER.header(metaimage(BinaryDataByteOrderMSB=None), "a.mha")
    assert found.notes == ("no byte order in its header: little-endian is assumed",)


def test_units() -> None:
    found = READER.header(metaimage(DistanceUnits="cm"), "a.mha").geometry
    assert found is not None
    assert (*found.spacing, *found.origin) == pytest.approx((25, 5, 8, 10, 20, 30))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b"", r"the file is empty \(0 bytes\)", id="nothing"),
        pytest.param(b"\x89PNG\r\n\x1a\n", "not a MetaImage, whatever its name says: it starts with", id="PNG"),
        pytest.param(header()[:100], "without its last line, ElementDataFile: damaged or cut off", id="half a header"),
        pytest.param(b"NDims = 3\n" + b" " * 10**6, "without its last line", id="a megabyte of spaces"),
        pytest.param(metaimage(ObjectType="Tube"), "a MetaIO file of type 'Tube'; expected Image", id="tubes"),
        pytest.param(metaimage(ndims="3"), "its field ndims stands twice", id="a field twice"),
        pytest.param(metaimage(NDims="2"), "'5 4 3' with NDims '2'", id="other numbers of axes"),
        pytest.param(metaimage(DimSize=None), "its DimSize is ''", id="no sides"),
        pytest.param(metaimage(NDims="17", DimSize="1 " * 17), "two at least and 16 at most", id="17 axes"),
        pytest.param(metaimage(DimSize="5 4 0"), "expected as many whole numbers above 0", id="no planes"),
        pytest.param(metaimage(DimSize="5 4 -3"), "expected as many whole numbers above 0", id="a negative side"),
        pytest.param(metaimage(DimSize="10000 10000 10000"), "decoded bytes in shape", id="10^12 voxels"),
        pytest.param(metaimage(DimSize="5 4 4"), "cut off: 120 of the 160 bytes of voxels", id="larger than the file"),
        pytest.param(FILE + b"\0", "1 bytes behind the 120 bytes of voxels", id="a byte more"),
        pytest.param(metaimage(CompressedData="True"), "damaged compressed data", id="not compressed"),
        pytest.param(metaimage(CompressedData="maybe"), "'maybe'; expected True or False", id="maybe"),
        pytest.param(metaimage(ElementType="MET_UCHAR_ARRAY"), "expected one of MET_CHAR", id="arrays"),
        pytest.param(metaimage(ElementType=None), "its ElementType is ''", id="no type"),
        pytest.param(metaimage(ElementNumberOfChannels="0"), "'0'; expected a whole number from 1", id="no channels"),
        pytest.param(metaimage(HeaderSize="-2"), "'-2'; expected a whole number from -1", id="header size"),
        pytest.param(metaimage(HeaderSize="9"), "in the same file; expected 0 there", id="a header in one file"),
        pytest.param(metaimage(ElementByteOrderMSB="True"), "contradict each other", id="two byte orders"),
        pytest.param(metaimage(ElementSpacing="1 0 1"), "its ElementSpacing is 1 0 1", id="a spacing of 0"),
        pytest.param(metaimage(ElementSpacing="1 -1 1"), "expected millimetres above 0", id="a negative spacing"),
        pytest.param(metaimage(ElementSpacing="1 nan 1"), "expected millimetres above 0", id="no number"),
        pytest.param(metaimage(ElementSpacing="1 1"), "expected 3 numbers", id="two spacings"),
        pytest.param(metaimage(Offset="a b c"), "field offset is 'a b c'; expected 3 numbers", id="letters"),
        pytest.param(metaimage(Offset="1 nan 1"), "its geometry .* holds", id="an offset that is no number"),
        pytest.param(metaimage(TransformMatrix="1 0 0 1 0 0 0 0 1"), "its geometry is singular", id="singular"),
        pytest.param(metaimage(TransformMatrix="2 0 0 0 1 0 0 0 1"), "direction .* is 2 long", id="a long direction"),
        pytest.param(metaimage(TransformMatrix="nan 0 0 0 1 0 0 0 1"), "nan|NaN", id="no direction"),
        pytest.param(metaimage(CenterOfRotation="1 0 0"), "turned around CenterOfRotation 1 0 0", id="a centre"),
        pytest.param(metaimage(DistanceUnits="inch"), "its DistanceUnits are 'inch'", id="inches"),
        pytest.param(metaimage(ElementDataFile="a.raw"), "its voxels are in a.raw, which is not there", id="missing"),
        pytest.param(metaimage(ElementDataFile="/a.raw"), "expected a file beside the header", id="elsewhere"),
        pytest.param(header(ElementDataFile="LIST"), "names none", id="an empty list"),
        pytest.param(metaimage(TEXT[:-3], BinaryData="False"), "59 numbers as text; its header claims 60", id="text"),
    ],
)
def test_refused(data: bytes, message: str) -> None:
    with pytest.raises(UnreadableImage, match=message) as caught:
        READER.read(data, "a.mha")
    assert str(caught.value).startswith("a.mha: ")


def test_every_cut_is_noticed() -> None:
    for length in range(len(FILE)):
        with pytest.raises(UnreadableImage):
            READER.read(FILE[:length], "a.mha")


@settings(max_examples=300, deadline=None)
@given(place=st.integers(0, len(FILE) - 1), value=st.integers(0, 255))
def test_bytes_changed_give_documented_errors_alone(place: int, value: int) -> None:
    try:
        READER.read(FILE[:place] + bytes([value]) + FILE[place + 1 :], "a.mha")
    except UnreadableImage as error:
        assert str(error).startswith("a.mha: ")  # noqa: PT017  of those that are refused
