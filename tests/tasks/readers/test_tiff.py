import io
import struct
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from segscale.errors import UnreadableImage
from segscale.tasks.axes import laid_over
from segscale.tasks.readers.orientation import turned
from segscale.tasks.readers.tiff import TiffReader, read_tiff_array, tiff_dtype

READER = TiffReader()
RAMP = np.arange(5 * 6 * 7).reshape(5, 6, 7)


def tiff(pixels: NDArray[Any], **options: Any) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, pixels, **({"photometric": "minisblack"} | options))
    return stream.getvalue()


def rgb(height: int = 6, width: int = 7) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)


def with_alpha(pixels: NDArray[np.uint8], alpha: int) -> NDArray[np.uint8]:
    return np.concatenate([pixels, np.full((*pixels.shape[:-1], 1), alpha, np.uint8)], axis=-1)


def colormap(*colours: tuple[int, int, int]) -> NDArray[np.uint16]:
    table = np.zeros((3, 256), np.uint16)
    table[:, : len(colours)] = np.array(colours, np.uint16).T * 257
    return table


@pytest.mark.parametrize(
    ("data", "expected", "dtype", "full_scale"),
    [
        pytest.param(tiff(RAMP[0].astype("u1")), RAMP[:1, ..., None], "uint8", 255, id="8 bits"),
        pytest.param(tiff(RAMP[0].astype(">u2")), RAMP[:1, ..., None], "uint16", 65535, id="16 bits"),
        pytest.param(tiff(RAMP[0].astype("u2"), byteorder=">"), RAMP[:1, ..., None], "uint16", 65535, id="big-endian"),
        pytest.param(
            tiff(RAMP[0].astype("i1") - 9), RAMP[:1, ..., None] - 9, "int8", 127, id="signed, negative values"
        ),
        pytest.param(tiff(RAMP[0].astype("i2")), RAMP[:1, ..., None], "int16", 32767, id="signed 16"),
        pytest.param(tiff(RAMP[0].astype("u4")), RAMP[:1, ..., None], "uint32", 2**32 - 1, id="unsigned 32"),
        pytest.param(tiff(RAMP[0].astype("f2")), RAMP[:1, ..., None], "float16", 1, id="float16 stays"),
        pytest.param(tiff(RAMP[0].astype("f4")), RAMP[:1, ..., None], "float32", 1, id="float32"),
        pytest.param(tiff(RAMP[0].astype("f8")), RAMP[:1, ..., None], "float32", 1, id="float64 becomes float32"),
        pytest.param(tiff(RAMP[0] > 20), RAMP[:1, ..., None] > 20, "uint8", 1, id="1 bit"),
        pytest.param(
            tiff(RAMP[0] > 20, photometric="miniswhite"), RAMP[:1, ..., None] <= 20, "uint8", 1, id="1 bit, 1 is black"
        ),
        pytest.param(
            tiff(RAMP[0].astype("u1"), photometric="miniswhite"),
            255 - RAMP[:1, ..., None],
            "uint8",
            255,
            id="0 is white",
        ),
        pytest.param(
            tiff(RAMP[0].astype("u2"), bitspersample=12), RAMP[:1, ..., None], "uint16", 4095, id="12 bits, packed"
        ),
        pytest.param(tiff(RAMP.astype("u1")), RAMP[..., None], "uint8", 255, id="grey pages are depth"),
        pytest.param(tiff(RAMP.astype("u1"), metadata=None), RAMP[..., None], "uint8", 255, id="pages, undescribed"),
        pytest.param(tiff(RAMP.astype("u2"), compression="lzw"), RAMP[..., None], "uint16", 65535, id="pages of LZW"),
        pytest.param(
            tiff(RAMP.astype("u2"), compression="zlib", predictor=True), RAMP[..., None], "uint16", 65535, id="zip"
        ),
        pytest.param(tiff(RAMP.astype("u1"), bigtiff=True), RAMP[..., None], "uint8", 255, id="BigTIFF"),
        pytest.param(
            tiff(RAMP.astype("u1"), truncate=True), RAMP[..., None], "uint8", 255, id="one page for all planes"
        ),
        pytest.param(
            tiff(RAMP.astype("u1"), imagej=True, metadata={"axes": "ZYX"}), RAMP[..., None], "uint8", 255, id="ImageJ"
        ),
        pytest.param(
            tiff(RAMP.astype("u1"), ome=True, metadata={"axes": "ZYX"}), RAMP[..., None], "uint8", 255, id="OME"
        ),
        pytest.param(tiff(rgb(), photometric="rgb"), rgb()[None], "uint8", 255, id="RGB by pixel"),
        pytest.param(
            tiff(rgb().transpose(2, 0, 1), photometric="rgb", planarconfig="separate"),
            rgb()[None],
            "uint8",
            255,
            id="RGB by plane",
        ),
        pytest.param(
            tiff(np.stack([rgb(), 255 - rgb()]), photometric="rgb"),
            np.stack([rgb(), 255 - rgb()]),
            "uint8",
            255,
            id="pages of RGB",
        ),
        pytest.param(tiff(with_alpha(rgb(), 255), photometric="rgb"), rgb()[None], "uint8", 255, id="opaque alpha"),
        pytest.param(
            tiff(with_alpha(rgb()[..., :1], 255), planarconfig="contig", extrasamples=["unassalpha"]),
            rgb()[None, ..., :1],
            "uint8",
            255,
            id="opaque alpha beside grey",
        ),
        pytest.param(
            tiff(np.array([[0, 1]], "u1"), photometric="palette", colormap=colormap((9, 9, 9), (7, 7, 7))),
            np.array([[[[9], [7]]]]),
            "uint8",
            255,
            id="grey palette",
        ),
        pytest.param(
            tiff(np.array([[0, 1]], "u1"), photometric="palette", colormap=colormap((9, 9, 9), (200, 7, 0))),
            np.array([[[[9, 9, 9], [200, 7, 0]]]]),
            "uint8",
            255,
            id="coloured palette",
        ),
        pytest.param(
            tiff(np.zeros((16, 16, 3), "u1"), photometric="rgb", compression="jpeg"),
            np.zeros((1, 16, 16, 3)),
            "uint8",
            255,
            id="JPEG in TIFF",
        ),
        pytest.param(tiff(np.array([[3]], "u1")), np.array([[[[3]]]]), "uint8", 255, id="one pixel"),
        pytest.param(
            tiff(np.arange(300, dtype="u2").reshape(1, 300)),
            np.arange(300).reshape(1, 1, 300, 1),
            "uint16",
            65535,
            id="one row",
        ),
    ],
)
def test_every_kind_of_tiff(data: bytes, expected: NDArray[Any], dtype: str, full_scale: float) -> None:
    picture, header = READER.read(data, "a.tif"), READER.header(data, "a.tif")
    assert np.array_equal(picture.pixels, expected)
    assert picture.full_scale == full_scale
    assert picture.pixels.flags.c_contiguous
    assert picture.pixels.dtype.isnative
    assert (header.shape, header.dtype) == (picture.pixels.shape, picture.pixels.dtype.name) == (expected.shape, dtype)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(
            tiff(with_alpha(rgb(), 254), photometric="rgb"), "42 of 42 pixels are not fully opaque", id="alpha"
        ),
        pytest.param(tiff(rgb()[..., :2], planarconfig="contig"), "2 channels; expected 1 or 3", id="two channels"),
        pytest.param(
            tiff(RAMP.astype("u1"), imagej=True, metadata={"axes": "TYX"}),
            "no time",
            id="time series",
        ),
        pytest.param(tiff(np.zeros((2, 3, 4, 5), "u1")), "at most one axis of planes", id="two axes of planes"),
        pytest.param(tiff(RAMP[0].astype("c8")), "pixels of type complex64", id="complex"),
        pytest.param(tiff(RAMP[0].astype("u8")), "pixels of type uint64", id="64 bits"),
        pytest.param(tiff(np.zeros((6, 7, 4), "u1"), photometric="separated"), "colour type SEPARATED", id="CMYK"),
        pytest.param(tiff(np.zeros((6, 7, 3), "u1"), photometric="cielab"), "colour type CIELAB", id="Lab"),
        pytest.param(
            tiff(RAMP[0].astype("f4"), photometric="miniswhite"), "white is zero", id="white is zero in floats"
        ),
        pytest.param(b"", "is empty", id="no bytes"),
        pytest.param(b"II*\0", "page directory 0 lies beyond", id="four bytes"),
        pytest.param(b"II*\0\0\0\0\0", "without pages", id="no pages"),
        pytest.param(b"a,b\n", "whatever its name says", id="text"),
    ],
)
def test_refused(data: bytes, message: str) -> None:
    with pytest.raises(UnreadableImage, match=message):
        READER.read(data, "a.tif")


