"""Two runs over the same images, put side by side; what cannot be compared is refused, with the reason."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from segscale.errors import ArgumentError
from segscale.tasks.metrics.count_columns import CountColumns
from segscale.tasks.metrics.panel import Panel, Sample, Stratum, panel_of, with_volumes
from segscale.tasks.metrics.settings import ScoreSettings
from segscale.tasks.metrics.units import with_units

SCORE_FIELDS = ("empty", "smooth", "tversky_alpha", "tversky_beta", "missed_distance")
"""Settings that make scores of the same counts differ."""
IMAGE_HASH = "image_sha256"
HASHES = {IMAGE_HASH: "images", "reference_sha256": "references"}
SHOWN = 3


@dataclass(frozen=True, slots=True)
class PairedClass:
    """The counts of one class, or of a sum of classes, in both runs over the same images."""

    class_index: int
    class_name: str
    head_a: Hashable
    head_b: Hashable
    a: CountColumns
    b: CountColumns
    is_foreground: bool
    """Whether it is a class, no region, other than the background."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Images that are ok in both runs, in the order of run a."""

    panel: Panel
    """Run a over the paired images."""
    classes: tuple[PairedClass, ...]
    """By head, then class; sums over classes last, where there are several foreground classes."""
    unpaired: pd.DataFrame
    """image_id, status_a, status_b of images that failed in one run or in both."""
    with_missing: Pairs | None = None
    """The same over all images whose reference stands in both runs, those without a usable prediction in one of them
    included; None where there are none."""

    def strata(self, by: tuple[str, ...]) -> list[Stratum]:
        """The whole set, then `column=value` by the columns of run a."""
        return self.panel.strata(by)


def by_unit(pairs: Pairs, settings: ScoreSettings) -> Pairs:
    """The pairs of units instead of images, by the columns of run a. ArgumentError as `check_units`."""
    units = with_units(pairs.panel, settings).units
    assert units is not None, "settings without a unit"
    classes = tuple(replace(one, a=one.a.sum_by(units.members), b=one.b.sum_by(units.members)) for one in pairs.classes)
    return Pairs(units.panel, classes, pairs.unpaired)


def refuse_different_settings(a: ScoreSettings, b: ScoreSettings) -> None:
    """ValueError where equal counts would get different scores in the two runs."""
    for name in SCORE_FIELDS:
        if getattr(a, name) != getattr(b, name):
            raise ArgumentError(
                f"metrics.{name}: expected the same in both runs, got {getattr(a, name)!r} and {getattr(b, name)!r}: "
                f"report one of them again with the metrics of the other"
            )


Beside = Callable[[Panel], Panel]
"""What makes of a panel of pixels that of surfaces or lesions, over the same images."""


@dataclass(frozen=True, slots=True)
class BothBeside:
    """What two runs measured beside pixels, and both alike."""

    a: Beside
    b: Beside
    stratum: str = ""
    """Of lesions of some size what they are called; "" for all that was measured."""


def pair_images(a: pd.DataFrame, b: pd.DataFrame, beside: BothBeside | None = None) -> Pairs:
    """Pair the `per_image` tables of two runs.

    `with_missing` pairs the images without a usable prediction too, as far as it is known which they are. Heads are
    paired by name; where no name is in both runs, the last head of one with the last of the other.
    Images that a run does not name (no image_sha256) are the same where their references are. beside: what both
    runs measured and is compared instead of the pixels.
    Raises ValueError where images, references, classes or the reading of the references differ, or where no image is ok
    in both.
    """
    images_a, images_b = _images(a, "a"), _images(b, "b")
    if not images_a.index.equals(images_b.index):
        _refuse_other_images(images_a.index, images_b.index)
        images_b = images_b.loc[images_a.index]
    ok = ((images_a["status"] == "ok") & (images_b["status"] == "ok")).to_numpy(bool)
    _refuse_other_files(images_a, images_b, ok)
    if not ok.any():
        raise ArgumentError("no image is ok in both runs: nothing can be compared")
    a, b = (frame.drop(columns=list(HASHES)) for frame in (a, b))
    own = (beside.a, beside.b) if beside else (_itself, _itself)
    panels = [made(_panel(frame, images_a.index[ok])) for frame, made in zip((a, b), own, strict=True)]
    statuses = pd.DataFrame({"status_a": images_a["status"], "status_b": images_b["status"]})[~ok]
    unpaired = statuses.rename_axis("image_id").reset_index()
    with_missing = None
    if not ok.all():
        every = [made(panel_of(frame)) for frame, made in zip((a, b), own, strict=True)]
        with_missing = _with_missing(every, images_a.index)
    return Pairs(panels[0], _classes_of(panels), unpaired, with_missing)


def _itself(panel: Panel) -> Panel:
    return panel


def _with_missing(panels: Sequence[Panel], order: pd.Index) -> Pairs | None:
    """Pairs of the images that are ok or have no usable prediction in each run; None where every one is ok in both."""
    if not any(len(panel.missing) for panel in panels):
        return None
    whole = [_with_missing_as_images(panel) for panel in panels]
    named = [pd.Index(panel.images["image_id"]) for panel in whole]
    places = [index.get_indexer(order) for index in named]
    common = (places[0] >= 0) & (places[1] >= 0)
    chosen = [_taken(panel, of_panel[common]) for panel, of_panel in zip(whole, places, strict=True)]
    classes = _classes_of(chosen)
    is_new = any(pair.a.is_missing.any() or pair.b.is_missing.any() for pair in classes)
    nothing = pd.DataFrame({"image_id": [], "status_a": [], "status_b": []})
    return Pairs(chosen[0], classes, nothing) if is_new else None


