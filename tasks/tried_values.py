"""What a network gave for one image, held against what probabilities are."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_ROUNDING = 1e-3
"""By so much probabilities may leave 0 to 1, or their sum 1."""


def check_image(height: int, width: int, channels: int) -> NDArray[np.float32]:
    """An image (1, height, width, channels) of noise between 0 and 1, always the same."""
    return np.random.default_rng(0).random((1, height, width, channels), np.float32)


def no_probabilities(values: NDArray[Any]) -> str:
    """Why values (..., outputs) are no probabilities of exclusive classes, with what to write; "" where they may be.

    What is not finite is no reason: it is found where images are predicted, and may be no fault of the network.

    >>> import numpy as np
    >>> no_probabilities(np.array([[0.25, 0.75]]))
    ''
    """
    outputs = values.shape[-1]
    sums = values.sum(axis=-1) if outputs > 1 else np.ones(1)
    low, high = float(values.min()), float(values.max())
    if not (low < -_ROUNDING or high > 1 + _ROUNDING or np.abs(sums - 1).max() > _ROUNDING):
        return ""
    with_sums = f" with sums from {sums.min():.3g} to {sums.max():.3g}" if outputs > 1 else ""
    return (
        f"gives values from {low:.3g} to {high:.3g}{with_sums}, which are no probabilities of exclusive classes; if "
        f'they are logits, write model.activation = "{"softmax" if outputs > 1 else "sigmoid"}"'
    )