def test_a_tile_that_claims_gigabytes_asks_for_no_memory() -> None:
    data = bytearray(tiff(RAMP[0].astype("u1"), tile=(16, 16), compression="zlib"))
    with tifffile.TiffFile(io.BytesIO(data)) as opened:
        tag = opened.pages.first.tags["TileWidth"]
        data[tag.offset + 2 : tag.offset + 12] = struct.pack("<HII", 4, 1, 2**28)  # one number of 32 bits
    with pytest.raises(UnreadableImage, match="claims strips or tiles of 4294967296 decoded bytes"):
        READER.read(bytes(data), "a.tif")


def test_pages_of_unlike_shape_are_refused() -> None:
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as writer:
        writer.write(np.zeros((4, 5), np.uint8))
        writer.write(np.zeros((6, 7), np.uint8))
    with pytest.raises(UnreadableImage, match=r"holds 2 images of unlike shape or type \(\(4, 5\), \(6, 7\)\)"):
        READER.header(stream.getvalue(), "a.tif")


def test_reduced_copies_of_the_image_are_not_read() -> None:
    stream = io.BytesIO()
    pixels = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    with tifffile.TiffWriter(stream) as writer:
        writer.write(pixels, subifds=1, tile=(16, 16), metadata=None)
        writer.write(pixels[::2, ::2], subfiletype=1, tile=(16, 16), metadata=None)
    assert np.array_equal(READER.read(stream.getvalue(), "a.tif").pixels[0, ..., 0], pixels)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(tiff(RAMP[:3].astype("u1")), id="planes in a row"),
        pytest.param(tiff(RAMP[:3].astype("u1"), truncate=True), id="one page for all planes"),
        pytest.param(tiff(RAMP[:3].astype("u1"), metadata=None), id="undescribed"),
        pytest.param(tiff(RAMP[:3].astype("u1"), compression="zlib"), id="compressed"),
        pytest.param(tiff(RAMP[:3].astype("u1"), compression="packbits", metadata=None), id="compressed, undescribed"),
        pytest.param(tiff(RAMP[:3].astype("u1"), imagej=True, metadata={"axes": "ZYX"}), id="ImageJ"),
        pytest.param(tiff(RAMP[:3].astype("u1"), ome=True, metadata={"axes": "ZYX"}), id="OME"),
        pytest.param(tiff(rgb(16, 16), photometric="rgb", compression="jpeg"), id="JPEG, which forgives missing bytes"),
    ],
)
def test_a_cut_file_never_gives_other_pixels(data: bytes) -> None:
    whole = READER.read(data, "a.tif").pixels
    for length in [*range(0, len(data), max(1, len(data) // 60)), len(data) - 2, len(data) - 1]:
        try:
            found = READER.read(data[:length], "a.tif").pixels
        except UnreadableImage:
            continue
        assert np.array_equal(found, whole), length  # what was cut off were words, not pixels


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "i1", "i2", "i4", "f2", "f4"])
@given(
    shape=st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9)),
    compression=st.sampled_from([None, "zlib", "lzw"]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=10, deadline=None)
