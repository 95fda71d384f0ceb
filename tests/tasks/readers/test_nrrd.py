import bz2
import csv
import gzip
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from segscale.errors import UnreadableImage
from segscale.storage.bundles import pack
from segscale.tasks.readers.nrrd import NrrdReader, nrrd_data_files

READER = NrrdReader()
SHAPE = (3, 4, 5)
VOXELS = np.arange(60, dtype=np.int16).reshape(SHAPE)
FIELDS = {
    "type": "short",
    "dimension": "3",
    "space": "left-posterior-superior",
    "sizes": "5 4 3",
    "space directions": "(0.8,0,0) (0,0.5,0) (0,0,2.5)",
    "kinds": "domain domain domain",
    "endian": "little",
    "encoding": "raw",
    "space origin": "(1,2,3)",
}


def header(end: str = "\n\n", line_end: str = "\n", **fields: str | None) -> bytes:
    """A header with other fields, underscores for spaces; None leaves one out."""
    given = {**FIELDS, **{key.replace("_", " "): value for key, value in fields.items()}}
    lines = ["NRRD0005", "# a comment: of no meaning", "a key:=its value: any"]
    lines += [f"{key}: {value}" for key, value in given.items() if value is not None]
    return (line_end.join(lines) + end.replace("\n", line_end)).encode()


def nrrd(voxels: bytes = VOXELS.tobytes(), **fields: Any) -> bytes:
    return header(**fields) + voxels


FILE = nrrd()
TEXT = " ".join(map(str, VOXELS.ravel())).encode()


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(FILE, id="raw"),
        pytest.param(nrrd(line_end="\r\n"), id="lines as Windows ends them"),
        pytest.param(nrrd(VOXELS.astype(">i2").tobytes(), endian="big"), id="the other byte order"),
        pytest.param(nrrd(gzip.compress(VOXELS.tobytes()), encoding="gzip"), id="gzip"),
        pytest.param(nrrd(gzip.compress(b"123" + VOXELS.tobytes()), encoding="gz", byte_skip="3"), id="gzip, bytes on"),
        pytest.param(nrrd(bz2.compress(VOXELS.tobytes()), encoding="bzip2"), id="bzip2"),
        pytest.param(nrrd(TEXT, encoding="ascii", endian=None), id="text"),
        pytest.param(nrrd(TEXT.replace(b" ", b",\n") + b"\n", encoding="text"), id="text in lines, with commas"),
        pytest.param(nrrd(VOXELS.tobytes().hex(" ", 16).encode(), encoding="hex"), id="hexadecimal"),
        pytest.param(nrrd(b"1\n2\n" + VOXELS.tobytes(), line_skip="2"), id="behind lines"),
        pytest.param(nrrd(b"1\n2" + VOXELS.tobytes(), line_skip="1", byte_skip="1"), id="behind lines and bytes"),
        pytest.param(nrrd(b"anything" + VOXELS.tobytes(), byteskip="-1"), id="the last bytes"),
        pytest.param(pack({"a.nhdr": header(data_file="a.raw"), "a.raw": VOXELS.tobytes()}), id="a file beside it"),
        pytest.param(pack({"a.nhdr": header("", datafile="a.raw"), "a.raw": VOXELS.tobytes()}), id="without an end"),
        pytest.param(
            pack(
                {
                    "a.nhdr": header(data_file="%d.raw 1 3 1 2", byte_skip="1"),
                    **{f"{k + 1}.raw": b"." + VOXELS[k].tobytes() for k in range(3)},
                }
            ),
            id="files by a pattern",
        ),
        pytest.param(
            pack(
                {
                    "a.nhdr": header("\n", data_file="LIST") + b"c.gz\nb.gz\na.gz\n",
                    **{f"{'cba'[k]}.gz": gzip.compress(VOXELS[k].tobytes()) for k in range(3)},
                }
            ).replace(b"encoding: raw", b"encoding: gz "),
            id="files in a list",
        ),
    ],
)
def test_ways_to_store_voxels(data: bytes) -> None:
    values = READER.stored_values(data, "a.nrrd")
    assert (values.dtype.name, values.shape) == ("int16", (*SHAPE, 1))
    assert np.array_equal(values[..., 0], VOXELS)
    geometry = READER.header(data, "a.nrrd").geometry
    assert geometry is not None
    assert (geometry.spacing, geometry.origin) == ((2.5, 0.5, 0.8), (1, 2, 3))
    assert np.array_equal(geometry.directions, [(0, 0, 1), (0, 1, 0), (1, 0, 0)])
    assert READER.read(data, "a.nrrd").full_scale == 32767


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
def test_types_as_pynrrd_writes_and_reads_them(dtype: str, tmp_path: Path) -> None:
    pynrrd = pytest.importorskip("nrrd")
    stored = np.arange(60).astype(dtype).reshape(SHAPE)
    for encoding in ("raw", "gzip", "bzip2", "ascii"):
        pynrrd.write(str(tmp_path / "a.nrrd"), stored, {"encoding": encoding}, index_order="C")
        values = READER.stored_values((tmp_path / "a.nrrd").read_bytes(), "a.nrrd")
        assert values.dtype == stored.dtype
        assert np.array_equal(values[..., 0], pynrrd.read(str(tmp_path / "a.nrrd"), index_order="C")[0])


