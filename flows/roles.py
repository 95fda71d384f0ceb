"""Roles: what the name of a folder or a file says of what lies there: images, references or predictions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import takewhile

from segscale.storage.file_names import stem

_WORDS_OF = {
    "image": """image images img imgs imagestr imagests imagesva scan scans input inputs raw photo photos picture
        pictures""",
    "reference": """label labels lbl lbls labelstr labelsts labelsva mask masks gt gts groundtruth ground truth truths
        reference references ref refs annotation annotations annotated manual target targets expert""",
    "prediction": """pred preds prediction predictions predicted output outputs out result results inference inferred
        auto automatic""",
}
# Words that are used of references and of predictions alike (seg, segmentation) say nothing.
_ROLE_OF_WORD = {word: role for role, words in _WORDS_OF.items() for word in words.split()}
_TELLING_NOTHING = frozenset({"tr", "ts", "va", "train", "test", "val", "seg", "segs", "segmentation", "data"})
_SPLITS = frozenset(["tr", "ts", "va", "train", "training", "test", "testing", "val", "valid", "validation", "dev"])
_SIGN = re.compile(r"([_\-. ]+)")
_LETTERS = re.compile(r"[A-Za-z]+")
_HUMP = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def role_of(name: str) -> str:
    """The role that a name says: image, reference or prediction; "" where it says none, or two of them.

    Masks that are called predicted are predictions, and what is called a mask of an image is no image.

    >>> [role_of(name) for name in ("imagesTr", "image_mask", "GroundTruth", "predicted-masks", "seg")]
    ['image', 'reference', 'reference', 'prediction', '']
    """
    said = {_ROLE_OF_WORD[word] for word in _words(name) if word in _ROLE_OF_WORD}
    if len(said) > 1:
        said -= {"image"}
    if len(said) > 1:
        said -= {"reference"}
    return next(iter(said), "")


def is_split(name: str) -> bool:
    """Whether a name says which part of a data set it is, and nothing more.

    >>> is_split("train"), is_split("test_1"), is_split("p0")
    (True, True, False)
    """
    words = _words(name)
    return bool(words) and _SPLITS.issuperset(words)


def affixes(name: str) -> tuple[str, str] | None:
    """What stands before and behind the id in the name of a file, one of them empty; None where neither says a role.

    >>> affixes("case_1_pred_mask.png"), affixes("mask_1.png"), affixes("case_1.png")
    (('', '_pred_mask'), ('mask_', ''), None)
    """
    parts = _SIGN.split(stem(name))
    words, signs = parts[::2], parts[1::2]
    n_words = len(words)
    n_last = next((n for n, word in enumerate(reversed(words)) if not role_of(word)), n_words)
    if 0 < n_last < n_words:
        return "", "".join(_joined(words[-n_last:], signs[-n_last:], signs_first=True))
    n_first = next((n for n, word in enumerate(words) if not role_of(word)), n_words)
    if 0 < n_first < n_words:
        return "".join(_joined(words[:n_first], signs[:n_first], signs_first=False)), ""
    return None


def _joined(words: Sequence[str], signs: Sequence[str], *, signs_first: bool) -> Iterator[str]:
    for word, sign in zip(words, signs, strict=True):
        yield from (sign, word) if signs_first else (word, sign)


def telling_name(names: Iterable[str]) -> str:
    """The first of some names that tells one data set from another, and not only a role; "" for none.

    >>> telling_name(["labelsTr", "test", "Liver 2024"])
    'Liver 2024'
    """
    known = _TELLING_NOTHING.union(_ROLE_OF_WORD)
    return next((name for name in names if not known.issuperset(_words(name))), "")


def set_name(path: str, otherwise: str = "images") -> str:
    """What a data set is called that lies at a path or pattern: as the nearest folder whose name tells it from others.

    >>> set_name("/data/Liver 2024/labelsTr/{id}.png")
    'Liver-2024'
    >>> set_name("cases/{id}/mask.png")
    'cases'
    """
    # What comes behind a part that stands for many folders is called the same in each of them.
    folders = [*takewhile(lambda part: not any(letter in part for letter in "*?{"), path.split("/"))]
    folders = [part for part in folders if ":" not in part]
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", telling_name(reversed(folders))).strip("-._")
    return plain[:100] or otherwise


def _words(name: str) -> list[str]:
    """In lower case: runs of letters where these are words of a role, else what capitals cut them into."""
    found: list[str] = []
    for run in _LETTERS.findall(name):
        found += [run.lower()] if run.lower() in _ROLE_OF_WORD else [part.lower() for part in _HUMP.findall(run)]
    return found