def test_round_trip(dtype: str, shape: tuple[int, int, int], compression: str | None, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 100, shape).astype(dtype)
    data = tiff(pixels, compression=compression, metadata={"axes": "ZYX"})
    picture = READER.read(data, "a.tif")
    assert np.array_equal(picture.pixels, pixels[..., None])
    assert picture.pixels.dtype == np.dtype(dtype)
    assert READER.header(data, "a.tif").shape == picture.pixels.shape


@given(st.data())
def test_damage_gives_one_error_with_a_repeatable_text(data: st.DataObject) -> None:
    damaged = bytearray(tiff(RAMP[:2, :3, :3].astype("u1"), compression="zlib"))
    damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= data.draw(st.integers(1, 255))
    outcomes = []
    for _ in range(2):
        try:
            outcomes.append(str(READER.read(bytes(damaged), "a.tif").pixels))
        except UnreadableImage as error:
            outcomes.append(str(error))
    assert outcomes[0] == outcomes[1]


def test_stored_values_are_the_indices_of_colours() -> None:
    indices = np.array([[0, 1]], np.uint8)
    palette = tiff(indices, photometric="palette", colormap=colormap((9, 9, 9), (200, 7, 0)))
    assert np.array_equal(READER.stored_values(palette, "a.tif"), indices[None, ..., None])