@pytest.mark.parametrize(
    ("space", "signs"),
    [
        ("left-posterior-superior", (1, 1, 1)),
        ("LPS", (1, 1, 1)),
        ("right-anterior-superior", (-1, -1, 1)),
        ("RAS", (-1, -1, 1)),
        ("Left-Anterior-Superior", (1, -1, 1)),
    ],
)
def test_spaces(space: str, signs: tuple[int, int, int]) -> None:
    geometry = READER.header(nrrd(space=space), "a.nrrd").geometry
    assert geometry is not None
    assert geometry.origin == tuple(sign * place for sign, place in zip(signs, (1, 2, 3), strict=True))
    assert np.array_equal(geometry.directions, [(0, 0, signs[2]), (0, signs[1], 0), (signs[0], 0, 0)])
    assert geometry.spacing == (2.5, 0.5, 0.8)


@pytest.mark.parametrize(
    ("fields", "spacing", "note"),
    [
        pytest.param(
            {"space": None, "space_directions": None, "space_origin": None, "spacings": "0.8 0.5 2.5"},
            (2.5, 0.5, 0.8),
            "no place in the patient (its header lacks space and space directions and space origin); its spacings have "
            "no unit: millimetres are assumed",
            id="spacings alone",
        ),
        pytest.param(
            {"space": None, "space_directions": None, "space_origin": None, "spacings": "8 5 25", "units": '"um" ' * 3},
            (0.025, 0.005, 0.008),
            "no place in the patient (its header lacks space and space directions and space origin)",
            id="spacings with a unit",
        ),
        pytest.param(
            {"space_directions": None, "spacings": "nan nan nan", "space_origin": None, "space": None},
            None,
            "no place in the patient (its header lacks space and space directions and space origin); its spacings have "
            "no unit: millimetres are assumed; no spacing",
            id="spacings that are not known",
        ),
        pytest.param(
            {"space_directions": None, "space_origin": None},
            None,
            "no place in the patient (its header lacks space directions and space origin); no spacing",
            id="nothing",
        ),
        pytest.param(
            {"space_origin": None},
            (2.5, 0.5, 0.8),
            "no place in the patient (its header lacks space origin)",
            id="directions without an origin",
        ),
        pytest.param(
            {"space": "scanner-xyz"},
            (2.5, 0.5, 0.8),
            "no place in the patient (its space is 'scanner-xyz')",
            id="a space that is not the patient's",
        ),
    ],
)
def test_places_that_are_not_known(fields: dict[str, Any], spacing: tuple[float, ...] | None, note: str) -> None:
    found = READER.header(nrrd(**fields), "a.nrrd")
    assert found.geometry is None
    assert found.spacing_mm == (None if spacing is None else pytest.approx(spacing))
    assert found.notes == (note,)


def test_units_of_space() -> None:
    found = READER.header(nrrd(space_units='"cm" "cm" "cm"'), "a.nrrd").geometry
    assert found is not None
    assert (*found.spacing, *found.origin) == pytest.approx((25, 5, 8, 10, 20, 30))


COLOURS = "none (1,0,0) (0,1,0) (0,0,1)"
NO_PLACE = "no place in the patient (its header lacks space and space directions); no spacing"
FOUR: dict[str, Any] = {"dimension": "4", "kinds": "list domain domain domain"}


