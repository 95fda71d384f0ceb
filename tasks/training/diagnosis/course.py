"""The course of a training: what its history holds of one split, and what is known of how it was trained."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Float64Array = NDArray[np.float64]

STANDS = 0.03
"""Spread (10th to 90th percentile) of a score below which it stands."""
GOOD = 0.8
"""A score that stands up here has been learnt: no warning for it."""
DICE = ("dice_per_sample", "dice_pooled", "dice_batch_summed")
"""The scores that a reader looks at, the first that is known."""
_SCORE = re.compile(r"(soft_)?(dice|tversky)_(per_sample|batch_summed|pooled)(_class_\d+)?")
_PART = re.compile(r"head_(\d+)_(loss|weight)")
_OWN = {
    "training_id", "dataset", "epoch", "split", "n_images", "n_batches", "loss", "regularization",
    "sparse_categorical_accuracy", "n_reference_empty", "n_prediction_empty", "n_both_empty",
    "smoothed_dice_reference_empty", "smoothed_dice_reference_present", "predicted_share", "reference_share",
    "probability_mean", "probability_std", "best_threshold", "dice_per_sample_at_best", "learning_rate", "seconds",
    "waiting_seconds",
}  # fmt: skip
_NO_SCORE = re.compile(
    r"(^|_)(lr|rate|decay|momentum|time|seconds|steps?|batch(_size)?|epochs?|mae|mse|rmse|errors?|crossentropy|entropy"
    r"|hausdorff|hd\d*|distance|false_\w+)($|_)|loss$",
    re.IGNORECASE,
)
"""Columns of others that are no scores: settings, clocks, and what is better the lower it is."""


@dataclass(frozen=True, slots=True)
class TrainingFacts:
    """What the settings of a training say, as far as they are known: None is unknown, as in the histories of others."""

    loss: str | None = None
    """dice, dice_cross_entropy, tversky, focal_tversky or another's name."""
    reduction_axes: str | None = None
    """per_sample or batch."""
    smooth: float | None = None
    class_weights: tuple[float, ...] | None = None
    """Of the Dice in the loss, background first."""
    tversky_alpha: float | None = None
    """Weight of false positives."""
    tversky_beta: float | None = None
    """Weight of false negatives."""
    l2: float | None = None
    """Penalty of the kernels."""
    head_weights: tuple[float, ...] | None = None
    """Of each head's loss in the total, shallowest first."""
    head_names: tuple[str, ...] | None = None
    """What others call the outputs; None: head 1, head 2, ..."""
    threshold: float | None = None
    classes: tuple[str, ...] | None = None
    """Names, background first."""
    precision: str | None = None
    """float32, bfloat16 or float16."""

    def class_name(self, index: int) -> str:
        """What class `index` is called."""
        return f"class {self.classes[index]}" if self.classes and index < len(self.classes) else f"class {index}"

    def head_name(self, place: int) -> str:
        """What head `place`, from 1, is called."""
        names = self.head_names
        return names[place - 1] if names and place <= len(names) else f"head {place}"


@dataclass(frozen=True, slots=True)
class Course:
    """One split's rows of a history, by epoch. A value that is not known is NaN."""

    split: str
    rows: pd.DataFrame

    @property
    def epochs(self) -> NDArray[np.int64]:
        """The number of each epoch, from 1."""
        return self.rows["epoch"].to_numpy(np.int64)

    @property
    def heads(self) -> list[int]:
        """The heads whose losses are known, from 1."""
        found = (_PART.fullmatch(str(name)) for name in self.rows)
        return sorted(int(one[1]) for one in found if one and one[2] == "loss" and self.knows(one[0]))

    @property
    def other_scores(self) -> list[str]:
        """Columns that are not ours: scores under any name."""
        names = (str(name) for name in self.rows)
        return [name for name in names if not (is_own(name) or _NO_SCORE.search(name)) and self.knows(name)]

    @property
    def scores(self) -> list[str]:
        """What is read beside the loss: the first known Dice of ours, or else the scores of others."""
        return next(([name] for name in DICE if self.knows(name)), self.other_scores)

    @property
    def foreground_classes(self) -> list[int]:
        """Classes but the background whose pooled Dice is known."""
        known = (re.fullmatch(r"dice_pooled_class_([1-9]\d*)", str(name)) for name in self.rows)
        return [int(one[1]) for one in known if one and self.knows(one[0])]

    def knows(self, *names: str) -> bool:
        """Whether each of these columns has a finite value."""
        return all(name in self.rows and bool(np.isfinite(self.values(name)).any()) for name in names)

    def values(self, name: str) -> Float64Array:
        """A column, float64."""
        if name not in self.rows:
            return np.full(len(self.rows), np.nan)
        return self.rows[name].to_numpy(np.float64, na_value=np.nan)

    def ends(self, name: str, start: int = 0) -> tuple[int, int]:
        """Places of the first and the last finite value from `start` on; there must be one."""
        places = np.flatnonzero(np.isfinite(self.values(name)[start:])) + start
        return int(places[0]), int(places[-1])

    def last(self, name: str) -> float:
        """The last finite value, or NaN."""
        return float(self.values(name)[self.ends(name)[1]]) if self.knows(name) else float("nan")

    def change(self, name: str, start: int = 0) -> float:
        """Last minus first finite value from place `start` on, or NaN."""
        if not np.isfinite(self.values(name)[start:]).any():
            return float("nan")
        first, last = self.ends(name, start)
        return float(self.values(name)[last] - self.values(name)[first])

    def said(self, name: str, start: int = 0) -> str:
        """The first and the last value, in words."""
        (first, last), values = self.ends(name, start), self.values(name)
        return (
            f"{name} {values[first]:.4g} at epoch {self.epochs[first]}, {values[last]:.4g} at epoch {self.epochs[last]}"
        )

    def stands_since(self, name: str) -> int | None:
        """The place from which a score stands until the end: at least three epochs and half of all; or None."""
        values = self.values(name)
        for start in range(min(len(values) // 2, len(values) - 3) + 1):
            kept = values[start:][np.isfinite(values[start:])]
            if kept.size >= 3 and np.ptp(np.quantile(kept, [0.1, 0.9])) <= STANDS:
                return start
        return None


@dataclass(frozen=True, slots=True)
class Standstill:
    """A score that stands while something else of the same course moves."""

    course: Course
    score: str
    start: int
    """Place of the first epoch of it."""

    @property
    def is_worrying(self) -> bool:
        """Whether it stands low, and all the time or nearly so: otherwise it is the end of a training that learnt."""
        return self.start <= len(self.course.rows) // 5 and not self.course.last(self.score) >= GOOD

    @property
    def said(self) -> str:
        """The score, in words."""
        return self.course.said(self.score, self.start)


def courses_of(history: pd.DataFrame) -> list[Course]:
    """The splits that a history has, validation first: what can be seen there is told of it."""
    found = ((split, history[history["split"] == split].sort_values("epoch")) for split in ("validation", "training"))
    return [Course(split, rows) for split, rows in found if len(rows)]


def standstills(courses: list[Course]) -> Iterator[Standstill]:
    """Every score that stands at the end of each course."""
    for course in courses:
        for score in course.scores:
            start = course.stands_since(score)
            if start is not None:
                yield Standstill(course, score, start)


def is_own(name: str) -> bool:
    """Whether a column is one of a history that Segscale writes."""
    return name in _OWN or any(pattern.fullmatch(name) for pattern in (_SCORE, _PART))