@pytest.mark.parametrize(
    ("values", "options", "shown"),
    [
        pytest.param(np.array([[0, 255, 250]], "u1"), {}, [[255, 0, 5]], id="8 bits"),
        pytest.param(np.array([[65535, 65533]], "u2"), {"compression": "zlib"}, [[0, 2]], id="16 bits"),
        pytest.param(np.array([[4095, 4093]], "u2"), {"bitspersample": 12}, [[0, 2]], id="12 bits, packed"),
        pytest.param(np.array([[2**64 - 1, 2**64 - 8]], "u8"), {}, [[0, 7]], id="64 bits"),
        pytest.param(np.array([[True, False]]), {}, [[False, True]], id="1 bit"),
    ],
)
def test_white_as_zero_is_turned_round_in_label_maps(
    values: NDArray[Any], options: dict[str, Any], shown: list[list[int]]
) -> None:
    found = READER.stored_values(tiff(values, photometric="miniswhite", **options), "a.tif")
    assert found[0, ..., 0].tolist() == shown
    assert found.dtype == values.dtype


@pytest.mark.parametrize("dtype", ["i2", "f4"])
def test_white_as_zero_of_other_types_is_refused_in_every_role(dtype: str) -> None:
    data = tiff(np.zeros((3, 4), dtype), photometric="miniswhite")
    for read in (READER.read, READER.stored_values, read_tiff_array):
        if read is not read_tiff_array or dtype == "f4":
            with pytest.raises(UnreadableImage, match="white is zero, but the pixels are"):
                read(data, "a.tif")


def with_orientation(pixels: NDArray[Any], orientation: int, **options: Any) -> bytes:
    return tiff(pixels, extratags=[(274, 3, 1, orientation, True)], **options)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("depth", [1, 3])
def test_every_role_is_turned_alike(orientation: int, depth: int) -> None:
    pixels = np.arange(depth * 6 * 7, dtype=np.uint8).reshape(depth, 6, 7)
    shown = turned(pixels, orientation)
    data = with_orientation(pixels if depth > 1 else pixels[0], orientation, compression="zlib")
    header, picture = READER.header(data, "a.tif"), READER.read(data, "a.tif")
    assert np.array_equal(picture.pixels[..., 0], shown)
    assert np.array_equal(READER.stored_values(data, "a.tif")[..., 0], shown)
    assert (header.shape, header.orientation) == (picture.pixels.shape, orientation)
    assert picture.pixels.flags.c_contiguous
    assert READER.orientation(data, "a.tif") == orientation
    floats = with_orientation((pixels if depth > 1 else pixels[0]).astype("f4"), orientation)
    assert np.array_equal(read_tiff_array(floats, "a.tif"), shown.astype("f4").squeeze())


