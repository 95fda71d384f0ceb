"""Folders of pairs: whether files that are called alike lie in folders that say that they are of different things."""

from __future__ import annotations

import re
from collections.abc import Sequence

from segscale.storage.affixes import ROLE_WORDS
from segscale.storage.patterns import composed

_SEPARATORS = re.compile(r"[\s_.\-]+|(?<=[a-z])(?=[A-Z])")


def contradicting(paths: Sequence[str], others: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of paths below their roots, side by side in both, whose folders differ; "" is no path.

    What says the kind of file alone is left out. A path without a folder says nothing, and contradicts none.

    >>> contradicting(["p0/mask/1.png", "2.png"], ["p0/pred/1.png", "p1/2.png"])
    []
    >>> contradicting(["p0/1.png"], ["p1/1.png"])
    [('p0/1.png', 'p1/1.png')]
    """
    if not any("/" in path for path in paths) or not any("/" in path for path in others):
        return []
    said = {path.rpartition("/")[0] for path in (*paths, *others)}
    meant = {folder: _meant(folder) for folder in said}
    found = []
    for path, other in zip(paths, others, strict=True):
        one, two = path.rpartition("/")[0], other.rpartition("/")[0]
        if one != two and meant[one] and meant[two] and meant[one] != meant[two]:
            found.append((path, other))
    return found


def _meant(folder: str) -> tuple[tuple[str, ...], ...]:
    """The words of each folder on the way but those of roles, without folders of which none is left."""
    ways = [[word for word in _SEPARATORS.split(part) if word] for part in composed(folder).split("/")]
    kept = [tuple(word for word in words if word.lower() not in ROLE_WORDS) for words in ways]
    return tuple(words for words in kept if words)
