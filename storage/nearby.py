"""What lies near a place, or is called nearly so, where nothing of the very name was found."""

from __future__ import annotations

import errno
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from segscale.storage.enumeration import SHOWN, counted, first_of
from segscale.storage.file_names import is_hidden, is_litter, may_hold_an_array, stem
from segscale.storage.patterns import composed

# Names are compared with so many others at most, where one only wants to be helpful.
_COMPARED = 1000


def what_is_there(folder: str, wanted: str = "") -> str:
    """A clause about a folder, for somebody who found nothing in it: its files by their endings, or what is near it.

    `wanted` is a name that was looked for.
    """
    if not Path(folder).is_dir():
        return _near_folder(folder)
    kinds = {path.name: path.is_dir() for path in Path(folder).iterdir()}
    visible = {name: kind for name, kind in kinds.items() if not is_hidden(name) and not is_litter(name)}
    files = sorted(name for name, is_folder in visible.items() if not is_folder)
    folders = sorted(name for name, is_folder in visible.items() if is_folder)
    if not visible:
        return f"{folder} is empty" + (" but for hidden files and those of the operating system" if kinds else "")
    shown = near_names(wanted, files) or files[:SHOWN] if wanted else files[:SHOWN]
    endings = Counter(Path(name).suffix or "no ending" for name in files)
    by_ending = ", ".join(f"{count} {ending}" for ending, count in endings.most_common(SHOWN))
    said = [f"{counted(len(files), 'file')} ({by_ending}), for example {', '.join(shown)}"] if files else []
    said += [f"{'' if files else 'no files, but '}the folders {first_of(folders)}"] if folders else []
    return f"{folder} holds {' and '.join(said)}"


def _near_folder(folder: str) -> str:
    parent, name = os.path.split(folder)
    while parent not in ("", "/") and not Path(parent).is_dir():
        parent, name = os.path.split(parent)
    missing = Path(parent) / name
    if missing.exists():
        return f"{missing} is no folder"
    said = f"there is no {folder}"
    try:
        others = sorted(path.name for path in Path(parent or ".").iterdir() if not is_hidden(path.name))
    except OSError:
        return said
    same = [other for other in others if composed(other) == composed(name)]
    if same:
        return f"{said}; {same[0]!r} is of that name in another Unicode form: write it as it is on the disk"
    near = near_names(name, others)
    return f"{said}; {parent} holds {first_of(near)}" if near else said


def why_not_written(path: str, error: OSError) -> str:
    """A clause for somebody who could not write at a local path: what lies there or above it, and forbids it."""
    nearest = next(
        (place for place in (Path(path), *Path(path).absolute().parents) if os.path.lexists(place)), Path("/")
    )
    if not nearest.is_dir():
        return f"{nearest} is a file, no folder; name another place"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"nothing may be written in {nearest}"
    if error.errno == errno.ENOENT:
        return f"no folder can be made in {nearest}"
    return f"{nearest}: {error.strerror or error}"


def near_names(wanted: str, names: list[str]) -> list[str]:
    """Up to three of `names` that somebody may have meant by `wanted`, nearest first."""
    folded = {name.casefold(): name for name in reversed(names)}
    return [folded[name] for name in get_close_matches(wanted.casefold(), list(folded)[:_COMPARED], SHOWN, 0.7)]


@dataclass(frozen=True, slots=True)
class Affix:
    """Letters that names of one side have and those of the other side do not."""

    text: str
    is_suffix: bool
    longer: str
    """An example of a name with them."""
    shorter: str
    """And of the one that seems to belong to it."""

    @staticmethod
    def between(names: Sequence[str], others: Sequence[str]) -> Affix | None:
        """What most often tells some name from some other one, whichever side it stands on; None where nothing does."""
        found: list[Affix] = []
        for longer, shorter in ((names, others), (others, names)):
            known = set(shorter)
            for name in longer[:_COMPARED]:
                found += _affixes(name, known)
        counts = Counter((affix.text, affix.is_suffix) for affix in found)
        if not counts:
            return None
        likeliest = counts.most_common(1)[0][0]
        return next(affix for affix in found if (affix.text, affix.is_suffix) == likeliest)

    def __str__(self) -> str:
        kind = "suffix" if self.is_suffix else "prefix"
        return f"the {kind} {self.text!r}, for example {self.longer!r} for {self.shorter!r}"


