"""Affixes: what all names of a folder have before and behind the part that tells them apart."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product, takewhile

# What people write beside the name of an image to say what kind of file it is.
ROLE_WORDS = frozenset(
    {
        "image", "images", "img", "imgs", "im", "photo", "photos", "scan", "scans", "picture", "input", "inputs", "raw",
        "orig", "original",
        "mask", "masks", "seg", "segs", "segm", "segmented", "segmentation", "segmentations", "label", "labels",
        "labelmap", "lbl", "gt", "ground", "truth", "groundtruth", "reference", "references", "ref", "refs",
        "annotation", "annotations", "annotated", "anno", "ann", "manual", "expert",
        "pred", "preds", "predicted", "prediction", "predictions", "out", "output", "outputs", "result", "results",
        "prob", "probs", "probability", "probabilities",
    }
)  # fmt: skip
# And of what an image was taken by: no difference of names in one folder, but one of folders.
_MODALITIES = frozenset({"ct", "mr", "mri", "us", "xray"})
_WORD = re.compile(r"[^\W\d_]+|\d+")
# An affix that begins or ends with a sign takes in all of these; brackets stay with what is in them.
_SEPARATORS = frozenset("_-. /")
_OPENING, _CLOSING = frozenset("([{"), frozenset(")]}")
_SAMPLE = 1000
"""So many names tell whether affixes are worth being held against all of them."""


@dataclass(frozen=True, slots=True)
class Affixes:
    """What stands before and behind the id in every name."""

    prefix: str = ""
    suffix: str = ""

    def core(self, name: str) -> str:
        """The name without them; one that has not both as it is."""
        return self.cores([name])[0]

    def cores(self, names: Sequence[str]) -> list[str]:
        """`core` of each name."""
        if not self:
            return list(names)
        before, behind = self.prefix, self.suffix
        start, size = len(before), len(behind)
        return [
            name[start : len(name) - size]
            if len(name) > start + size and name.startswith(before) and name.endswith(behind)
            else name
            for name in names
        ]

    def named(self, core: str) -> str:
        """The name with them."""
        return f"{self.prefix}{core}{self.suffix}"

    def __bool__(self) -> bool:
        return bool(self.prefix or self.suffix)

    def __str__(self) -> str:
        # A blank at an end is seen in quotes alone.
        prefix, suffix = (repr(text) if re.search(r"\s", text) else text for text in (self.prefix, self.suffix))
        said = [f"begin with {prefix}"] * bool(self.prefix) + [f"end in {suffix}"] * bool(self.suffix)
        return " and ".join(said)


def are_of_one(own: Affixes, other: Affixes) -> bool:
    """Whether names with these affixes may be of one image: those of one side at most say more than a kind of file.

    What both have at the outside is no difference.

    >>> are_of_one(Affixes("", "_ct"), Affixes("", "_EX")), are_of_one(Affixes("lung_img_"), Affixes("lung_mask_"))
    (True, True)
    >>> are_of_one(Affixes("siteA_"), Affixes("siteB_"))
    False
    """
    before = [_WORD.findall(affixes.prefix) for affixes in (own, other)]
    behind = [_WORD.findall(affixes.suffix)[::-1] for affixes in (own, other)]
    n_before, n_behind = _n_alike(*before), _n_alike(*behind)
    words = [one[n_before:] + two[n_behind:] for one, two in zip(before, behind, strict=True)]
    return any(all(word.lower() in ROLE_WORDS | _MODALITIES or _is_channel(word) for word in side) for side in words)


def _n_alike(one: Sequence[str], other: Sequence[str]) -> int:
    return len(list(takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))))


@dataclass(frozen=True, slots=True)
class Match:
    """Affixes of two sides without which names of the one are names of the other."""

    own: Affixes = Affixes()
    other: Affixes = Affixes()


def matches(names: Sequence[str], others: Sequence[str]) -> list[Match]:
    """All affixes without which at least half of the shorter side has a partner on the other, the fewest letters first.

    Each is common to all names of its side and ends where a word or a number does. Where both sides have some, those of
    one must tell the kind of file and nothing else: ``a_image`` and ``a_mask`` are of one image, ``siteA_1`` and
    ``siteB_1`` are not. Numbers beside a number are no affix, but for a channel 0 (``_0000``).
    """
    if not names or not others:
        return []
    if len(others) < len(names):
        return [Match(one.other, one.own) for one in matches(others, names)]
    known = set(others)
    some = random.Random(0).sample(names, _SAMPLE) if len(names) > _SAMPLE else names

    def hits(own: Affixes, other: Affixes, asked: Sequence[str]) -> int:
        before, behind = other.prefix, other.suffix
        return sum(f"{before}{core}{behind}" in known for core in own.cores(asked))

    return [
        Match(own, other)
        for own, other in _candidates(_Ends.of(names), _Ends.of(others))
        # Of many names, some tell at once which affixes are not worth a look at all of them.
        if hits(own, other, some) and 2 * hits(own, other, names) >= len(names)
    ]


def _candidates(names: _Ends, others: _Ends) -> list[tuple[Affixes, Affixes]]:
    found = []
    for before, behind in product(_unlike(names.prefixes, others.prefixes), _unlike(names.suffixes, others.suffixes)):
        own, other = (Affixes(prefix.text, suffix.text) for prefix, suffix in zip(before, behind, strict=True))
        holds = names.hold(before[0], behind[0]) and others.hold(before[1], behind[1])
        if (own or other) and holds and are_of_one(own, other):
            found.append((own, other))
    return sorted(found, key=lambda pair: sum(len(one.prefix) + len(one.suffix) for one in pair))


@dataclass(frozen=True, slots=True)
class _End:
    """A prefix, or a suffix."""

    text: str = ""
    inner: str = ""
    """What it has more, towards the id, than the one before it."""
    beside_number: bool = False
    """Whether a digit stands beside it in any name."""


@dataclass(frozen=True, slots=True)
class _Ends:
    """What all names of a side begin and end with."""

    prefixes: tuple[_End, ...]
    """From the empty one on, each up to where a word or a number ends in every name."""
    suffixes: tuple[_End, ...]
    shortest: int

    @staticmethod
    def of(names: Sequence[str]) -> _Ends:
        prefix = _common_beginning(names)
        suffix = _common_beginning([name[::-1] for name in names])[::-1]
        prefixes, suffixes = [_End()], [_End()]
        for size in range(1, len(prefix) + 1):
            text = prefix[:size]
            behind = {prefix[size]} if size < len(prefix) else {name[size : size + 1] for name in names}
            if "" not in behind and _ends_before(text, behind):
                prefixes.append(_End(text, text[len(prefixes[-1].text) :], any(map(str.isdigit, behind))))
        for start in range(len(suffix) - 1, -1, -1):
            text = suffix[start:]
            before = {suffix[start - 1]} if start else {name[-len(text) - 1 : -len(text)] for name in names}
            if "" not in before and _begins_behind(text, before):
                inner = text[: len(text) - len(suffixes[-1].text)]
                suffixes.append(_End(text, inner, any(map(str.isdigit, before))))
        return _Ends(tuple(prefixes), tuple(suffixes), min(map(len, names)))

    def hold(self, prefix: _End, suffix: _End) -> bool:
        """Whether something of every name is left, and no number is cut from another."""
        if len(prefix.text) + len(suffix.text) >= self.shortest:
            return False
        last, first = _WORD.findall(prefix.text)[-1:], _WORD.findall(suffix.text)[:1]
        cuts_before = prefix.beside_number and last and last[0].isdigit()
        cuts_behind = suffix.beside_number and first and first[0].isdigit() and not _is_channel(first[0])
        return not cuts_before and not cuts_behind


def _common_beginning(names: Sequence[str]) -> str:
    # What the first and the last in order have in common, all between them have too.
    first, last = min(names), max(names)
    size = next((place for place, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), None)
    return first if size is None else first[:size]


def _ends_before(prefix: str, behind: set[str]) -> bool:
    last = prefix[-1]
    if not last.isalnum():
        return last not in _OPENING and _has_word(prefix) and not any(letter in _SEPARATORS for letter in behind)
    return (last.isalpha() and all(letter.isdigit() for letter in behind)) or (
        last.islower() and all(letter.isupper() for letter in behind)
    )


def _begins_behind(suffix: str, before: set[str]) -> bool:
    first = suffix[0]
    if not first.isalnum():
        return first not in _CLOSING and _has_word(suffix) and not any(letter in _SEPARATORS for letter in before)
    return (first.isalpha() and all(letter.isdigit() for letter in before)) or (
        first.isupper() and all(letter.islower() for letter in before)
    )


def _has_word(affix: str) -> bool:
    # Signs alone belong to the name: of "IMG (1)" the bracket is no suffix.
    return any(map(str.isalnum, affix))


def _unlike(own: Sequence[_End], other: Sequence[_End]) -> list[tuple[_End, _End]]:
    """Pairs of prefixes, or of suffixes, that do not end alike towards the id: what both have is part of it."""
    return [(one, two) for one, two in product(own, other) if one.inner != two.inner or not one.inner]


def _is_channel(number: str) -> bool:
    return len(number) >= 3 and not number.strip("0")
