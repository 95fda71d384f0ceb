"""Channels of stored pixels: what is colour, what is transparency, what is the same number three times."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from segscale.errors import UnreadableImage


def without_opaque_alpha(pixels: NDArray[Any], opaque: float, name: str) -> NDArray[Any]:
    """All channels but the last, which is alpha and must equal `opaque` everywhere.

    `pixels` is (..., channels). A pixel that is not opaque has no value of its own (it depends on a background that
    the file does not name), so it raises UnreadableImage rather than being dropped.
    """
    transparent = int(np.count_nonzero(pixels[..., -1] != opaque))
    if transparent:
        raise not_opaque(transparent, pixels[..., -1].size, name)
    return pixels[..., :-1]


def not_opaque(transparent: int, total: int, name: str) -> UnreadableImage:
    """The error for `transparent` of `total` pixels that are not fully opaque."""
    return UnreadableImage(
        f"{name}: {transparent} of {total} pixels are not fully opaque; expected an opaque image: "
        "flatten it onto the background you mean and save it without alpha"
    )


def single_channel(values: NDArray[Any], name: str) -> NDArray[Any]:
    """Values (depth, height, width) of (depth, height, width, channels), equal channels counting as one."""
    differing = int(np.count_nonzero(np.any(values != values[..., :1], axis=-1))) if values.shape[-1] > 1 else 0
    if differing:
        raise UnreadableImage(
            f"{name}: a coloured image, {differing} of {values[..., 0].size} pixels have channels that differ; "
            "expected one label value per pixel: save the label map as grey, or with a palette"
        )
    return values[..., 0]
