"""The part of the page about one class: the gap in words, the plots, the images that weigh most."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from segscale.tasks.metrics.gap import IMAGE_TO_UNIT, UNIT_TO_POOLED
from segscale.tasks.metrics.panel import OVER_CLASSES
from segscale.tasks.metrics.per_image import regions_of
from segscale.tasks.report_html import plots
from segscale.tasks.report_html.curves import (
    Float64Array,
    ImageScores,
    batch_curve,
    image_scores,
    largest,
    threshold_curve,
)
from segscale.tasks.report_html.gap_sentence import Gap, Steps, sentence
from segscale.tasks.report_html.headline import METRICS, OVER_CLASSES_NAMES, Tables, rows_of, whole_set
from segscale.tasks.report_html.words import images as images_in_words
from segscale.tasks.report_html.words import number, score, signed, small

MAX_CLASSES = 4
"""Classes with plots."""
LABELLED = 5
"""Images named beside the plot of contributions."""


@dataclass(frozen=True, slots=True)
class Plot:
    """One of the plots, or the sentence that takes its place."""

    title: str
    svg: Markup | None
    text: str
    """Caption, or why there is no plot."""


@dataclass(frozen=True, slots=True)
class Contributor:
    """An image with a large part in the gap."""

    number: int
    """As in the plot."""
    image_id: str
    reference_pixels: str
    dice: str
    contribution: str
    pooled_without: str


@dataclass(frozen=True, slots=True)
class ClassSection:
    """One class and head."""

    kind: str
    """Class or Region."""
    class_name: str
    sentence: str
    plots: tuple[Plot, ...]
    contributors: tuple[Contributor, ...]


def gap_of(row: Any) -> Gap:
    """A row of the gap table."""
    over = row.class_index == OVER_CLASSES
    return Gap(
        metric=METRICS[row.metric],
        subject=f"the {OVER_CLASSES_NAMES[row.class_name]}" if over else str(row.class_name),
        per_sample_mean=float(row.per_sample_mean),
        pooled=float(row.pooled),
        covariance=float(row.covariance_term),
        smoothing=float(row.smoothing_term),
        undefined=float(row.undefined_term),
    )


def steps_of(rows: pd.DataFrame) -> Steps:
    """The two rows of a unit of the gap table, of one class."""
    by_step = {str(row.step): row for row in rows.itertuples(index=False)}
    first: Any = by_step[IMAGE_TO_UNIT]
    second: Any = by_step[UNIT_TO_POOLED]
    return Steps(
        unit=str(first.unit),
        unit_mean=float(first.unit_mean),
        to_unit=float(first.gap),
        within=float(first.covariance_term),
        count=float(first.count_term),
        to_pooled=float(second.gap),
    )


def class_sections(tables: Tables, metrics: Mapping[str, Any], head: object) -> tuple[ClassSection, ...]:
    """A section for each foreground class and region; of more than MAX_CLASSES, those with the largest gap of Dice.

    metrics: the table [metrics] of the configuration.
    """
    gaps = rows_of(whole_set(tables["gap"]), metric="dice", head=head)
    foreground = gaps[(gaps["class_index"] > 0).to_numpy(bool)]
    size = foreground["gap"].abs().fillna(-1.0).to_numpy(np.float64)
    chosen = np.sort(np.argsort(-size, kind="stable")[:MAX_CLASSES])
    return tuple(_section(tables, metrics, row, head) for row in foreground.iloc[chosen].itertuples(index=False))


def _section(tables: Tables, metrics: Mapping[str, Any], row: Any, head: object) -> ClassSection:
    per_image = tables["per_image"]
    gap, index = gap_of(row), int(row.class_index)
    images = image_scores(per_image, index, head)
    labelled = largest(images.contribution, LABELLED)
    compared = per_image.loc[(per_image["class_index"] == index).to_numpy(bool), "threshold"].dropna()
    used = None if compared.empty else float(compared.iloc[0])
    return ClassSection(
        kind="Region" if index in regions_of(per_image) else "Class",
        class_name=gap.subject,
        sentence=sentence(gap),
        plots=(
            _size_plot(images, gap, f"size{index}"),
            _threshold_plot(tables.get("thresholds"), metrics, index, head, used, images.dice.size),
            _batch_plot(tables["batch_summed"], gap, index, head),
            _contribution_plot(images, gap, labelled, f"share{index}"),
        ),
        contributors=tuple(_contributor(images, int(place), k) for k, place in enumerate(labelled, start=1)),
    )


def _size_plot(images: ImageScores, gap: Gap, name: str) -> Plot:
    title = "Dice against size"
    has_reference, has_dice = images.reference_pixels > 0, ~np.isnan(images.dice)
    placed = has_reference & has_dice
    n_placed = int(placed.sum())
    if n_placed == 0:
        return Plot(title, None, "No image has both a reference of this class and a score.")
    sizes = images.reference_pixels[placed]
    span = f"{number(int(sizes.min()))} to {number(int(sizes.max()))} reference pixels"
    notes = [f"{images_in_words(n_placed)} with {span}."]
    if n_placed > plots.MAX_POINTS:
        notes.append(f"{number(plots.MAX_POINTS)} of them are drawn, evenly spaced by size; the medians are of all.")
    false_alarms, silent = int((~has_reference & has_dice).sum()), int((~has_dice).sum())
    if false_alarms:
        notes.append(f"{images_in_words(false_alarms)} without a reference pixel can have no place on the axis.")
    if silent:
        notes.append(f"{images_in_words(silent)} without a score.")
    alt = f"Dice of each image against its reference pixels: {' '.join(notes)} {_levels(gap)}"
    svg = plots.draw_dice_against_size(images, gap.per_sample_mean, gap.pooled, name, alt)
    return Plot(title, Markup(svg), " ".join(notes))


def _threshold_plot(
    thresholds: pd.DataFrame | None,
    metrics: Mapping[str, Any],
    index: int,
    head: object,
    used: float | None,
    n_images: int,
) -> Plot:
    title = "Dice at other thresholds"
    if thresholds is None:
        return Plot(
            title, None, "The predictions are label maps, without probabilities: there is one threshold, theirs."
        )
    curve = threshold_curve(thresholds, index, head, metrics["smooth"], metrics["empty"])
    if curve is None or np.isnan(curve.pooled).all() or np.isnan(curve.per_sample).all():
        return Plot(title, None, "No image with probabilities has a score at any threshold.")
    peaks = [_peak(curve.thresholds, values) for values in (curve.per_sample, curve.pooled)]
    notes = [f"Largest per-sample mean {peaks[0]}, largest pooled {peaks[1]}."]
    if used is None:
        notes.append("The class against the rest; everywhere else the most probable class counts.")
    if curve.n_images < n_images:
        notes.append(f"Of {images_in_words(curve.n_images)} with probabilities.")
    alt = f"Per-sample and pooled Dice against the threshold. {' '.join(notes)}"
    return Plot(title, Markup(plots.draw_thresholds(curve, used, f"threshold{index}", alt)), " ".join(notes))


def _batch_plot(batch_summed: pd.DataFrame, gap: Gap, index: int, head: object) -> Plot:
    title = "Dice by batch size"
    curve = batch_curve(batch_summed, index, head)
    if curve is None:
        return Plot(title, None, "No batch has a score.")
    if curve.sizes.size == 1:
        return Plot(title, None, f"All images make one batch, of Dice {score(gap.pooled)}: there is no other size.")
    values = ", ".join(
        f"{number(int(size))}: {score(mean)}" for size, mean in zip(curve.sizes, curve.means, strict=True)
    )
    alt = f"Batch-summed Dice by images per batch, {values}. {_levels(gap)}"
    svg = plots.draw_batch_sizes(curve, gap.per_sample_mean, gap.pooled, f"batch{index}", alt)
    return Plot(title, Markup(svg), "The last point is all images in one batch. The band is of seeded random orders.")


def _contribution_plot(images: ImageScores, gap: Gap, labelled: Any, name: str) -> Plot:
    title = "Each image's part in the gap"
    if labelled.size == 0:
        return Plot(title, None, "No image contributes: there is no covariance between size and score.")
    notes = [
        f"The bars sum to the covariance term, {signed(gap.covariance)}.",
        "Orange lifts the pooled score above the mean, blue lowers it.",
        _half(images.contribution),
    ]
    n_images = int((~np.isnan(images.contribution)).sum())
    if n_images > plots.MAX_POINTS:
        notes.append(f"{number(plots.MAX_POINTS)} of {images_in_words(n_images)} are drawn, both ends whole.")
    alt = f"Sorted contributions of {images_in_words(n_images)} to the gap. {' '.join(notes)}"
    return Plot(title, Markup(plots.draw_contributions(images.contribution, labelled, name, alt)), " ".join(notes))


def _half(contribution: Float64Array) -> str:
    """How many images make half of the sum of all sizes of contributions."""
    size = np.sort(np.abs(contribution[~np.isnan(contribution)]))[::-1]
    count = int(np.searchsorted(np.cumsum(size), size.sum() / 2)) + 1
    verb = "makes" if count == 1 else "make"
    return f"{images_in_words(count)} of {number(size.size)} {verb} half of all bars' length."


def _contributor(images: ImageScores, place: int, label: int) -> Contributor:
    return Contributor(
        number=label,
        image_id=str(images.image_id[place]),
        reference_pixels=number(int(images.reference_pixels[place])),
        dice=score(float(images.dice[place])),
        contribution=small(float(images.contribution[place])),
        pooled_without=score(float(images.pooled_without[place])),
    )


def _peak(thresholds: Float64Array, values: Float64Array) -> str:
    best = int(np.nanargmax(values))
    return f"{score(float(values[best]))} at {score(float(thresholds[best]))} ({best + 1}/{thresholds.size + 1})"


def _levels(gap: Gap) -> str:
    return f"Per-sample mean {score(gap.per_sample_mean)}, pooled {score(gap.pooled)}."
