"""PNG pictures and label maps: 1 to 16 bits; grey, palette or colour; an alpha channel only where it is opaque."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import PngImagePlugin

from segscale.errors import DataError
from segscale.tasks.readers.channels import not_opaque, without_opaque_alpha
from segscale.tasks.readers.depth import UNDECIDED, stated_maximum
from segscale.tasks.readers.inflation import LARGEST_RATIO
from segscale.tasks.readers.orientation import turned, turned_size
from segscale.tasks.readers.palettes import is_grey_palette, palette_colours, palette_labels
from segscale.tasks.readers.picture import Header, Picture, check_size, decoding, native_pixels
from segscale.tasks.readers.pillow import decoded
from segscale.tasks.readers.png_samples import plain_samples
from segscale.tasks.readers.png_structure import (
    GREY,
    GREY_ALPHA,
    PALETTE,
    RGB,
    RGB_ALPHA,
    PngStructure,
    check_image_data,
    parse_png,
    transparent_pixels,
)

_SURELY_IN_BOUNDS = 2**20
"""Bytes of scanlines that no limit of `check_size` can be below."""


class PngReader:
    """Reader of PNG. Its physical-size chunk is a print size, so there is no spacing."""

    suffixes = (".png",)

    def header(self, data: bytes, name: str) -> Header:
        """Shape and type from the chunks alone."""
        return _header(parse_png(data, name), name)

    def read(self, data: bytes, name: str) -> Picture:
        """Picture with 1 or 3 channels; palettes become grey or RGB of 8 bits."""
        structure = parse_png(data, name)
        stored = _decode(structure, data, name)
        transparent = transparent_pixels(structure, stored)
        if transparent:
            raise not_opaque(transparent, structure.height * structure.width, name)
        if structure.colour_type == PALETTE:
            pixels: NDArray[Any] = palette_colours(stored, structure.palette, name)
            full_scale = 255
        else:
            pixels = _colours(structure, stored, name)
            full_scale = 2**structure.bit_depth - 1
        return Picture(_as_shown(pixels, structure), float(full_scale), None)

    def stored_values(self, data: bytes, name: str) -> NDArray[Any]:
        """Label values; of a palette with colours its indices, of a palette of greys the greys."""
        structure = parse_png(data, name)
        stored = _decode(structure, data, name)
        if structure.colour_type == PALETTE:
            return _as_shown(palette_labels(stored, structure.palette, name), structure)
        values = _colours(structure, stored, name)
        return _as_shown(values.astype(np.bool_) if structure.bit_depth == 1 else values, structure)

    def orientation(self, data: bytes, name: str) -> int:
        """Of its eXIf chunk."""
        # Of many small files the way through their chunks takes as long as the pixels.
        return 0 if b"eXIf" not in data else parse_png(data, name).orientation


def png_stated_maximum(data: bytes, name: str) -> int:
    """Where the samples of a PNG end by its sBIT chunk, 0 for where their type does; UNDECIDED for a black image, say.

    Only pixels tell what a writer meant by the chunk (`readers.depth`), so they are decoded where there is one.
    """
    structure = parse_png(data, name)
    if not structure.significant_bits:
        return 0
    samples = _colours(structure, _decode(structure, data, name), name)
    return stated_maximum(samples, structure.significant_bits, structure.bit_depth)


def _as_shown(pixels: NDArray[Any], structure: PngStructure) -> NDArray[Any]:
    return native_pixels(turned(pixels[np.newaxis], structure.orientation))


def _header(structure: PngStructure, name: str) -> Header:
    coloured_palette = structure.colour_type == PALETTE and not is_grey_palette(structure.palette)
    channels = 3 if structure.colour_type in (RGB, RGB_ALPHA) or coloured_palette else 1
    dtype = "uint16" if structure.bit_depth == 16 else "uint8"
    height, width = turned_size(structure.height, structure.width, structure.orientation)
    stated = UNDECIDED if structure.significant_bits else 0
    return check_size(Header(1, height, width, channels, dtype, structure.orientation, stated), name)


def _decode(structure: PngStructure, data: bytes, name: str) -> NDArray[Any]:
    """Samples (height, width, samples) as stored."""
    if not 0 < structure.inflated_bytes <= _SURELY_IN_BOUNDS:
        _header(structure, name)  # the size is checked before anything is inflated
    n_stored = sum(stop - start for start, stop in structure.image_data)
    is_claimed = structure.inflated_bytes > LARGEST_RATIO * n_stored  # more than can be there: no memory for these
    stored = None if is_claimed else plain_samples(structure, data)
    # What is out of the ordinary, or damaged, is told apart by the decoders of others.
    return _decode_slowly(structure, data, name) if stored is None else stored


def _decode_slowly(structure: PngStructure, data: bytes, name: str) -> NDArray[Any]:
    check_image_data(structure, data, name)
    with decoding(name, "PNG image"):
        if structure.bit_depth == 16 and structure.colour_type != GREY:
            import imagecodecs  # Pillow reduces these to 8 bits; others need not wait for this import

            stored = np.asarray(imagecodecs.png_decode(data))
        else:
            # Not by Image.open, which would hold a size against limits of its own.
            with PngImagePlugin.PngImageFile(io.BytesIO(data)) as image:
                stored = decoded(image)
    if structure.colour_type == GREY and structure.bit_depth in (2, 4):
        stored = stored // (255 // (2**structure.bit_depth - 1))  # Pillow stretches these to 0-255
    if stored.dtype == np.bool_:
        stored = stored.astype(np.uint8)
    try:
        stored = stored.reshape(structure.height, structure.width, -1)
    except ValueError as error:
        raise DataError(str(error)) from None
    return stored[..., : structure.samples]  # imagecodecs adds alpha where the file has a transparent colour


def _colours(structure: PngStructure, stored: NDArray[Any], name: str) -> NDArray[Any]:
    if structure.colour_type in (GREY_ALPHA, RGB_ALPHA):
        return without_opaque_alpha(stored, 2**structure.bit_depth - 1, name)
    return stored
