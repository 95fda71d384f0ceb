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
from segscale.tasks.readers.channels import without_opaque_alpha
from segscale.tasks.readers.codecs import is_always_lossless, keeps_values
from segscale.tasks.readers.depth import is_all_ones
from segscale.tasks.readers.libjpeg import without_other_decoders
from segscale.tasks.readers.ome import check_description
from segscale.tasks.readers.orientation import UPRIGHT, turned, turned_size
from segscale.tasks.readers.palettes import is_grey_palette, palette_colours, palette_labels
from segscale.tasks.readers.picture import Header, Picture, check_size, decoding, native_pixels, picture_dtype
from segscale.tasks.readers.tiff_structure import Page, chain_of_pages, check_series, check_streams, segments

_DEPTH_AXES = "ZQI"  # depth; unnamed; pages in sequence
_CHANNEL_AXES = "CS"  # channels in planes of their own; samples of a pixel
_NAMED_AXES = "CZ"  # only in files that name their axes: ImageJ, OME and the like
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _YCBCR = 0, 1, 2, 3, 6
_JPEG_COMPRESSIONS = (6, 7)
_MAX_SAMPLE_VALUE = 281
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
        with _open(data, name) as (series, orientation):
            return _header(series, orientation, name)

    def read(self, data: bytes, name: str) -> Picture:
        """Picture with 1 or 3 channels; float64 becomes float32, bool 0 and 1, and white-is-zero is turned round."""
        with _open(data, name) as (series, orientation):
            header = _header(series, orientation, name)
            page = series.keyframe
            if page.photometric == _WHITE_IS_ZERO and header.stated_maximum:
                raise UnreadableImage(
                    f"{name}: white is zero and MaxSampleValue is {header.stated_maximum}, so that black may be that "
                    f"or the largest {header.dtype}; expected black as zero: convert it"
                )
            pixels = _stored(series, name)
            full_scale = 1.0
            if page.photometric == _PALETTE:
                pixels, full_scale = palette_colours(pixels, _palette(page, name), name), 255.0
            elif header.dtype[0] in "iu":
                full_scale = float(_largest(page, header.dtype))
            if page.photometric == _WHITE_IS_ZERO:
                pixels = _black_as_zero(pixels, page, name)
        with np.errstate(over="ignore"):  # a float64 beyond float32 becomes inf, which normalisation reports
            shown = turned(pixels.astype(header.dtype, copy=False), orientation)
        return Picture(native_pixels(shown), full_scale, None)

    def stored_values(self, data: bytes, name: str) -> NDArray[Any]:
        """Label values; of a palette with colours its indices; white-is-zero is turned round."""
        with _open(data, name) as (series, orientation):
            _check_lossless(series, data, name)
            values, page = _stored(series, name), series.keyframe
            if page.photometric == _PALETTE and page.colormap is not None:
                values = palette_labels(values, _palette(page, name), name)
            if page.photometric == _WHITE_IS_ZERO:
                values = _black_as_zero(values, page, name)
        return native_pixels(turned(values, orientation))

    def orientation(self, data: bytes, name: str) -> int:
        """Of its first page; `header` and all that reads pixels refuse others that are turned otherwise."""
        return chain_of_pages(data, name)[0].orientation


def read_tiff_array(data: bytes, name: str) -> NDArray[Any]:
    """The array of a TIFF image, turned: (depth, height, width, channels) where the file names its axes.

    Else in the axes of the file, those of length one dropped, except height and width.
    """
    with _open(data, name) as (series, orientation):
        layout = _layout(series, name)
        _check_stored_size(series, layout, name)
        if series.keyframe.photometric == _WHITE_IS_ZERO:
            raise _white_is_zero(np.dtype(series.dtype), name)
        if set(series.axes) & set(_NAMED_AXES):
            return native_pixels(turned(_samples(series, layout), orientation))
        axes = series.axes.index("Y"), series.axes.index("X")
        return native_pixels(turned(series.asarray(maxworkers=1), orientation, axes))


def tiff_dtype(data: bytes, name: str) -> np.dtype[Any]:
    """Stored type of a TIFF image, from its tags."""
    with _open(data, name) as (series, _):
        dtype: np.dtype[Any] = np.dtype(series.dtype)
    return dtype


def holds_planes(data: bytes, name: str) -> bool:
    """Whether the samples or channels of a TIFF image are neither colours nor alpha."""
    with _open(data, name) as (series, _):
        extra = {int(sample) for sample in series.keyframe.extrasamples}
        return bool(series.keyframe.photometric == _BLACK_IS_ZERO) and extra.isdisjoint(_ALPHA_SAMPLES)


@contextmanager
def _open(data: bytes, name: str) -> Iterator[tuple[Any, int]]:
    """The one series of the file, and its orientation."""
    pages = chain_of_pages(data, name)
    with decoding(name, "TIFF image"), tifffile.TiffFile(io.BytesIO(data)) as tiff:
        if tiff.is_ome:
            check_description(tiff.ome_metadata or "", tiff.pages.first.size, name)
        check_series(tiff, len(pages), len(data), name)
        series = tiff.series[0]
        check_streams(series, data, name)
        without_other_decoders(series)
        if series.keyframe.photometric == _PALETTE:
            _check_one_palette(pages, name)
        yield series, _one_orientation(series, [page.orientation for page in pages], name)


def _one_orientation(series: Any, orientations: list[int], name: str) -> int:
    """That of the first page; many writers give the planes behind it no such tag, and these lie as it does."""
    pages = [page.index for page in series.pages if page is not None and isinstance(page.index, int)]
    first, *others = [orientations[index] for index in pages if index < len(orientations)] or [0]
    unlike = sorted(set(others) - {0, max(first, UPRIGHT)})
    if unlike:
        raise UnreadableImage(
            f"{name}: its pages have the orientations {first} and {', '.join(map(str, unlike))}; expected one for all: "
            "save the planes as they are shown"
        )
    return first


