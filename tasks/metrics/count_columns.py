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

    @classmethod
    def of_frame(cls, frame: pd.DataFrame) -> Self:
        """Columns of a `per_image` table without failed rows; ValueError names missing columns and null counts."""
        columns: dict[str, NDArray[Any]] = {}
        for field in fields(cls):
            if field.name not in frame.columns:
                raise ArgumentError(f"per_image: expected a column {field.name!r}, got {list(frame.columns)}")
            column = frame[field.name]
            if field.name.startswith("soft"):
                columns[field.name] = column.to_numpy(np.float64, na_value=np.nan)
                continue
            if column.isna().any():
                raise ArgumentError(f"per_image: {field.name} is null in rows of status 'ok': mark them 'failed'")
            columns[field.name] = column.to_numpy(np.int64)
        return cls(**columns)

    @property
    def size(self) -> int:
        """Number of places."""
        return self.true_positive.size

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
        return type(self)(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))

    def take(self, places: Int64Array) -> Self:
        """The places in that order."""
        return type(self)(*(getattr(self, field.name)[places] for field in fields(self)))

    def sum_runs(self, starts: Int64Array) -> Self:
        """Sums of consecutive places: run k goes from starts[k] to the next start, the last to the end."""
        if self.size == 0:
            return self
        return type(self)(*(np.add.reduceat(getattr(self, field.name), starts) for field in fields(self)))
