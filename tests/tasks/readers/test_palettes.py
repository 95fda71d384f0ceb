import io
from collections.abc import Sequence

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from segscale.errors import UnreadableImage
from segscale.tasks.readers import palettes, read_label_map, read_picture
from segscale.tasks.readers.palettes import is_grey_palette, palette_colours, palette_labels

GREY_RAMP = np.array([[0, 0, 0], [9, 9, 9]], np.uint8)
ONE_RED = np.array([[0, 0, 0], [9, 0, 0]], np.uint8)
SHAPE = np.array([[0, 0, 1], [0, 1, 1]], np.uint8)
BLACK, WHITE, RED, BLUE, GREY = (0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 0, 255), (128, 128, 128)
Colours = Sequence[tuple[int, int, int]]


def png(indices: NDArray[np.uint8], colours: Colours) -> bytes:
    image = Image.fromarray(indices, "P")
    image.putpalette([part for colour in colours for part in colour])
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def tiff(indices: NDArray[np.uint8], colours: Colours) -> bytes:
    table = np.zeros((3, 256), np.uint16)
    table[:, : len(colours)] = np.array(colours, np.uint16).T * 257
    stream = io.BytesIO()
    tifffile.imwrite(stream, indices, photometric="palette", colormap=table)
    return stream.getvalue()


def test_the_palette_alone_decides_the_channels() -> None:
    indices = np.zeros((1, 2, 1), np.uint8)  # the red entry does not occur
    assert is_grey_palette(GREY_RAMP)
    assert palette_colours(indices, GREY_RAMP, "a").shape == (1, 2, 1)
    assert not is_grey_palette(ONE_RED)
    assert palette_colours(indices, ONE_RED, "a").shape == (1, 2, 3)


def test_index_beyond_the_palette() -> None:
    with pytest.raises(UnreadableImage, match="palette index 2 occurs, but the palette has 2 entries"):
        palette_colours(np.array([[[2]]], np.uint8), GREY_RAMP, "a")


@pytest.mark.parametrize(("encode", "name"), [(png, "a.png"), (tiff, "a.tif")])
@pytest.mark.parametrize(
    ("colours", "expected"),
    [
        pytest.param([BLACK, WHITE], SHAPE * 255, id="black first"),
        pytest.param([WHITE, BLACK], (1 - SHAPE) * 255, id="white first"),
        pytest.param([BLACK, (1, 1, 1)], SHAPE, id="greys that are their indices"),
        pytest.param([GREY, BLACK, WHITE], (1 - SHAPE) * 128, id="three greys, one not in use"),
        pytest.param([BLACK, RED], SHAPE, id="a colour: indices"),
        pytest.param([BLACK, GREY, RED, BLUE], SHAPE, id="the colours not in use: indices"),
        pytest.param([RED, BLACK], SHAPE, id="a coloured background"),
        pytest.param([BLACK, WHITE, RED], SHAPE, id="greys in their order among colours"),
    ],
)
def test_label_values(encode: type, name: str, colours: Colours, expected: NDArray[np.uint8]) -> None:
    data = encode(SHAPE, colours)
    assert np.array_equal(read_label_map(data, name)[0], expected)
    if is_grey_palette(np.array(colours)):
        assert np.array_equal(read_picture(data, name).pixels[0, ..., 0], expected), "as a picture it is the same"