@pytest.mark.parametrize(
    ("fields", "shape", "notes"),
    [
        pytest.param(
            {**FOUR, "sizes": "1 5 4 3", "space_directions": "none (0.8,0,0) (0,0.5,0) (0,0,2.5)"},
            (*SHAPE, 1),
            ("axis 0 (from 0) of length 1, none of space, is dropped",),
            id="one layer of segments",
        ),
        pytest.param(
            {**FOUR, "sizes": "3 5 4 1", "kinds": "RGB-color domain domain domain", "space_directions": COLOURS},
            (1, 4, 5, 3),
            (),
            id="colours",
        ),
        pytest.param(
            {"dimension": "4", "sizes": "5 4 3 1", "kinds": None, "space_directions": None, "space": None},
            (*SHAPE, 1),
            ("axis 3 (from 0) of length 1, none of space, is dropped", NO_PLACE),
            id="a fourth axis of which nothing is said",
        ),
        pytest.param(
            {"dimension": "2", "sizes": "15 4", "kinds": "domain domain", "space_directions": "(1,0) (0,1)"},
            (1, 4, 15, 1),
            ("a flat image: where it lies in the patient is not read",),
            id="a flat image",
        ),
    ],
)
def test_axes(fields: dict[str, Any], shape: tuple[int, ...], notes: tuple[str, ...]) -> None:
    data = nrrd(**fields)
    found = READER.header(data, "a.nrrd")
    assert (found.shape, found.notes) == (shape, notes)
    assert np.array_equal(READER.read(data, "a.nrrd").pixels, VOXELS.reshape(shape))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b"", r"the file is empty \(0 bytes\)", id="nothing"),
        pytest.param(b"\x89PNG\r\n\x1a\n", "not an NRRD file of version 1 to 5, whatever its name says", id="PNG"),
        pytest.param(b"NRRD0006" + FILE[8:], "whatever its name says", id="a version to come"),
        pytest.param(header(""), "without the empty line that ends it", id="no end"),
        pytest.param(nrrd(type=None), "no field 'type'", id="no type"),
        pytest.param(nrrd(sizes=None), "no field 'sizes'", id="no sizes"),
        pytest.param(nrrd(encoding=None), "no field 'encoding'", id="no encoding"),
        pytest.param(nrrd(endian=None), "no field 'endian'", id="no byte order"),
        pytest.param(nrrd(endian="middle"), "'endian' is 'middle'; expected one of little, big", id="byte order"),
        pytest.param(nrrd(type="block"), "numbers of type 'block'", id="block"),
        pytest.param(nrrd(encoding="zrl"), "'encoding' is 'zrl'; expected one of raw", id="encoding"),
        pytest.param(nrrd(Encoding="raw"), "'Encoding' stands twice", id="a field twice"),
        pytest.param(FILE.replace(b"type: short", b"type short"), "a line of its NRRD header", id="no colon"),
        pytest.param(nrrd(sizes="5 4"), "'5 4' with dimension '3'", id="two sides of three"),
        pytest.param(nrrd(sizes="5 4 0"), "expected as many whole numbers above 0", id="no planes"),
        pytest.param(nrrd(sizes="5 4 -3"), "expected as many whole numbers above 0", id="a negative side"),
        pytest.param(nrrd(sizes="60", dimension="1"), "two at least", id="one axis"),
        pytest.param(nrrd(sizes="10000 10000 10000"), "decoded bytes in shape", id="10^12 voxels"),
        pytest.param(nrrd(sizes="5 4 4"), "cut off: 120 of the 160 bytes of voxels", id="larger than the file"),
        pytest.param(FILE + b"\0", "1 bytes behind the 120 bytes of voxels", id="a byte more"),
        pytest.param(nrrd(VOXELS.tobytes()[:-1], byte_skip="-1"), "cut off: 119 of", id="the last bytes are too few"),
        pytest.param(nrrd(byte_skip="-2"), "byteskip is '-2'; expected a whole number from -1", id="bytes back"),
        pytest.param(nrrd(encoding="gzip", byte_skip="-1"), "from 0 on", id="the last bytes of gzip"),
        pytest.param(nrrd(line_skip="x"), "lineskip is 'x'", id="lines"),
        pytest.param(nrrd(b"a\n", line_skip="3"), r"skips 3 lines \(line skip\); the file has fewer", id="few lines"),
        pytest.param(nrrd(encoding="gzip"), "damaged compressed data", id="no gzip"),
        pytest.param(nrrd(gzip.compress(bytes(121)), encoding="gzip"), "holds more than the 120", id="gzip, longer"),
        pytest.param(nrrd(TEXT[:-2], encoding="ascii"), "59 numbers as text; its header claims 60", id="text, fewer"),
        pytest.param(nrrd(TEXT + b" 1", encoding="ascii"), "more numbers as text", id="text, more"),
        pytest.param(nrrd(TEXT[:50], encoding="ascii"), "cut off: 50 bytes of text", id="text, cut off"),
        pytest.param(
            nrrd(TEXT.replace(b" 7", b" 7.5"), encoding="ascii"), "no numbers of type int16", id="text, parts"
        ),
        pytest.param(
            nrrd(TEXT.replace(b"59", b"59999"), encoding="ascii"), "no numbers of type int16", id="text, large"
        ),
        pytest.param(
            nrrd(TEXT.replace(b" 7 ", b" " + b"x" * 9999 + b" "), encoding="ascii"),
            r"no numbers of type int16 \(.{200}\)$",
            id="text, a word of a page",
        ),
        pytest.param(
            nrrd(kinds="l\x03st domain domain", space_directions=None),
            r"\(kind 'l\\x03st'\)",
            id="a kind that no line shows",
        ),
        pytest.param(nrrd(b"xy", encoding="hex"), "no pairs of hexadecimal digits", id="hexadecimal"),
        pytest.param(header(data_file="a.raw"), "its voxels are in a.raw, which is not there", id="a file missing"),
        pytest.param(header(data_file="../a.raw"), "expected a file beside the header", id="a file elsewhere"),
        pytest.param(
            pack({"a": header(data_file="%d 1 7"), **{str(k): b"" for k in range(1, 8)}}),
            "60 numbers in 7 files",
            id="7",
        ),
        pytest.param(nrrd(kinds="domain"), "its kinds are 'domain'", id="one kind"),
        pytest.param(
            nrrd(kinds="list domain domain", space_directions=None), r"axis 0 \(from 0\) is none of", id="list"
        ),
        pytest.param(
            nrrd(**FOUR, sizes="2 5 3 2", space_directions="none (1,0,0) (0,1,0) (0,0,1)"),
            r"2 x 5 x 3 x 2 numbers, of which axis 0 \(from 0\) is none of space \(kind 'list'\)",
            id="two layers of segments",
        ),
        pytest.param(
            nrrd(dimension="4", sizes="5 4 1 3", kinds=None, space_directions=None), "axis 3 .from 0. is none", id="4"
        ),
        pytest.param(nrrd(space_directions="none none none", kinds=None, sizes="1 1 1"), "0 axes of space", id="none"),
        pytest.param(
            nrrd(space_directions="(1,0,0) (0,1,0)"), "expected a vector, or none, for each of its 3", id="two"
        ),
        pytest.param(nrrd(space_directions="(1,0,0) x (0,1,0) (0,0,1)"), "expected a vector, or none", id="a word"),
        pytest.param(nrrd(space_directions="(1,0,a) (0,1,0) (0,0,1)"), "expected numbers", id="a letter"),
        pytest.param(nrrd(space_directions="(1,0) (0,1) (1,1)"), "two numbers each; expected three", id="in a plane"),
        pytest.param(nrrd(space_directions="(1,0,0) (0,nan,0) (0,0,1)"), "its geometry .* holds", id="NaN"),
        pytest.param(nrrd(space_directions="(1,0,0) (0,0,0) (0,0,1)"), "spacing .* 0", id="no length"),
        pytest.param(nrrd(space_directions="(1,0,0) (2,0,0) (0,0,1)"), "its geometry is singular", id="singular"),
        pytest.param(nrrd(space_units='"mm" "cm" "mm"'), "its units of length are", id="two units"),
        pytest.param(nrrd(space_units='"inch"'), "expected one of mm", id="inches"),
        pytest.param(nrrd(space=None, space_directions=None, spacings="1 -1 1"), "above 0", id="a negative spacing"),
        pytest.param(nrrd(space=None, space_directions=None, spacings="1 0 1"), "above 0", id="a spacing of 0"),
        pytest.param(nrrd(space=None, space_directions=None, spacings="1 1"), "one for each axis", id="two spacings"),
    ],
)
def test_refused(data: bytes, message: str) -> None:
    with pytest.raises(UnreadableImage, match=message) as caught:
        READER.read(data, "a.nrrd")
    assert str(caught.value).startswith("a.nrrd: ")


