"""Progress of a stage: a bar on a terminal, plain lines elsewhere, and word to whoever observes the run."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from segscale.flows.observer import UNOBSERVED, Observer

logger = logging.getLogger("segscale")
# What an observer is told may be a request to a server, and each plain line is read by somebody.
OBSERVER_SECONDS = 2.0
LINE_SECONDS = 10.0


class StageProgress:
    """Counts the images (or files) of a stage, and shows the count where somebody is looking."""

    def __init__(self, stage: str, total: int, observer: Observer = UNOBSERVED, unit: str = "images") -> None:
        self._stage, self._total, self._unit, self._count = stage, total, unit, 0
        self._bar = _bar(unit) if sys.stderr.isatty() and logger.isEnabledFor(logging.INFO) else None
        self._tell = observer.progress(stage)
        self._told = self._line_time = time.monotonic()

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
            self._bar.add_task(self._stage, total=self._total)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        self._tell(self._percent())

    def advance(self, count: int) -> None:
        """Say that `count` more are done."""
        self._count += count
        now = time.monotonic()
        if self._bar is not None:
            self._bar.advance(self._bar.task_ids[0], count)
        elif now - self._line_time >= LINE_SECONDS:
            logger.info("%s: %d of %d %s", self._stage, self._count, self._total, self._unit)
            self._line_time = now
        if now - self._told >= OBSERVER_SECONDS:
            self._tell(self._percent())
            self._told = now

    def _percent(self) -> float:
        return 100.0 * self._count / max(1, self._total)


def _bar(unit: str) -> Progress:
    return Progress(
        TextColumn("{task.description:>8}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )


@contextmanager
def timed() -> Iterator[list[float]]:
    """A list that holds the seconds of the block once it has ended."""
    seconds: list[float] = []
    start = time.monotonic()
    try:
        yield seconds
    finally:
        seconds.append(time.monotonic() - start)
