"""Palettes: what the indices of an image stand for, as a picture and as a label map."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from segscale.errors import UnreadableImage

_BLOCK = 2**20  # indices looked at together: numpy makes eight bytes of each


def is_grey_palette(palette: NDArray[np.integer[Any]]) -> bool:
    """Whether every entry of a palette (entries, 3) has red = green = blue."""
    return bool(np.all(palette == palette[:, :1]))


def palette_colours(indices: NDArray[Any], palette: NDArray[np.uint8], name: str) -> NDArray[np.uint8]:
    """Colours of palette indices (..., 1): (..., 3), or (..., 1) when the whole palette is grey.

    Only the palette decides, not which entries occur, so that the channels are known without the pixels.
    """
    highest = int(indices.max())
    if highest >= len(palette):
        raise UnreadableImage(f"{name}: palette index {highest} occurs, but the palette has {len(palette)} entries")
    table = palette[:, :1] if is_grey_palette(palette) else palette
    colours: NDArray[np.uint8] = table[indices[..., 0]]
    return colours


def palette_labels(indices: NDArray[Any], palette: NDArray[np.uint8], name: str) -> NDArray[Any]:
    """Label values of palette indices (..., 1), in the same shape: the indices, or of a palette of greys the greys.

    As for colours, the whole palette decides. UnreadableImage where indices and greys would be two readings: greys
    without a black that could be the background, unlike indices of one grey, and an index map in which only black and
    white or other greys are used, the bright ones first.
    """
    occurring = _occurring(indices)
    if not is_grey_palette(palette):
        _check_index_map(occurring, palette, name)
        return indices
    table = palette[:, 0]
    if len(table) and table.min() > 0:
        raise UnreadableImage(
            f"{name}: a label map with a palette of greys from {table.min()} to {table.max()} and no black, so that "
            "none of them is the background; expected 0 for it: save it as a grey image of the values you mean"
        )
    if len(palette) == 1 and occurring[-1] > 0:
        return indices  # Pillow writes one black entry where it was given no palette: there is none to be seen
    greys = palette_colours(indices, palette, name)
    if len(np.unique(table[occurring])) < len(occurring):
        raise UnreadableImage(
            f"{name}: a label map whose palette shows {len(occurring)} indices in "
            f"{len(np.unique(table[occurring]))} grey; either could be meant: save it as a grey image of the values"
        )
    return greys


def _occurring(indices: NDArray[Any]) -> NDArray[np.int64]:
    """Which indices occur, in rising order."""
    seen = np.zeros(np.iinfo(indices.dtype).max + 1, np.bool_)
    flat = indices.reshape(-1)
    for start in range(0, flat.size, _BLOCK):
        seen[flat[start : start + _BLOCK]] = True
    return np.flatnonzero(seen)


def _check_index_map(occurring: NDArray[np.int64], palette: NDArray[np.uint8], name: str) -> None:
    """Refuse colours of which none is used, and greys in an order that as brightness would mean the opposite."""
    used = palette[occurring[occurring < len(palette)]].astype(np.int64)
    if len(used) == len(occurring) > 1 and is_grey_palette(used) and (np.diff(used[:, 0]) < 0).any():
        shown = ", ".join(f"{index} is {grey}" for index, grey in zip(occurring[:4], used[:4, 0], strict=True))
        raise UnreadableImage(
            f"{name}: a label map that uses only greys of its palette, not in their order (index {shown}): indices and "
            "brightness would be two readings: save it as a grey image of the values you mean"
        )
