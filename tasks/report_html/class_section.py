"""The part of the page about one class: the gap in words, the plots, the images that weigh most."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from segscale.tasks.metrics.gap import IMAGE_TO_UNIT, UNIT_TO_POOLED
from segscale.tasks.metrics.panel import OVER_CLASSES
from segscale.tasks.metrics.per_image import regions_of
from segscale.tasks.report_html.cases import drawn_classes
from segscale.tasks.report_html.class_plots import (
    Plot,
    agreement_plot,
    batch_plot,
    contribution_plot,
    distribution_plot,
    size_plot,
    threshold_plot,
)
from segscale.tasks.report_html.curves import ImageScores, image_scores, largest
from segscale.tasks.report_html.gap_sentence import Gap, Steps, sentence
from segscale.tasks.report_html.headline import METRICS, OVER_CLASSES_NAMES, Tables
from segscale.tasks.report_html.volumes import volume_pairs
from segscale.tasks.report_html.words import number, score, small

LABELLED = 5
"""Images named beside the plot of contributions."""
MAX_ZEROS = 10
"""Images named that score 0."""


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
class Zero:
    """An image of which nothing was found, or nothing that was found is right."""

    image_id: str
    reference_pixels: str
    predicted_pixels: str


@dataclass(frozen=True, slots=True)
class ClassSection:
    """One class and head."""

    kind: str
    """Class or Region."""
    class_name: str
    sentence: str
    plots: tuple[Plot, ...]
    contributors: tuple[Contributor, ...]
    zeros: tuple[Zero, ...]
    """The largest of those with Dice 0."""
    n_zeros: int


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
    """A section for each foreground class and region; those that `drawn_classes` names.

    metrics: the table [metrics] of the configuration.
    """
    rows = drawn_classes(tables, head).itertuples(index=False)
    return tuple(_section(tables, metrics, row, head) for row in rows)


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
        plots=tuple(
            plot
            for plot in (
                size_plot(images, gap, f"size{index}"),
                distribution_plot(images, gap, f"distribution{index}"),
                threshold_plot(tables.get("thresholds"), metrics, index, head, used, images.dice.size),
                batch_plot(tables["batch_summed"], gap, index, head),
                contribution_plot(images, gap, labelled, f"share{index}"),
                agreement_plot(volume_pairs(per_image, index, head), f"volumes{index}"),
            )
            if plot is not None
        ),
        contributors=tuple(_contributor(images, int(place), k) for k, place in enumerate(labelled, start=1)),
        zeros=_zeros(images),
        n_zeros=int((images.dice == 0).sum()),
    )


def _zeros(images: ImageScores) -> tuple[Zero, ...]:
    """Of the images with Dice 0 those with most pixels in reference and prediction together, equal ones in order."""
    places = np.flatnonzero(images.dice == 0)
    chosen = places[np.argsort(-images.weight[places], kind="stable")[:MAX_ZEROS]]
    return tuple(
        Zero(
            image_id=str(images.image_id[place]),
            reference_pixels=number(int(images.reference_pixels[place])),
            # weight is the pixels of both.
            predicted_pixels=number(int(images.weight[place] - images.reference_pixels[place])),
        )
        for place in chosen
    )


def _contributor(images: ImageScores, place: int, label: int) -> Contributor:
    return Contributor(
        number=label,
        image_id=str(images.image_id[place]),
        reference_pixels=number(int(images.reference_pixels[place])),
        dice=score(float(images.dice[place])),
        contribution=small(float(images.contribution[place])),
        pooled_without=score(float(images.pooled_without[place])),
    )
