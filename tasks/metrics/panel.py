"""The counts of a whole run, image by image or unit by unit: which images, heads, classes and strata there are."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from segscale.errors import ArgumentError
from segscale.tasks.metrics.count_columns import COUNTS, CountColumns, Float64Array, Int64Array
from segscale.tasks.metrics.metric_table import METRICS, Metric
from segscale.tasks.metrics.per_image import (
    EXPLAINED,
    IS_REGION,
    PREDICTION_MISSING,
    REFERENCE_PIXELS,
    is_ok,
    regions_of,
    with_missing_columns,
)
from segscale.tasks.metrics.size_strata import COLUMN, COLUMN_MM3, UNKNOWN, SizeStrata, is_lesion_size, is_size
from segscale.tasks.refusal import there_are

if TYPE_CHECKING:
    from segscale.tasks.metrics.units import Units

IMAGE = "image"
"""What stands in the column `unit` where images are evaluated."""
OVER_CLASSES = -1
"""class_index of what is said over classes: MACRO, MICRO and CHANNELS."""
MACRO = "all_macro"
"""Mean over foreground classes of the defined class values."""
MICRO = "all_micro"
"""Of the counts summed over foreground classes."""
CHANNELS = "all_channels_micro"
"""Of the counts summed over all classes, the background included."""
_OF_A_CLASS = frozenset({
    "image_id", "class_index", "class_name", "head", "status", IS_REGION, REFERENCE_PIXELS, *COUNTS,
})  # fmt: skip
"""Columns of the table that the counts of a class are made of."""
SPACING = ("spacing_d_mm", "spacing_h_mm", "spacing_w_mm")


@dataclass(frozen=True, slots=True)
class ClassCounts:
    """The counts of one class, or of a sum of classes, over the images."""

    class_index: int
    class_name: str
    counts: CountColumns
    """Of the ok images."""
    missed: CountColumns
    """Of the images without a usable prediction."""
    partly_missed: CountColumns | None = None
    """Of ok units: their images without a usable prediction, summed; None where no unit has such images."""
    is_region: bool = False
    """Whether it is a union of classes, which enters nothing that is said over classes."""

    @property
    def is_foreground(self) -> bool:
        """Whether it is a class other than the background."""
        return self.class_index > 0 and not self.is_region


@dataclass(frozen=True, slots=True)
class Sample:
    """A class, or a sum of classes, over the images or units of a stratum."""

    counts: CountColumns
    """Of the ok images."""
    missed: CountColumns | None
    """Of the images without a usable prediction; None where it is not known which they are."""
    partly_missed: CountColumns | None = None
    """As `ClassCounts` has it; None too where it is not known."""

    @property
    def n_missing(self) -> int | None:
        return None if self.missed is None else self.missed.size

    @property
    def has_missing(self) -> bool:
        """Whether an image is known to have no usable prediction."""
        return bool(self.n_missing) or self.partly_missed is not None

    @property
    def with_missing(self) -> CountColumns:
        """The ok images, then those without a usable prediction, as far as they are known; in units they are missed."""
        counts = self.counts if self.partly_missed is None else self.counts.with_missed(self.partly_missed)
        return counts if self.missed is None or not self.missed.size else counts.followed_by(self.missed)


@dataclass(frozen=True, slots=True)
class Stratum:
    """Images, or units, that are reported together."""

    name: str
    """"" for the whole set, else `column=value`."""
    images: Int64Array
    """Places of its ok images among the ok images of the panel, in catalog order."""
    n_failed: int
    missing: Int64Array | None
    """Places of its images without a usable prediction among those of the panel, which are failed ones too; None where
    a failed image may be one or not."""

    @property
    def n_missing(self) -> int | None:
        return None if self.missing is None else self.missing.size


@dataclass(frozen=True, slots=True)
class Panel:
    """Ok images in catalog order (the order of their first rows), the same ones for each head and class."""

    images: pd.DataFrame
    """A row per ok image: image_id and all other columns of its first row, whose index it keeps."""
    failed: pd.DataFrame
    """The same of the failed images."""
    missing: pd.DataFrame
    """The same of those among them that have no usable prediction."""
    heads: tuple[Hashable, ...]
    """Heads in order of appearance."""
    classes: dict[Hashable, tuple[ClassCounts, ...]]
    """Per head the classes by index, the background first, then regions, MICRO and CHANNELS."""
    unit: str = IMAGE
    """What a place stands for: an image, or a unit, by the name of its column."""
    volumes: tuple[Float64Array, ...] | None = None
    """mm3 of the reference's foreground, of images, failed and missing ones, UNKNOWN where it was never read or nobody
    says how far voxels are apart; None where no image has a spacing."""
    units: Units | None = None
    """The same by units, where they are made."""
    metrics: tuple[Metric, ...] = METRICS
    explained: tuple[Metric, ...] = EXPLAINED
    """What its counts are scored by, and those of it whose gap is explained."""
    of_pixels: Panel | None = None
    """The panel of pixels beside this one, of distances or lesions: it knows how large references are. None: itself."""

    @property
    def foreground(self) -> tuple[str, ...]:
        """Names of the foreground classes by index."""
        classes = self.classes[self.heads[0]] if self.heads else ()
        return tuple(one.class_name for one in classes if one.is_foreground)

    def strata(self, group_by: tuple[str, ...]) -> list[Stratum]:
        """The whole set, then each `column=value`: columns as given, values sorted as text ("" for missing).

        An entry `reference_volume:EDGES` gives the strata of `SizeStrata`, by the reference pixels of all foreground
        classes together, or their mm3 where any image has a spacing; of a unit, of those of its images whose reference
        is known.
        """
        everything = self._stratum("", *(np.ones(len(frame), bool) for frame in self._kinds))
        return [everything, *(stratum for entry in group_by for stratum in self._strata_of(entry))]

    @property
    def _kinds(self) -> tuple[pd.DataFrame, ...]:
        return self.images, self.failed, self.missing

    def _strata_of(self, column: str) -> list[Stratum]:
        if is_lesion_size(column):
            return []
        if is_size(column):
            return self._strata_of_sizes(SizeStrata.parse(column))
        values = [_as_text(frame, column) for frame in self._kinds]
        names = sorted(set().union(*values))
        # Numbers are compared a hundred times faster than texts.
        place = dict(zip(names, range(len(names)), strict=True))
        codes = [np.array([place[value] for value in of_kind], np.int64) for of_kind in values]
        return [
            self._stratum(f"{column}={name}", *(of_kind == code for of_kind in codes))
            for code, name in enumerate(names)
        ]

    def _strata_of_sizes(self, bins: SizeStrata) -> list[Stratum]:
        of_pixels = self.of_pixels or self
        sizes = of_pixels.pixels() if of_pixels.volumes is None else of_pixels.volumes
        column = COLUMN if of_pixels.volumes is None else COLUMN_MM3
        places = [bins.places(of_kind) for of_kind in sizes]
        return [
            self._stratum(f"{column}={name}", *(of_kind == place for of_kind in places))
            for place, name in enumerate(bins.names)
            if any((of_kind == place).any() for of_kind in places)
        ]

    def pixels(self) -> tuple[Int64Array, Int64Array, Int64Array]:
        """Reference pixels of the foreground, of images, failed and missing ones; UNKNOWN where it was never read."""
        failed = np.full(len(self.failed), UNKNOWN, np.int64)
        if not self.heads:
            return np.full(len(self.images), UNKNOWN, np.int64), failed, np.empty(0, np.int64)
        foreground = next(one for one in self.classes[self.heads[0]] if one.class_name == MICRO)
        missing = foreground.missed.reference_sum
        # The missing ones are failed ones too, in the same order.
        failed[self.failed[PREDICTION_MISSING].fillna(False).to_numpy(bool)] = missing
        sizes = foreground.counts.reference_sum
        partly = foreground.partly_missed
        return sizes if partly is None else sizes + partly.reference_sum, failed, missing

    def _stratum(
        self, name: str, ok: NDArray[np.bool_], failed: NDArray[np.bool_], missing: NDArray[np.bool_]
    ) -> Stratum:
        known = not self.failed.loc[failed, PREDICTION_MISSING].isna().any()
        # An image is failed or not. A unit that is not may hold images that are.
        if self.unit != IMAGE:
            known &= not self.images.loc[ok, PREDICTION_MISSING].isna().any()
        return Stratum(name, np.flatnonzero(ok), int(failed.sum()), np.flatnonzero(missing) if known else None)


def panel_of(per_image: pd.DataFrame | Panel) -> Panel:
    """The panel of a `per_image` table; ValueError where an ok image lacks a class or head that others have.

    A failed image counts once, however many rows it has; an image is either failed or ok. Where all failed, heads and
    classes are those of the failed rows. A panel is its own: whoever makes several tables makes it once.
    """
    if isinstance(per_image, Panel):
        return per_image
    per_image, ok = with_missing_columns(per_image.reset_index(drop=True)), is_ok(per_image)
    missing = (per_image[PREDICTION_MISSING].fillna(False)).to_numpy(bool) & ~ok
    codes, image_ids = pd.factorize(per_image["image_id"])
    is_ok_image, is_failed_image, is_missing_image = np.zeros((3, len(image_ids)), bool)
    is_ok_image[codes[ok]], is_failed_image[codes[~ok]], is_missing_image[codes[missing]] = True, True, True
    mixed = list(image_ids[is_ok_image & is_failed_image][:3])
    if mixed:
        raise ArgumentError(
            f"per_image: {mixed} have rows of status 'ok' and 'failed': all rows of an image fail or none"
        )
    is_first = ~pd.Series(codes).duplicated().to_numpy(bool)
    of_kinds = ok, ~ok, is_missing_image[codes]
    images, failed, lacking = (_those(per_image, is_first & of_kind) for of_kind in of_kinds)
    places = np.where(ok, (np.cumsum(is_ok_image) - 1)[codes], (np.cumsum(is_missing_image) - 1)[codes])
    # Of a million images a copy of all columns is a gigabyte: those of the counts are taken, class by class.
    rows = per_image[[name for name in per_image if name in _OF_A_CLASS]].assign(_place=places, _missing=missing)
    known = rows["class_index"].notna().to_numpy(bool)
    rows = _those(rows, known & (ok | missing) if ok.any() else known)
    of_head, heads = pd.factorize(rows["head"], use_na_sentinel=False)
    of_class = rows["class_index"].to_numpy(np.int64)
    classes: dict[Hashable, tuple[ClassCounts, ...]] = {}
    for place, head in enumerate(heads):
        is_head = of_head == place
        found = [
            _class_counts(_those(rows, is_head & (of_class == index)), len(images), len(lacking))
            for index in np.unique(of_class[is_head])
        ]
        classes[head] = (*found, *_sums_over_classes(found))
    return with_volumes(Panel(images, failed, lacking, tuple(classes), classes))


def with_volumes(panel: Panel) -> Panel:
    """The panel with how large its references are in mm3, where any image has a spacing."""
    return panel if panel.of_pixels else replace(panel, volumes=_volumes(panel))


def _volumes(panel: Panel) -> tuple[Float64Array, ...] | None:
    frames = panel.images, panel.failed, panel.missing
    if not set(SPACING) <= set(panel.images):
        return None
    voxels = [frame[list(SPACING)].prod(axis=1, skipna=False).to_numpy(np.float64) for frame in frames]
    if all(np.isnan(of_kind).all() for of_kind in voxels):
        return None
    sizes = zip(panel.pixels(), voxels, strict=True)
    return tuple(np.where((pixels == UNKNOWN) | np.isnan(mm3), UNKNOWN, pixels * mm3) for pixels, mm3 in sizes)


def _those(rows: pd.DataFrame, chosen: NDArray[np.bool_]) -> pd.DataFrame:
    """The chosen rows; themselves where all are, as in most runs."""
    return rows if chosen.all() else rows[chosen]


def _class_counts(rows: pd.DataFrame, n_images: int, n_missing: int) -> ClassCounts:
    index, name = int(rows["class_index"].iloc[0]), str(rows["class_name"].iloc[0])
    ok, missing = is_ok(rows), rows["_missing"].to_numpy(bool)
    sound, lacking = _those(rows, ok), rows[missing]
    counts = CountColumns.of_frame(sound).take(_order(sound, n_images, f"{index} ({name})", "ok"))
    pixels = lacking[REFERENCE_PIXELS].astype("Int64")
    if pixels.isna().any():
        raise ArgumentError(f"per_image: {REFERENCE_PIXELS} is null in rows of a missing prediction")
    soft = 0.0 if counts.has_soft_sums else np.nan
    order = _order(lacking, n_missing, f"{index} ({name})", "missing")
    missed = CountColumns.of_missing(np.asarray(pixels, np.int64)[order], soft)
    return ClassCounts(index, name, counts, missed, is_region=bool(regions_of(rows)))


def _order(rows: pd.DataFrame, n_images: int, of_class: str, kind: str) -> NDArray[np.intp]:
    place = rows["_place"].to_numpy()
    order = np.argsort(place, kind="stable")
    if not np.array_equal(place[order], np.arange(n_images)):
        raise ArgumentError(
            f"per_image: expected one row of class {of_class} for each of {n_images} {kind} images and each head, got "
            f"{len(rows)} rows of {rows['image_id'].nunique()} images: write every class and head of an image, once"
        )
    return order


def _sums_over_classes(classes: list[ClassCounts]) -> tuple[ClassCounts, ClassCounts]:
    foreground = [one for one in classes if one.is_foreground]
    if not foreground:
        raise ArgumentError(
            "per_image: expected rows of a foreground class (class_index 1 or more), got only class_index 0"
        )
    return _summed(MICRO, foreground), _summed(CHANNELS, [one for one in classes if not one.is_region])


def _summed(name: str, classes: list[ClassCounts]) -> ClassCounts:
    first, *others = classes
    counts = sum((one.counts for one in others), start=first.counts)
    return ClassCounts(OVER_CLASSES, name, counts, sum((one.missed for one in others), start=first.missed))


def _as_text(images: pd.DataFrame, column: str) -> NDArray[np.object_]:
    if column not in images.columns:
        raise ArgumentError(f"group_by: expected a column of per_image, got {column!r}; {there_are(images.columns)}")
    values = images[column]
    return np.where(values.isna(), "", values.astype(object).map(str)).astype(object)