@pytest.mark.parametrize(
    ("encode", "name", "colours", "message"),
    [
        pytest.param(png, "a.png", [(250, 250, 250), (3, 3, 3)], "palette of greys from 3 to 250", id="no black"),
        pytest.param(png, "a.png", [(7, 7, 7), (9, 9, 9)], "no black", id="no black, in rising order"),
        pytest.param(png, "a.png", [GREY], "palette of greys from 128 to 128", id="one grey, indices beyond it"),
        pytest.param(png, "a.png", [WHITE, BLACK, RED], "index 0 is 255, 1 is 0", id="white first, red not in use"),
        pytest.param(tiff, "a.tif", [GREY, BLACK, BLUE], "index 0 is 128, 1 is 0", id="the same in TIFF"),
        pytest.param(png, "a.png", [BLACK, BLACK], "shows 2 indices in 1 grey", id="all black"),
        pytest.param(tiff, "a.tif", [BLACK, BLACK], "shows 2 indices in 1 grey", id="all black in TIFF"),
    ],
)
def test_two_readings_are_refused(encode: type, name: str, colours: Colours, message: str) -> None:
    with pytest.raises(UnreadableImage, match=message) as caught:
        read_label_map(encode(SHAPE, colours), name)
    assert "palette" in str(caught.value)


@pytest.mark.parametrize("colour", [WHITE, (1, 1, 1)])
def test_one_grey_is_no_foreground_everywhere(colour: tuple[int, int, int]) -> None:
    with pytest.raises(UnreadableImage, match="no black, so that none of them is the background"):
        read_label_map(png(SHAPE * 0, [colour]), "a.png")
    assert not read_label_map(png(SHAPE * 0, [BLACK]), "a.png").any()


def pages(*colours: Colours, encode: str) -> bytes:
    """A volume whose planes have palettes of their own, or one."""
    stream = io.BytesIO()
    if encode == "Pillow":
        first, *others = [Image.open(io.BytesIO(png(SHAPE, palette))) for palette in colours]
        first.save(stream, "TIFF", save_all=True, append_images=others)
        return stream.getvalue()
    with tifffile.TiffWriter(stream, bigtiff=True) as writer:
        for palette in colours:
            table = np.zeros((3, 256), np.uint16)
            table[:, : len(palette)] = np.array(palette, np.uint16).T * 257
            writer.write(SHAPE, photometric="palette", colormap=table, metadata=None, contiguous=False)
    return stream.getvalue()


@pytest.mark.parametrize("encode", ["Pillow", "tifffile"])
def test_pages_of_different_palettes_are_refused(encode: str) -> None:
    mixed = pages([BLACK, RED], [BLACK, RED], [RED, BLACK], encode=encode)
    for read in (read_label_map, read_picture):
        with pytest.raises(UnreadableImage, match=r"a\.tif: its 3 pages have 2 different palettes"):
            read(mixed, "a.tif")
    alike = pages([BLACK, RED], [BLACK, RED], encode=encode)
    assert np.array_equal(read_label_map(alike, "a.tif"), np.stack([SHAPE, SHAPE]))


def test_greys_of_another_library_come_back() -> None:
    greys = np.arange(64, dtype=np.uint8).reshape(8, 8)
    for values in (greys, (greys > 20).astype(np.uint8), np.where(greys > 20, 255, 0).astype(np.uint8)):
        stream = io.BytesIO()
        Image.fromarray(values).convert("P").save(stream, "PNG")
        assert np.array_equal(read_label_map(stream.getvalue(), "a.png")[0], values)


def test_an_image_of_indices_that_was_given_no_palette() -> None:
    stream = io.BytesIO()
    Image.fromarray(SHAPE, "P").save(stream, "PNG")
    assert np.array_equal(read_label_map(stream.getvalue(), "a.png")[0], SHAPE)


def test_a_quantised_mask_is_what_it_was() -> None:
    mask = np.zeros((20, 30), np.uint8)
    mask[3:9, 4:20] = 255
    stream = io.BytesIO()
    Image.fromarray(mask).quantize(2).save(stream, "PNG")
    assert np.array_equal(read_label_map(stream.getvalue(), "a.png")[0], mask)


@pytest.mark.parametrize("block", [1, 4, 2**20])
def test_indices_are_looked_at_in_blocks(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(palettes, "_BLOCK", block)
    colours = np.array([WHITE, BLACK, RED], np.uint8)
    with pytest.raises(UnreadableImage, match="not in their order"):
        palette_labels(SHAPE[..., None], colours, "a.png")
