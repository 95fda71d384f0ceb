"""The way from one number to another, in steps of which each has a cause."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from segscale.tasks.metrics.causes import CAUSES, REMAINS

ROUNDING = 1e-9
"""What two ways to add the same scores may differ in."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one cause explains."""

    cause: str
    before: float
    after: float
    n_cases: int | None
    """The cases or images that it concerns; None where that is no number of one class."""
    detail: str = ""

    @property
    def difference(self) -> float:
        return self.after - self.before

    @property
    def sentence(self) -> str:
        return f"{CAUSES[self.cause]}: {self.detail}" if self.detail else CAUSES[self.cause]


@dataclass(frozen=True, slots=True)
class Path:
    """The steps from nnU-Net's mean of a class to one score of ours."""

    label: str
    """As nnU-Net calls it."""
    class_name: str
    metric: str
    aggregation: str
    unit: str
    steps: tuple[Step, ...]

    @property
    def theirs(self) -> float:
        return self.steps[0].before

    @property
    def ours(self) -> float:
        return self.steps[-1].after

    @property
    def unexplained(self) -> float:
        """The sum of the steps whose cause does not say where a difference comes from."""
        return float(sum(step.difference for step in self.steps if step.cause in REMAINS))

    @property
    def verdict(self) -> str:
        """`undefined` where either number is; `cannot tell` where something remains, else `explained`."""
        if np.isnan(self.theirs) or np.isnan(self.ours):
            return "undefined"
        remaining = [step for step in self.steps if step.cause in REMAINS]
        moved = any(not abs(step.difference) <= ROUNDING for step in remaining)
        return "cannot tell" if moved or any(step.n_cases for step in remaining) else "explained"

    @property
    def sentence(self) -> str:
        """Both numbers, and what remains between them."""
        both = f"nnU-Net {self.theirs:.4f}, here {self.ours:.4f}"
        if self.verdict == "undefined":
            return f"{both}: no difference where one is undefined"
        return f"{both}, {self.ours - self.theirs:+.4f}; {self._what_remains()}"

    def _what_remains(self) -> str:
        if self.verdict == "explained":
            return "explained"
        if np.isnan(self.unexplained):
            return "cannot tell: on the way no case has a score"
        return f"cannot tell: {self.unexplained:+.4f} of it remains"


class Chain:
    """Steps under way: each begins where the last one ended."""

    def __init__(self, start: float, steps: Iterable[Step] = ()) -> None:
        self.value, self.steps = start, list(steps)

    def to(self, cause: str, value: float, n_cases: int | None, detail: str = "") -> None:
        self.steps.append(Step(cause, self.value, value, n_cases, detail))
        self.value = value

    def copy(self) -> Chain:
        return Chain(self.value, self.steps)
