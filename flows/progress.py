"""Progress of a stage: one line that is rewritten on a terminal, lines now and then elsewhere, word to an observer."""

from __future__ import annotations

import logging
import math
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self, TextIO

from segscale.flows.observer import UNOBSERVED, Observer

logger = logging.getLogger("segscale")
# What an observer is told may be a request to a server, and each plain line is read by somebody.
OBSERVER_SECONDS = 2.0
LINE_SECONDS = (10.0, 60.0)
"""Between two plain lines: at first, and at most, as a stage takes long."""
REDRAW_SECONDS = 0.1
TICK_SECONDS = 1.0
"""So often a line is drawn where nothing gets done, for its clock goes on."""
BAR = 24
"""Places of the bar."""


class StageProgress:
    """Counts the images (or files) of a stage, and shows the count where somebody is looking."""

    def __init__(self, stage: str, total: int, observer: Observer = UNOBSERVED, unit: str = "images") -> None:
        self._stage, self._total, self._unit, self._count = stage, total, unit, 0
        self._line = _Line(self._drawn) if _is_watched() else None
        self._tell = observer.progress(stage)
        self._start = self._told = self._line_time = time.monotonic()

    def __enter__(self) -> Self:
        if self._line is not None:
            self._line.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._line is not None:
            self._line.end()
        self._tell(self._percent())
        if kind is None:
            took = time.monotonic() - self._start
            logger.info("%s: %s in %s%s", self._stage, self._counted(self._count), duration(took), self._rate(took))

    def advance(self, count: int) -> None:
        """Say that `count` more are done."""
        self._count += count
        now = time.monotonic()
        if self._line is not None:
            self._line.draw()
        elif self._count < self._total and now - self._line_time >= _pause(now - self._start):
            logger.info("%s: %s", self._stage, self._state(now - self._start))
            self._line_time = now
        if now - self._told >= OBSERVER_SECONDS:
            self._tell(self._percent())
            self._told = now

    def _percent(self) -> float:
        return 100.0 * self._count / max(1, self._total)

    def _counted(self, count: int) -> str:
        return f"{count:,} {self._unit}"

    def _rate(self, seconds: float) -> str:
        return f", {per_second(self._count, seconds)}" if self._count and seconds else ""

    def _state(self, seconds: float) -> str:
        """How many are done, how fast it goes, how long it takes yet."""
        left = seconds / self._count * (self._total - self._count) if self._count else 0.0
        ahead = f", about {duration(left)} left" if 0 < self._count < self._total else ""
        return f"{self._count:,} of {self._counted(self._total)}{self._rate(seconds)}{ahead}"

    def _drawn(self, width: int) -> str:
        """The line of a terminal: with a bar where there is room for it."""
        done = min(BAR, BAR * self._count // max(1, self._total))
        state = f"{self._percent():3.0f} %  {self._state(time.monotonic() - self._start)}"
        bar = f"{self._stage}  [{'#' * done}{'.' * (BAR - done)}]  {state}"
        return (bar if len(bar) <= width else f"{self._stage}  {state}")[:width]


@contextmanager
def waiting(text: str) -> Iterator[None]:
    """Show a line on a terminal until this is done, so that whoever waits sees that something is being done."""
    if not _is_watched():
        yield
        return
    line = _Line(lambda width: text[:width])
    line.start()
    try:
        yield
    finally:
        line.end()


class _Line:
    """The last line of a terminal, written anew; what is logged meanwhile stands above it."""

    def __init__(self, text: Callable[[int], str]) -> None:
        self._text = text
        self._stream: TextIO = sys.stderr
        self._lock = threading.RLock()
        self._shown, self._drawn_at = 0, -math.inf
        self._ended = threading.Event()

    def start(self) -> None:
        logger.addFilter(self._make_room)
        self.draw()
        threading.Thread(target=self._tick, name="progress", daemon=True).start()

    def draw(self) -> None:
        now = time.monotonic()
        with self._lock:
            if now - self._drawn_at < REDRAW_SECONDS or self._ended.is_set():
                return
            # The last column stays free: some terminals begin a new line behind it.
            text = self._text(max(1, shutil.get_terminal_size().columns - 1))
            self._write("\r" + text.ljust(self._shown))
            self._shown, self._drawn_at = len(text), now

    def end(self) -> None:
        with self._lock:
            self._ended.set()
            self._erase()
        logger.removeFilter(self._make_room)

    def _make_room(self, _: logging.LogRecord) -> bool:
        with self._lock:
            self._erase()
        return True

    def _erase(self) -> None:
        if self._shown:
            self._write("\r" + " " * self._shown + "\r")
            self._shown, self._drawn_at = 0, -math.inf

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()

    def _tick(self) -> None:
        while not self._ended.wait(TICK_SECONDS):
            self.draw()


def _pause(seconds: float) -> float:
    """Between two plain lines of a stage that has taken so long."""
    return min(max(seconds / 10, LINE_SECONDS[0]), LINE_SECONDS[1])


def _is_watched() -> bool:
    """Whether somebody looks at a terminal that can go back in its line."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb" and logger.isEnabledFor(logging.INFO)


def duration(seconds: float) -> str:
    """A time as people say it.

    >>> duration(0.42), duration(7.6), duration(200), duration(7500)
    ('0.4 s', '8 s', '3 min 20 s', '2 h 05 min')
    """
    if seconds < 1:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def per_second(count: int, seconds: float) -> str:
    """A rate with about two digits.

    >>> per_second(1000, 2.0), per_second(5, 2.0), per_second(1, 8.0)
    ('500/s', '2.5/s', '7.5/min')
    """
    rate = count / seconds
    if rate >= 10:
        return f"{rate:,.0f}/s"
    return f"{rate:.1f}/s" if rate >= 1 else f"{60 * rate:.1f}/min"


@contextmanager
def timed() -> Iterator[list[float]]:
    """A list that holds the seconds of the block once it has ended."""
    seconds: list[float] = []
    start = time.monotonic()
    try:
        yield seconds
    finally:
        seconds.append(time.monotonic() - start)
