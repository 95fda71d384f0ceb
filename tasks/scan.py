"""Scan: one look at a source file tells its hash and, of an image, its size."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from segscale.errors import DataError, UnreadableImage
from segscale.storage.sources import file_name
from segscale.tasks.grids import to_text
from segscale.tasks.readers import (
    NO_CHOICE,
    Choice,
    read_grid,
    read_header,
    read_orientation,
    read_stated_maximum,
)
from segscale.tasks.source_files import read_source

CODE_VERSION = 5
"""Raised when a file may be judged differently than before, so that what was remembered of it is forgotten."""
# One pixel has no neighbourhood to segment by; such files are placeholders.
MINIMUM_SIDE = 2


class SourceFacts(NamedTuple):
    """What one look at a file told: its hash and orientation, of an image its size. `error` is "" for a sound file.

    A reference or prediction has a size and a place where it is a volume with a grid of its own; a segmentation lies
    where its image lies. A tuple: of a large set there are millions, which are made and sent several times as fast.
    """

    role: str
    """image, reference or prediction."""
    url: str
    version: str
    sha256: str
    depth: int = 0
    height: int = 0
    width: int = 0
    channels: int = 0
    dtype: str = ""
    orientation: int = 0
    """What the file says of how a viewer turns it, 1 (not at all) to 8; 0 where it says nothing."""
    stated_maximum: int = 0
    """Of an image, where its samples end by its own word: see `readers.Reader.stated_maximum`."""
    place: str = ""
    """Where the voxels of a volume lie, as `grids.to_text` has it; "" where the file says nothing."""
    error_type: str = ""
    error: str = ""


def unread(role: str, url: str, version: str, error: OSError) -> SourceFacts:
    """Of a file that cannot be fetched its reason alone; it is looked at again next time."""
    reason = f"{file_name(url)}: cannot be read: {error.strerror or type(error).__name__}"
    return SourceFacts(role, url, version, "", error_type=type(error).__name__, error=reason)


def inspect_files(role: str, files: Sequence[tuple[str, str]], choice: Choice = NO_CHOICE) -> list[SourceFacts]:
    """Hash files, given as (url, version), and read the size of images from their headers (`role` "image").

    A file that is not an image is a fact about its bytes and comes back as an error; a file that cannot be fetched
    (an OSError) is not, and is raised. Of references and predictions no pixel is decoded and nothing is an error here.
    """
    read = ((url, version, read_source(url)) for url, version in files)
    return [facts_of(role, url, version, data, hashlib.sha256(data).hexdigest(), choice) for url, version, data in read]


def facts_of(role: str, url: str, version: str, data: bytes, digest: str, choice: Choice = NO_CHOICE) -> SourceFacts:
    """What the bytes of a file tell; `digest` is their sha256."""
    name = file_name(url)
    if role != "image":
        grid, orientation = read_grid(data, name, choice), read_orientation(data, name)
        if grid is None:
            return SourceFacts(role, url, version, digest, orientation=orientation)
        return SourceFacts(role, url, version, digest, *grid.size, orientation=orientation, place=to_text(grid))
    try:
        header = read_header(data, name, choice)
        # A volume may have one axis of one voxel: slices are cut across it.
        sides = (header.height, header.width) if header.depth == 1 else (header.depth, header.height, header.width)
        if sorted(sides)[-2] < MINIMUM_SIDE:
            raise UnreadableImage(
                f"{name}: expected at least {MINIMUM_SIDE} pixels a side, got {'x'.join(map(str, sides))}"
            )
        stated = read_stated_maximum(data, name) if header.stated_maximum else 0
    except DataError as error:
        return SourceFacts(role, url, version, digest, error_type=error.recorded_as, error=str(error))
    size = (header.depth, header.height, header.width, header.channels)
    return SourceFacts(
        role, url, version, digest, *size, header.dtype, header.orientation, stated, to_text(header.grid)
    )
