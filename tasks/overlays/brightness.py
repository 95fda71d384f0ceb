"""Pixels of an image as brightness from 0 to 1, as a viewer would show them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

LOW, HIGH = 1.0, 99.0
"""Percentiles of the pixels that become black and white."""


def brightness(pixels: NDArray[Any]) -> NDArray[np.float32]:
    """float32 (H, W) of pixels (H, W, C): the mean over channels between the percentiles LOW and HIGH.

    Pixels that are no finite number are black; of an image of one value all are.
    """
    grey = pixels.mean(axis=-1, dtype=np.float64) if pixels.shape[-1] > 1 else pixels[..., 0].astype(np.float64)
    known = grey[np.isfinite(grey)]
    low, high = np.percentile(known, [LOW, HIGH]) if known.size else (0.0, 0.0)
    if not high > low:
        return np.zeros(grey.shape, np.float32)
    scaled = np.clip((grey - low) / (high - low), 0, 1)
    return np.where(np.isfinite(scaled), scaled, 0).astype(np.float32)
