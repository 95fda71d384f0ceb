"""TIFF pictures and label maps: flat or volume, grey, palette or RGB, classic or BigTIFF."""

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from segscale.errors import UnreadableImage
from segscale.tasks.readers.channels import is_grey_palette, palette_colours, without_opaque_alpha
from segscale.tasks.readers.picture import Header, Picture, check_size, decoding, native_pixels, picture_dtype
from segscale.tasks.readers.tiff_structure import check_series, count_pages

_DEPTH_AXES = "ZQI"  # depth; unnamed; pages in sequence
_CHANNEL_AXES = "CS"  # channels in planes of their own; samples of a pixel
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _YCBCR = 0, 1, 2, 3, 6
_JPEG_COMPRESSIONS = (6, 7)
_ALPHA_SAMPLES = (1, 2)  # associated and unassociated alpha


@dataclass(frozen=True, slots=True)
class _Layout:
    """How the axes of a TIFF image become (depth, height, width, channels)."""

    shape: tuple[int, int, int, int]  # with all samples, alpha included
    permutation: tuple[int, ...]  # of the axes longer than one, and of height and width
    kept: tuple[int, ...]  # lengths of these axes, in stored order
    has_alpha: bool


class TiffReader:
    """Reader of TIFF. Its resolution tags are mostly print sizes, so there is no spacing.

    Grey pages of one shape are the planes of a volume. Time series, several images in a file, colour spaces other
    than grey, palette and RGB, and complex or 64-bit integer pictures raise UnreadableImage.
    """

    suffixes = (".tif", ".tiff")

    def header(self, data: bytes, name: str) -> Header:
        """Shape and type from the tags."""
        with _open(data, name) as series:
            return _header(series, name)

    def read(self, data: bytes, name: str) -> Picture:
        """Picture with 1 or 3 channels; float64 becomes float32, bool 0 and 1, and white-is-zero is turned round."""
        with _open(data, name) as series:
            header = _header(series, name)
            pixels = _stored(series, name)
            page = series.keyframe
            bits = min(int(page.bitspersample), pixels.dtype.itemsize * 8)
            if page.photometric == _PALETTE:
                pixels, bits = palette_colours(pixels, _palette(page, name), name), 8
        full_scale = 2 ** (bits - (header.dtype[0] == "i")) - 1 if header.dtype[0] in "iu" else 1
        if page.photometric == _WHITE_IS_ZERO:
            pixels = (full_scale - pixels.astype(np.int64)).astype(header.dtype)
        with np.errstate(over="ignore"):  # a float64 beyond float32 becomes inf, which normalisation reports
            return Picture(native_pixels(pixels.astype(header.dtype, copy=False)), float(full_scale), None)

    def stored_values(self, data: bytes, name: str) -> NDArray[Any]:
        """Numbers as stored: of a palette image its indices; white-is-zero as it stands."""
        with _open(data, name) as series:
            if series.keyframe.compression in _JPEG_COMPRESSIONS:
                raise UnreadableImage(
                    f"{name}: TIFF with JPEG compression does not keep label values; use a lossless one"
                )
            stored = _stored(series, name)
        return native_pixels(stored.astype(np.uint8) if stored.dtype == np.bool_ else stored)


def read_tiff_array(data: bytes, name: str) -> NDArray[Any]:
    """The array of a TIFF image in its own axes (those of length one dropped, except height and width)."""
    with _open(data, name) as series:
        _check_stored_size(series, _layout(series, name), name)
        return native_pixels(series.asarray(maxworkers=1))


def tiff_dtype(data: bytes, name: str) -> np.dtype[Any]:
    """Stored type of a TIFF image, from its tags."""
    with _open(data, name) as series:
        dtype: np.dtype[Any] = np.dtype(series.dtype)
    return dtype


@contextmanager
def _open(data: bytes, name: str) -> Iterator[Any]:
    page_count = count_pages(data, name)
    with decoding(name, "TIFF image"), tifffile.TiffFile(io.BytesIO(data)) as tiff:
        check_series(tiff, page_count, len(data), name)
        yield tiff.series[0]


