"""Schema versions of report tables: how a table of an older version becomes one of today's."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pandas as pd

from segscale.errors import VersionError

CURRENT = 1
"""The version that is written."""

Step = Callable[[str, pd.DataFrame], pd.DataFrame]
"""The name of a table and its frame as one version has it -> the frame as the next version has it."""

STEPS: Mapping[int, Step] = {}
"""By version, the step to the next one. Whoever raises CURRENT adds the step from the version before."""


def parse_version(text: str | None, steps: Mapping[int, Step] = STEPS, current: int = CURRENT) -> int:
    """The number in a file's `schema_version`; VersionError for none, and for one that cannot be read here."""
    if text is None:
        raise VersionError("is foreign: expected a table of a Segscale report, got Parquet without schema_version")
    if not text.isdecimal() or int(text) < 1:
        raise VersionError(f"is foreign: expected a schema_version from 1 to {current}, got {text!r}")
    version = int(text)
    if version > current:
        raise VersionError(f"has schema_version {version}, this Segscale reads up to {current}: install a newer one")
    assert all(number in steps for number in range(version, current)), "a version without the step from it"
    return version


def upgrade(
    name: str, frame: pd.DataFrame, version: int, steps: Mapping[int, Step] = STEPS, current: int = CURRENT
) -> pd.DataFrame:
    """The table as the current version has it, one step after the other."""
    for number in range(version, current):
        frame = steps[number](name, frame)
    return frame
