"""Overlays drawn: outlines of reference and prediction, and where they differ."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segscale.tasks.overlays.shown import Mask, Shown, cut, enlargement, reduced

Rgb = tuple[int, int, int]
GREY, IGNORED, AGREED = (222, 222, 222), (250, 250, 250), (190, 190, 190)
"""Nothing; what counts in nothing; reference and prediction together."""
MISSED, FALSE = (150, 200, 232), (244, 190, 142)
"""Reference alone, prediction alone."""
REFERENCE, PREDICTION = (0, 92, 146), (168, 62, 0)
"""Outlines: blue and orange that colour-blind eyes tell apart, of 3 to 1 and more against what they lie on."""
REFERENCE_ON_IMAGE, PREDICTION_ON_IMAGE = (86, 180, 233), (255, 157, 92)


def overlay_png(shown: Shown) -> bytes:
    """A PNG of the part that holds reference and prediction. Equal arrays give equal bytes."""
    sink = io.BytesIO()
    Image.fromarray(drawn(reduced(cut(shown)))).save(sink, format="PNG", optimize=True)
    return sink.getvalue()


def drawn(shown: Shown) -> NDArray[np.uint8]:
    """(H, W, 3) colours, each pixel enlarged as `enlargement` says.

    The outline of the reference runs inside of its border and that of the prediction outside, so that neither hides the
    other. Areas are filled where no pixels of the image are shown.
    """
    factor = enlargement(shown)
    has_image = shown.pixels is not None
    base = _on_pixels(shown) if has_image else _filled(shown)
    picture = np.repeat(np.repeat(base, factor, axis=0), factor, axis=1)
    reference, prediction = (
        np.repeat(np.repeat(mask, factor, axis=0), factor, axis=1) for mask in (shown.reference, shown.prediction)
    )
    picture[dilated(prediction) & ~prediction] = PREDICTION_ON_IMAGE if has_image else PREDICTION
    picture[reference & dilated(~reference)] = REFERENCE_ON_IMAGE if has_image else REFERENCE
    return picture


def dilated(mask: Mask) -> Mask:
    """The mask with the neighbours, left, right, above and below, of its pixels."""
    grown = mask.copy()
    grown[1:] |= mask[:-1]
    grown[:-1] |= mask[1:]
    grown[:, 1:] |= mask[:, :-1]
    grown[:, :-1] |= mask[:, 1:]
    return grown


def _filled(shown: Shown) -> NDArray[np.uint8]:
    picture = np.empty((*shown.reference.shape, 3), np.uint8)
    picture[...] = GREY
    for mask, colour in (
        (shown.ignored, IGNORED),
        (shown.reference & shown.prediction, AGREED),
        (shown.reference & ~shown.prediction, MISSED),
        (shown.prediction & ~shown.reference, FALSE),
    ):
        picture[mask] = colour
    return picture


def _on_pixels(shown: Shown) -> NDArray[np.uint8]:
    assert shown.pixels is not None
    grey = np.clip(np.rint(shown.pixels * 255), 0, 255).astype(np.uint8)
    return np.repeat(grey[..., np.newaxis], 3, axis=-1)
