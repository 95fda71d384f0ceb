"""Identities of DICOM files: which series each belongs to, for folders where many lie together."""

from __future__ import annotations

from dataclasses import dataclass

from segscale.tasks.readers.dicom_file import Buffer, hashed_uid, opened
from segscale.tasks.readers.dicom_segmentation import described_segments, referenced_series
from segscale.tasks.readers.dicom_words import modality_word


@dataclass(frozen=True, slots=True)
class Identity:
    """What one file is, with `hashed_uid` for each of its UIDs."""

    modality: str
    series_id: str | None
    frame_of_reference_id: str | None
    has_pixels: bool
    """False for reports, plans, contours and DICOMDIR, which no image is made of."""
    is_segmentation: bool
    referenced_series_ids: tuple[str, ...]
    """Series that a segmentation was drawn on."""
    segments: tuple[int, ...] = ()
    """Of a segmentation the numbers that it describes, ascending; never 0, which is the background."""


def identify(data: Buffer, name: str) -> Identity:
    """What a DICOM file is, from its header. UnreadableImage where it is none or damaged."""
    with opened(data, name) as file:
        header = file.header
        return Identity(
            modality_word(header.get("Modality")),
            hashed_uid(header.get("SeriesInstanceUID")),
            hashed_uid(header.get("FrameOfReferenceUID")),
            file.has_pixels,
            "SegmentSequence" in header,
            referenced_series(file),
            described_segments(header),
        )
