"""The plots of a class with their captions, or the sentence that says why there is none."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from segscale.tasks.report_html import plots, volume_plot
from segscale.tasks.report_html.curves import Float64Array, ImageScores, batch_curve, threshold_curve
from segscale.tasks.report_html.gap_sentence import Gap
from segscale.tasks.report_html.volumes import Agreement, VolumePairs, agreement_of
from segscale.tasks.report_html.words import images as images_in_words
from segscale.tasks.report_html.words import number, score, signed


@dataclass(frozen=True, slots=True)
class Plot:
    """One of the plots, or the sentence that takes its place."""

    title: str
    svg: Markup | None
    text: str
    """Caption, or why there is no plot."""


def size_plot(images: ImageScores, gap: Gap, name: str) -> Plot:
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


def threshold_plot(
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


def batch_plot(batch_summed: pd.DataFrame, gap: Gap, index: int, head: object) -> Plot:
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


def contribution_plot(images: ImageScores, gap: Gap, labelled: Any, name: str) -> Plot:
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


def _peak(thresholds: Float64Array, values: Float64Array) -> str:
    best = int(np.nanargmax(values))
    return f"{score(float(values[best]))} at {score(float(thresholds[best]))} ({best + 1}/{thresholds.size + 1})"


def _levels(gap: Gap) -> str:
    return f"Per-sample mean {score(gap.per_sample_mean)}, pooled {score(gap.pooled)}."


def distribution_plot(images: ImageScores, gap: Gap, name: str) -> Plot:
    """How many images have which Dice."""
    title = "Distribution of Dice"
    values = images.dice[~np.isnan(images.dice)]
    if values.size == 0:
        return Plot(title, None, "No image has a score.")
    low, middle, high = (score(float(value)) for value in np.quantile(values, [0.25, 0.5, 0.75]))
    zeros, silent = int((values == 0).sum()), int(images.dice.size - values.size)
    notes = [f"{images_in_words(values.size)}: median {middle}, half of them from {low} to {high}."]
    notes.append(f"{images_in_words(zeros)} at 0.")
    if silent:
        notes.append(f"{images_in_words(silent)} without a score.")
    alt = f"Number of images by Dice, in bins of 0.05. {' '.join(notes)} {_levels(gap)}"
    svg = plots.draw_distribution(values, gap.per_sample_mean, gap.pooled, name, alt)
    return Plot(title, Markup(svg), " ".join(notes))


def agreement_plot(pairs: VolumePairs, name: str) -> Plot | None:
    """Bland-Altman of the volumes; None where no volume is known, as of pictures without a spacing."""
    title = "Volumes: agreement"
    if pairs.reference_ml.size == 0:
        return None
    found = agreement_of(pairs)
    notes = [_agreement_in_words(found)]
    if pairs.n_unknown:
        notes.append(
            f"{images_in_words(pairs.n_unknown)} without a volume, since nobody says how far pixels are apart."
        )
    if pairs.reference_ml.size > plots.MAX_POINTS:
        notes.append(f"{number(plots.MAX_POINTS)} of them are drawn, evenly spaced by size; the lines are of all.")
    alt = f"Bland-Altman: predicted minus reference volume over the mean of both, in ml. {' '.join(notes)}"
    return Plot(title, Markup(volume_plot.draw_agreement(pairs, found, name, alt)), " ".join(notes))


def _agreement_in_words(found: Agreement) -> str:
    images = images_in_words(found.n_images)
    mean = f"predicted minus reference volume is {signed(found.bias_ml)} ml in the mean"
    if np.isnan(found.low_ml):
        return f"{images}: {mean}; one image has no limits of agreement."
    limits = f"{signed(found.low_ml)} to {signed(found.high_ml)} ml"
    return f"{images}: {mean}, limits of agreement (mean ± 1.96 standard deviations) {limits}."
