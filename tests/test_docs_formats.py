"""docs/formats.md: what each of its rows says, done to a file that the test makes."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from segscale.errors import DataError, UnreadableImage
from segscale.tasks.axes import laid_over
from segscale.tasks.full_scale import agree
from segscale.tasks.labels import LabelRule, class_indices
from segscale.tasks.normalize import find_recipe
from segscale.tasks.orientation import turned_unlike
from segscale.tasks.readers import (
    UNDECIDED,
    read_header,
    read_label_map,
    read_orientation,
    read_picture,
    read_probabilities,
    read_stated_maximum,
)
from tests.page_rows import PageRows

GREY = np.array([[0, 10, 20], [30, 40, 50]], np.uint8)
MASK = np.array([[0, 0, 1], [0, 1, 1]], np.uint8)
TURNED_BY_6 = np.array([[30, 0], [40, 10], [50, 20]], np.uint8)
BLACK, WHITE, RED = (0, 0, 0), (255, 255, 255), (255, 0, 0)
Colours = Sequence[tuple[int, int, int]]
PAGE: PageRows[[]] = PageRows("formats.md", "what a file has", "compression")
row = PAGE.row


def test_each_row_has_a_test_and_each_test_a_row() -> None:
    assert list(PAGE.checks) == PAGE.names


@pytest.mark.parametrize("name", PAGE.names)
def test_row(name: str) -> None:
    PAGE.checks[name]()


def tiff(values: NDArray[Any], tags: Sequence[tuple[int, int]] = (), **options: Any) -> bytes:
    stream = io.BytesIO()
    extra = [(tag, 3, 1, value, True) for tag, value in tags]
    colours = "rgb" if values.ndim > 2 and values.shape[-1] == 3 else "minisblack"
    tifffile.imwrite(stream, values, extratags=extra, **({"photometric": colours} | options))
    return stream.getvalue()


def npy(values: NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, values)
    return stream.getvalue()


def pillow(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def with_chunk(png: bytes, kind: bytes, body: bytes) -> bytes:
    """A PNG with one chunk more, behind its header."""
    chunk = struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return png[:33] + chunk + png[33:]


def exif(orientation: int, kind: str = "H") -> bytes:
    """`kind` "I" for a LONG."""
    number = struct.pack(f">{kind}", orientation).ljust(4, b"\0")
    return (
        b"MM\0*\0\0\0\x08\0\x01\x01\x12\0" + (b"\x03" if kind == "H" else b"\x04") + b"\0\0\0\x01" + number + bytes(4)
    )


def palette(colours: Colours, indices: NDArray[np.uint8] = MASK) -> bytes:
    image = Image.fromarray(indices, "P")
    image.putpalette([part for colour in colours for part in colour])
    return pillow(image)


def colormap(colours: Colours) -> NDArray[np.uint16]:
    table = np.zeros((3, 256), np.uint16)
    table[:, : len(colours)] = np.array(colours, np.uint16).T * 257
    return table


def flat(values: NDArray[Any]) -> list[Any]:
    return list(values.ravel().tolist())


def refused(message: str, read: Callable[..., Any], data: bytes, name: str) -> None:
    with pytest.raises(UnreadableImage, match=message):
        read(data, name)


def by_unit(data: bytes, name: str, full_scale: float = 0.0) -> float:
    picture = read_picture(data, name)
    return find_recipe(picture.pixels, "unit", full_scale=full_scale or picture.full_scale, window=(0.0, 1.0)).scale


@row("EXIF orientation in JPEG")
def _() -> None:
    for block in (exif(6), exif(6, "I")):
        data = pillow(Image.fromarray(np.kron(GREY, np.ones((8, 8), np.uint8))), "JPEG", exif=b"Exif\0\0" + block)
        assert read_header(data, "a.jpg").shape == read_picture(data, "a.jpg").pixels.shape == (1, 24, 16, 1)
        found = read_picture(data, "a.jpg").pixels[0, 4::8, 4::8, 0].astype(int)
        assert np.abs(found - TURNED_BY_6).max() <= 3


@row("eXIf chunk in PNG")
def _() -> None:
    data = with_chunk(pillow(Image.fromarray(GREY)), b"eXIf", exif(6))
    assert np.array_equal(read_picture(data, "a.png").pixels[0, ..., 0], TURNED_BY_6)
    assert np.array_equal(read_label_map(data, "a.png")[0], TURNED_BY_6)


@row("tag 274 in TIFF")
def _() -> None:
    data = tiff(GREY, [(274, 6)])
    assert np.array_equal(read_picture(data, "a.tif").pixels[0, ..., 0], TURNED_BY_6)
    assert np.array_equal(read_label_map(data, "a.tif")[0], TURNED_BY_6)
    channels = np.stack([GREY, 255 - GREY]).astype(np.float32) / 255
    found = read_probabilities(tiff(channels, [(274, 6)], photometric="minisblack"), "a.tif").values
    assert np.array_equal(found, np.stack([TURNED_BY_6, 255 - TURNED_BY_6]).astype(np.float32) / 255)


@row("planes without tag 274 behind a first page that has it")
def _() -> None:
    volume = np.stack([GREY, GREY + 1])
    data = tiff(volume, [(274, 6)], compression="zlib", photometric="minisblack")
    assert np.array_equal(read_label_map(data, "a.tif"), np.stack([TURNED_BY_6, TURNED_BY_6 + 1]))
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as writer:
        for value in (6, 8):
            writer.write(GREY, metadata=None, contiguous=False, extratags=[(274, 3, 1, value, True)])
    refused("its pages have the orientations 6 and 8", read_label_map, stream.getvalue(), "a.tif")


@row("orientation 0, above 8, or in damaged EXIF")
def _() -> None:
    for block in (exif(0), exif(9), exif(6)[:11], b"", b"nothing of the kind"):
        data = with_chunk(pillow(Image.fromarray(GREY)), b"eXIf", block)
        assert np.array_equal(read_label_map(data, "a.png")[0], GREY)
    assert np.array_equal(read_label_map(tiff(GREY, [(274, 9)]), "a.tif")[0], GREY)


@row("a turned file beside another of the same image that says nothing")
def _() -> None:
    files = {"image": tiff(GREY, [(274, 6)]), "reference": tiff(GREY)}
    found = {role: np.array([read_orientation(data, "a.tif")]) for role, data in files.items()}
    assert turned_unlike(found, ["a"]).startswith("1 of 1 images, 0 of 1 references carry an orientation")
    # That it is said in every run: tests/flows/test_ingest.py.


@row("EXIF as text or XMP in PNG, XMP in JPEG")
def _() -> None:
    text = b"Raw profile type exif\0\nexif\n 26\n" + exif(6).hex().encode()
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><tiff:Orientation>6</tiff:Orientation></x:xmpmeta>'
    image = Image.fromarray(GREY)
    for data in (with_chunk(pillow(image), b"tEXt", text), with_chunk(pillow(image), b"tEXt", b"XML:com\0" + xmp)):
        assert read_orientation(data, "a.png") == 0
    segment = b"http://ns.adobe.com/xap/1.0/\0" + xmp
    jpeg = pillow(image, "JPEG")
    assert (
        read_orientation(jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + jpeg[2:], "a.jpg")
        == 0
    )


@row("`.npy`")
def _() -> None:
    assert read_orientation(npy(GREY), "a.npy") == 0


@row("min-is-white TIFF (PhotometricInterpretation 0) of unsigned integers or 1 bit")
def _() -> None:
    for values, black in ((GREY, 255), (GREY.astype(np.uint16), 65535)):
        data = tiff(values, photometric="miniswhite")
        assert flat(read_label_map(data, "a.tif")) == flat(read_picture(data, "a.tif").pixels) == flat(black - values)
    data = tiff(MASK > 0, photometric="miniswhite")
    assert flat(read_label_map(data, "a.tif")) == flat(read_picture(data, "a.tif").pixels) == flat(1 - MASK)


@row("min-is-white TIFF of signed integers or floats")
def _() -> None:
    for dtype in ("i2", "f4"):
        data = tiff(GREY.astype(dtype), photometric="miniswhite")
        refused("white is zero", read_picture, data, "a.tif")
        refused("white is zero", read_label_map, data, "a.tif")
    refused("white is zero", read_probabilities, tiff(GREY.astype("f4") / 255, photometric="miniswhite"), "a.tif")


@row("min-is-white TIFF image with a smaller MaxSampleValue")
def _() -> None:
    data = tiff(GREY.astype("u2"), [(281, 4095)], photometric="miniswhite")
    refused("MaxSampleValue is 4095, so that black may be", read_picture, data, "a.tif")


@row("palette of greys only, in any order")
def _() -> None:
    for colours, greys in (
        ([WHITE, BLACK], 255 - 255 * MASK),
        ([BLACK, WHITE], 255 * MASK),
        ([(70, 70, 70), BLACK], 70 - 70 * MASK),
    ):
        for data, name in (
            (palette(colours), "a.png"),
            (tiff(MASK, photometric="palette", colormap=colormap(colours)), "a.tif"),
        ):
            assert flat(read_label_map(data, name)) == flat(read_picture(data, name).pixels) == flat(greys)


@row("palette with a colour, as image")
def _() -> None:
    assert read_picture(palette([BLACK, RED]), "a.png").pixels[0, 1, 2].tolist() == [255, 0, 0]


@row("palette with a colour, as label map")
def _() -> None:
    for colours in ([RED, BLACK], [BLACK, WHITE, RED], [BLACK, RED, WHITE]):
        assert flat(read_label_map(palette(colours), "a.png")) == flat(MASK)


@row("coloured palette of which a label map uses only greys, a brighter one with a lower index")
def _() -> None:
    refused("indices and brightness would be two readings", read_label_map, palette([WHITE, BLACK, RED]), "a.png")


@row("palette of greys without black, as label map")
def _() -> None:
    refused(
        "palette of greys from 2 to 251 and no black", read_label_map, palette([(251, 251, 251), (2, 2, 2)]), "a.png"
    )
    refused("greys from 255 to 255 and no black", read_label_map, palette([WHITE], np.zeros_like(MASK)), "a.png")


@row("pages of different palettes in TIFF")
def _() -> None:
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as writer:
        for colours in ([BLACK, WHITE], [WHITE, BLACK]):
            writer.write(MASK, photometric="palette", colormap=colormap(colours), metadata=None, contiguous=False)
    refused("its 2 pages have 2 different palettes", read_label_map, stream.getvalue(), "a.tif")


@row("different indices of one grey, as label map")
def _() -> None:
    refused("shows 2 indices in 1 grey", read_label_map, palette([BLACK, BLACK]), "a.png")


@row("indices beyond a palette of one entry, as label map")
def _() -> None:
    assert flat(read_label_map(pillow(Image.fromarray(MASK, "P")), "a.png")) == flat(MASK)


@row("transparent pixels of an image")
def _() -> None:
    data = with_chunk(pillow(Image.fromarray(GREY)), b"tRNS", b"\0\x0a")
    refused("1 of 6 pixels are not fully opaque", read_picture, data, "a.png")
    assert flat(read_label_map(data, "a.png")) == flat(GREY)


@row("separate alpha channel")
def _() -> None:
    for alpha, read in ((255, True), (254, False)):
        data = pillow(Image.fromarray(np.dstack([GREY, np.full_like(GREY, alpha)]), "LA"))
        if read:
            assert flat(read_label_map(data, "a.png")) == flat(read_picture(data, "a.png").pixels) == flat(GREY)
        else:
            refused("not fully opaque", read_label_map, data, "a.png")


@row("gamma and colour profiles")
def _() -> None:
    data = with_chunk(pillow(Image.fromarray(GREY)), b"gAMA", struct.pack(">I", 100_000))
    assert flat(read_picture(data, "a.png").pixels) == flat(GREY)


@row("1 bit, bool")
def _() -> None:
    for data, name in (
        (pillow(Image.fromarray(MASK > 0)), "a.png"),
        (tiff(MASK > 0), "a.tif"),
        (npy(MASK > 0), "a.npy"),
    ):
        assert flat(read_label_map(data, name)) == flat(read_picture(data, name).pixels) == flat(MASK)
        assert read_picture(data, name).full_scale == 1


@row("2 or 4 bits")
def _() -> None:
    for bits, line in ((2, b"\x1b"), (4, b"\x01\x23")):
        header = struct.pack(">IIBBBBB", 4, 1, bits, 0, 0, 0, 0)
        png = b"\x89PNG\r\n\x1a\n" + b"".join(
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
            for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0" + line)), (b"IEND", b""))
        )
        assert flat(read_label_map(png, "a.png")) == flat(read_picture(png, "a.png").pixels) == [0, 1, 2, 3]
        assert read_picture(png, "a.png").full_scale == 2**bits - 1


@row("8, 16 and 32 bits")
def _() -> None:
    for dtype, scale in (("u1", 255), ("u2", 65535), ("u4", 4294967295)):
        assert read_picture(tiff(GREY.astype(dtype)), "a.tif").full_scale == scale
        assert read_picture(npy(GREY.astype(dtype)), "a.npy").full_scale == scale
    assert read_picture(pillow(Image.fromarray(GREY.astype("u2"))), "a.png").full_scale == 65535


@row("12 bits packed in TIFF")
def _() -> None:
    data = tiff(GREY.astype("u2"), bitspersample=12)
    assert flat(read_picture(data, "a.tif").pixels) == flat(GREY)
    assert read_picture(data, "a.tif").full_scale == 4095


@row("signed integers")
def _() -> None:
    for dtype, scale in (("i1", 127), ("i2", 32767), ("i4", 2147483647)):
        for data, name in ((tiff(GREY.astype(dtype)), "a.tif"), (npy(GREY.astype(dtype)), "a.npy")):
            assert by_unit(data, name) == scale
    with pytest.raises(DataError, match="no negative values"):
        by_unit(npy(GREY.astype("i2") - 1), "a.npy")


@row("floats")
def _() -> None:
    for dtype in ("f4", "f8"):
        picture = read_picture(npy(GREY.astype(dtype) / 64), "a.npy")
        assert picture.full_scale == 1
        assert picture.pixels.dtype == np.float32


def png16(*values: int, significant: int) -> bytes:
    return with_chunk(pillow(Image.fromarray(np.array([values], np.uint16))), b"sBIT", bytes([significant]))


def scales(*stated: int) -> list[int]:
    return list(agree(np.array(["uint16"] * len(stated), object), np.array(stated)).of_images.tolist())


@row("sBIT in PNG, values within its bits")
def _() -> None:
    stated = read_stated_maximum(png16(3, 1000, significant=10), "a.png")
    assert scales(stated, stated) == [1023, 1023]


@row("sBIT in PNG, values scaled up as PNG wants it")
def _() -> None:
    assert scales(read_stated_maximum(png16(0, 64, 65472, significant=10), "a.png")) == [0]


@row("sBIT in PNG, every value possible either way (black)")
def _() -> None:
    assert read_stated_maximum(png16(0, 0, significant=10), "a.png") == UNDECIDED
    assert scales(UNDECIDED, 1023) == [1023, 1023]


@row("MaxSampleValue 2^k - 1 in TIFF")
def _() -> None:
    stated = read_stated_maximum(tiff(GREY.astype("u2"), [(281, 16383)]), "a.tif")
    assert scales(stated, stated) == [16383, 16383]


@row("MaxSampleValue of another kind")
def _() -> None:
    assert read_stated_maximum(tiff(GREY.astype("u2"), [(281, 2876)]), "a.tif") == 0


@row("files of one type that say different things")
def _() -> None:
    found = agree(np.array(["uint16"] * 3, object), np.array([1023, 4095, 0]))
    assert found.of_images.tolist() == [0, 0, 0]
    assert len(found.disputed) == 1


@row("`dataset.full_scale`")
def _() -> None:
    assert by_unit(tiff(GREY.astype("u2"), [(281, 1023)]), "a.tif", 500.0) == 500
    # That it is taken for every image: tests/tasks/test_ingest.py.


@row("values above the full scale under `unit`")
def _() -> None:
    with pytest.raises(DataError, match=r"pixel values from 0 to 50 .* to 49, the full scale"):
        by_unit(tiff(GREY), "a.tif", 49.0)


LARGE = np.kron(MASK, np.ones((16, 16), np.uint8)) * 255


def kept(values: NDArray[Any] = LARGE, **options: Any) -> None:
    assert np.array_equal(
        read_label_map(tiff(values, **options), "a.tif")[0], values.reshape(*values.shape[:2], -1)[..., 0]
    )


def lost(values: NDArray[Any] = LARGE, **options: Any) -> None:
    refused("does not keep label values", read_label_map, tiff(values, **options), "a.tif")


@row("none, LZW, Deflate, PackBits, LZMA, Zstandard, PNG in TIFF")
def _() -> None:
    for codec in (None, "lzw", "zlib", "packbits", "lzma", "zstd", "png"):
        kept(compression=codec)


@row("CCITT (fax) in TIFF")
def _() -> None:
    for codec in ("group3", "group4", "tiff_ccitt"):
        data = pillow(Image.fromarray(LARGE > 0), "TIFF", compression=codec)
        assert np.array_equal(read_label_map(data, "a.tif")[0], LARGE // 255)


@row("JPEG")
def _() -> None:
    refused("JPEG does not keep label values", read_label_map, pillow(Image.fromarray(LARGE), "JPEG"), "a.jpg")
    lost(compression="jpeg")


@row("lossless JPEG in TIFF")
def _() -> None:
    kept(compression="jpeg", compressionargs={"lossless": True})
    # The point transform: tests/tasks/readers/test_codecs.py.


@row("JPEG 2000 in TIFF")
def _() -> None:
    kept(compression="jpeg2000")
    lost(compression="jpeg2000", compressionargs={"level": 40})


@row("JPEG XL in TIFF")
def _() -> None:
    kept(compression="jpegxl")
    lost(compression="jpegxl", compressionargs={"distance": 1.5})


@row("JPEG XR in TIFF")
def _() -> None:
    lost(compression="jpegxr")


@row("WebP in TIFF")
def _() -> None:
    colours = np.repeat(LARGE[..., None], 3, axis=-1)
    kept(colours, compression="webp", compressionargs={"lossless": True})
    lost(colours, compression="webp", compressionargs={"lossless": False})


@row("LERC in TIFF")
def _() -> None:
    kept(compression="lerc")
    lost(compression="lerc", compressionargs={"level": 2})
    # Probabilities may be rounded.
    soft = LARGE.astype(np.float32) / 255
    data = tiff(soft, compression="lerc", compressionargs={"level": 0.001})
    assert np.abs(read_probabilities(data, "a.tif").values - soft).max() <= 0.001


@row("any other")
def _() -> None:
    data = bytearray(tiff(LARGE, compression="zlib"))
    with tifffile.TiffFile(io.BytesIO(data)) as opened:
        tag = opened.pages.first.tags["Compression"]
        data[tag.valueoffset : tag.valueoffset + 2] = struct.pack("<H", 34661)
    refused("JBIG", read_label_map, bytes(data), "a.tif")


VOLUME = np.arange(5 * 6 * 7, dtype=np.uint8).reshape(5, 6, 7)


@row("pages of grey in TIFF")
def _() -> None:
    assert np.array_equal(read_label_map(tiff(VOLUME), "a.tif"), VOLUME)


@row("time series, or pages of unlike size, in TIFF")
def _() -> None:
    data = tiff(VOLUME, imagej=True, metadata={"axes": "TYX"})
    refused("no time", read_picture, data, "a.tif")
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as writer:
        writer.write(VOLUME[0])
        writer.write(VOLUME[0, :3])
    refused("images of unlike shape", read_picture, stream.getvalue(), "a.tif")


@row("smaller copies of the image in TIFF")
def _() -> None:
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as writer:
        writer.write(LARGE, subifds=1, tile=(16, 16), metadata=None)
        writer.write(LARGE[::2, ::2], subfiletype=1, tile=(16, 16), metadata=None)
    assert np.array_equal(read_label_map(stream.getvalue(), "a.tif")[0], LARGE)


@row("`.npy` of two axes")
def _() -> None:
    assert np.array_equal(read_label_map(npy(GREY), "a.npy")[0], GREY)


@row("`.npy` of three axes")
def _() -> None:
    assert np.array_equal(read_label_map(npy(VOLUME), "a.npy"), VOLUME)
    assert read_picture(npy(GREY[..., None]), "a.npy").pixels.shape == (1, *GREY.shape, 1)
    refused("with a width above 4", read_picture, npy(VOLUME[..., :3]), "a.npy")


@row("`.npy` of four axes")
def _() -> None:
    assert read_picture(npy(VOLUME[:, :, :6].reshape(5, 6, 2, 3)), "a.npy").pixels.shape == (5, 6, 2, 3)
    assert read_picture(npy(LARGE[None, None]), "a.npy").pixels.shape == (1, *LARGE.shape, 1)


@row("axes of a label map or of probabilities")
def _() -> None:
    for values in (GREY, GREY[None], GREY[..., None], GREY[None, None]):
        assert np.array_equal(laid_over(values, (1, *GREY.shape), {0, 2}, "a.npy")[0], GREY)
    planes = np.stack([GREY == 0, GREY != 0])
    assert np.array_equal(class_indices(planes, (1, *GREY.shape), LabelRule(2), "a.npy")[0], GREY != 0)
    with pytest.raises(DataError, match="fits in more than one way"):
        laid_over(np.zeros((2, 2, 2)), (1, 2, 2), {2}, "a.npy")


@row("channels (C) and planes (Z) that a TIFF names, as ImageJ and OME do")
def _() -> None:
    stack = np.arange(2 * 2 * 6 * 7, dtype=np.float32).reshape(2, 2, 6, 7)
    data = tiff(stack, imagej=True, metadata={"axes": "ZCYX"})
    laid = laid_over(read_probabilities(data, "a.tif").values, (2, 6, 7), {2}, "a.tif")
    assert np.array_equal(laid, np.moveaxis(stack, 1, -1))


@row("channels of a TIFF label map that are neither colours nor alpha")
def _() -> None:
    data = tiff(np.dstack([1 - MASK, MASK]), planarconfig="contig")
    assert np.array_equal(
        class_indices(read_label_map(data, "a.tif"), (1, *MASK.shape), LabelRule(2), "a.tif")[0], MASK
    )


@row("three equal channels, as label map")
def _() -> None:
    colours = np.repeat(LARGE[..., None], 3, axis=-1)
    kept(colours)
    colours[3, 4, 1] ^= 1
    refused("1 of 1536 pixels have channels that differ", read_label_map, tiff(colours), "a.tif")
