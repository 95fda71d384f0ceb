"""The counts of a whole run, image by image: which images, heads, classes and strata there are."""

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from segscale.errors import ArgumentError
from segscale.tasks.metrics.count_columns import CountColumns, Int64Array
from segscale.tasks.metrics.per_image import is_ok

OVER_CLASSES = -1
"""class_index of what is said over classes: MACRO, MICRO and CHANNELS."""
MACRO = "all_macro"
"""Mean over foreground classes of the defined class values."""
MICRO = "all_micro"
"""Of the counts summed over foreground classes."""
CHANNELS = "all_channels_micro"
"""Of the counts summed over all classes, the background included."""


@dataclass(frozen=True, slots=True)
class ClassCounts:
    """The counts of one class, or of a sum of classes, over the images."""

    class_index: int
    class_name: str
    counts: CountColumns


@dataclass(frozen=True, slots=True)
class Stratum:
    """Images that are reported together."""

    name: str
    """"" for the whole set, else `column=value`."""
    images: Int64Array
    """Places of its ok images among the ok images of the panel, in catalog order."""
    n_failed: int


@dataclass(frozen=True, slots=True)
class Panel:
    """Ok images in catalog order (the order of their first rows), the same ones for each head and class."""

    images: pd.DataFrame
    """A row per ok image: image_id and all other columns of its first row."""
    failed: pd.DataFrame
    """The same of the failed images."""
    heads: tuple[Hashable, ...]
    """Heads in order of appearance."""
    classes: dict[Hashable, tuple[ClassCounts, ...]]
    """Per head the classes by index, the background first, then MICRO and CHANNELS."""

    @property
    def foreground(self) -> tuple[str, ...]:
        """Names of the foreground classes by index."""
        classes = self.classes[self.heads[0]] if self.heads else ()
        return tuple(one.class_name for one in classes if one.class_index > 0)

    def strata(self, group_by: tuple[str, ...]) -> list[Stratum]:
        """The whole set, then each `column=value`: columns as given, values sorted as text ("" for missing)."""
        everything = Stratum("", np.arange(len(self.images), dtype=np.int64), len(self.failed))
        return [everything, *(stratum for column in group_by for stratum in self._strata_of(column))]

    def _strata_of(self, column: str) -> list[Stratum]:
        ok, failed = (_as_text(frame, column) for frame in (self.images, self.failed))
        return [
            Stratum(f"{column}={value}", np.flatnonzero(ok == value), int(np.count_nonzero(failed == value)))
            for value in sorted(set(ok) | set(failed))
        ]


def panel_of(per_image: pd.DataFrame | Panel) -> Panel:
    """The panel of a `per_image` table; ValueError where an ok image lacks a class or head that others have.

    A failed image counts once, however many rows it has; an image is either failed or ok. Where all failed, heads and
    classes are those of the failed rows. A panel is its own: whoever makes several tables makes it once.
    """
    if isinstance(per_image, Panel):
        return per_image
    ok = is_ok(per_image)
    codes, image_ids = pd.factorize(per_image["image_id"])
    is_ok_image, is_failed_image = np.zeros(len(image_ids), bool), np.zeros(len(image_ids), bool)
    is_ok_image[codes[ok]], is_failed_image[codes[~ok]] = True, True
    mixed = list(image_ids[is_ok_image & is_failed_image][:3])
    if mixed:
        raise ArgumentError(
            f"per_image: {mixed} have rows of status 'ok' and 'failed': all rows of an image fail or none"
        )
    is_first = ~pd.Series(codes).duplicated().to_numpy(bool)
    images, failed = (per_image[is_first & of_kind].reset_index(drop=True) for of_kind in (ok, ~ok))
    rows = per_image.assign(_place=(np.cumsum(is_ok_image) - 1)[codes])
    rows = rows[ok] if ok.any() else rows.dropna(subset=["class_index"])
    classes: dict[Hashable, tuple[ClassCounts, ...]] = {}
    for head, of_head in rows.groupby("head", sort=False, dropna=False):
        found = [_class_counts(of_class, len(images)) for _, of_class in of_head.groupby("class_index")]
        classes[head] = (*found, *_sums_over_classes(found))
    return Panel(images, failed, tuple(classes), classes)


def _class_counts(rows: pd.DataFrame, n_images: int) -> ClassCounts:
    index, name = int(rows["class_index"].iloc[0]), str(rows["class_name"].iloc[0])
    if n_images == 0:
        return ClassCounts(index, name, CountColumns.of_frame(rows.iloc[:0]))
    place = rows["_place"].to_numpy()
    order = np.argsort(place, kind="stable")
    if not np.array_equal(place[order], np.arange(n_images)):
        raise ArgumentError(
            f"per_image: expected one row of class {index} ({name}) for each of {n_images} ok images and each head, "
            f"got {len(rows)} rows of {rows['image_id'].nunique()} images: write every class and head of an image, once"
        )
    return ClassCounts(index, name, CountColumns.of_frame(rows).take(order))


def _sums_over_classes(classes: list[ClassCounts]) -> tuple[ClassCounts, ClassCounts]:
    foreground = [one.counts for one in classes if one.class_index > 0]
    if not foreground:
        raise ArgumentError(
            "per_image: expected rows of a foreground class (class_index 1 or more), got only class_index 0"
        )
    micro = sum(foreground[1:], start=foreground[0])
    channels = sum((one.counts for one in classes[1:]), start=classes[0].counts)
    return ClassCounts(OVER_CLASSES, MICRO, micro), ClassCounts(OVER_CLASSES, CHANNELS, channels)


def _as_text(images: pd.DataFrame, column: str) -> NDArray[np.object_]:
    if column not in images.columns:
        raise ArgumentError(
            f"group_by: expected a column of per_image, got {column!r}; there are {list(images.columns)}"
        )
    values = images[column]
    return np.where(values.isna(), "", values.astype(object).map(str)).astype(object)
