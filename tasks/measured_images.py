"""Measured images: surfaces and lesions of images that come one by one, pictures of one size in stacks."""

from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np

from segscale.tasks.measuring import Measured, Measuring, Structures, directed, lesion_rows, surface_row, surface_rows

PIXELS_TOGETHER = 2**22
"""Pixels that wait until they are measured: four bytes of each in memory, and a call costs little beside them."""
HEAD = ""
Rows = list[dict[str, Any]]


class MeasuredImages:
    """The rows of the images of a shard, in their order, whatever was measured with what."""

    def __init__(self, measuring: Measuring) -> None:
        self._measuring = measuring
        self._surfaces: list[Rows] = []
        self._lesions: list[Rows] = []
        self._waiting: dict[int, tuple[str, Structures]] = {}
        """Pictures, by their place among the images."""
        self._n_pixels = 0

    def add(self, image_id: str, structures: Structures) -> None:
        """Take in the next image."""
        tolerances, rule = self._measuring.tolerances, self._measuring.lesions
        if rule is not None:
            self._lesions.append(lesion_rows(image_id, HEAD, structures, rule))
        if tolerances is None:
            return
        if not is_stackable(structures):
            self._surfaces.append(surface_rows(image_id, HEAD, structures, tolerances))
            return
        self._waiting[len(self._surfaces)] = image_id, structures
        self._surfaces.append([])
        self._n_pixels += structures.reference.size
        if self._n_pixels >= PIXELS_TOGETHER:
            self._fill(tolerances)

    def encode(self) -> dict[str, bytes]:
        """The side parts of the shard, by the names of their objects."""
        if self._measuring.tolerances is not None:
            self._fill(self._measuring.tolerances)
        rows = (tuple(chain.from_iterable(rows)) for rows in (self._surfaces, self._lesions))
        return Measured(*rows).encode(self._measuring)

    def _fill(self, tolerances: tuple[float, ...]) -> None:
        """Put the rows of those who wait into their places, a stack for each shape."""
        places_of: dict[tuple[int, ...], list[int]] = {}
        for place, (_, structures) in self._waiting.items():
            places_of.setdefault(structures.reference.shape, []).append(place)
        for places in places_of.values():
            rows = stacked_rows([self._waiting[place] for place in places], tolerances)
            for place, of_image in zip(places, rows, strict=True):
                self._surfaces[place] = of_image
        self._waiting, self._n_pixels = {}, 0


def is_stackable(structures: Structures) -> bool:
    """Whether an image is a picture that has the same distances, to the bit, in whatever company it is measured.

    In pixels squared distances are whole numbers, and exact. In millimetres two ways of the same length can differ in
    their last digit, and which of them is met first depends on what is searched together.
    """
    return structures.prediction is not None and structures.spacing_mm is None and len(structures.axes) == 2


def stacked_rows(images: list[tuple[str, Structures]], tolerances: tuple[float, ...]) -> list[Rows]:
    """What `surface_rows` gives of each of some stackable images of one shape and the same classes."""
    from segscale.tasks.surfaces.stacks import OTHER_SCORES, SUMMARIES, stack_distances

    found: list[Rows] = [[] for _ in images]
    for index, members in images[0][1].classes():
        references, predictions, labels = zip(*(one.pair(index, members) for _, one in images), strict=True)
        distances = stack_distances(np.stack(references), np.stack(predictions), label=labels[0])
        scores = distances.scores(tolerances, "nan")
        columns = {name: getattr(scores, name).tolist() for name in (*SUMMARIES, *OTHER_SCORES)}
        for place, ((image_id, structures), sides) in enumerate(zip(images, distances.images(), strict=True)):
            values = directed(*sides) | {name: column[place] for name, column in columns.items()}
            found[place].append(surface_row(image_id, HEAD, index, structures, values))
    return found
