"""Counts of one class over many images, as columns: the form in which scores, batches and resamples use them."""

from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from segscale.errors import ArgumentError

Int64Array = NDArray[np.int64]
Float64Array = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class CountColumns:
    """Columns (n,) of additive counts, a place per image or per batch; the meaning is that of `OverlapCounts`."""

    true_positive: Int64Array
    false_positive: Int64Array
    false_negative: Int64Array
    true_negative: Int64Array
    reference_sum: Int64Array
    soft_intersection: Float64Array
    soft_prediction_sum: Float64Array
    soft_prediction_squared_sum: Float64Array
    missing: BoolArray | None = None
    """(n,) images without a usable prediction: nothing is predicted, and the whole reference is missed. None: no image
    is one. Sums of images know none."""

    @classmethod
    def of_frame(cls, frame: pd.DataFrame) -> Self:
        """Columns of a `per_image` table without failed rows; ValueError names missing columns and null counts."""
        columns: dict[str, NDArray[Any]] = {}
        for name in COUNTS:
            if name not in frame.columns:
                raise ArgumentError(f"per_image: expected a column {name!r}, got {list(frame.columns)}")
            column = frame[name]
            if name.startswith("soft"):
                columns[name] = column.to_numpy(np.float64, na_value=np.nan)
                continue
            if column.isna().any():
                raise ArgumentError(f"per_image: {name} is null in rows of status 'ok': mark them 'failed'")
            columns[name] = column.to_numpy(np.int64)
        return cls(**columns)

    @classmethod
    def of_missing(cls, reference_pixels: Int64Array, soft: float = 0.0) -> Self:
        """Columns of images without a usable prediction: false negatives alone. `soft` stands for their soft sums."""
        nothing, unknown = np.zeros_like(reference_pixels), np.full(reference_pixels.size, soft)
        return cls(nothing, nothing, reference_pixels, nothing, reference_pixels, unknown, unknown, unknown,
                   np.ones(reference_pixels.size, np.bool_))  # fmt: skip

    @property
    def size(self) -> int:
        """Number of places."""
        return self.true_positive.size

    @property
    def is_missing(self) -> BoolArray:
        """(n,) whether there is no usable prediction."""
        return np.zeros(self.size, np.bool_) if self.missing is None else self.missing

    @property
    def has_soft_sums(self) -> bool:
        """Whether no place comes from a label map."""
        return not bool(np.isnan(self.soft_prediction_sum).any())

    @property
    def reference_empty(self) -> BoolArray:
        """(n,) no reference pixel of the class."""
        return np.asarray(self.reference_sum == 0)

    @property
    def prediction_empty(self) -> BoolArray:
        """(n,) no predicted pixel of the class."""
        return np.asarray(self.true_positive + self.false_positive == 0)

    @property
    def both_empty(self) -> BoolArray:
        """(n,) neither; where the empty policy applies."""
        return np.asarray(self.reference_empty & self.prediction_empty)

    def __add__(self, other: Self) -> Self:
        """Place by place: counts of two classes over the same images."""
        columns: dict[str, Any] = {name: getattr(self, name) + getattr(other, name) for name in COUNTS}
        return type(self)(**columns, missing=self.missing)

    def take(self, places: Int64Array) -> Self:
        """The places in that order."""
        missing = None if self.missing is None else self.missing[places]
        columns: dict[str, Any] = {name: getattr(self, name)[places] for name in COUNTS}
        return type(self)(**columns, missing=missing)

    def followed_by(self, other: Self) -> Self:
        """These places, then those of the other."""
        missing = np.concatenate([one.is_missing for one in (self, other)])
        columns: dict[str, Any] = {name: np.concatenate([getattr(self, name), getattr(other, name)]) for name in COUNTS}
        return type(self)(**columns, missing=missing if missing.any() else None)

    def sum_runs(self, starts: Int64Array) -> Self:
        """Sums of consecutive places: run k goes from starts[k] to the next start, the last to the end."""
        if self.size == 0:
            return self
        return type(self)(*(np.add.reduceat(getattr(self, name), starts) for name in COUNTS))


COUNTS = tuple(field.name for field in fields(CountColumns) if field.name != "missing")
"""The columns that are counts, in order."""
