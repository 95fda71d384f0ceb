"""Segments of a DICOM segmentation as volumes: one label map, a mask each, or probabilities."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segscale.errors import UnreadableImage
from segscale.tasks.readers.dicom_segmentation import BINARY, FRACTIONAL, LABELMAP, Frame, Segmentation
from segscale.tasks.readers.picture import Header, check_size


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two segments that claim the same voxels."""

    first: int
    second: int
    """Segment numbers, the lower first."""
    voxels: int


def label_map(segmentation: Segmentation) -> NDArray[Any]:
    """(D, H, W), uint8 or uint16: the number of each voxel's segment, 0 for none.

    Voxels of a label map that no frame holds have its padding value. Raises UnreadableImage for fractions, and for
    segments that overlap, which `overlaps` tells and `mask` gives one by one.
    """
    if segmentation.kind == FRACTIONAL:
        raise UnreadableImage(
            f"{segmentation.name}: holds fractions (FRACTIONAL) and no labels; expected BINARY or LABELMAP: read it as "
            "probabilities"
        )
    highest = max((*segmentation.segments, segmentation.padding), default=0)
    labels = _volume(segmentation, "uint8" if highest <= 255 else "uint16")
    labels.fill(segmentation.padding)
    for target, frame in _places(segmentation, labels):
        if segmentation.kind == LABELMAP:
            target[...] = frame.stored
            continue
        pixels = _pixels(frame, segmentation)
        if (target.astype(np.bool_) & pixels).any():
            raise UnreadableImage(_refusal(segmentation))
        np.copyto(target, frame.segment, where=pixels)
    return labels


def mask(segmentation: Segmentation, number: int) -> NDArray[np.bool_]:
    """(D, H, W): where the segment of that number is, whatever other segments are there too."""
    if segmentation.kind == FRACTIONAL:
        raise UnreadableImage(
            f"{segmentation.name}: holds fractions (FRACTIONAL) and no masks; expected BINARY or LABELMAP: read it as "
            "probabilities"
        )
    _check_number(segmentation, number)
    volume = _volume(segmentation, "bool")
    for target, frame in _places(segmentation, volume):
        if segmentation.kind == LABELMAP:
            np.equal(frame.stored, number, out=target)
        elif frame.segment == number:
            np.logical_or(target, _pixels(frame, segmentation), out=target)
    return volume


def probabilities(segmentation: Segmentation, number: int) -> NDArray[np.float32]:
    """(D, H, W) from 0 to 1, 0 where no frame is: the fractions of a segment. UnreadableImage for masks and labels."""
    if segmentation.kind != FRACTIONAL:
        raise UnreadableImage(
            f"{segmentation.name}: holds {segmentation.kind} segments and no probabilities; expected FRACTIONAL: read "
            "it as labels"
        )
    _check_number(segmentation, number)
    volume = _volume(segmentation, "float32")
    for target, frame in _places(segmentation, volume):
        if frame.segment == number:
            target[...] = frame.stored / np.float32(segmentation.full_scale)
    return volume


def overlaps(segmentation: Segmentation) -> tuple[Overlap, ...]:
    """Each two segments that share voxels, with how many they share; empty for label maps and fractions."""
    if segmentation.kind != BINARY:
        return ()
    shared: dict[tuple[int, int], int] = {}
    for plane in sorted({corner[0] for corner in segmentation.placement.corners}):
        numbers, pixels = _plane(segmentation, plane)
        doubled = pixels.sum(axis=0, dtype=np.uint16) > 1
        if doubled.any():
            common = pixels[:, doubled].astype(np.int64)
            counts = common @ common.T
            for first, second in combinations(range(len(numbers)), 2):
                if counts[first, second]:
                    pair = numbers[first], numbers[second]
                    shared[pair] = shared.get(pair, 0) + int(counts[first, second])
    return tuple(Overlap(first, second, voxels) for (first, second), voxels in sorted(shared.items()))


def _plane(segmentation: Segmentation, plane: int) -> tuple[list[int], NDArray[np.bool_]]:
    """Segments in one plane, ascending, and the pixels of each: (segments, rows, columns) of the whole plane."""
    here = [
        (corner, frame)
        for corner, frame in zip(segmentation.placement.corners, segmentation.frames, strict=True)
        if corner[0] == plane
    ]
    numbers = sorted({frame.segment for _, frame in here})
    _, down, across = (segmentation.grid.size[axis] for axis in segmentation.placement.axes)
    pixels = np.zeros((len(numbers), down, across), np.bool_)
    rows, columns = segmentation.frame_size
    for (_, row, column), frame in here:
        pixels[numbers.index(frame.segment), row : row + rows, column : column + columns] |= _pixels(
            frame, segmentation
        )
    return numbers, pixels


def _check_number(segmentation: Segmentation, number: int) -> None:
    if number not in segmentation.segments:
        raise UnreadableImage(f"{segmentation.name}: no segment {number}; expected one of {segmentation.segments}")


def _refusal(segmentation: Segmentation) -> str:
    found = overlaps(segmentation)
    pairs = "; ".join(f"{pair.first} and {pair.second} share {pair.voxels} voxels" for pair in found[:10])
    return (
        f"{segmentation.name}: segments overlap, so that one label map cannot hold them: {pairs}"
        f"{' and others' if len(found) > 10 else ''}; expected at most one segment a voxel, or each "
        'counted by itself: dataset.segment = "each", or dataset.segment = k for one of them'
    )


def _volume(segmentation: Segmentation, dtype: str) -> NDArray[Any]:
    depth, height, width = segmentation.grid.size
    check_size(Header(depth, height, width, 1, dtype), segmentation.name)
    return np.zeros(segmentation.grid.size, dtype)


def _places(segmentation: Segmentation, volume: NDArray[Any]) -> Iterator[tuple[NDArray[Any], Frame]]:
    """Each frame with the part of the volume that it covers, turned as the frame is."""
    view = segmentation.placement.view(volume)
    rows, columns = segmentation.frame_size
    for (plane, row, column), frame in zip(segmentation.placement.corners, segmentation.frames, strict=True):
        yield view[plane, row : row + rows, column : column + columns], frame


def _pixels(frame: Frame, segmentation: Segmentation) -> NDArray[np.bool_]:
    rows, columns = segmentation.frame_size
    return np.unpackbits(frame.stored, count=rows * columns).reshape(rows, columns).view(np.bool_)
