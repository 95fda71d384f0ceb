"""Planes: where each frame of a DICOM file lies in the patient."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

from segscale.errors import UnreadableImage
from segscale.tasks.geometry import Vector
from segscale.tasks.readers.dicom_file import DicomFile
from segscale.tasks.readers.dicom_words import millimetres

_UNIT: Final = 1e-3
"""How far directions may be from unit length and from a right angle: scanners write six digits, old ones four."""


@dataclass(frozen=True, slots=True)
class Plane:
    """One frame's rectangle of pixels."""

    position: Vector
    """The centre of its first pixel, in millimetres."""
    down: Vector
    """Unit vector from row to row."""
    across: Vector
    """Unit vector from column to column."""
    spacing: tuple[float, float]
    """Millimetres from row to row and from column to column."""
    gap: float | None
    """Millimetres from plane to plane as the header says it (Spacing Between Slices); None where it does not."""
    thickness: float | None
    """Millimetres, None where the header does not say it."""

    @property
    def normal(self) -> Vector:
        """Unit vector that makes a right-handed system of columns, rows and planes."""
        (ax, ay, az), (dx, dy, dz) = self.across, self.down
        return ay * dz - az * dy, az * dx - ax * dz, ax * dy - ay * dx


def frame_count(file: DicomFile) -> int:
    """Frames that a file claims, 1 where it says nothing; UnreadableImage where it does not describe as many."""
    groups = file.header.get("PerFrameFunctionalGroupsSequence")
    count = int(file.header.get("NumberOfFrames") or 1)
    if count < 1 or (groups is not None and len(groups) != count):
        raise UnreadableImage(
            f"{file.name}: claims {count} frames and describes {len(groups or [])}; expected a description of each"
        )
    return count


def group(file: DicomFile, frame: int, keyword: str) -> Any:
    """The item that holds a frame's values: of its own functional groups, the shared ones, or the file itself."""
    for groups, index in (("PerFrameFunctionalGroupsSequence", frame), ("SharedFunctionalGroupsSequence", 0)):
        sequence = file.header.get(groups)
        if sequence and sequence[index].get(keyword):
            return sequence[index].get(keyword)[0]
    return file.header


def read_planes(file: DicomFile) -> tuple[Plane, ...]:
    """The plane of each frame, in their order. UnreadableImage where one has no position, or an impossible one."""
    count = frame_count(file)
    if "MOSAIC" in (file.header.get("ImageType") or ()):
        raise UnreadableImage(f"{file.name}: a mosaic of many slices in one picture; expected a picture for each slice")
    if "TotalPixelMatrixRows" in file.header:
        raise UnreadableImage(f"{file.name}: tiles of a slide (whole slide microscopy); expected planes of a volume")
    if count > 1 and "PerFrameFunctionalGroupsSequence" not in file.header:
        raise UnreadableImage(
            f"{file.name}: {count} frames without functional groups, so without positions: frames of a film or of a "
            "nuclear scan are no volume; expected a series of single frames or an enhanced multi-frame image"
        )
    return tuple(_plane(file, frame) for frame in range(count))


def _plane(file: DicomFile, frame: int) -> Plane:
    where = file.name if "PerFrameFunctionalGroupsSequence" not in file.header else f"{file.name}, frame {frame + 1}"
    measures = group(file, frame, "PixelMeasuresSequence")
    position = _numbers(group(file, frame, "PlanePositionSequence"), "ImagePositionPatient", 3, where)
    directions = _numbers(group(file, frame, "PlaneOrientationSequence"), "ImageOrientationPatient", 6, where)
    spacing = _numbers(measures, "PixelSpacing", 2, where)
    if min(spacing) <= 0:
        raise UnreadableImage(
            f"{where}: a spacing of {millimetres(spacing)} mm (PixelSpacing); expected numbers above 0"
        )
    across, down = _unit_vectors(directions, where)
    (x, y, z), (between_rows, between_columns) = position, spacing
    gap, thickness = (_positive(measures, keyword) for keyword in ("SpacingBetweenSlices", "SliceThickness"))
    return Plane((x, y, z), down, across, (between_rows, between_columns), gap, thickness)


def _numbers(item: Any, keyword: str, count: int, where: str) -> tuple[float, ...]:
    value = item.get(keyword)
    if value is None or not hasattr(value, "__len__") or len(value) != count:
        raise UnreadableImage(
            f"{where}: no {keyword} of {count} numbers, so nobody can say where its pixels lie; expected slices of a "
            "volume (a flat picture: save it as PNG or TIFF)"
        )
    numbers = tuple(float(number) for number in value)
    if not all(map(math.isfinite, numbers)):
        raise UnreadableImage(f"{where}: {keyword} is {millimetres(numbers)}; expected finite numbers")
    return numbers


def _unit_vectors(directions: tuple[float, ...], where: str) -> tuple[Vector, Vector]:
    ax, ay, az, dx, dy, dz = directions
    across, down = math.hypot(ax, ay, az), math.hypot(dx, dy, dz)
    slant = ax * dx + ay * dy + az * dz
    if max(abs(across - 1), abs(down - 1), abs(slant)) > _UNIT:
        raise UnreadableImage(
            f"{where}: directions {millimetres(directions)} (ImageOrientationPatient); expected two unit vectors at a "
            "right angle"
        )
    return (ax / across, ay / across, az / across), (dx / down, dy / down, dz / down)


def _positive(item: Any, keyword: str) -> float | None:
    value = item.get(keyword)
    # Some scanners write negative gaps, or an empty one: these say nothing.
    number = float(value) if value not in (None, "") else 0.0
    return number if math.isfinite(number) and number > 0 else None
