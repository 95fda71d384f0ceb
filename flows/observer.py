# ruff: noqa: ARG002, ARG005  # nobody listens
"""Who watches a run: nobody, or an orchestrator that shows it, retries its stages and lets runs take turns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import pandas as pd

    from segscale.flows.report import RunResult
    from segscale.flows.stage import StageSummary
    from segscale.storage.pairing import RoleSummary

R = TypeVar("R")


class Observer:
    """Nobody: stages are called as they are, and what is told goes nowhere.

    An orchestrator overrides what it has an answer to (`segscale.flows.prefect.observer`).
    """

    def turn(self) -> AbstractContextManager[None]:
        """Held for a whole run; entering waits until other runs over the data set have ended."""
        return nullcontext()

    def listed(self, roles: Sequence[RoleSummary]) -> None:
        """What the data set names is known: which files belong together, and which to nothing."""

    def stage(self, name: str, body: Callable[[], R], retries: int = 0) -> R:
        """What `body` returns. It resumes by the ledger, so it may be called again where it raised."""
        return body()

    def progress(self, stage: str) -> Callable[[float], None]:
        """What is told how far a stage is, in percent."""
        return lambda percent: None

    def table(self, rows: pd.DataFrame, description: str, name: str) -> None:
        """Rows to show, under a name within the data set."""

    def reported(self, result: RunResult, stages: Sequence[StageSummary]) -> None:
        """A report is there; the run did these stages before it."""


UNOBSERVED = Observer()
