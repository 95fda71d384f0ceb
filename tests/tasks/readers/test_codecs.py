"""Each codec from both sides: what comes back equal is read, what does not is refused by name."""

import io
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from segscale.errors import UnreadableImage
from segscale.tasks.readers import read_label_map, read_picture
from segscale.tasks.readers.codecs import is_always_lossless, keeps_values

ROWS, COLUMNS = np.mgrid[:48, :64]
RING = np.where(np.abs(np.hypot(ROWS - 20, COLUMNS - 30) - 12) < 5, 255, 0).astype(np.uint8)
CLASSES = ((ROWS // 9 + COLUMNS // 11) % 5).astype(np.uint16)
JPEG, JPEG_2000, LERC, WEBP, JPEG_XL = 7, 34712, 34887, 50001, 50002
Encode = Callable[..., Any]


def tiff(values: NDArray[Any], **options: Any) -> bytes:
    stream = io.BytesIO()
    photometric = "rgb" if values.ndim == 3 and values.shape[-1] == 3 else "minisblack"
    tifffile.imwrite(stream, values, photometric=photometric, **options)
    return stream.getvalue()


@pytest.mark.parametrize("values", [RING, CLASSES], ids=["8 bits", "16 bits"])
@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="none"),
        pytest.param({"compression": "lzw", "predictor": True}, id="LZW with differences"),
        pytest.param({"compression": "zlib"}, id="Deflate"),
        pytest.param({"compression": "packbits"}, id="PackBits"),
        pytest.param({"compression": "lzma"}, id="LZMA"),
        pytest.param({"compression": "zstd", "tile": (16, 16)}, id="Zstandard in tiles"),
        pytest.param({"compression": "png"}, id="PNG"),
        pytest.param({"compression": "jpeg2000"}, id="JPEG 2000, reversible"),
        pytest.param({"compression": "jpeg2000", "tile": (16, 32)}, id="the same in tiles"),
        pytest.param({"compression": "jpegxl"}, id="JPEG XL, lossless"),
        pytest.param({"compression": "lerc"}, id="LERC without tolerance"),
    ],
)
def test_lossless_codecs_are_read(values: NDArray[Any], options: Mapping[str, Any]) -> None:
    assert np.array_equal(read_label_map(tiff(values, **options), "mask.tif")[0], values)


def test_lossless_jpeg_and_webp_are_read() -> None:
    assert np.array_equal(
        read_label_map(tiff(RING, compression="jpeg", compressionargs={"lossless": True}), "a.tif")[0], RING
    )
    alike = np.repeat(RING[..., None], 3, axis=-1)
    data = tiff(alike, compression="webp", compressionargs={"lossless": True})
    assert np.array_equal(read_label_map(data, "a.tif")[0], RING)


@pytest.mark.parametrize(
    ("values", "options", "codec"),
    [
        pytest.param(RING, {"compression": "jpeg"}, "JPEG", id="JPEG"),
        pytest.param(
            RING, {"compression": "jpeg2000", "compressionargs": {"level": 35}}, "JPEG2000", id="JPEG 2000, 9-7"
        ),
        pytest.param(
            CLASSES,
            {"compression": "jpeg2000", "compressionargs": {"reversible": False}, "tile": (16, 16)},
            "JPEG2000",
            id="the same at full rate, in tiles",
        ),
        pytest.param(
            RING, {"compression": "jpegxl", "compressionargs": {"distance": 1.0}}, "JPEGXL", id="JPEG XL, lossy"
        ),
        pytest.param(
            CLASSES * 100,
            {"compression": "jpegxl", "compressionargs": {"level": 80}},
            "JPEGXL",
            id="JPEG XL, lossy, 16 bits",
        ),
        pytest.param(RING, {"compression": "jpegxr"}, "JPEGXR", id="JPEG XR, of whatever quality"),
        pytest.param(RING, {"compression": "lerc", "compressionargs": {"level": 3}}, "LERC", id="LERC with tolerance"),
        pytest.param(
            np.repeat(RING[..., None], 3, axis=-1),
            {"compression": "webp", "compressionargs": {"lossless": False}},
            "WEBP",
            id="WebP, lossy",
        ),
    ],
)
def test_lossy_codecs_are_refused_by_name(values: NDArray[Any], options: Mapping[str, Any], codec: str) -> None:
    data = tiff(values, **options)
    with pytest.raises(UnreadableImage, match=rf"a\.tif: TIFF with {codec} compression .* does not keep label values"):
        read_label_map(data, "a.tif")
    assert read_picture(data, "a.tif").pixels.shape[1:3] == values.shape[:2], "images may be lossy"


def test_one_lossy_page_among_others_is_found() -> None:
    lossless, lossy = (bytes(imagecodecs.jpeg2k_encode(RING, reversible=kept)) for kept in (True, False))
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as writer:
        pages = (lossless, lossless, lossy)
        writer.write(
            iter(pages), shape=(3, *RING.shape), dtype=np.uint8, compression="jpeg2000", photometric="minisblack"
        )
    with pytest.raises(UnreadableImage, match="JPEG2000"):
        read_label_map(stream.getvalue(), "a.tif")