@pytest.mark.parametrize("orientation", [2, 5, 8])
def test_channels_of_probabilities_stay_where_they_are(orientation: int) -> None:
    values = np.random.default_rng(0).random((4, 5, 2)).astype("f4")
    last = with_orientation(values, orientation, planarconfig="contig")
    assert np.array_equal(read_tiff_array(last, "a.tif"), turned(values, orientation, (0, 1)))
    first = with_orientation(np.moveaxis(values, -1, 0), orientation)
    assert np.array_equal(read_tiff_array(first, "a.tif"), turned(np.moveaxis(values, -1, 0), orientation, (1, 2)))


def test_pages_that_are_turned_unlike_are_refused() -> None:
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as writer:
        for orientation in (1, 3):
            writer.write(
                np.zeros((4, 5), np.uint8), metadata=None, extratags=[(274, 3, 1, orientation, True)], contiguous=False
            )
    for read in (READER.header, READER.read, READER.stored_values):
        with pytest.raises(UnreadableImage, match="its pages have the orientations 1 and 3"):
            read(stream.getvalue(), "a.tif")


@pytest.mark.parametrize(
    ("value", "dtype", "stated"),
    [
        pytest.param(1023, "u2", 1023, id="10 bits"),
        pytest.param(4095, "i2", 4095, id="signed"),
        pytest.param(127, "u1", 127, id="7 bits"),
        pytest.param(3280, "u2", 0, id="the brightest pixel, not 2^k - 1"),
        pytest.param(65535, "u2", 0, id="what the type says"),
        pytest.param(255, "u1", 0, id="what the type of 8 bits says"),
        pytest.param(0, "u2", 0, id="0"),
        pytest.param(255, "f4", 0, id="floats"),
    ],
)
def test_max_sample_value(value: int, dtype: str, stated: int) -> None:
    data = tiff(np.zeros((3, 4), dtype), extratags=[(281, 3, 1, value, True)])
    assert READER.header(data, "a.tif").stated_maximum == stated
    assert READER.read(data, "a.tif").full_scale == (1 if dtype == "f4" else np.iinfo(dtype).max), (
        "which no file decides alone"
    )


def test_white_as_zero_with_another_maximum_is_refused() -> None:
    data = tiff(np.zeros((3, 4), "u2"), photometric="miniswhite", extratags=[(281, 3, 1, 4095, True)])
    with pytest.raises(UnreadableImage, match="white is zero and MaxSampleValue is 4095"):
        READER.read(data, "a.tif")


def test_array_keeps_its_own_axes_and_type() -> None:
    pixels = np.random.default_rng(0).random((2, 6, 7)).astype(np.float64)
    data = tiff(pixels)
    assert np.array_equal(read_tiff_array(data, "a.tif"), pixels)
    assert tiff_dtype(data, "a.tif") == np.dtype("float64")