def _check_one_palette(pages: list[Page], name: str) -> None:
    palettes = {page.palette for page in pages if page.palette}
    if len(palettes) > 1:
        raise UnreadableImage(
            f"{name}: its {len(pages)} pages have {len(palettes)} different palettes, so that a number means another "
            "thing on each; expected one palette for all: save the planes as grey of the values you mean, or as RGB"
        )


def _check_lossless(series: Any, data: bytes, name: str) -> None:
    """Raise UnreadableImage for a label map whose compression may have changed its values."""
    compression = series.keyframe.compression
    if is_always_lossless(int(compression)):
        return
    if not all(keeps_values(int(compression), segment) for segment in segments(series, data)):
        codec = getattr(compression, "name", compression)
        raise UnreadableImage(
            f"{name}: TIFF with {codec} compression that is not known to be lossless: it does not keep label "
            "values (edges blur into other numbers); expected none, Deflate, LZW, PackBits or another lossless one"
        )


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


def _header(series: Any, orientation: int, name: str) -> Header:
    layout = _layout(series, name)
    depth, _, _, samples = layout.shape
    height, width = turned_size(*layout.shape[1:3], orientation)
    channels = samples - layout.has_alpha
    page = series.keyframe
    dtype = picture_dtype(np.dtype(series.dtype), name)
    _check_colours(page, dtype, channels, name)
    if page.photometric == _PALETTE:
        channels = 1 if is_grey_palette(_palette(page, name)) else 3
        dtype = "uint8"
    stated = _stated_maximum(page, dtype)
    return check_size(Header(depth, height, width, channels, dtype, orientation, stated), name)


def _check_colours(page: Any, dtype: str, channels: int, name: str) -> None:
    photometric = int(page.photometric)
    known = photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE)
    if not known and not (photometric == _YCBCR and page.compression in _JPEG_COMPRESSIONS):
        colours = getattr(page.photometric, "name", photometric)  # a number where the format knows no such type
        raise UnreadableImage(f"{name}: a TIFF of colour type {colours}; expected grey, palette or RGB")
    if channels not in ((1,) if photometric == _PALETTE else (1, 3)):
        raise UnreadableImage(
            f"{name}: {channels} channels; expected 1 or 3: save the channels you mean as grey or RGB"
        )
    if photometric == _WHITE_IS_ZERO and not dtype.startswith("uint"):
        raise _white_is_zero(np.dtype(dtype), name)


def _white_is_zero(dtype: np.dtype[Any], name: str) -> UnreadableImage:
    return UnreadableImage(f"{name}: white is zero, but the pixels are {dtype.name}; expected unsigned integers")


def _black_as_zero(pixels: NDArray[Any], page: Any, name: str) -> NDArray[Any]:
    """Pixels of which the largest number is black, in the same type, turned round."""
    if pixels.dtype == np.bool_:
        return ~pixels
    if pixels.dtype.kind != "u":
        raise _white_is_zero(pixels.dtype, name)
    turned_round: NDArray[Any] = pixels.dtype.type(_largest(page, pixels.dtype.name)) - pixels
    return turned_round


def _largest(page: Any, dtype: str) -> int:
    """The largest number of a sample: of the bits that a page says it has, the sign not counted."""
    stored = np.dtype(dtype)
    bits = min(int(page.bitspersample), stored.itemsize * 8)
    return int(2 ** (bits - (stored.kind == "i")) - 1)


def _stated_maximum(page: Any, dtype: str) -> int:
    """Of the tag MaxSampleValue, which TIFF 6.0 calls statistical: it may be the brightest pixel and no more."""
    tag = page.tags.get(_MAX_SAMPLE_VALUE)
    if tag is None or page.photometric == _PALETTE or np.dtype(dtype).kind not in "iu":
        return 0
    values = {int(value) for value in np.atleast_1d(tag.value)}
    value = values.pop()
    return value if not values and is_all_ones(value) and value < _largest(page, dtype) else 0


def _check_stored_size(series: Any, layout: _Layout, name: str) -> None:
    check_size(Header(*layout.shape, np.dtype(series.dtype).name), name)


def _stored(series: Any, name: str) -> NDArray[Any]:
    """Pixels (depth, height, width, channels) as stored, without their alpha channel, which must be opaque."""
    layout = _layout(series, name)
    _check_stored_size(series, layout, name)
    pixels = _samples(series, layout)
    if not layout.has_alpha:
        return pixels
    opaque = 2 ** int(series.keyframe.bitspersample) - 1 if pixels.dtype.kind == "u" else 1
    return without_opaque_alpha(pixels, opaque, name)


def _samples(series: Any, layout: _Layout) -> NDArray[Any]:
    """All that is stored, as (depth, height, width, channels)."""
    # One thread: with several, which of two damaged strips is reported depends on their race.
    stored = np.asarray(series.asarray(maxworkers=1)).reshape(layout.kept)
    return stored.transpose(layout.permutation).reshape(layout.shape)


def _palette(page: Any, name: str) -> NDArray[np.uint8]:
    """Colours (entries, 3) of 8 bits; some writers store 8-bit numbers where the format has 16."""
    if page.colormap is None:
        raise UnreadableImage(f"{name}: damaged TIFF, a palette image without a palette")
    colours = np.asarray(page.colormap).T
    return (colours if colours.max() < 256 else colours >> 8).astype(np.uint8)