def own_endings(names: Sequence[str], others: Sequence[str]) -> tuple[str, str] | None:
    """The ending that all names of each side have, where without them some are alike.

    >>> own_endings(["a1_image", "a2_image"], ["a1_mask", "a2_mask"])
    ('_image', '_mask')
    """
    endings = _common_ending(names), _common_ending(others)
    bare = {name.removesuffix(endings[0]) for name in names} & {name.removesuffix(endings[1]) for name in others}
    return endings if all(endings) and bare - {""} else None


def _common_ending(names: Sequence[str]) -> str:
    """From the first sign in it that is no letter or digit, for a number may end alike by chance."""
    shortest = min(names, key=len, default="")
    alike = next((n for n in range(len(shortest), 0, -1) if all(name.endswith(shortest[-n:]) for name in names)), 0)
    common = shortest[len(shortest) - alike :]
    return next((common[place:] for place, letter in enumerate(common) if not letter.isalnum()), "")


def _affixes(name: str, known: set[str]) -> Iterable[Affix]:
    """The longest name of the known ones that this one begins or ends with, no number cut."""
    cuts = [cut for cut in range(1, len(name)) if not (name[cut - 1].isdigit() and name[cut].isdigit())]
    for cut in reversed(cuts):
        if name[:cut] in known:
            yield Affix(name[cut:], True, name, name[:cut])
            break
    for cut in cuts:
        if name[cut:] in known:
            yield Affix(name[:cut], False, name, name[cut:])
            break


@dataclass(frozen=True, slots=True)
class Nearness:
    """Names without a partner, to be looked up by somebody else's."""

    names: Sequence[str]
    _plain: dict[str, str] = field(default_factory=dict)
    """By the words of each, and by the words with no zeros before numbers."""

    def to(self, wanted: str) -> str:
        """The name that was probably meant; "" where none is near.

        It has the same words; or the same but for zeros before numbers; or more or fewer at one end, but no number that
        the other has not.
        """
        if not self._plain:
            words = [_words(name) for name in self.names]
            for known in (map(_unpadded, words), words):
                self._plain.update({_joined(one): name for one, name in zip(known, self.names, strict=True)})
        asked = _words(wanted)
        if not asked:
            return ""
        for one in (asked, _unpadded(asked)):
            if found := self._plain.get(_joined(one)):
                return found
        cut = {name: left for name in self.names[:_COMPARED] if (left := _left(asked, _words(name)))}
        return min(cut, key=lambda name: len("".join(cut[name])), default="")


_WORD = re.compile(r"[^\W\d_]+|\d+")
_CAPITAL = re.compile(r"(?<=[a-z])(?=[A-Z])")


def _words(name: str) -> tuple[str, ...]:
    """Words and numbers of a name, without the ending of a file."""
    bare = stem(name) if may_hold_an_array(name) else name
    return tuple(_WORD.findall(_CAPITAL.sub("_", composed(bare)).casefold()))


def _joined(words: tuple[str, ...]) -> str:
    """Words run into each other, for people write them with and without signs between; numbers do not."""
    return "".join(f"<{word}>" if word.isdigit() else word for word in words)


def _unpadded(words: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(word.lstrip("0") or "0" if word.isdigit() else word for word in words)


def _left(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    """What the longer has at one end beside the shorter; () where it is no affix of it."""
    shorter, longer = sorted(map(_unpadded, (one, other)), key=len)
    n = len(shorter)
    if not n or n == len(longer):
        return ()
    padded = max(one, other, key=len)
    if longer[:n] == shorter and not _is_number(padded[n]):
        return padded[n:]
    if longer[-n:] == shorter and not _is_number(padded[-n - 1]):
        return padded[:-n]
    return ()


def _is_number(word: str) -> bool:
    """But for a channel 0, as nnU-Net has it."""
    return word.isdigit() and (len(word) < 3 or bool(word.strip("0")))
