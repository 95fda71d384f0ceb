"""JPEG by one decoder: what it refuses is no other's to guess at."""

import io
from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from segscale.errors import UnreadableImage
from segscale.tasks.readers.dicom_codecs import codec_of, decode_frame
from segscale.tasks.readers.libjpeg import decode_jpeg
from segscale.tasks.readers.tiff import TiffReader, read_tiff_array

PIXELS = (np.add.outer(np.arange(24) ** 2, np.arange(32) * 3) % 251).astype(np.uint8)
COLOURS = np.stack([PIXELS, PIXELS[::-1], PIXELS // 2], axis=-1)
PLAIN_JPEG = "1.2.840.10008.1.2.4.50"


@pytest.fixture(autouse=True)
def other(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What the decoder was asked for that must not be asked: it ends the process where a stream is damaged."""
    asked: list[bytes] = []
    monkeypatch.setattr(imagecodecs, "ljpeg_decode", lambda data, **_: asked.append(data))
    return asked


def of_process(stream: bytes, process: int) -> bytes:
    """The same stream under another start of frame, as a flipped bit makes it."""
    place = next(place for place in range(2, len(stream)) if stream[place : place + 2] in (b"\xff\xc0", b"\xff\xc3"))
    return stream[: place + 1] + bytes([process]) + stream[place + 2 :]


def tiff(pixels: NDArray[Any], **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, metadata=None, compression="jpeg", **options)
    return file.getvalue()


@pytest.mark.parametrize("read", [TiffReader().read, read_tiff_array])
@pytest.mark.parametrize("process", [0xC5, 0xC7])
def test_a_tiff_of_a_process_that_libjpeg_does_not_know_is_refused(
    read: Callable[[bytes, str], object], process: int, other: list[bytes]
) -> None:
    data = of_process(tiff(PIXELS), process)
    imagecodecs.jpeg_decode(of_process(bytes(imagecodecs.jpeg8_encode(PIXELS)), process))
    assert other, "imagecodecs asks no other decoder any more: this module is of no use"
    other.clear()
    with pytest.raises(UnreadableImage, match="SOF type"):
        read(data, "a.tif")
    assert not other


def test_a_frame_of_dicom_is_refused_likewise(other: list[bytes]) -> None:
    frame = of_process(bytes(imagecodecs.jpeg8_encode(PIXELS)), 0xC5)
    with pytest.raises(UnreadableImage, match="a damaged frame of JPEG"):
        decode_frame(codec_of(PLAIN_JPEG, "a.dcm"), frame, PIXELS.shape, 1, "a.dcm")
    assert not other


@pytest.mark.parametrize("bits", range(2, 17))
def test_lossless_jpeg_of_every_precision(bits: int) -> None:
    pixels = (PIXELS.astype(np.uint16) * 257 >> (16 - bits)).astype(np.uint8 if bits <= 8 else np.uint16)
    np.testing.assert_array_equal(decode_jpeg(bytes(imagecodecs.ljpeg_encode(pixels, bitspersample=bits))), pixels)


@pytest.mark.parametrize(
    ("pixels", "options"),
    [
        pytest.param(PIXELS, {}, id="grey"),
        pytest.param(COLOURS, {"photometric": "ycbcr"}, id="colours"),
        pytest.param(COLOURS, {"photometric": "rgb"}, id="colours as they are"),
        pytest.param(COLOURS.transpose(2, 0, 1), {"photometric": "rgb", "planarconfig": "separate"}, id="planes"),
        pytest.param(PIXELS, {"rowsperstrip": 16}, id="strips, the last one shorter"),
        pytest.param(np.tile(PIXELS, (2, 2)), {"tile": (32, 32)}, id="tiles, the last ones beyond the picture"),
        pytest.param(np.stack([PIXELS, PIXELS[::-1]]), {"photometric": "minisblack"}, id="pages"),
    ],
)
def test_a_tiff_is_read_as_tifffile_reads_it(pixels: NDArray[Any], options: dict[str, Any]) -> None:
    data = tiff(pixels, **options)
    expected = tifffile.imread(io.BytesIO(data))
    np.testing.assert_array_equal(read_tiff_array(data, "a.tif"), expected)
    assert TiffReader().read(data, "a.tif").pixels.size == expected.size
