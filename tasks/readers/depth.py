"""Depth: how many bits of a sample mean something, where a file says that they are fewer than it stores."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

UNDECIDED = -1
"""Of a file whose samples may end at the stated value or be scaled up from it: one that is black, say."""


def is_all_ones(value: int) -> bool:
    """Whether `value` is 2^k - 1, the largest number of k bits."""
    return value > 0 and value & (value + 1) == 0


def stated_maximum(samples: NDArray[Any], significant_bits: int, bit_depth: int) -> int:
    """Where samples end of which a PNG says that `significant_bits` of its `bit_depth` are significant.

    The specification of PNG wants such samples scaled up, so that they end where the type does: 0 for these. Many
    writers store them as they are: 2^significant_bits - 1 for these. UNDECIDED where every sample could be either.
    """
    largest = 2**significant_bits - 1
    if not samples.size or int(samples.max()) > largest:
        return 0
    return UNDECIDED if _scaled_up(samples, significant_bits, bit_depth) else largest


def _scaled_up(samples: NDArray[Any], significant_bits: int, bit_depth: int) -> bool:
    """Whether every sample is one that scaling up can give: shifted, its leading bits repeated, or multiplied."""
    values = np.unique(samples).astype(np.int64)
    original = values >> (bit_depth - significant_bits)
    shifted = original << (bit_depth - significant_bits)
    repeated, filled = shifted.copy(), significant_bits
    while filled < bit_depth:
        repeated |= shifted >> filled
        filled += significant_bits
    largest, stored_largest = 2**significant_bits - 1, 2**bit_depth - 1
    nearest = (values * largest + stored_largest // 2) // stored_largest
    multiplied = (nearest * stored_largest + largest // 2) // largest
    return any(bool(np.array_equal(values, scaled)) for scaled in (shifted, repeated, multiplied))
