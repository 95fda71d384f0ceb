"""Masks with a few lesions or many specks."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

WIDTHS = (1, 2, 5, 62, 63, 64, 65, 127, 128, 129)
"""Around the bits of a word."""


@st.composite
def masks(draw: st.DrawFn, n_axes: int = 3, number: int = 1) -> tuple[NDArray[np.bool_], ...]:
    """So many masks of one shape: dense or sparse noise, with runs of any length, or nothing at all."""
    shape = (*(draw(st.integers(1, 6)) for _ in range(n_axes - 1)), draw(st.sampled_from(WIDTHS)))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    drawn = []
    for _ in range(number):
        share = draw(st.sampled_from((0.0, 0.05, 0.2, 0.4, 0.7, 1.0)))
        length = draw(st.sampled_from((1, 3, 40)))
        few = generator.random(-(-int(np.prod(shape)) // length)) < share
        drawn.append(np.repeat(few, length)[: int(np.prod(shape))].reshape(shape))
    return tuple(drawn)