def test_which_files_a_header_names() -> None:
    assert nrrd_data_files(FILE, "a.nrrd") == ()
    assert nrrd_data_files(header(data_file="a b.raw"), "a.nhdr") == ("a b.raw",)
    assert nrrd_data_files(header(data_file="%d.raw 1 2"), "a.nhdr") == ("1.raw", "2.raw")
    assert nrrd_data_files(header("\n", data_file="LIST 2") + b"a.raw\nb.raw", "a.nhdr") == ("a.raw", "b.raw")


def test_every_cut_is_noticed() -> None:
    for length in range(len(FILE)):
        with pytest.raises(UnreadableImage):
            READER.read(FILE[:length], "a.nrrd")


@settings(max_examples=300, deadline=None)
@given(place=st.integers(0, len(FILE) - 1), value=st.integers(0, 255))
def test_bytes_changed_give_documented_errors_alone(place: int, value: int) -> None:
    try:
        READER.read(FILE[:place] + bytes([value]) + FILE[place + 1 :], "a.nrrd")
    except UnreadableImage as error:
        assert str(error).startswith("a.nrrd: ")  # noqa: PT017  of those that are refused


def same_as_simpleitk(values: NDArray[Any], path: Path, found: Any, sitk: Any) -> None:
    image = sitk.ReadImage(str(path))
    assert np.array_equal(values[..., 0], sitk.GetArrayFromImage(image))
    assert found.geometry.spacing[::-1] == pytest.approx(image.GetSpacing())
    assert found.geometry.origin == pytest.approx(image.GetOrigin())
    columns = np.array(image.GetDirection()).reshape(3, 3)
    assert np.allclose(np.array(found.geometry.directions)[::-1].T, columns)


