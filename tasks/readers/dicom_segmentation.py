"""DICOM segmentations: frames of segments in the grid of the image they were drawn on, or in one of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from segscale.errors import UnreadableImage
from segscale.tasks.grids import Grid
from segscale.tasks.readers.dicom_file import Buffer, DicomFile, hashed_uid, opened
from segscale.tasks.readers.dicom_grid import stack_frames
from segscale.tasks.readers.dicom_pixels import PixelLayout, check_lossless, read_frames, read_layout
from segscale.tasks.readers.dicom_placement import Placement, place_frames
from segscale.tasks.readers.dicom_planes import Plane, group, read_planes
from segscale.tasks.readers.picture import Header, check_size

BINARY: Final = "BINARY"
FRACTIONAL: Final = "FRACTIONAL"
LABELMAP: Final = "LABELMAP"


@dataclass(frozen=True, slots=True)
class Frame:
    """One stored plane."""

    segment: int
    """Number of its segment; 0 for a label map, whose pixels are the numbers."""
    stored: NDArray[Any]
    """(rows, columns): numbers of a label map or fractions as stored; of BINARY the pixels as bits, in one axis."""


@dataclass(frozen=True, slots=True)
class Segmentation:
    """A DICOM SEG with its frames in their places; `dicom_segments` makes volumes of it."""

    name: str
    kind: str
    """BINARY, FRACTIONAL or LABELMAP."""
    grid: Grid
    """The reference's where one was given, else the smallest that holds the frames."""
    segments: tuple[int, ...]
    """Numbers of the described segments, ascending; never 0, which is the background."""
    frames: tuple[Frame, ...]
    frame_size: tuple[int, int]
    placement: Placement
    full_scale: int
    """What stands for a probability of 1; 1 where frames are not FRACTIONAL."""
    padding: int
    """Number of a label map's voxels that no frame holds: 0, or what the header says stands for nothing."""
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Contents:
    kind: str
    is_occupancy: bool
    layout: PixelLayout
    segments: tuple[int, ...]
    segment_of_frame: tuple[int, ...]
    full_scale: int
    padding: int


def read_segmentation(
    data: Buffer, name: str, reference: Grid | None = None, segment: int | None = None
) -> Segmentation:
    """The segmentation in `data`, in the grid of `reference` (the series it was drawn on) where that is given.

    With `segment` the frames of that one alone are decoded; the others have a say in the grid.

    Raises UnreadableImage where it refers to another series or frame of reference, where a pixel lies on no voxel of
    the grid, where two frames of a segment lie in one place, and for values that no segment has.
    """
    with opened(data, name) as file:
        check_lossless(file)
        contents = _contents(file)
        layout = contents.layout
        planes = read_planes(file)
        if reference is None:
            grid, notes = _own_grid(file, planes, layout)
        else:
            grid, notes = reference, _check_reference(file, reference)
        placement = place_frames(planes, layout.rows, layout.columns, grid, name)
        _check_single(contents.segment_of_frame, placement, name)
        of_frame = contents.segment_of_frame
        wanted = [place for place, own in enumerate(of_frame) if segment in (None, own) or contents.kind == LABELMAP]
        placement = replace(placement, corners=tuple(placement.corners[place] for place in wanted))
        stored = zip(wanted, read_frames(file, layout, wanted), strict=True)
        frames = tuple(_frame(of_frame[place], pixels, contents, name) for place, pixels in stored)
    if contents.is_occupancy:
        notes = (*notes, f"{name}: its fractions say how much of a voxel is covered; taken as probabilities")
    size = layout.rows, layout.columns
    return Segmentation(
        name,
        contents.kind,
        grid,
        contents.segments,
        frames,
        size,
        placement,
        contents.full_scale,
        contents.padding,
        notes,
    )


def _own_grid(file: DicomFile, planes: Sequence[Plane], layout: PixelLayout) -> tuple[Grid, tuple[str, ...]]:
    stack = stack_frames(planes, file.name)
    check_size(Header(stack.depth, layout.rows, layout.columns, 1, layout.dtype.name), file.name)
    frame_of_reference_id = hashed_uid(file.header.get("FrameOfReferenceUID"))
    size = stack.depth, layout.rows, layout.columns
    return Grid(size, stack.geometry, frame_of_reference_id=frame_of_reference_id), stack.notes


