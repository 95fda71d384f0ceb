import io

import numpy as np
import pytest
from PIL import Image, ImageFile

from segscale.errors import UnreadableImage
from segscale.tasks.readers.jpeg import JpegReader
from segscale.tasks.readers.orientation import turned

READER = JpegReader()


def jpeg(mode: str, width: int = 20, height: int = 10) -> bytes:
    stream = io.BytesIO()
    Image.new(mode, (width, height)).save(stream, "JPEG")
    return stream.getvalue()


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3)])
def test_grey_and_colour(mode: str, channels: int) -> None:
    data = jpeg(mode)
    picture, header = READER.read(data, "a.jpg"), READER.header(data, "a.jpg")
    assert picture.pixels.shape == header.shape == (1, 10, 20, channels)
    assert picture.pixels.dtype.name == header.dtype == "uint8"
    assert picture.full_scale == 255
    assert picture.pixels.flags.c_contiguous


def test_values_are_near_what_was_written() -> None:
    pixels = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=95)
    found = READER.read(stream.getvalue(), "a.jpg").pixels[0]
    assert np.abs(found.astype(int) - pixels).max() <= 3


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_pictures_are_turned_as_exif_says(orientation: int, mode: str) -> None:
    ramp = Image.fromarray(np.linspace(0, 255, 24 * 16).reshape(16, 24).astype(np.uint8)).convert(mode)
    exif = Image.Exif()
    exif[274] = orientation
    plain, tagged = io.BytesIO(), io.BytesIO()
    ramp.save(plain, "JPEG")
    ramp.save(tagged, "JPEG", exif=exif)
    stored = READER.read(plain.getvalue(), "a.jpg").pixels
    data = tagged.getvalue()
    found, header = READER.read(data, "a.jpg").pixels, READER.header(data, "a.jpg")
    assert np.array_equal(found, turned(stored, orientation))
    assert (header.shape, header.orientation) == (found.shape, orientation)
    assert found.flags.c_contiguous
    assert READER.orientation(data, "a.jpg") == orientation
    assert READER.orientation(plain.getvalue(), "a.jpg") == 0


@pytest.mark.parametrize("block", [b"Exif\0\0", b"Exif\0\0MM\0*\xff\xff\xff\xff", b"Exif\0\0" + b"x" * 40])
def test_damaged_exif_turns_nothing(block: bytes) -> None:
    stream = io.BytesIO()
    Image.new("L", (20, 10)).save(stream, "JPEG", exif=block)
    assert READER.read(stream.getvalue(), "a.jpg").pixels.shape == (1, 10, 20, 1)
    assert READER.header(stream.getvalue(), "a.jpg").orientation == 0


def test_four_colours_are_refused() -> None:
    with pytest.raises(UnreadableImage, match="a JPEG in CMYK; expected grey or RGB"):
        READER.header(jpeg("CMYK"), "a.jpg")


def test_every_cut_is_noticed_even_where_pillow_was_told_to_tolerate_it(monkeypatch: pytest.MonkeyPatch) -> None:
    data = jpeg("RGB")
    for length in range(0, len(data), 7):
        monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
        with pytest.raises(UnreadableImage):
            READER.read(data[:length], "a.jpg")


def test_no_label_map_is_read_from_a_lossy_file() -> None:
    with pytest.raises(UnreadableImage, match="JPEG does not keep label values"):
        READER.stored_values(jpeg("L"), "mask.jpg")


@pytest.mark.parametrize("data", [b"", b"text", b"\xff\xd8\xff\xe0 and no more"], ids=["empty", "text", "marker only"])
def test_wrong_content(data: bytes) -> None:
    with pytest.raises(UnreadableImage, match=r"a\.jpg: ") as caught:
        READER.header(data, "a.jpg")
    assert "0x" not in str(caught.value)


def test_the_limits_of_pillow_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    sink = io.BytesIO()
    Image.fromarray(np.full((20, 30), 9, np.uint8)).save(sink, "JPEG")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(io.BytesIO(sink.getvalue()))
    assert JpegReader().read(sink.getvalue(), "a.jpg").pixels.shape == (1, 20, 30, 1)


def test_pixels_that_so_few_bytes_cannot_hold_take_no_memory() -> None:
    data = jpeg("RGB")
    start = data.index(b"\xff\xc0") + 5
    claims = data[:start] + (20_000).to_bytes(2, "big") * 2 + data[start + 4 :]
    assert READER.header(claims, "a.jpg").shape == (1, 20_000, 20_000, 3)
    with pytest.raises(UnreadableImage, match=r"cut off: \d+ bytes cannot hold the 20000 x 20000 pixels"):
        READER.read(claims, "a.jpg")


def test_as_many_pixels_as_bytes_can_hold() -> None:
    sink = io.BytesIO()
    Image.new("L", (4000, 4000), 128).save(sink, "JPEG", optimize=True, progressive=True)
    assert 4000 * 4000 / len(sink.getvalue()) > 200, "half of what a scan of one bit for each block has"
    assert READER.read(sink.getvalue(), "a.jpg").pixels.shape == (1, 4000, 4000, 1)
