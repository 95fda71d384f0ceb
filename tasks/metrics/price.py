"""The price of a precision: what it changes of each image's Dice, of the scores of the set, and of the labels.

Everything is against what another precision, the full one, made of the same images. Changes are the priced precision
minus the full one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from segscale.tasks.metrics.bootstrap import UnitSums, resample, sums_of_units
from segscale.tasks.metrics.compare import compare
from segscale.tasks.metrics.count_columns import Float64Array, Int64Array
from segscale.tasks.metrics.intervals import MIN_UNITS, Interval, percentile_interval
from segscale.tasks.metrics.layout import Row, table
from segscale.tasks.metrics.panel import IMAGE
from segscale.tasks.metrics.settings import ScoreSettings
from segscale.tasks.metrics.statistics import mean

SHARE = 0.95
"""Of the images, those that change least: what is said of them bounds all but the worst."""
WORST = "of the worst image there is one: an interval of the largest change would bound nothing"

MEASURES: dict[str, str | None] = {
    "class_index": "Int64", "class_name": "str", "measure": "str",
    **dict.fromkeys(["full", "value", "change", "low", "high"], "float64"), "interval_reason": "str",
    "n_images": "Int64", "image_id": None,
}  # fmt: skip
IMAGES = ("image_id", "class_index", "class_name", "dice_full", "dice", "change", "size", "labels_dice")


@dataclass(frozen=True, slots=True)
class Price:
    """What a precision costs over some images."""

    measures: pd.DataFrame
    """A row per class and measure: ``per_sample`` and ``pooled`` are Dice, with ``full`` and ``value`` of both
    precisions and an interval of ``change``; ``image_mean``, ``image_95`` and ``image_worst`` are, in ``change``, the
    mean, the 95th percentile and the largest of what an image's Dice changes by, without signs; ``labels_dice`` is, in
    ``value``, the mean Dice between the label maps of both; ``flipped``, of no class, the share of pixels whose class
    is another. The interval is of whichever is filled. NaN is undefined."""
    images: pd.DataFrame
    """A row per image and class: ``dice_full``, ``dice``, ``change``; ``size`` without a sign, 1 where only one of both
    is defined and NaN where neither is; ``labels_dice``."""


def price(full: pd.DataFrame, reduced: pd.DataFrame, labels: pd.DataFrame, settings: ScoreSettings) -> Price:
    """The price of `reduced` against `full`, tables `per_image` of one head over the same images.

    labels: a row per image and class or region: image_id, class_index, labels_dice (NaN where neither label map has the
    class), n_pixels and n_flipped of the image. Images that failed in either table are left out. Units of the intervals
    are images, or clusters by `cluster_by`. Raises ArgumentError where no image is sound in both.
    """
    chosen = settings.changed(group_by=(), unit="", folds="")
    images = _images(full, reduced, labels)
    rows = [*_scores(full, reduced, chosen), *_of_images(images, full, chosen), _flipped(labels, images, full, chosen)]
    measures = table(rows, MEASURES).sort_values("class_index", kind="stable", ignore_index=True)
    return Price(measures, images[list(IMAGES)])


def _images(full: pd.DataFrame, reduced: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    keys = ["image_id", "class_index"]
    sides = [one.loc[(one["status"] == "ok") & (one["class_index"] > 0)] for one in (full, reduced)]
    both = sides[0][[*keys, "class_name", "dice"]].merge(
        sides[1][[*keys, "dice"]], on=keys, suffixes=("_full", ""), validate="one_to_one"
    )
    both = both.merge(labels[[*keys, "labels_dice"]], on=keys, validate="one_to_one")
    change = both["dice"] - both["dice_full"]
    in_one = both["dice"].isna() != both["dice_full"].isna()
    return both.assign(change=change, size=change.abs().mask(in_one, 1.0))


def _scores(full: pd.DataFrame, reduced: pd.DataFrame, settings: ScoreSettings) -> Iterator[Row]:
    found = compare(full, reduced, settings, settings).differences
    is_asked = (found["unit"] == IMAGE) & (found["metric"] == "dice") & (found["class_index"] != 0)
    for row in found[is_asked & found["aggregation"].isin(["per_sample", "pooled"])].itertuples():
        yield {
            "class_index": row.class_index, "class_name": row.class_name, "measure": row.aggregation,
            "full": row.value_a, "value": row.value_b, "change": row.difference, "low": row.low, "high": row.high,
            "interval_reason": row.interval_reason, "n_images": row.n_pairs, "image_id": "",
        }  # fmt: skip


def _of_images(images: pd.DataFrame, full: pd.DataFrame, settings: ScoreSettings) -> Iterator[Row]:
    for (class_index, class_name), of_class in images.groupby(["class_index", "class_name"], sort=True):
        key = {"class_index": class_index, "class_name": class_name}
        changed = of_class[of_class["size"].notna()]
        sizes, units = changed["size"].to_numpy(np.float64), _Units.of(changed["image_id"], full, settings)
        ones = np.ones(len(changed))
        worst = int(np.argmax(sizes)) if sizes.size else -1
        largest = float(sizes[worst]) if sizes.size else np.nan
        share = float(np.quantile(sizes, SHARE)) if sizes.size else np.nan
        moved = str(changed["image_id"].iloc[worst]) if largest > 0 else ""
        of_each = key | {"n_images": len(changed), "full": np.nan, "value": np.nan}
        yield of_each | _row("image_mean", "change", mean(sizes), units.ratio(sizes, ones, settings))
        yield of_each | _row("image_95", "change", share, units.quantile(sizes, settings))
        yield of_each | _row("image_worst", "change", largest, (np.nan, np.nan, WORST), moved)
        alike = of_class[of_class["labels_dice"].notna()]
        values, units = alike["labels_dice"].to_numpy(np.float64), _Units.of(alike["image_id"], full, settings)
        interval = units.ratio(values, np.ones(len(alike)), settings)
        yield of_each | _row("labels_dice", "value", mean(values), interval) | {"n_images": len(alike)}


def _flipped(labels: pd.DataFrame, images: pd.DataFrame, full: pd.DataFrame, settings: ScoreSettings) -> Row:
    of_image = labels.drop_duplicates("image_id")
    of_image = of_image[of_image["image_id"].isin(images["image_id"])]
    flipped, pixels = (of_image[name].to_numpy(np.float64) for name in ("n_flipped", "n_pixels"))
    units = _Units.of(of_image["image_id"], full, settings)
    share = float(flipped.sum() / pixels.sum()) if pixels.sum() else np.nan
    row = _row("flipped", "value", share, units.ratio(flipped, pixels, settings))
    return {"class_index": pd.NA, "class_name": "", "full": np.nan, "change": np.nan, "n_images": len(of_image)} | row


def _row(measure: str, column: str, number: float, interval: Interval, image_id: str = "") -> Row:
    low, high, reason = interval
    return {
        "measure": measure, column: number, "low": low, "high": high, "interval_reason": reason, "image_id": image_id,
    }  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Units:
    """What is drawn as a whole: images, or clusters of them."""

    of_image: Int64Array
    """(n,) the unit of each image, 0..count-1."""
    count: int
    trouble: str
    """Why nothing can be said of them; "" if it can."""

    @classmethod
    def of(cls, image_ids: pd.Series[str], full: pd.DataFrame, settings: ScoreSettings) -> _Units:
        if not settings.cluster_by:
            return cls(np.arange(len(image_ids)), len(image_ids), "")
        named = full.drop_duplicates("image_id").set_index("image_id")[settings.cluster_by].loc[image_ids]
        n_unnamed = int(named.isna().sum())
        codes, names = pd.factorize(named, use_na_sentinel=False)
        trouble = f"{settings.cluster_by} is missing for {n_unnamed} images" if n_unnamed else ""
        return cls(codes.astype(np.int64), len(names), trouble)

    def ratio(self, numerator: Float64Array, denominator: Float64Array, settings: ScoreSettings) -> Interval:
        """Of the ratio of the sums over images."""
        if not self.count:
            return np.nan, np.nan, f"0 units to be measured, fewer than {MIN_UNITS}"
        above, below = (sums_of_units(side, self.of_image, self.count) for side in (numerator, denominator))
        (resampled,) = resample([UnitSums(above, below, 0.0)], settings.bootstrap, [settings.seed])
        return percentile_interval(resampled, settings, self.trouble)

    def quantile(self, sizes: Float64Array, settings: ScoreSettings) -> Interval:
        """Of the quantile `SHARE`, by the percentile bootstrap: it cannot exceed the largest size that was seen."""
        few = f"{self.count} units to be measured, fewer than {MIN_UNITS}" if self.count < MIN_UNITS else ""
        trouble = self.trouble or few or ("" if settings.bootstrap else "bootstrap is 0")
        if trouble:
            return np.nan, np.nan, trouble
        generator = np.random.default_rng([settings.seed])
        members = np.split(np.argsort(self.of_image, kind="stable"), np.cumsum(np.bincount(self.of_image))[:-1])
        found = [
            np.quantile(sizes[np.concatenate([members[unit] for unit in drawn])], SHARE)
            for drawn in generator.integers(self.count, size=(settings.bootstrap, self.count))
        ]
        tail = (1 - settings.confidence) / 2
        low, high = np.quantile(found, [tail, 1 - tail])
        return float(low), float(high), ""
