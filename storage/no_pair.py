"""No pair: what to say where no name of one side belongs to a name of the other."""

from __future__ import annotations

import re
from collections.abc import Sequence

from segscale.storage.enumeration import first_of
from segscale.storage.nearby import Affix, own_endings
from segscale.storage.role_files import Calls, RoleFiles

_NUMBER = re.compile(r"\d+")
# Names are compared with so many others at most, where one only wants to be helpful.
_COMPARED = 1000


def no_pair(own: Calls, partners: RoleFiles, of: str) -> str:
    """What was expected, what the names are, what makes the difference, and what to do."""
    theirs = partners.calls[0]
    common = "a common {id}" if "id" in (own.kind, theirs.kind) else "the stems of the " + f"{of}s"
    said = (
        f"expected files with {common}, found no common stem: {of}s are called {first_of(own.names)}, "
        f"{partners.names} {first_of(theirs.names)}"
    )
    remedy = (
        'write the part of the names that is the id as {id}, such as "masks/{id}_mask.png", rename them, or name the '
        "pairs in a manifest (columns image_id, image, reference, prediction)"
    )
    return f"{said}; {_difference(own.names, theirs.names, partners.names, of)}{remedy}"


def _difference(names: Sequence[str], others: Sequence[str], partners: str, of: str) -> str:
    names, others = names[:_COMPARED], others[:_COMPARED]
    if {name.casefold() for name in names} & {name.casefold() for name in others}:
        return "they differ in upper and lower case, and are not taken for the same; "
    if _padded_otherwise(names, others):
        return "their numbers have other zeros before them, and are not taken for the same; "
    if affix := Affix.between(names, others):
        return f"{affix} makes the difference of some; "
    if endings := own_endings(names, others):
        return f"{of}s have the suffix {endings[0]!r}, {partners} the suffix {endings[1]!r}; "
    return ""


def _padded_otherwise(names: Sequence[str], others: Sequence[str]) -> bool:
    """Whether some names of both sides have the same numbers, and none has them with the same zeros before them."""
    one, two = ({tuple(_NUMBER.findall(name)) for name in side} - {()} for side in (names, others))
    return not one & two and bool(set(map(_unpadded, one)) & set(map(_unpadded, two)))


def _unpadded(numbers: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(number.lstrip("0") for number in numbers)
