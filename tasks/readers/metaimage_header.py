"""Headers of MetaImage: lines of 'Key = value', of which ElementDataFile is the last.

Source: the documentation of MetaIO; where that is silent, what ITK writes and reads.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from segscale.errors import UnreadableImage
from segscale.tasks.readers.header_fields import side_lengths, whole_number
from segscale.tasks.readers.members import check_file_names, counted_names

_LONGEST_HEADER, _LONGEST_LINE = 2**24, 2**16
_FIELD = re.compile(r"([A-Za-z_]\w{0,63})\s{0,64}[=:](.*)")
_LAST = "elementdatafile"
_TYPES: Final = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4", "MET_UINT": "u4",
    "MET_LONG": "i4", "MET_ULONG": "u4", "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4", "MET_DOUBLE": "f8",
}  # fmt: skip
"""A long has 32 bits in MetaIO, wherever it runs."""
_TRUTHS: Final = {"true": True, "1": True, "t": True, "false": False, "0": False, "f": False}


@dataclass(frozen=True, slots=True)
class MetaImageHeader:
    """What a MetaImage header says of its voxels; of their place `fields` does."""

    fields: Mapping[str, str]
    """By their names in lower case."""
    sides: tuple[int, ...]
    """Lengths of the axes, fastest first."""
    channels: int
    dtype: np.dtype[Any]
    """Of a stored number, with its byte order."""
    is_text: bool
    is_compressed: bool
    skip: int
    """Bytes before the voxels in their file; -1 for its last bytes."""
    data_files: tuple[str, ...]
    """The files of the voxels; none where they follow the header."""
    data_at: int
    """Where they follow it, in bytes."""
    notes: tuple[str, ...]


def parse_header(data: memoryview, name: str) -> MetaImageHeader:
    """The header at the start of `data`; UnreadableImage where it is none, or says what cannot be."""
    if not data:
        raise UnreadableImage(f"{name}: the file is empty (0 bytes); expected a MetaImage")
    fields, end = _fields(data, name)
    kind = fields.get("objecttype", "Image")
    if kind.lower() != "image":
        raise UnreadableImage(f"{name}: a MetaIO file of type {kind[:100]!r}; expected Image")
    is_text = not truth(fields, "binarydata", True, name)
    is_compressed = truth(fields, "compresseddata", False, name)
    data_files = _data_files(fields, data[end:], name)
    skip = whole_number(fields, "headersize", 0, -1, name)
    if skip and (is_compressed or is_text or not data_files):
        raise UnreadableImage(
            f"{name}: HeaderSize is {skip} with voxels that are compressed, text or in the same file; expected 0 there"
        )
    dtype, notes = _dtype(fields, is_text, name)
    return MetaImageHeader(
        fields=fields,
        sides=side_lengths(("DimSize", fields.get("dimsize", "")), ("NDims", fields.get("ndims", "")), name),
        channels=whole_number(fields, "elementnumberofchannels", 1, 1, name),
        dtype=dtype,
        is_text=is_text,
        is_compressed=is_compressed,
        skip=skip,
        data_files=data_files,
        data_at=end,
        notes=notes,
    )


def numbers_of(fields: Mapping[str, str], keys: tuple[str, ...], count: int, name: str) -> list[float] | None:
    """The numbers of the first of these fields that is there, `count` of them; None without any."""
    key = next((key for key in keys if key in fields), None)
    if key is None:
        return None
    try:
        found = [float(word) for word in fields[key].split()]
    except ValueError:
        found = []
    if len(found) != count:
        raise UnreadableImage(f"{name}: its field {key} is {fields[key][:100]!r}; expected {count} numbers")
    return found


def truth(fields: Mapping[str, str], key: str, otherwise: bool, name: str) -> bool:
    """A field that is True or False."""
    text = fields.get(key, str(otherwise)).lower()
    if text not in _TRUTHS:
        raise UnreadableImage(f"{name}: its field {key} is {text[:100]!r}; expected True or False")
    return _TRUTHS[text]


def _fields(data: memoryview, name: str) -> tuple[dict[str, str], int]:
    """The fields, and where the header ends, in bytes."""
    fields: dict[str, str] = {}
    lines = io.BytesIO(data[:_LONGEST_HEADER])
    while _LAST not in fields:
        place = lines.tell()
        stored = lines.readline(_LONGEST_LINE)
        line = stored.decode("utf-8", "replace").strip()
        if stored and not line:
            continue
        match = _FIELD.fullmatch(line)
        if match is None:
            raise _no_header(data, place, "ndims" in fields, name)
        key = match[1].lower()
        if key in fields:
            raise UnreadableImage(f"{name}: its field {match[1]} stands twice in the header; expected once")
        fields[key] = match[2].strip()
    return fields, lines.tell()


def _no_header(data: memoryview, place: int, is_metaimage: bool, name: str) -> UnreadableImage:
    if is_metaimage:
        return UnreadableImage(
            f"{name}: a MetaImage header without its last line, ElementDataFile: damaged or cut off at byte {place}"
        )
    return UnreadableImage(
        f"{name}: not a MetaImage, whatever its name says: it starts with {bytes(data[:8])!r}; expected lines of "
        "'Key = value', NDims among them"
    )


def _dtype(fields: Mapping[str, str], is_text: bool, name: str) -> tuple[np.dtype[Any], tuple[str, ...]]:
    word = fields.get("elementtype", "")
    if word not in _TYPES:
        raise UnreadableImage(f"{name}: its ElementType is {word[:100]!r}; expected one of {', '.join(_TYPES)}")
    dtype = np.dtype(_TYPES[word])
    if dtype.itemsize == 1 or is_text:
        return dtype, ()
    given = {truth(fields, key, False, name) for key in _ORDERS if key in fields}
    if len(given) == 2:
        raise UnreadableImage(f"{name}: {' and '.join(_ORDERS)} contradict each other; expected one byte order")
    notes = () if given else ("no byte order in its header: little-endian is assumed",)
    return dtype.newbyteorder(">" if True in given else "<"), notes


_ORDERS: Final = ("binarydatabyteordermsb", "elementbyteordermsb")


def _data_files(fields: Mapping[str, str], rest: memoryview, name: str) -> tuple[str, ...]:
    value = fields[_LAST]
    first, *others = value.split()[:5] or [""]
    if first.upper() == "LOCAL":
        return ()
    if first.upper() == "LIST":
        lines = bytes(rest[:_LONGEST_HEADER]).decode("utf-8", "replace").split("\n")
        return check_file_names([line.strip() for line in lines if line.strip()], name)
    if "%" in first and others:
        return counted_names(first, others[:3], name)
    return check_file_names([value], name)
