"""Percentiles of distances by linear interpolation, as numpy has them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from segscale.tasks.compiled import compiled


@compiled
def percentile(values: NDArray[np.float64], q: float) -> Any:
    """The percentile of values (n,) as numpy has it, n not 0; they lose their order."""
    rank = (values.size - 1) * (q / 100)
    place = int(np.floor(rank))
    # Quickselect by hand: numpy's takes the compiler six seconds.
    first, last = 0, values.size - 1
    while first < last:
        pivot, i, k = values[(first + last) >> 1], first, last
        while i <= k:
            while values[i] < pivot:
                i += 1
            while values[k] > pivot:
                k -= 1
            if i <= k:
                values[i], values[k] = values[k], values[i]
                i, k = i + 1, k - 1
        first, last = (i if place >= i else first), (k if place <= k else last)
        if k < place < i:
            break
    low, share, high = values[place], rank - place, np.inf
    for i in range(place + 1, values.size):
        high = min(high, values[i])
    if share == 0:
        return low
    # From the nearer side, so that the ends are met.
    return low + (high - low) * share if share < 0.5 else high - (high - low) * (1 - share)