@pytest.mark.parametrize(
    ("compression", "encode", "settings", "lossless"),
    [
        pytest.param(JPEG_2000, imagecodecs.jpeg2k_encode, {"codecformat": "j2k"}, True, id="bare stream"),
        pytest.param(JPEG_2000, imagecodecs.jpeg2k_encode, {"level": 50, "codecformat": "j2k"}, False, id="bare, 9-7"),
        pytest.param(JPEG_XL, imagecodecs.jpegxl_encode, {"usecontainer": True}, True, id="JPEG XL in boxes"),
        pytest.param(JPEG_XL, imagecodecs.jpegxl_encode, {"effort": 1}, True, id="quickly"),
        pytest.param(JPEG_XL, imagecodecs.jpegxl_encode, {"distance": 0.0}, False, id="distance 0 is not lossless"),
        pytest.param(
            JPEG_XL, imagecodecs.jpegxl_encode, {"usecontainer": True, "distance": 2.0}, False, id="lossy in boxes"
        ),
        pytest.param(JPEG, imagecodecs.ljpeg_encode, {}, True, id="lossless JPEG of another encoder"),
        pytest.param(JPEG, imagecodecs.jpeg8_encode, {"level": 100}, False, id="JPEG of quality 100"),
        pytest.param(LERC, imagecodecs.lerc_encode, {"level": 0.5}, True, id="tolerance of half a step"),
        pytest.param(LERC, imagecodecs.lerc_encode, {"level": 2}, False, id="tolerance of two"),
    ],
)
def test_heads(compression: int, encode: Encode, settings: Mapping[str, Any], lossless: bool) -> None:
    assert keeps_values(compression, bytes(encode(RING, **settings))) is lossless
    assert not is_always_lossless(compression)


def test_a_point_transform_makes_lossless_jpeg_lossy() -> None:
    data = bytearray(imagecodecs.ljpeg_encode(RING))
    scan = data.index(b"\xff\xda")
    data[scan + 1 + int.from_bytes(data[scan + 2 : scan + 4])] |= 2
    assert not keeps_values(JPEG, bytes(data))


def test_an_override_for_one_component_counts() -> None:
    data = bytes(imagecodecs.jpeg2k_encode(np.repeat(RING[..., None], 3, axis=-1), codecformat="j2k"))
    style = data.index(b"\xff\x52")
    stop = style + 2 + int.from_bytes(data[style + 2 : style + 4])
    for transform, lossless in ((1, True), (0, False)):
        override = b"\xff\x53\x00\x09\x01\x00" + data[style + 9 : stop - 1] + bytes([transform])
        assert keeps_values(JPEG_2000, data[:stop] + override + data[stop:]) is lossless


@pytest.mark.parametrize("wrap", [zlib.compress, imagecodecs.zstd_encode], ids=["Deflate", "Zstandard"])
def test_lerc_may_be_compressed_once_more(wrap: Encode) -> None:
    assert keeps_values(LERC, bytes(wrap(bytes(imagecodecs.lerc_encode(RING)))))
    assert not keeps_values(LERC, bytes(wrap(bytes(imagecodecs.lerc_encode(RING, level=4)))))


def test_floats_have_no_tolerance() -> None:
    floats = RING.astype(np.float32)
    assert keeps_values(LERC, bytes(imagecodecs.lerc_encode(floats)))
    assert not keeps_values(LERC, bytes(imagecodecs.lerc_encode(floats, level=0.25)))


@pytest.mark.parametrize("compression", [6, 99, 34892, 22610, 34934, 48124, 12345])
def test_what_is_not_known_is_not_lossless(compression: int) -> None:
    assert not keeps_values(compression, bytes(64))


@pytest.mark.parametrize(
    ("compression", "encode"),
    [
        (JPEG, imagecodecs.ljpeg_encode),
        (JPEG_2000, imagecodecs.jpeg2k_encode),
        (JPEG_XL, imagecodecs.jpegxl_encode),
        (LERC, imagecodecs.lerc_encode),
    ],
)
@given(st.data())
def test_damaged_heads_are_no_error(compression: int, encode: Encode, data: st.DataObject) -> None:
    damaged = bytearray(encode(RING))
    for _ in range(3):
        damaged[data.draw(st.integers(0, min(99, len(damaged) - 1)))] = data.draw(st.integers(0, 255))
    assert keeps_values(compression, bytes(damaged)) in (True, False)
    assert keeps_values(compression, bytes(damaged[: data.draw(st.integers(0, 99))])) in (True, False)


@pytest.mark.parametrize("shape", [(8, 8), (8, 16), (9, 300), (1, 1), (600, 40), (64, 64), (40, 9000)])
@pytest.mark.parametrize("dtype", ["u1", "u2"])
@pytest.mark.parametrize("channels", [1, 3])
def test_heads_of_every_size(shape: tuple[int, int], dtype: str, channels: int) -> None:
    values = np.random.default_rng(0).integers(0, 3, (*shape, channels)).astype(dtype)
    pixels = values if channels == 3 else values[..., 0]
    assert keeps_values(JPEG_XL, bytes(imagecodecs.jpegxl_encode(pixels)))
    assert not keeps_values(JPEG_XL, bytes(imagecodecs.jpegxl_encode(pixels, distance=1.0)))
