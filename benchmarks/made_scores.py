"""Two runs with made-up scores over the same images, of whose difference the truth is known: for gates and intervals.

The scores of a base are those of lesions: many high, some near 0 (`zeros`). NEW differs by patient and by image. Then
some of its images lose everything, or its prediction is missing. `shift` moves all of NEW.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from segscale.tasks.metrics.count_columns import CountColumns
from segscale.tasks.metrics.pairing import PairedClass, Pairs
from segscale.tasks.metrics.panel import Panel

Float64Array = npt.NDArray[np.float64]
Int64Array = npt.NDArray[np.int64]
PIXELS = 10_000
"""Of each reference, so that a score is a whole number of them."""


@dataclass(frozen=True, slots=True)
class Made:
    """How two runs are drawn."""

    patients: int
    """Independent of each other; NEW is as much better for one as its patients are alike."""
    images: int = 4
    """Of a patient, on average; 1: an image each."""
    heavy: bool = False
    """Whether few patients have most images (Pareto, 1.5)."""
    zeros: float = 0.1
    """Share of images in which the base finds nearly nothing."""
    of_patient: float = 0.02
    """Standard deviation of the difference between patients."""
    of_image: float = 0.05
    """And within one."""
    lost: float = 0.0
    """Share of images in which NEW finds nothing."""
    missing: float = 0.0
    """Share of images whose prediction NEW lacks."""
    shift: float = 0.0
    """Added to NEW's scores before anything is lost."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """Scores of both runs and the patient of each image (n,)."""

    base: Float64Array
    new: Float64Array
    patient: Int64Array
    is_missing: npt.NDArray[np.bool_]


def draw(made: Made, generator: np.random.Generator) -> Drawn:
    """Scores from 0 to 1."""
    sizes = _sizes(made, generator)
    patient = np.repeat(np.arange(made.patients), sizes)
    n = patient.size
    level = 1.7 + generator.normal(0, 1.0, made.patients)[patient] + generator.normal(0, 0.8, n)
    base = np.where(generator.random(n) < made.zeros, 0.05 * generator.random(n), 1 / (1 + np.exp(-level)))
    moved = generator.normal(0, made.of_patient, made.patients)[patient] + generator.normal(0, made.of_image, n)
    # A score cannot leave its range: what moves stays as far from either end as it was free to.
    room = np.minimum(1.0, np.minimum(base, 1 - base) / 0.1)
    new = base + made.shift + room * moved
    new = np.where(generator.random(n) < made.lost, 0.0, new)
    is_missing = generator.random(n) < made.missing
    return Drawn(base, np.clip(np.where(is_missing, 0.0, new), 0, 1), patient, is_missing)


def _sizes(made: Made, generator: np.random.Generator) -> Int64Array:
    if made.images == 1:
        return np.ones(made.patients, np.int64)
    if made.heavy:
        return np.minimum(1 + np.floor(2 * generator.pareto(1.5, made.patients)), 60).astype(np.int64)
    return generator.integers(1, 2 * made.images, made.patients)


def true_difference(made: Made, seed: int = 0, patients: int = 400_000) -> float:
    """The mean difference over images of very many patients: to about 0.0001."""
    drawn = draw(Made(**{**_fields(made), "patients": patients}), np.random.default_rng([seed, 7]))
    return float((drawn.new - drawn.base).mean())


def at_truth(made: Made, difference: float, seed: int = 0) -> Made:
    """The same with a shift that makes the true difference this one: found by secants, as scores are cut at 0 and 1."""
    shift, step = made.shift, difference - true_difference(made, seed)
    for _ in range(4):
        shift += step
        step = difference - true_difference(Made(**{**_fields(made), "shift": shift}), seed)
    return Made(**{**_fields(made), "shift": shift})


def _fields(made: Made) -> dict[str, object]:
    return {name: getattr(made, name) for name in made.__dataclass_fields__}


def counts_of(scores: Float64Array, is_missing: npt.NDArray[np.bool_] | None = None) -> CountColumns:
    """Counts whose Dice are these scores, to 1 / PIXELS: as many false positives as false negatives."""
    found = np.round(scores * PIXELS).astype(np.int64)
    wrong, nothing = PIXELS - found, np.zeros(found.size, np.int64)
    false_positive = wrong if is_missing is None else np.where(is_missing, 0, wrong)
    unknown = np.full(found.size, np.nan)
    missed = None if is_missing is None else np.where(is_missing, PIXELS, 0)
    whole = np.full(found.size, PIXELS)
    return CountColumns(found, false_positive, wrong, nothing, whole, unknown, unknown, unknown, is_missing, missed)


def pairs_of(drawn: list[Drawn], sites: list[npt.NDArray[np.object_]] | None = None) -> Pairs:
    """Pairs with a class for each draw, all over the same images of the same patients, which lie at sites."""
    first = drawn[0]
    n = first.patient.size
    names = pd.Series(np.arange(n)).astype("str")
    images = pd.DataFrame({"image_id": names, "patient_id": first.patient, "prediction_missing": False})
    if sites is not None:
        images["site"] = sites[0]
    panel = Panel(images, images.iloc[:0], images.iloc[:0], ("last",), {})
    classes = tuple(
        PairedClass(
            place, f"class_{place}", "last", "last", counts_of(one.base), counts_of(one.new, one.is_missing), True
        )
        for place, one in enumerate(drawn, 1)
    )
    nothing = pd.DataFrame({"image_id": [], "status_a": [], "status_b": []})
    return Pairs(panel, classes, nothing)
