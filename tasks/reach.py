"""How far a network looks: whether what is far away, padding for one, changes what it says of a pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segscale.tasks.engines import Engine, Precision
from segscale.tasks.shard_plan import PADDING
from segscale.tasks.tiling import fill_padded, next_multiple

STRIP = 2048
"""Length of the strip of an image of which the end is changed, in pixels."""
CHANGED, SEEN = STRIP // 4, 64
"""Pixels at its end that are changed, and at its beginning that are compared: 1472 lie between, beyond what stacks of
convolutions see."""
_HEIGHT = 32
_ROUNDING: dict[Precision, float] = {"float32": 1e-3, "bfloat16": 1e-2, "float16": 1e-2}
"""Between probabilities: what is no more may be rounding."""


@dataclass(frozen=True, slots=True)
class Reach:
    """What one image showed."""

    image: str
    """Its id."""
    far_difference: float
    """Of probabilities at one end of a strip when its other end is changed, the largest; NaN where it was not tried,
    because the layers of the network say that it looks at the whole image."""
    padding_difference: float
    """Of probabilities between the image in the padded size that it shares with others, and at its true size, the
    largest; NaN for networks that do not look at the whole image: those get the padded one."""


def far_difference(engine: Engine, pixels: NDArray[np.generic], recipe: NDArray[np.float32]) -> float:
    """The largest difference that a change far away makes to any probability.

    `pixels` (1, H, W, C) and `recipe` (1, 4) are an image as `Engine.probabilities` takes it. A strip of it is
    predicted, mirrored until it is long enough, and once more with its end in one value, the largest of a dark image
    and the smallest of a bright one. Both have one size, so zeros at the border and rounding are the same: of a network
    that looks at a neighbourhood alone the difference is 0.
    """
    height = next_multiple(_HEIGHT, engine.facts.stride)
    strip = np.empty((1, height, STRIP, pixels.shape[3]), pixels.dtype)
    fill_padded(strip, pixels[:, :height, :STRIP], PADDING)
    changed, low, high = strip.copy(), float(strip.min()), float(strip.max())
    changed[:, :, -CHANGED:] = high if float(strip.mean()) < (low + high) / 2 else low
    found = [engine.probabilities(one, recipe)[:, :, :, :SEEN].copy() for one in (strip, changed)]
    return float(np.abs(found[0] - found[1]).max())


def sees_far(difference: float, precision: Precision) -> bool:
    """Whether a `far_difference` is more than rounding; NaN, of what is no probability, is not."""
    return difference > _ROUNDING[precision]