@pytest.mark.data
@pytest.mark.parametrize(
    ("file", "shape", "dtype", "labels"),
    [
        ("img2d.tif", (1, 256, 256, 1), "uint8", None),
        ("mask2d.tif", (1, 256, 256, 1), "uint16", 65),
        ("mask2d_512.tif", (1, 512, 512, 1), "uint16", 125),
        ("img3d.tif", (31, 61, 57, 1), "uint16", None),
        ("mask3d.tif", (31, 61, 57, 1), "uint16", 51),
    ],
)
def test_real_microscopy(data_folder: Any, file: str, shape: tuple[int, ...], dtype: str, labels: int | None) -> None:
    data = (data_folder / "formats" / "stardist_tiff" / file).read_bytes()
    header, picture = READER.header(data, file), READER.read(data, file)
    assert picture.pixels.shape == header.shape == shape
    assert picture.pixels.dtype.name == header.dtype == dtype
    if labels is not None:
        assert len(np.unique(READER.stored_values(data, file))) == labels + 1


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize(
    ("axes", "options"),
    [("ZCYX", {"imagej": True}), ("ZCYX", {"ome": True}), ("CZYX", {"ome": True}), ("CZYX", {}), ("ZCYX", {})],
)
def test_named_axes_of_an_array_have_one_order(axes: str, options: dict[str, bool], orientation: int) -> None:
    stack = np.random.default_rng(4).random((2, 6, 7, 2), np.float32)  # as many channels as planes
    stored = np.moveaxis(stack, -1, axes.index("C"))
    data = tiff(stored, metadata={"axes": axes}, extratags=[(274, 3, 1, orientation, True)], **options)
    found = read_tiff_array(data, "a.tif")
    assert np.array_equal(found, turned(stack, orientation))
    assert np.array_equal(laid_over(found, found.shape[:3], {0, 2}, "a.tif"), found)


def test_planes_of_samples_are_not_said_to_be_channels() -> None:
    values = np.random.default_rng(5).random((3, 6, 7), np.float32)  # what tifffile makes of three planes by itself
    assert np.array_equal(read_tiff_array(tiff(values, photometric="rgb", planarconfig="separate"), "a.tif"), values)


def with_entry(data: bytes, tag: int, count: int | None = None, value: int | None = None) -> bytes:
    """A little-endian file whose first page says something else in an entry of its directory."""
    changed, place = bytearray(data), struct.unpack_from("<I", data, 4)[0] + 2
    while struct.unpack_from("<H", changed, place)[0] != tag:
        place += 12
    if count is not None:
        struct.pack_into("<I", changed, place + 4, count)
    if value is not None:
        struct.pack_into("<I", changed, place + 8, value)
    return bytes(changed)


HEIGHT, WIDTH, OFFSETS, ROWS = 257, 256, 273, 278
STRIPS = np.arange(12 * 16, dtype=np.uint8).reshape(12, 16)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(
            with_entry(tiff(STRIPS, rowsperstrip=4, compression="zlib"), HEIGHT, value=24),
            "page 0 has 3 of the 6 strips or tiles of its 16 x 24 pixels",
            id="strips that are not there, once read as zeros",
        ),
        pytest.param(
            with_entry(tiff(STRIPS, tile=(16, 16), compression="zlib"), WIDTH, value=30),
            "page 0 has 1 of the 2 strips or tiles of its 30 x 12 pixels",
            id="tiles",
        ),
        pytest.param(
            with_entry(with_entry(tiff(STRIPS, compression="zlib"), HEIGHT, value=10**6), ROWS, value=10**6),
            r"compressed bytes cannot hold the 16000000 bytes of pixels that page 0 claims \(at most 1032 for each\)",
            id="one strip of a million rows",
        ),
        pytest.param(
            with_entry(tiff(STRIPS, tile=(16, 16), compression="zlib"), 323, value=2**20),
            "cannot hold the 16777216 bytes of pixels that page 0 claims",
            id="one tile of a million rows, of which the image has 12",
        ),
        pytest.param(
            with_entry(tiff(STRIPS), 262, value=77), "a TIFF of colour type 77; expected grey", id="unknown colours"
        ),
    ],
)
def test_pixels_that_are_not_there(data: bytes, message: str) -> None:
    with pytest.raises(UnreadableImage, match=message):
        READER.read(data, "a.tif")


@pytest.mark.parametrize("compression", ["zlib", "lzw", "packbits", "zstd", "lzma", "jpeg"])
def test_an_image_of_one_value_is_near_what_its_bytes_can_hold(compression: str) -> None:
    pixels = np.full((4096, 4096), 128, np.uint8)
    assert np.array_equal(READER.read(tiff(pixels, compression=compression), "a.tif").pixels[0, ..., 0], pixels)
