"""Schema versions of report tables: how a table of an older version becomes one of today's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise

import numpy as np
import pandas as pd

from segscale.errors import VersionError

CURRENT = 4
"""The version that is written."""

Step = Callable[[str, pd.DataFrame], pd.DataFrame]
"""The name of a table and its frame as one version has it -> the frame as the next version has it."""


def _with_missing_predictions(name: str, frame: pd.DataFrame) -> pd.DataFrame:
    """Version 2 tells images without a usable prediction from other failed ones.

    Version 1 does not: where an image failed, how many these are and what comes of them is unknown, null and NaN. Where
    none failed, none is missing.
    """
    if name == "per_image":
        ok = frame["status"] == "ok"
        missing = pd.Series(False, frame.index, dtype="boolean").where(ok)
        return frame.assign(prediction_missing=missing, reference_pixels=frame["reference_sum"].where(ok))
    if name not in ("per_sample", "batch_summed"):
        return frame
    whole = frame["n_failed"] == 0
    n_missing = pd.Series(0, frame.index, dtype="Int64").where(whole)
    if name == "per_sample":
        frame = _beside(frame, "mean_failed_as_zero", "mean_missing_as_zero", frame["mean_failed_as_zero"].where(whole))
    else:
        known = frame["mean"].where(whole & frame["pooled"])
        frame = _beside(frame, "shuffle_std", "pooled_missing_as_missed", known)
    return _beside(frame, "n_failed", "n_missing", n_missing)


def _with_units(name: str, frame: pd.DataFrame) -> pd.DataFrame:
    """Version 3 knows units of evaluation and folds. Version 2 evaluates images alone, in the whole gap at once."""
    if name not in ("per_sample", "batch_summed", "intervals", "gap"):
        return frame
    if name == "per_sample":
        frame = _beside(frame, "mean_missing_as_zero", "mean_of_folds", pd.Series(float("nan"), frame.index))
        frame = _beside(frame, "n_missing", "n_folds", pd.Series(pd.NA, frame.index, dtype="Int64"))
    if name == "gap":
        frame = _beside(frame, "metric", "step", pd.Series("image_to_pooled", frame.index, dtype="str"))
        frame = _beside(frame, "per_sample_mean", "unit_mean", frame["per_sample_mean"])
        frame = _beside(frame, "undefined_term", "count_term", (0.0 * frame["gap"]).abs())
    place = list(frame).index("stratum")
    unit = pd.Series("image", frame.index, dtype="str").rename("unit")
    return pd.concat([frame.iloc[:, :place], unit, frame.iloc[:, place:]], axis=1)


def _with_volumes(name: str, frame: pd.DataFrame) -> pd.DataFrame:
    """Version 4 knows how far voxels are apart. Before it nobody said, as of pictures, and slices lay along D."""
    if name != "per_image":
        return frame
    unsaid = pd.Series(float("nan"), frame.index)
    along = ("width", "spacing_d_mm", "spacing_h_mm", "spacing_w_mm")
    for neighbour, column in pairwise(along):
        frame = _beside(frame, neighbour, column, unsaid)
    is_volume = frame["depth"].fillna(0).to_numpy() > 1
    axis = pd.Series(np.where(is_volume, "d", ""), frame.index, dtype="str")
    frame = _beside(frame, along[-1], "slice_axis", axis)
    return frame.assign(reference_volume_ml=unsaid, prediction_volume_ml=unsaid)


def _beside(frame: pd.DataFrame, neighbour: str, name: str, values: pd.Series) -> pd.DataFrame:
    place = list(frame).index(neighbour) + 1
    return pd.concat([frame.iloc[:, :place], values.rename(name), frame.iloc[:, place:]], axis=1)


STEPS: Mapping[int, Step] = {1: _with_missing_predictions, 2: _with_units, 3: _with_volumes}
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
