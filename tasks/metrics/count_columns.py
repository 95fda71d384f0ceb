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
    """Columns (n,) of additive counts, a place per image, unit or batch; the meaning is that of `OverlapCounts`."""

    true_positive: Int64Array
    false_positive: Int64Array
    false_negative: Int64Array
    true_negative: Int64Array
    reference_sum: Int64Array
    soft_intersection: Float64Array
    soft_prediction_sum: Float64Array
    soft_prediction_squared_sum: Float64Array
    missing: BoolArray | None = None
    """(n,) places without any usable prediction: nothing is predicted, and the whole reference is missed. None: no
    place is one. `sum_runs` knows none."""
    missed: Int64Array | None = None
    """(n,) reference pixels of images without a usable prediction that are in these counts, as false negatives. None:
    no image was one."""
    sums: Float64Array | None = None
    """(n, k) what else can be added up, for metrics of more than pixels: distances, the Dice of lesions."""

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
    def of_missing(cls, reference_pixels: Int64Array, soft: float = 0.0, sums: Float64Array | None = None) -> Self:
        """Columns of images without a usable prediction: false negatives alone. `soft` stands for their soft sums."""
        nothing, unknown = np.zeros_like(reference_pixels), np.full(reference_pixels.size, soft)
        return cls(nothing, nothing, reference_pixels, nothing, reference_pixels, unknown, unknown, unknown,
                   np.ones(reference_pixels.size, np.bool_), reference_pixels, sums)  # fmt: skip

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
        missed = None if self.missed is None or other.missed is None else self.missed + other.missed
        sums = None if self.sums is None or other.sums is None else self.sums + other.sums
        return type(self)(**columns, missing=self.missing, missed=missed, sums=sums)

    def take(self, places: Int64Array) -> Self:
        """The places in that order."""
        missing = None if self.missing is None else self.missing[places]
        missed = None if self.missed is None else self.missed[places]
        sums = None if self.sums is None else self.sums[places]
        columns: dict[str, Any] = {name: getattr(self, name)[places] for name in COUNTS}
        return type(self)(**columns, missing=missing, missed=missed, sums=sums)

    def with_missed(self, missed: Self) -> Self:
        """With the counts of images without a usable prediction beside those of each place, as false negatives."""
        columns: dict[str, Any] = {name: getattr(self, name) for name in COUNTS}
        columns |= {name: columns[name] + missed.reference_sum for name in ("false_negative", "reference_sum")}
        sums = None if self.sums is None or missed.sums is None else self.sums + missed.sums
        return type(self)(**columns, missing=self.missing, missed=missed.reference_sum, sums=sums)

    def followed_by(self, other: Self) -> Self:
        """These places, then those of the other."""
        both = (self, other)
        missing = np.concatenate([one.is_missing for one in both])
        missed = np.concatenate([np.zeros(one.size, np.int64) if one.missed is None else one.missed for one in both])
        columns: dict[str, Any] = {name: np.concatenate([getattr(self, name), getattr(other, name)]) for name in COUNTS}
        is_any = bool(missing.any() or missed.any())
        sums = None if self.sums is None or other.sums is None else np.concatenate([self.sums, other.sums])
        return type(self)(**columns, missing=missing if is_any else None, missed=missed if is_any else None, sums=sums)

    def sum_runs(self, starts: Int64Array) -> Self:
        """Sums of consecutive places: run k goes from starts[k] to the next start, the last to the end."""
        if self.size == 0:
            return self
        sums = None if self.sums is None else np.add.reduceat(self.sums, starts)
        columns: dict[str, Any] = {name: np.add.reduceat(getattr(self, name), starts) for name in COUNTS}
        return type(self)(**columns, sums=sums)

    def sum_by(self, units: Int64Array) -> Self:
        """Sums of the places of each unit, in the order of units; units (n,): 0..U-1, each with a place.

        A unit is missing if all its places are.
        """
        if self.size == 0:
            return self
        order = np.argsort(units, kind="stable")
        starts = np.flatnonzero(np.diff(units[order], prepend=-1))
        summed = self.take(order)
        columns: dict[str, Any] = {name: np.add.reduceat(getattr(summed, name), starts) for name in COUNTS}
        missing = None if summed.missing is None else np.logical_and.reduceat(summed.missing, starts)
        missed = None if summed.missed is None else np.add.reduceat(summed.missed, starts)
        sums = None if summed.sums is None else np.add.reduceat(summed.sums, starts)
        return type(self)(**columns, missing=missing, missed=missed, sums=sums)


COUNTS = tuple(field.name for field in fields(CountColumns) if field.name not in ("missing", "missed", "sums"))
"""The columns that are counts, in order."""
