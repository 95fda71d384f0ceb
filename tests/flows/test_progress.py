"""Progress: what somebody at a terminal sees, and what stands in a file."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from segscale.flows import progress
from segscale.flows.observer import Observer
from segscale.flows.progress import StageProgress, waiting


class Terminal(io.StringIO):
    """Keeps what is written."""

    def isatty(self) -> bool:
        return True


class Clock:
    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(progress, "time", made)
    monkeypatch.setattr(progress, "TICK_SECONDS", 3600.0)
    return made


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> Iterator[Terminal]:  # noqa: ARG001  # stands still
    made = Terminal()
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=made))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "xterm")
    logger = logging.getLogger("segscale")
    handler = logging.StreamHandler(made)
    before, level = logger.handlers[:], logger.level
    logger.handlers[:] = [handler]
    logger.setLevel(logging.INFO)
    yield made
    logger.handlers[:] = before
    logger.setLevel(level)


def written(terminal: Terminal) -> list[str]:
    """Each state of the line, one after the other."""
    return [part.rstrip() for part in terminal.getvalue().replace("\n", "\r").split("\r") if part.strip()]


def test_a_terminal_has_one_line_with_rate_and_remaining_time(terminal: Terminal, clock: Clock) -> None:
    with StageProgress("score", 5000) as shown:
        assert written(terminal) == [f"score  [{'.' * 24}]    0 %  0 of 5,000 images"]
        clock.now = 4.0
        shown.advance(2000)
        assert written(terminal)[-1] == (
            f"score  [{'#' * 9}{'.' * 15}]   40 %  2,000 of 5,000 images, 500/s, about 6 s left"
        )
        assert "\n" not in terminal.getvalue()
        clock.now = 10.0
        shown.advance(3000)
    assert terminal.getvalue().endswith("score: 5,000 images in 10 s, 500/s\n")
    assert "\x1b" not in terminal.getvalue()


def test_what_is_logged_stands_above_the_line(terminal: Terminal, clock: Clock) -> None:
    with StageProgress("score", 10) as shown:
        clock.now = 1.0
        shown.advance(5)
        logging.getLogger("segscale").warning("a word")
        clock.now = 2.0
        shown.advance(5)
        assert any(line.strip() == "a word" for line in terminal.getvalue().replace("\r", "\n").splitlines())
    assert terminal.getvalue().count("\n") == 2


@pytest.mark.parametrize(
    ("columns", "has_bar"),
    [pytest.param("100", True, id="wide"), pytest.param("60", False, id="without a bar"), pytest.param("20", False)],
)
def test_the_line_is_never_wider_than_the_terminal(
    terminal: Terminal, clock: Clock, monkeypatch: pytest.MonkeyPatch, columns: str, has_bar: bool
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    with StageProgress("score", 10) as shown:
        clock.now = 1.0
        shown.advance(5)
        states = written(terminal)
    assert max(map(len, states)) < int(columns)
    assert ("[#" in states[-1]) == has_bar


def test_it_is_not_drawn_more_often_than_anybody_reads(terminal: Terminal, clock: Clock) -> None:
    with StageProgress("score", 1000) as shown:
        for _ in range(1000):
            clock.now += 0.001
            shown.advance(1)
        assert len(written(terminal)) <= 11


@pytest.mark.parametrize("setting", ["a file", "a dumb terminal"])
def test_elsewhere_there_are_lines_at_growing_intervals(
    terminal: Terminal, clock: Clock, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    if setting == "a file":
        monkeypatch.setattr(terminal, "isatty", lambda: False)
    else:
        monkeypatch.setenv("TERM", "dumb")
    with StageProgress("score", 4000) as shown:
        for _ in range(1000):
            clock.now += 1.0
            shown.advance(2)
    text = terminal.getvalue()
    lines = text.splitlines()
    assert "\r" not in text
    assert lines[0] == "score: 20 of 4,000 images, 2.0/s, about 33 min 10 s left"
    assert lines[-1] == "score: 2,000 images in 16 min 40 s, 2.0/s"
    assert len(lines) < 35


def test_quiet_shows_nothing(terminal: Terminal, clock: Clock) -> None:
    logging.getLogger("segscale").setLevel(logging.WARNING)
    with StageProgress("score", 10) as shown:
        clock.now = 100.0
        shown.advance(10)
    assert terminal.getvalue() == ""


def test_whoever_waits_sees_a_line_until_something_is_said(terminal: Terminal, clock: Clock) -> None:
    clock.now = 0.1
    with waiting("looking at both folders"):
        assert written(terminal) == ["looking at both folders"]
        logging.getLogger("segscale").info("503 paired")
    assert written(terminal) == ["looking at both folders", "503 paired"]
    assert terminal.getvalue().endswith(" \r503 paired\n")
    assert not logging.getLogger("segscale").filters


def test_elsewhere_nobody_is_told_to_wait(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "isatty", lambda: False)
    with waiting("looking at both folders"):
        pass
    assert terminal.getvalue() == ""


def test_an_error_leaves_no_line_behind(terminal: Terminal, clock: Clock) -> None:
    clock.now = 1.0
    with pytest.raises(ValueError, match="torn"), StageProgress("score", 10):
        raise ValueError("torn")
    *_, erased, after = terminal.getvalue().split("\r")
    assert (erased.strip(), after) == ("", "")
    assert not logging.getLogger("segscale").filters


def test_an_observer_is_told_now_and_then_and_at_the_end(clock: Clock) -> None:
    told: list[float] = []

    class Watching(Observer):
        def progress(self, stage: str):  # type: ignore[no-untyped-def]  # noqa: ARG002
            return told.append

    with StageProgress("score", 100, Watching()) as shown:
        for _ in range(10):
            clock.now += 0.5
            shown.advance(10)
    assert told == [40.0, 80.0, 100.0]
