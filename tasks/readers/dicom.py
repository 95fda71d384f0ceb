"""DICOM: the slices of a series in a bundle, a file with many frames, or a segmentation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segscale.errors import UnreadableImage
from segscale.storage import bundles
from segscale.tasks.grids import Grid
from segscale.tasks.readers.dicom_file import Buffer, opened
from segscale.tasks.readers.dicom_segmentation import FRACTIONAL, Segmentation, read_segmentation
from segscale.tasks.readers.dicom_segments import label_map, mask, probabilities
from segscale.tasks.readers.dicom_series import read_series, read_series_header
from segscale.tasks.readers.volume import Volume, VolumeReader


@dataclass(frozen=True)
class DicomReader(VolumeReader):
    """Reader of DICOM: of a file, and of a series whose folder is named with a slash at its end.

    A segmentation is a label map of the numbers of its segments, or of one segment of fractions their probabilities;
    with `segment` the mask of that one, 0 and 1.
    """

    drawn_on: Grid | None = None
    """Of the image that a segmentation was drawn on; without a geometry it says nothing."""
    segment: int | None = None
    """The number of the one that is read, by itself, whatever others there are; None for all."""

    suffixes = ("/", ".dcm", ".dicom", ".ima", ".seg")

    def volume(self, data: bytes, name: str) -> Volume:
        """What the headers say; of a segmentation its frames are unpacked, as they were drawn."""
        files: dict[str, Buffer] = {**bundles.unpack(data)} if bundles.is_bundle(data) else {name: data}
        if len(files) == 1 and _is_segmentation(*files.items()):
            (own_name, only), *_ = files.items()
            read = read_segmentation(only, own_name, _with_geometry(self.drawn_on), self.segment)
            return _of_segmentation(read, own_name, self.segment)
        header = read_series_header(files, name)
        return Volume(
            shape=(*header.grid.size, 1),
            dtype=np.dtype(header.dtype),
            load=lambda: read_series(files, name).values,
            geometry=header.grid.geometry,
            notes=header.notes,
            series_id=header.grid.series_id,
            frame_of_reference_id=header.grid.frame_of_reference_id,
        )


def _is_segmentation(file: tuple[str, Buffer]) -> bool:
    name, data = file
    with opened(data, name) as opened_file:
        return "SegmentSequence" in opened_file.header


def _with_geometry(grid: Grid | None) -> Grid | None:
    return grid if grid and grid.geometry else None


def _of_segmentation(read: Segmentation, name: str, segment: int | None) -> Volume:
    numbers = read.segments if segment is None else (segment,)
    if read.kind == FRACTIONAL and len(numbers) != 1:
        raise UnreadableImage(
            f'{name}: fractions of {len(numbers)} segments; expected those of one: dataset.segment = "each" counts '
            "all, one by one, dataset.segment = k one of them"
        )
    voxels: partial[NDArray[Any]] = (
        partial(probabilities, read, numbers[0])
        if read.kind == FRACTIONAL
        else partial(label_map, read)
        if segment is None
        else partial(mask, read, segment)
    )
    highest = max((*numbers, read.padding), default=0)
    whole = np.dtype(np.uint8 if highest <= np.iinfo(np.uint8).max else np.uint16)
    whole = whole if segment is None else np.dtype(np.bool_)
    return Volume(
        shape=(*read.grid.size, 1),
        dtype=np.dtype(np.float32) if read.kind == FRACTIONAL else whole,
        load=voxels,
        geometry=read.grid.geometry,
        notes=tuple(note.removeprefix(f"{name}: ") for note in read.notes),
        is_drawn=True,
        series_id=read.grid.series_id,
        frame_of_reference_id=read.grid.frame_of_reference_id,
    )
