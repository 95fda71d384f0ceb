import io
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from segscale.errors import DataError, UnreadableImage
from segscale.tasks.readers import read_header, read_label_map, read_picture, reader_for
from segscale.tasks.readers.arrays import NumpyReader
from segscale.tasks.readers.jpeg import JpegReader
from segscale.tasks.readers.png import PngReader
from segscale.tasks.readers.tiff import TiffReader
from tests.tasks.readers.conftest import MakePng

PIXELS = np.arange(5 * 6, dtype=np.uint8).reshape(5, 6)


def encoded(format_name: str) -> bytes:
    stream = io.BytesIO()
    if format_name == "TIFF":
        tifffile.imwrite(stream, PIXELS)
    elif format_name == "NPY":
        np.save(stream, PIXELS)
    else:
        Image.fromarray(PIXELS).save(stream, format_name)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "reader"),
    [
        ("a.png", PngReader),
        ("s3://bucket/A.PNG", PngReader),
        ("a.b.jpg", JpegReader),
        ("a.JPEG", JpegReader),
        ("a.tif", TiffReader),
        ("a.ome.tiff", TiffReader),
        ("a.npy", NumpyReader),
    ],
)
def test_the_ending_chooses_the_reader(name: str, reader: type) -> None:
    assert isinstance(reader_for(name), reader)


@pytest.mark.parametrize("name", ["a.bmp", "png", "a.png.txt", ""])
def test_unknown_endings_name_the_known(name: str) -> None:
    with pytest.raises(UnreadableImage, match=r"expected one of \.png, \.jpg, \.jpeg, \.tif, \.tiff, \.npy"):
        reader_for(name)


@pytest.mark.parametrize(
    ("name", "format_name"), [("a.png", "PNG"), ("a.jpg", "JPEG"), ("a.tif", "TIFF"), ("a.npy", "NPY")]
)
def test_header_and_picture_agree(name: str, format_name: str) -> None:
    data = encoded(format_name)
    header, picture = read_header(data, name), read_picture(data, name)
    assert (header.shape, header.dtype) == (picture.pixels.shape, picture.pixels.dtype.name)
    assert header.shape == (1, 5, 6, 1)
    assert picture.full_scale == 255


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.npy"])
@pytest.mark.parametrize("format_name", ["PNG", "JPEG", "TIFF", "NPY"])
def test_a_wrong_ending_is_an_error_of_one_type(name: str, format_name: str) -> None:
    data = encoded(format_name)
    if isinstance(reader_for(name), type(reader_for(f"x.{format_name}".replace("TIFF", "tif")))):
        return
    for read in (read_header, read_picture):
        with pytest.raises(UnreadableImage, match="whatever its name says"):
            read(data, name)


def test_numbers_that_no_reader_foresaw_are_about_the_file(make_png: MakePng) -> None:
    # Three bytes of a colour key, where numpy expects pairs of them.
    data = make_png(4, 1, 8, 0, [b"\1\2\3\4"], chunks=[(b"tRNS", b"\0\1\2")])
    with pytest.raises(DataError, match="multiple of element size") as caught:
        read_picture(data, "a.png")
    assert caught.value.recorded_as == "ValueError", "another word than stores have for such a file"


@pytest.mark.parametrize("place", ["single_channel", "native_pixels", "reader_for"])
def test_a_mistake_of_ours_is_no_failed_image(place: str, make_png: MakePng, monkeypatch: pytest.MonkeyPatch) -> None:
    def mistaken(*_: object) -> None:
        raise ValueError("a mistake of ours")

    monkeypatch.setattr(f"segscale.tasks.readers.labels.{place}", mistaken)
    with pytest.raises(ValueError, match="a mistake of ours") as caught:
        read_label_map(make_png(4, 1, 8, 0, [b"\1\2\3\4"]), "a.png")
    assert not isinstance(caught.value, DataError)


def test_an_assertion_of_ours_beside_a_decoder_is_no_failed_image(
    make_png: MakePng, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mistaken(_: object) -> None:
        raise AssertionError("a mistake of ours")

    # As if it stood in the module of the reader.
    monkeypatch.setitem(mistaken.__globals__, "__name__", "segscale.tasks.readers.pillow")
    monkeypatch.setattr("segscale.tasks.readers.png.decoded", mistaken)
    with pytest.raises(AssertionError, match="a mistake of ours"):
        read_picture(make_png(4, 1, 1, 0, [b"\x50"]), "a.png")  # of one bit: Pillow decodes it


def test_a_second_header_is_refused(make_png: MakePng) -> None:
    header = (4).to_bytes(4) + (1).to_bytes(4) + b"\x08\0\0\0\0"
    data = make_png(4, 1, 8, 0, [b"\1\2\3\4"], chunks=[(b"IHDR", header)])
    with pytest.raises(UnreadableImage, match="a second header"):
        read_picture(data, "a.png")


@pytest.mark.data
@pytest.mark.parametrize("folder", ["nuclei/images", "ms_lesions/images"])
def test_real_pictures(data_folder: Path, folder: str) -> None:
    for path in sorted((data_folder / folder).glob("*.png"))[:8]:
        data = path.read_bytes()
        header, picture = read_header(data, path.name), read_picture(data, path.name)
        with Image.open(path) as image:
            assert np.array_equal(picture.pixels, np.asarray(image).reshape(header.shape))
        assert (header.dtype, picture.full_scale) == ("uint8", 255)
