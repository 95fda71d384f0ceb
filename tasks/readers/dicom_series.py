"""Series of DICOM images as one volume: slices ordered by position, values as the scanner means them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segscale.errors import UnreadableImage
from segscale.tasks.grids import Grid
from segscale.tasks.readers.dicom_codecs import NATIVE, codec_of
from segscale.tasks.readers.dicom_file import Buffer, DicomFile, hashed_uid, is_dicom, opened
from segscale.tasks.readers.dicom_grid import stack_slices
from segscale.tasks.readers.dicom_pixels import PixelLayout, read_frames, read_layout
from segscale.tasks.readers.dicom_planes import Plane, read_planes
from segscale.tasks.readers.dicom_rescale import Rescale, common_dtype, read_rescales, rescaled
from segscale.tasks.readers.dicom_words import modality_word
from segscale.tasks.readers.picture import Header, check_size


@dataclass(frozen=True, slots=True)
class SeriesHeader:
    """What `read_series` of the same files returns, known without decoding pixels."""

    grid: Grid
    dtype: str
    """Numpy name: an integer type where slopes and intercepts are whole, else float32."""
    modality: str
    notes: tuple[str, ...]
    """Sentences about what was assumed or left out."""


@dataclass(frozen=True, slots=True)
class Series:
    """A volume with all that may be known of it."""

    header: SeriesHeader
    values: NDArray[Any]
    """(D, H, W), of `header.dtype`: stored numbers times slope plus intercept."""


@dataclass(frozen=True, slots=True)
class _Part:
    """One file of a series: a slice or several."""

    name: str
    layout: PixelLayout
    planes: tuple[Plane, ...]
    rescales: tuple[Rescale, ...]
    modality: str
    series_id: str | None
    frame_of_reference_id: str | None
    is_localizer: bool
    is_segmentation: bool
    lossy: str
    """Title of a codec that may have changed values; empty where none has."""


def read_series_header(files: Mapping[str, Buffer], name: str) -> SeriesHeader:
    """Grid and type of a series from its files by their names; `name` is what messages call the whole.

    Raises UnreadableImage where the files are several series, or no even and upright grid: with positions in mm.
    """
    return _planned(files, name)[0]


def read_series(files: Mapping[str, Buffer], name: str) -> Series:
    """The volume of a series: a file a slice, or multi-frame files with functional groups.

    Slices are ordered along the normal (rows x columns, so that D, H, W reversed is right-handed), whatever their
    names and numbers. Raises UnreadableImage as `read_series_header` does, and for pixels that cannot be decoded.
    """
    header, parts, places = _planned(files, name)
    values: NDArray[Any] | None = None
    start = 0
    for part in parts:
        with opened(files[part.name], part.name) as file:
            for index, stored in enumerate(read_frames(file, part.layout)):
                if values is None:  # now that there are pixels: headers alone claim what they like
                    values = np.empty(header.grid.size, header.dtype)
                values[places[start + index]] = rescaled(stored, part.rescales[index], part.layout, values.dtype)
        start += len(part.planes)
    assert values is not None
    return Series(header, values)


def _planned(files: Mapping[str, Buffer], name: str) -> tuple[SeriesHeader, list[_Part], tuple[int, ...]]:
    parts, notes = _parts(files, name)
    _check_one_series(parts, name)
    planes = [plane for part in parts for plane in part.planes]
    stack = stack_slices(planes, name)
    layout = parts[0].layout
    dtype = common_dtype([(part.layout, rescale) for part in parts for rescale in part.rescales])
    check_size(Header(stack.depth, layout.rows, layout.columns, 1, dtype), name)
    size = stack.depth, layout.rows, layout.columns
    grid = Grid(size, stack.geometry, None, parts[0].series_id, parts[0].frame_of_reference_id)
    if any(part.layout.photometric == "MONOCHROME1" for part in parts):
        notes = (*notes, "stored with white as 0 (MONOCHROME1); inverted, so that high values are bright")
    for title in sorted({part.lossy for part in parts} - {""}):
        notes = (*notes, f"compressed with {title}, which may have changed values")
    return SeriesHeader(grid, dtype, parts[0].modality, (*notes, *stack.notes)), parts, stack.place


def _parts(files: Mapping[str, Buffer], name: str) -> tuple[list[_Part], tuple[str, ...]]:
    """The images among the files, and a sentence for each other file that is left out."""
    parts, notes = [], []
    for file_name, data in files.items():
        # What should be a slice and is none is refused: left out, it would shorten the volume.
        if not is_dicom(data) and not file_name.lower().endswith((".dcm", ".dicom", ".ima")):
            notes.append(f"{file_name}: left out, it is no DICOM file")
            continue
        with opened(data, file_name) as file:
            if not file.has_pixels:
                notes.append(
                    f"{file_name}: left out, it holds no image (modality {modality_word(file.header.get('Modality'))})"
                )
                continue
            parts.append(_part(file))
    if not parts:
        raise UnreadableImage(
            f"{name}: none of its {len(files)} files is a DICOM image; expected the slices of a series"
        )
    return parts, tuple(notes)


def _part(file: DicomFile) -> _Part:
    header = file.header
    layout, planes = read_layout(file), read_planes(file)
    return _Part(
        file.name,
        layout,
        planes,
        read_rescales(file, layout),
        modality_word(header.get("Modality")),
        hashed_uid(header.get("SeriesInstanceUID")),
        hashed_uid(header.get("FrameOfReferenceUID")),
        "LOCALIZER" in (header.get("ImageType") or ()),
        "SegmentSequence" in header,
        "" if file.syntax in NATIVE or (codec := codec_of(file.syntax, file.name)).is_lossless else codec.title,
    )


def _check_one_series(parts: Sequence[_Part], name: str) -> None:
    """Raise UnreadableImage unless all files are of one series, frame of reference and size."""
    drawn = next((part.name for part in parts if part.is_segmentation), None)
    if drawn is not None:
        raise UnreadableImage(f"{name}: {drawn} is a DICOM segmentation; expected the slices of one image series")
    if len({part.series_id for part in parts}) > 1:
        series = Counter((part.series_id, part.modality) for part in parts)
        each = "; ".join(
            f"{count} of {modality}{_scouts(part for part in parts if part.series_id == series_id)}, from "
            f"{_extent([part for part in parts if part.series_id == series_id])}"
            for (series_id, modality), count in series.items()
        )
        raise UnreadableImage(f"{name}: files of {len(series)} series: {each}; expected the slices of one image series")
    scouts = sum(part.is_localizer for part in parts)
    if 0 < scouts < len(parts):
        raise UnreadableImage(
            f"{name}: {scouts} of {len(parts)} files are localizers (scouts) and the others not; expected one or "
            "the other"
        )
    if len({part.frame_of_reference_id for part in parts}) > 1:
        raise UnreadableImage(f"{name}: slices of several frames of reference, whose positions cannot be compared")
    sizes = sorted({(part.layout.rows, part.layout.columns) for part in parts})
    if len(sizes) > 1:
        each = " and ".join(f"{rows} x {columns}" for rows, columns in sizes)
        raise UnreadableImage(f"{name}: slices of {each} pixels; expected one size")


def _scouts(parts: Iterable[_Part]) -> str:
    count = sum(part.is_localizer for part in parts)
    return f" ({count} of them localizers)" if count else ""


def _extent(parts: Sequence[_Part]) -> str:
    """Where the slices of a series begin and end, in words."""
    planes = [plane for part in parts for plane in part.planes]
    heights = np.array([plane.position for plane in planes]) @ np.array(planes[0].normal)
    return f"{heights.min():.6g} to {heights.max():.6g} mm along their normal"
