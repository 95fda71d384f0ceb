"""Reasons: why images failed, the same ones together, with their number and an example."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

SHOWN = 20
"""Reasons that are told apart; the images of all others are counted together."""
_FILE_NAME = re.compile(r"\S*[^\s.]\.[A-Za-z][A-Za-z0-9]{1,4}\b")
_NUMBER = r"[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?"
_NUMBERS = re.compile(rf"{_NUMBER}(?:(?:, ?|x){_NUMBER})*")


@dataclass(frozen=True, slots=True)
class Reason:
    """Images that failed in one stage for one reason."""

    stage: str
    error_type: str
    n_images: int
    image_id: str
    """The first of them."""
    message: str
    """Its message, in one line."""


def reasons_of(failures: pd.DataFrame) -> tuple[Reason, ...]:
    """The reasons in the table `failures` of a report, those of most images first, `SHOWN` at most.

    Messages are of one reason where they differ in names of files, the id of the image and numbers alone.
    """
    found: dict[tuple[str, str, str], Reason] = {}
    for row in failures.itertuples(index=False):
        key = str(row.stage), str(row.error_type), _without_names(row)
        known = found.get(key)
        n_images = 1 if known is None else known.n_images + 1
        first = known or Reason(key[0], key[1], 1, str(row.image_id), one_line(str(row.message)))
        found[key] = Reason(first.stage, first.error_type, n_images, first.image_id, first.message)
    return tuple(sorted(found.values(), key=lambda reason: -reason.n_images)[:SHOWN])


def in_words(reasons: Iterable[Reason], n_failed: int) -> list[str]:
    """A line for each reason, and one for what is left of the failed images."""
    lines = [
        f"  {one.n_images} in {one.stage}, {one.error_type}: {'e.g. ' if one.n_images > 1 else ''}"
        f"{one_line(one.image_id)}: {one.message}"
        for one in reasons
    ]
    others = n_failed - sum(one.n_images for one in reasons)
    return [*lines, f"  {others} for other reasons"] if others else lines


def counts_in_words(n_images: int, n_failed: int, n_missing: Any) -> str:
    """How many images there are, how many failed, and how many of these lack a usable prediction (None: not known)."""
    missing = 0 if n_missing is None or pd.isna(n_missing) else int(n_missing)
    which = (
        f"{missing} of them without a usable prediction; see failures.parquet" if missing else "see failures.parquet"
    )
    images = "1 image" if n_images == 1 else f"{n_images} images"
    return f"{images}, {n_failed} failed" + (f" ({which})" if n_failed else "")


def one_line(text: str) -> str:
    """A text for a terminal: what cannot be shown stands there in its escaped form, line ends too."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def _without_names(row: Any) -> str:
    message = str(row.message)
    for name in sorted({row.source, row.image_id, str(row.image_id).rsplit("/", 1)[-1]} - {""}, key=len, reverse=True):
        message = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "*", message)
    return _NUMBERS.sub("#", _FILE_NAME.sub("*", message))