def _layout(series: Any, name: str) -> _Layout:
    """Axes longer than one, in the order depth, height, width, channels."""
    keep = [
        i for i, (axis, length) in enumerate(zip(series.axes, series.shape, strict=True)) if length > 1 or axis in "YX"
    ]
    axes = "".join(series.axes[i] for i in keep)
    kept = tuple(series.shape[i] for i in keep)
    depth = [i for i, axis in enumerate(axes) if axis in _DEPTH_AXES]
    channel = [i for i, axis in enumerate(axes) if axis in _CHANNEL_AXES]
    flat = [axes.find("Y"), axes.find("X")]
    permutation = (*depth, *flat, *channel)
    if len(depth) > 1 or len(channel) > 1 or min(flat) < 0 or len(permutation) != len(axes):
        raise UnreadableImage(
            f"{name}: axes {series.axes} of shape {series.shape}; expected height (Y) and width (X), at most one axis "
            "of planes (Z) and one of channels (C or S), and no time (T): save one volume per file"
        )
    sizes = [math.prod(kept[i] for i in group) for group in (depth, flat[:1], flat[1:], channel)]
    extra = tuple(int(sample) for sample in series.keyframe.extrasamples)
    has_alpha = len(extra) == 1 and extra[0] in _ALPHA_SAMPLES and sizes[3] in (2, 4)
    return _Layout((sizes[0], sizes[1], sizes[2], sizes[3]), permutation, kept, has_alpha)


def _header(series: Any, name: str) -> Header:
    layout = _layout(series, name)
    depth, height, width, samples = layout.shape
    channels = samples - layout.has_alpha
    page = series.keyframe
    dtype = picture_dtype(np.dtype(series.dtype), name)
    _check_colours(page, dtype, channels, name)
    if page.photometric == _PALETTE:
        channels = 1 if is_grey_palette(_palette(page, name)) else 3
        dtype = "uint8"
    return check_size(Header(depth, height, width, channels, dtype), name)


def _check_colours(page: Any, dtype: str, channels: int, name: str) -> None:
    photometric = int(page.photometric)
    known = photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE)
    if not known and not (photometric == _YCBCR and page.compression in _JPEG_COMPRESSIONS):
        raise UnreadableImage(f"{name}: a TIFF of colour type {page.photometric.name}; expected grey, palette or RGB")
    if channels not in ((1,) if photometric == _PALETTE else (1, 3)):
        raise UnreadableImage(
            f"{name}: {channels} channels; expected 1 or 3: save the channels you mean as grey or RGB"
        )
    if photometric == _WHITE_IS_ZERO and not dtype.startswith("uint"):
        raise UnreadableImage(f"{name}: white is zero, but the pixels are {dtype}; expected unsigned integers")


def _check_stored_size(series: Any, layout: _Layout, name: str) -> None:
    check_size(Header(*layout.shape, np.dtype(series.dtype).name), name)


def _stored(series: Any, name: str) -> NDArray[Any]:
    """Pixels (depth, height, width, channels) as stored, without their alpha channel, which must be opaque."""
    layout = _layout(series, name)
    _check_stored_size(series, layout, name)
    # One thread: with several, which of two damaged strips is reported depends on their race.
    stored = np.asarray(series.asarray(maxworkers=1)).reshape(layout.kept)
    pixels = stored.transpose(layout.permutation).reshape(layout.shape)
    if not layout.has_alpha:
        return pixels
    opaque = 2 ** int(series.keyframe.bitspersample) - 1 if pixels.dtype.kind == "u" else 1
    return without_opaque_alpha(pixels, opaque, name)


def _palette(page: Any, name: str) -> NDArray[np.uint8]:
    """Colours (entries, 3) of 8 bits; some writers store 8-bit numbers where the format has 16."""
    if page.colormap is None:
        raise UnreadableImage(f"{name}: damaged TIFF, a palette image without a palette")
    colours = np.asarray(page.colormap).T
    return (colours if colours.max() < 256 else colours >> 8).astype(np.uint8)
