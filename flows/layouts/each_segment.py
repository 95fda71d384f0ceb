"""Each segment: those of DICOM segmentations as images of their own, since no label map holds what overlaps."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from segscale.errors import ListingError, UnreadableImage
from segscale.flows.layouts.dicom_tree import identity_of
from segscale.flows.layouts.listed import DatasetListing
from segscale.flows.layouts.look import CASE, STRUCTURE
from segscale.storage.enumeration import SHOWN, counted, first_of, have
from segscale.storage.listing import Note
from segscale.storage.pairing import RoleSummary
from segscale.storage.source_names import of_segment
from segscale.storage.sources import file_name

EACH = "each"
Row = Mapping[Hashable, Any]


def each_segment(listed: DatasetListing, *, scored: bool) -> DatasetListing:
    """The listing with a row for each segment that a reference describes, CASE/segment-N, and the same segment of its
    prediction, by their numbers; both in columns.

    Headers alone are read. A segment that the prediction does not describe is a missing prediction, one that it alone
    describes is left over. A file that is damaged keeps its one row, which fails with the reason. Raises ListingError
    where references or predictions are no DICOM segmentations, where a column is called as one of these, and where no
    predictions are `scored`; OSError.
    """
    if not scored:
        raise ListingError(
            f'"{EACH}" counts existing predictions (predictions.path), and a network predicts all structures in one: '
            "expected the number of a segment"
        )
    taken = [name for name in (CASE, STRUCTURE) if name in listed.images]
    if taken:
        raise ListingError(
            f'segment = "{EACH}" brings a column {taken[0]}, and the set has one of that name; rename that'
        )
    rows: list[Row] = []
    absent: list[str] = []
    unused: list[str] = []
    n_files = 0
    for row in listed.images.to_dict("records"):
        own, theirs = _segments(row, "reference"), _segments(row, "prediction")
        if own is None:
            rows.append({**row, CASE: row["image_id"], STRUCTURE: None})
            continue
        n_files += 1
        found = [_of_segment(row, number, theirs) for number in own]
        rows += found
        if theirs is not None:
            absent += [str(one["image_id"]) for one in found if not one["prediction_version"]]
            unused += [_id(row, number) for number in theirs if number not in own]
    images = pd.DataFrame(rows).astype({name: listed.images[name].dtype for name in listed.images})
    text = f"references: {counted(len(rows), 'segment')} of {counted(n_files, 'file')}, each by itself"
    notes = [Note(text, warns=False)]
    if absent:
        text = f"{counted(len(absent), 'segment')} of a reference {have(len(absent))} none: {first_of(absent)}"
        notes.append(Note(f"predictions: {text}"))
    if unused:
        text = f"{counted(len(unused), 'segment')} {have(len(unused))} no reference: {first_of(unused)}"
        notes.append(Note(f"predictions: {text}"))
    roles = tuple(_summary(role, images, unused) for role in listed.roles)
    return replace(listed, images=images, notes=(*listed.notes, *notes), roles=roles)


def _of_segment(row: Row, number: int, predicted: Sequence[int] | None) -> Row:
    """The row of a segment; `predicted` are those that the prediction describes, None where that is not known."""
    name = _id(row, number)
    parts: dict[Hashable, Any] = {
        role: of_segment(row[role], number) for role in ("reference", "prediction") if row.get(role)
    }
    if predicted is not None and number not in predicted:
        parts["prediction_version"] = ""
    return {**row, **parts, "image_id": name, CASE: row["image_id"], STRUCTURE: name.rpartition("/")[2]}


def _id(row: Row, number: int) -> str:
    return f"{row['image_id']}/segment-{number}"


def _segments(row: Row, role: str) -> tuple[int, ...] | None:
    """The numbers of the segments of a file, by its header; None where there is none, or it is damaged."""
    url, version = row.get(role, ""), row.get(f"{role}_version", "")
    if not version:
        return None
    try:
        identity = identity_of(url, version, file_name(url))
    except UnreadableImage:
        return None
    if identity is None or not identity.segments:
        raise ListingError(
            f'{file_name(url)}: segment = "{EACH}" is of DICOM segmentations, and this {role} '
            f"{'is none' if identity is None or not identity.is_segmentation else 'describes no segment'}: expected "
            "a SEG on both sides; files of one structure each are scored against files of one structure each "
            '(layout = "cases")'
        )
    return identity.segments


def _summary(role: RoleSummary, images: pd.DataFrame, unused: Sequence[str]) -> RoleSummary:
    absent = images["image_id"][images[f"{role.role}_version"] == ""].tolist()
    found = replace(role, n_paired=len(images) - len(absent), n_absent=len(absent), absent=tuple(absent[:SHOWN]))
    if role.role != "prediction":
        return found
    return replace(found, n_unused=role.n_unused + len(unused), unused=(*role.unused, *unused)[:SHOWN])
