"""Flips: the mean prediction over an image and its mirror images."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from segscale.tasks.engines import Engine, EngineFacts

_ROWS, _COLUMNS = 2, 3  # of probabilities (heads, B, H, W, outputs)
_FLIPS: tuple[tuple[int, ...], ...] = ((), (_COLUMNS,), (_ROWS,), (_ROWS, _COLUMNS))
"""Axes that are turned round: none, left to right, top to bottom, both. Float sums depend on this order."""


class FlippedEngine:
    """An engine that predicts every image four times, flipped, and gives the mean of what it turns back.

    The mean is (p1 + p2 + p3 + p4) / 4 in float32, summed in this order: equal bits of `engine` give equal bits here.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def facts(self) -> EngineFacts:
        """Those of the engine inside."""
        return self._engine.facts

    def probabilities(self, pixels: NDArray[Any], recipe: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities (heads, B, H, W, outputs) of stored images; see `Engine.probabilities`."""
        total: NDArray[np.float32] | None = None
        for axes in _FLIPS:
            # Pixels (B, H, W, C) lack the axis of the heads.
            flipped = np.ascontiguousarray(np.flip(pixels, tuple(axis - 1 for axis in axes)))
            found = np.flip(self._engine.probabilities(flipped, recipe), axes)
            total = found.copy() if total is None else np.add(total, found, out=total)
        assert total is not None
        total /= np.float32(len(_FLIPS))
        return total