def _with_missing_as_images(panel: Panel) -> Panel:
    images, nothing = pd.concat([panel.images, panel.missing], ignore_index=True), np.empty(0, np.int64)
    of_pixels = None if panel.of_pixels is None else _with_missing_as_images(panel.of_pixels)
    nobody = panel.failed.iloc[:0], panel.missing.iloc[:0]
    whole = replace(panel, images=images, failed=nobody[0], missing=nobody[1], of_pixels=of_pixels)
    return with_volumes(replace(whole, classes={
        head: tuple(
            replace(one, counts=Sample(one.counts, one.missed).with_missing, missed=one.missed.take(nothing))
            for one in classes
        )
        for head, classes in panel.classes.items()
    }))  # fmt: skip


def _taken(panel: Panel, places: NDArray[np.intp]) -> Panel:
    images = panel.images.iloc[places].reset_index(drop=True)
    of_pixels = None if panel.of_pixels is None else _taken(panel.of_pixels, places)
    return with_volumes(replace(panel, images=images, of_pixels=of_pixels, classes={
        head: tuple(replace(one, counts=one.counts.take(places)) for one in classes)
        for head, classes in panel.classes.items()
    }))  # fmt: skip


def _images(per_image: pd.DataFrame, name: str) -> pd.DataFrame:
    needed = ["image_id", "class_index", "class_name", "head", "status", *HASHES]
    missing = [column for column in needed if column not in per_image.columns]
    if missing:
        raise ArgumentError(f"per_image of run {name}: expected the columns {needed}, {missing} are missing")
    return per_image[["image_id", "status", *HASHES]].drop_duplicates("image_id").set_index("image_id")


def _refuse_other_images(a: pd.Index, b: pd.Index) -> None:
    only_a, only_b = a.difference(b, sort=False), b.difference(a, sort=False)
    if len(only_a) or len(only_b):
        raise ArgumentError(
            f"the runs are over different images: {len(only_a)} only in a {_first(only_a)}, "
            f"{len(only_b)} only in b {_first(only_b)}: compare runs of one data set and split"
        )


def _refuse_other_files(a: pd.DataFrame, b: pd.DataFrame, ok: np.ndarray) -> None:
    for column, things in HASHES.items():
        of_a, of_b = (images[column].fillna("").astype("str").reset_index(drop=True) for images in (a, b))
        # A failed image may lack a hash, as its file could not be fetched; it is not paired. Where a run names no
        # images, the references alone say that both are over the same.
        known = ((of_a != "") & (of_b != "")).to_numpy(bool)
        different = np.where(known, (of_a != of_b).to_numpy(bool), ok & (column != IMAGE_HASH))
        if different.any():
            raise ArgumentError(
                f"the runs are over different {things}: {column} differs or is unknown for {int(different.sum())} "
                f"of {len(a)} images {_first(a.index[different])}: run both over the same files"
            )


def _panel(per_image: pd.DataFrame, image_ids: pd.Index) -> Panel:
    place = image_ids.get_indexer(pd.Index(per_image["image_id"]))
    # Of a million images a copy of all columns is gigabytes, and most runs list theirs alike.
    if (place >= 0).all() and (np.diff(place) >= 0).all():
        return panel_of(per_image)
    order = np.argsort(place, kind="stable")
    return panel_of(per_image.iloc[order[place[order] >= 0]].reset_index(drop=True))


def _paired_heads(a: Sequence[Hashable], b: Sequence[Hashable]) -> list[tuple[Hashable, Hashable]]:
    return [(head, head) for head in a if head in b] or [(a[-1], b[-1])]


def _classes_of(panels: Sequence[Panel]) -> tuple[PairedClass, ...]:
    of_heads = _paired_heads(panels[0].heads, panels[1].heads)
    return tuple(pair for heads in of_heads for pair in _paired_classes(panels, heads))


def _paired_classes(panels: Sequence[Panel], heads: tuple[Hashable, Hashable]) -> list[PairedClass]:
    of_a, of_b = (panel.classes[head] for panel, head in zip(panels, heads, strict=True))
    names_a, names_b = ([(one.class_index, one.class_name) for one in classes] for classes in (of_a, of_b))
    if names_a != names_b:
        raise ArgumentError(f"the runs are over different classes: {names_a} in a, {names_b} in b")
    pairs = []
    for one_a, one_b in zip(of_a, of_b, strict=True):
        kind = one_a.is_foreground
        pairs.append(PairedClass(one_a.class_index, one_a.class_name, *heads, one_a.counts, one_b.counts, kind))
        if panels[0].of_pixels is None:
            _refuse_other_reading(pairs[-1], panels[0])
    n_foreground = sum(pair.is_foreground for pair in pairs)
    return [pair for pair in pairs if pair.class_index >= 0 or n_foreground > 1]


def _refuse_other_reading(pair: PairedClass, panel: Panel) -> None:
    counted_a, counted_b = (
        one.true_positive + one.false_positive + one.false_negative + one.true_negative for one in (pair.a, pair.b)
    )
    # Of a missing prediction no more than the reference is counted.
    counted = ~(pair.a.is_missing | pair.b.is_missing)
    different = (pair.a.reference_sum != pair.b.reference_sum) | (counted & (counted_a != counted_b))
    if different.any():
        image_ids = pd.Index(panel.images["image_id"])[different]
        raise ArgumentError(
            f"the references were read differently: class {pair.class_name} has other pixel counts in "
            f"{len(image_ids)} of {different.size} images {_first(image_ids)}: use equal label_values and ignore_label"
        )


def _first(names: pd.Index) -> str:
    return f"({', '.join(map(str, names[:SHOWN]))}{', ...' if len(names) > SHOWN else ''})" if len(names) else "(none)"
