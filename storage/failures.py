"""Failures: why an image cannot be used, a record in the code and the same columns in every table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from segscale.errors import DataError

REASON = ("error_type", "error")
"""Columns of the tables about files: the catalog and the source memory, where no stage is at work yet."""
COLUMNS = ("status", "stage", *REASON)
"""Columns of the tables about images, all texts; of an image that did not fail "ok" and three empty ones."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an image cannot be used; the same text for the same bytes, whenever and wherever they are read."""

    stage: str
    """Where it was found: ingest, predict or score."""
    error_type: str
    """Its kind in a word: UnreadableImage, ValueError (sizes, labels, pixels), MissingFile, BadProbabilities, ..."""
    error: str

    @classmethod
    def of(cls, stage: str, error: DataError) -> Self:
        """What bad data does to the image that it belongs to."""
        return cls(stage, error.recorded_as, str(error))


def to_columns(failure: Failure | None) -> dict[str, str]:
    """The values of `COLUMNS`; None stands for an image that did not fail."""
    if failure is None:
        return {**dict.fromkeys(COLUMNS, ""), "status": "ok"}
    return {"status": "failed", **asdict(failure)}


def from_columns(row: Mapping[Any, Any], stage: str) -> Failure | None:
    """The failure that the `REASON` of a row tells of, or None; `stage` is that of the whole table."""
    return Failure(stage, row["error_type"], row["error"]) if row["error_type"] else None
