"""Fields of headers of text lines, as NRRD and MetaImage have them, and voxels in the several files that they name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from segscale.errors import UnreadableImage

MOST_AXES: Final = 16
"""As many as NRRD has room for."""


def whole_number(fields: Mapping[str, str], key: str, otherwise: int, least: int, name: str) -> int:
    """A field, or what stands for it where there is none; UnreadableImage for anything but a number from `least` on."""
    text = fields.get(key, str(otherwise))
    if not re.fullmatch(r"-?\d{1,18}", text) or int(text) < least:
        raise UnreadableImage(f"{name}: its field {key} is {text[:100]!r}; expected a whole number from {least} on")
    return int(text)


def side_lengths(sizes: tuple[str, str], dimension: tuple[str, str], name: str) -> tuple[int, ...]:
    """The lengths of the axes, in the order of the header, out of two fields; each is its title and its text."""
    (title, text), (counted, number) = sizes, dimension
    words = text.split()
    is_whole = all(re.fullmatch(r"\d{1,18}", word) for word in words)
    if not is_whole or number != str(len(words)) or not 2 <= len(words) <= MOST_AXES or 0 in map(int, words):
        raise UnreadableImage(
            f"{name}: its {title} is {text[:100]!r} with {counted} {number[:100]!r}; expected as many whole numbers "
            f"above 0, two at least and {MOST_AXES} at most"
        )
    return tuple(map(int, words))


def joined(
    sources: Sequence[memoryview], count: int, numbers: Callable[[memoryview, int], NDArray[Any]], name: str
) -> NDArray[Any]:
    """The `count` numbers of several files, as many in each; `numbers` are those of one. UnreadableImage for others."""
    if count % len(sources):
        raise UnreadableImage(f"{name}: {count} numbers in {len(sources)} files; expected as many in each")
    parts = [numbers(source, count // len(sources)) for source in sources]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
