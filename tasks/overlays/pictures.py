"""The pictures of a page, drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Overlay:
    """A case drawn."""

    png: bytes
    slice_index: int
    """The slice that is drawn, from 0."""
    n_slices: int


@dataclass(frozen=True, slots=True)
class Overlays:
    """The pictures of a page."""

    drawn: Mapping[tuple[str, int], Overlay] = field(default_factory=dict)
    """By image id and class index."""
    has_pixels: bool = False
    """Whether they show pixels of the data set."""
    lacking: str = ""
    """Why cases have no picture, as the end of a sentence; "" where all have one or none was asked for."""