def _contents(file: DicomFile) -> _Contents:
    header, name = file.header, file.name
    kind = str(header.get("SegmentationType") or "")
    described = header.get("SegmentSequence")
    if kind not in (BINARY, FRACTIONAL, LABELMAP) or not described:
        raise UnreadableImage(
            f"{name}: no DICOM segmentation (no segments, or no SegmentationType); expected BINARY, FRACTIONAL or "
            "LABELMAP"
        )
    layout = read_layout(file)
    segments = described_segments(header)
    full_scale, padding, of_frame = 1, 0, (0,) * layout.frames
    if kind == LABELMAP:
        padding = int(header.get("PixelPaddingValue") or 0)
    else:
        of_frame = tuple(_segment_of(file, frame) for frame in range(layout.frames))
        unknown = sorted(set(of_frame) - set(segments))
        if unknown:
            raise UnreadableImage(
                f"{name}: frames of segment {unknown[0]}, which it does not describe; it has {segments}"
            )
    if kind == FRACTIONAL:
        full_scale = int(header.get("MaximumFractionalValue") or 0)
        if not 0 < full_scale <= layout.limits[1]:
            raise UnreadableImage(f"{name}: a fraction of 1 stored as {full_scale}; expected 1 to {layout.limits[1]}")
    is_occupancy = kind == FRACTIONAL and header.get("SegmentationFractionalType") == "OCCUPANCY"
    return _Contents(kind, is_occupancy, layout, segments, of_frame, full_scale, padding)


def described_segments(header: Any) -> tuple[int, ...]:
    """Numbers of the segments that a header describes, ascending, without 0, which is the background."""
    described = header.get("SegmentSequence") or ()
    return tuple(sorted({int(segment.get("SegmentNumber")) for segment in described} - {0}))


def _segment_of(file: DicomFile, frame: int) -> int:
    number = group(file, frame, "SegmentIdentificationSequence").get("ReferencedSegmentNumber")
    if number is None:
        raise UnreadableImage(f"{file.name}, frame {frame + 1}: does not say of which segment it is")
    return int(number)


def _check_reference(file: DicomFile, reference: Grid) -> tuple[str, ...]:
    """Sentences about what could not be compared; UnreadableImage where the segmentation is of something else."""
    own_frame = hashed_uid(file.header.get("FrameOfReferenceUID"))
    if None not in (own_frame, reference.frame_of_reference_id) and own_frame != reference.frame_of_reference_id:
        raise UnreadableImage(
            f"{file.name}: lies in another frame of reference (sha256 {str(own_frame)[:8]}...) than the image (sha256 "
            f"{str(reference.frame_of_reference_id)[:8]}...), so positions cannot be compared; expected the same"
        )
    series = referenced_series(file)
    if reference.series_id is not None and series and reference.series_id not in series:
        others = ", ".join(f"sha256 {own[:8]}..." for own in series)
        raise UnreadableImage(
            f"{file.name}: was drawn on another series ({others}) than the image's (sha256 "
            f"{reference.series_id[:8]}...); expected the segmentation of this series"
        )
    if reference.series_id is None or not series:
        return (f"{file.name}: nothing says that it was drawn on this image; matched by positions alone",)
    return ()


def referenced_series(file: DicomFile) -> tuple[str, ...]:
    """`hashed_uid` of each series that a file says it was made from."""
    found = (hashed_uid(item.get("SeriesInstanceUID")) for item in file.header.get("ReferencedSeriesSequence") or ())
    return tuple(series for series in found if series is not None)


def _check_single(segment_of_frame: Sequence[int], placement: Placement, name: str) -> None:
    seen: dict[tuple[int, tuple[int, int, int]], int] = {}
    for index, where in enumerate(zip(segment_of_frame, placement.corners, strict=True)):
        if where in seen:
            raise UnreadableImage(
                f"{name}: frames {seen[where] + 1} and {index + 1} are both of "
                f"{f'segment {where[0]}' if where[0] else 'the label map'} in one place; expected one of them"
            )
        seen[where] = index


def _frame(segment: int, stored: NDArray[Any], contents: _Contents, name: str) -> Frame:
    if contents.kind == LABELMAP:
        strange = set(np.unique(stored).tolist()) - {0, contents.padding, *contents.segments}
        if strange:
            raise UnreadableImage(
                f"{name}: a label map with the value {min(strange)}, which is no segment; it has {contents.segments}"
            )
        return Frame(segment, stored)
    highest = int(stored.max())
    if highest > contents.full_scale:
        raise UnreadableImage(f"{name}: a frame with the value {highest}; expected at most {contents.full_scale}")
    return Frame(segment, np.packbits(stored) if contents.kind == BINARY else stored)
