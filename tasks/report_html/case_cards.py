"""The cases on the page: a picture with its numbers and the id of its image, or these alone."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from segscale.tasks.overlays.pictures import Overlay, Overlays
from segscale.tasks.report_html.cases import Case
from segscale.tasks.report_html.words import number, score

TITLES = {"worst": "Lowest Dice", "median": "Middle", "best": "Highest Dice"}


@dataclass(frozen=True, slots=True)
class CaseCard:
    """One case as the page has it."""

    image_id: str
    dice: str
    pixels: str
    """Of reference and prediction, in words."""
    slice: str
    """Of a volume, which of its slices is drawn; "" of pictures and where nothing is."""
    source: str
    """The PNG as a data URL; "" where there is none."""
    alt: str


@dataclass(frozen=True, slots=True)
class CaseGroup:
    """The cases of one class and rank."""

    title: str
    class_name: str
    cards: tuple[CaseCard, ...]


def case_groups(cases: Sequence[Case], overlays: Overlays) -> tuple[CaseGroup, ...]:
    """The cases in their order, those of a class and rank together."""
    return tuple(
        CaseGroup(TITLES[rank], class_name, tuple(_card(case, overlays) for case in of_group))
        for (_, class_name, rank), of_group in groupby(
            cases, key=lambda case: (case.class_index, case.class_name, case.rank)
        )
    )


def _card(case: Case, overlays: Overlays) -> CaseCard:
    picture = overlays.drawn.get((case.image_id, case.class_index))
    pixels = f"{number(case.reference_pixels)} reference, {number(case.predicted_pixels)} predicted pixels"
    along = _slice(picture) if picture else ""
    alt = f"{case.image_id}, {case.class_name}: outlines of reference and prediction; Dice {score(case.dice)}, {pixels}"
    source = f"data:image/png;base64,{base64.b64encode(picture.png).decode()}" if picture else ""
    return CaseCard(case.image_id, score(case.dice), pixels, along, source, f"{alt}; {along}" if along else alt)


def _slice(picture: Overlay) -> str:
    return f"slice {picture.slice_index} of {picture.n_slices}" if picture.n_slices > 1 else ""
