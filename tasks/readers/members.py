"""Members: the files beside a header that hold its voxels, in the bundle that they came in."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from segscale.errors import UnreadableImage
from segscale.storage import bundles

Files = Mapping[str, memoryview]

_MOST_FILES = 2**16
_LONGEST_NAME = 255
_COUNTED = re.compile(r"([^%]*)%(0?\d{0,2})[du]([^%]*)")
"""A pattern as printf has it, with one whole number of at most 99 digits."""


def header_with_files(data: bytes, name: str) -> tuple[memoryview, Files]:
    """The bytes of a header, or of a file that is all of its image, and the other files of its bundle."""
    if not bundles.is_bundle(data):
        return memoryview(data), {}
    try:
        members = bundles.unpack(data)
        header = members.pop(next(iter(members)))
    except (StopIteration, UnicodeDecodeError):
        raise UnreadableImage(f"{name}: a damaged bundle of files") from None
    return header, members


def found_files(names: Sequence[str], files: Files, name: str) -> list[memoryview]:
    """The files that a header names, in its order; UnreadableImage for those that did not come with it."""
    missing = [one for one in names if one not in files]
    if missing:
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UnreadableImage(
            f"{name}: its voxels are in {missing[0]}{others}, which is not there; expected the files beside their "
            "header"
        )
    return [files[one] for one in names]


def check_file_names(names: Sequence[str], name: str) -> tuple[str, ...]:
    """The names of files beside a header, or below it; UnreadableImage for those that lead elsewhere, and for none."""
    for one in names:
        leads_elsewhere = one.startswith(("/", "\\", "~")) or ":" in one or ".." in re.split(r"[/\\]", one)
        if not one or leads_elsewhere or not one.isprintable() or len(one) > _LONGEST_NAME:
            raise UnreadableImage(
                f"{name}: its voxels are in {one[:_LONGEST_NAME]!r}; expected a file beside the header: put "
                "it there and name it so"
            )
    if not names:
        raise UnreadableImage(f"{name}: it lists the files of its voxels and names none")
    return tuple(names)


def counted_names(pattern: str, numbers: Sequence[str], name: str) -> tuple[str, ...]:
    """The names that a pattern such as slice%03d.raw makes of the numbers from first to last, by a step, both counted.

    numbers: first, last and step as a header gives them, of which the step may be left out.
    """
    match = _COUNTED.fullmatch(pattern)
    try:
        first, last, step = [*map(int, numbers), 1][:3]
    except ValueError:
        match = None
    if match is None or step == 0:
        raise UnreadableImage(
            f"{name}: its voxels are in {' '.join((pattern, *numbers))[:_LONGEST_NAME]!r}; expected a pattern with "
            "one number, as in 'slice%03d.raw 1 20 1'"
        )
    count = (last - first) // step + 1
    if count > _MOST_FILES:
        raise UnreadableImage(f"{name}: its voxels are in {count} files; expected at most {_MOST_FILES}")
    before, width, after = match.groups()
    return check_file_names([f"{before}{first + step * i:{width}d}{after}" for i in range(count)], name)
