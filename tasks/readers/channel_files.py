"""Channel files: an image whose channels are in a file each, as one picture with channels on the last axis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from segscale.errors import UnreadableImage
from segscale.storage import bundles
from segscale.tasks.fits import differences
from segscale.tasks.grids import described, same_spacing
from segscale.tasks.readers.picture import Header, Picture, Reader, check_size
from segscale.tasks.turns import Turn, turn_onto

_EXACT_BYTES: Final = 2
"""Integers up to so many bytes are exact in float32."""


@dataclass(frozen=True, slots=True)
class ChannelFilesReader:
    """Reader of the bundle of the channels of an image, the first of which says where it lies.

    The others are brought into its order of axes exactly. Files with several channels, on another grid or turned
    otherwise by an orientation of their own raise, and so do integers of different types, whose full scales differ;
    floats beside integers of up to 16 bits become float32.
    """

    reader: Reader
    """Of each file."""

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Those of its files."""
        return self.reader.suffixes

    def header(self, data: bytes, name: str) -> Header:
        """That of the first file, with a channel for each and the type that all become."""
        return self._headers(data, name)[0]

    def read(self, data: bytes, name: str) -> Picture:
        """The picture (D, H, W, C), C in the order of the files, with the full scale of a file alone."""
        whole, turns = self._headers(data, name)
        pixels = np.empty(whole.shape, whole.dtype)
        full_scale, spacing_mm = 1.0, None
        for channel, ((own, held), turn) in enumerate(zip(self.files(data), turns, strict=True)):
            picture = self.reader.read(held, own)
            pixels[..., channel] = turn.applied(picture.pixels)[..., 0]
            if channel == 0:
                full_scale, spacing_mm = picture.full_scale, picture.spacing_mm
        return Picture(pixels, full_scale if whole.dtype[0] in "iu" else 1.0, spacing_mm)

    def stored_values(self, data: bytes, name: str) -> NDArray[Any]:
        """None: an image of several files holds no labels."""
        del data
        raise UnreadableImage(f"{name}: an image of several files; expected one file of labels")

    def orientation(self, data: bytes, name: str) -> int:
        """What the first file says; `header` refuses others that say something else."""
        del name
        own, held = next(self.files(data))
        return self.reader.orientation(held, own)

    def files(self, data: bytes) -> Iterator[tuple[str, bytes]]:
        """The names of its files with their bytes, one after the other."""
        return ((name, bytes(held)) for name, held in bundles.unpack(data).items())

    def _headers(self, data: bytes, name: str) -> tuple[Header, list[Turn]]:
        """The header of the whole, and what brings each file into the order of the first."""
        names = list(bundles.unpack(data))
        headers = [self.reader.header(held, own) for own, held in self.files(data)]
        turns = [_turn((names[0], headers[0]), one) for one in zip(names, headers, strict=True)]
        said = [
            f"channel {own} turned by its geometry into the order of the first: {turn}"
            for own, turn in zip(range(len(turns)), turns, strict=True)
            if not turn.is_none
        ]
        whole = replace(
            headers[0],
            channels=len(headers),
            dtype=_common_type(names, headers),
            stated_maximum=next((one.stated_maximum for one in headers if one.stated_maximum), 0),
            notes=(*dict.fromkeys(note for one in headers for note in one.notes), *said),
        )
        return check_size(whole, name), turns


def _turn(first: tuple[str, Header], other: tuple[str, Header]) -> Turn:
    (first_name, reference), (name, found) = first, other
    if found.channels != 1:
        raise UnreadableImage(f"{name}: holds {found.channels} channels; expected one in each file of an image")
    if found.orientation != reference.orientation:
        raise UnreadableImage(
            f"{name}: says orientation {found.orientation or 'nothing'}, {first_name}, the first channel of its image, "
            f"{reference.orientation or 'nothing'}; expected the same: turn the pixels and leave it out"
        )
    one, another = reference.grid, found.grid
    if one.geometry is not None and another.geometry is not None:
        turn = turn_onto(one, another)
        if turn is not None:
            return turn
        raise _other_grid(first_name, reference, name, found, f": {differences(one, another)}")
    is_same = one.size == another.size and (one.geometry is None) == (another.geometry is None)
    if is_same and one.spacing and another.spacing:
        is_same = same_spacing(one.spacing, another.spacing)
    if not is_same:
        raise _other_grid(first_name, reference, name, found, "")
    return Turn()


def _other_grid(first_name: str, reference: Header, name: str, found: Header, differ: str) -> UnreadableImage:
    return UnreadableImage(
        f"{name}: lies on another grid than {first_name}, the first channel of its image: {described(found.grid)}; "
        f"that has {described(reference.grid)}{differ}. Expected the same voxel centres, the axes in any order: "
        "resample it"
    )


def _common_type(names: Sequence[str], headers: Sequence[Header]) -> str:
    """The numpy name of the type that holds the numbers of all."""
    types = [np.dtype(one.dtype) for one in headers]
    if len(set(types)) == 1:
        return types[0].name
    floats = [one for one in types if one.kind == "f"]
    if floats and all(one.kind == "f" or one.itemsize <= _EXACT_BYTES for one in types):
        return "float32"
    place = next(place for place, one in enumerate(types) if one != types[0])
    raise UnreadableImage(
        f"{names[place]}: numbers of type {types[place].name}, {names[0]}, the first channel of its image, "
        f"{types[0].name}: what is 1.0 differs; expected one type: save them as one, or as floats"
    )
