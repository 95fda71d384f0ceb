"""Input view: a tensor that is a network's input, scaled; and whether it was scaled as nobody scales 0 to 1."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LARGEST_FACTOR = 1 / 64
"""By so much or less nobody multiplies what lies between 0 and 1: 255 becomes 4."""
LARGEST_MEAN = 2.0
"""Of what lies between 0 and 1, or has the mean 0, no mean is larger."""


@dataclass(frozen=True, slots=True, eq=False)
class InputView:
    """A tensor that is the input, scaled: factor * input + shift."""

    factor: NDArray[np.float64]
    """(1,) for all channels, or (C,)."""
    shift: NDArray[np.float64]

    def then(self, factor: NDArray[np.float64], shift: NDArray[np.float64]) -> InputView:
        return InputView(self.factor * factor, self.shift * factor + shift)

    @property
    def is_of_all_channels(self) -> bool:
        return self.factor.size == self.shift.size == 1

    def words(self) -> str:
        """What nobody does to values from 0 to 1; "" where nothing is."""
        # A factor of 0 leaves nothing of a channel, whatever it was.
        factor, shift = np.broadcast_arrays(self.factor, self.shift)
        factor, shift = factor[factor != 0], shift[factor != 0]
        small, means = np.abs(factor) <= LARGEST_FACTOR, -shift / factor
        said = [f"multiplies its input by {factor[small][0]:.3g}"] if small.any() else []
        if (np.abs(means) > LARGEST_MEAN).any():
            said.append(f"subtracts {means[np.abs(means).argmax()]:.4g} from it" if said else _of_mean(means))
        return " and ".join(said)


def _of_mean(means: NDArray[np.float64]) -> str:
    return f"takes {means[np.abs(means).argmax()]:.4g} for the mean of its input"