@pytest.mark.data
def test_real_files_as_simpleitk_and_pynrrd_read_them(data_folder: Path) -> None:
    sitk, pynrrd = pytest.importorskip("SimpleITK"), pytest.importorskip("nrrd")
    files = sorted((data_folder / "formats").rglob("*.nrrd"))
    assert len(files) > 20
    for path in files:
        data = path.read_bytes()
        values = READER.stored_values(data, path.name)
        same_as_simpleitk(values, path, READER.header(data, path.name), sitk)
        stream = io.BytesIO(data)
        by_pynrrd = pynrrd.read_data(pynrrd.read_header(stream), stream, index_order="C")
        assert np.array_equal(values[..., 0], by_pynrrd)


@pytest.mark.data
@pytest.mark.parametrize("case", ["brain1", "brain2", "breast1", "lung1", "lung2"])
def test_volumes_as_pyradiomics_publishes_them(case: str, data_folder: Path) -> None:
    folder = data_folder / "formats" / "pyradiomics_nrrd"
    with (folder / "baseline_shape.csv").open() as file:
        published = {row["featureName"]: row[case] for row in csv.DictReader(file)}
    name = f"{case}_label.nrrd"
    data = (folder / name).read_bytes()
    spacing = READER.header(data, name).spacing_mm
    assert spacing is not None
    voxels = int(np.count_nonzero(READER.stored_values(data, name) == 1))
    assert voxels == int(published["diagnostics_Mask-original_VoxelNum"])
    assert voxels * float(np.prod(spacing)) == pytest.approx(float(published["original_shape_VoxelVolume"]))


def test_what_simpleitk_writes(tmp_path: Path) -> None:
    sitk = pytest.importorskip("SimpleITK")
    image = sitk.GetImageFromArray(VOXELS)
    image.SetSpacing((0.8, 0.5, 2.5))
    image.SetOrigin((1, 2, 3))
    image.SetDirection((0, 1, 0, 0, 0, -1, 1, 0, 0))
    for name, compressed in (("a.nrrd", False), ("b.nrrd", True), ("c.nhdr", False), ("d.nhdr", True)):
        sitk.WriteImage(image, str(tmp_path / name), compressed)
        data = (tmp_path / name).read_bytes()
        beside = nrrd_data_files(data, name)
        if beside:
            data = pack({name: data, **{one: (tmp_path / one).read_bytes() for one in beside}})
        same_as_simpleitk(READER.stored_values(data, name), tmp_path / name, READER.header(data, name), sitk)
