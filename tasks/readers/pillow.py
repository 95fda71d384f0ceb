"""Pixels out of an image that Pillow decoded."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

BAND_PIXELS = 2**24
"""Pixels copied at a time: as a whole, an image would be in memory three times while it is copied."""


def decoded(image: Image.Image) -> NDArray[np.generic]:
    """The pixels of an open image, (height, width) or (height, width, samples), read-only where it is small."""
    image.load()
    rows = max(1, BAND_PIXELS // image.width)
    if rows >= image.height:
        return np.asarray(image)
    tops = range(0, image.height, rows)
    boxes = ((0, top, image.width, min(top + rows, image.height)) for top in tops)
    pixels: NDArray[np.generic] | None = None
    for (_, top, _, bottom), band in ((box, np.asarray(image.crop(box))) for box in boxes):
        if pixels is None:
            pixels = np.empty((image.height, *band.shape[1:]), band.dtype)
        pixels[top:bottom] = band
    assert pixels is not None
    return pixels
