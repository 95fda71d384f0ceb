"""Headers of NRRD: the fields of the text in front of the voxels, or of a file of its own.

Source: the definition of the NRRD file format, versions 1 to 5 (teem.sourceforge.net/nrrd/format.html).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from segscale.errors import UnreadableImage
from segscale.tasks.readers.header_fields import side_lengths, whole_number
from segscale.tasks.readers.members import check_file_names, counted_names
from segscale.tasks.readers.picture import check_signature

_SIGNATURES = tuple(b"NRRD000%d" % version for version in range(1, 6))
_LONGEST_HEADER = 2**24
_FIELD = re.compile(r"([^:]+): ?(.*)", re.DOTALL)
_END = re.compile(rb"\r?\n\r?\n")
_TYPES: Final = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": ("longlong", "long long", "long long int", "signed long long", "signed long long int", "int64", "int64_t"),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}
_NUMPY_TYPES: Final = {word: code for code, words in _TYPES.items() for word in words}
_ENCODINGS: Final = {
    "raw": "raw", "txt": "text", "text": "text", "ascii": "text", "hex": "hex",
    "gz": "gzip", "gzip": "gzip", "bz2": "bzip2", "bzip2": "bzip2",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class NrrdHeader:
    """What an NRRD header says of its voxels; of their place `fields` does."""

    fields: Mapping[str, str]
    """By their names in lower case without spaces, as 'spacedirections'."""
    sides: tuple[int, ...]
    """Lengths of all axes, fastest first."""
    dtype: np.dtype[Any]
    """Of a stored number, with its byte order."""
    encoding: str
    """raw, text, hex, gzip or bzip2."""
    line_skip: int
    byte_skip: int
    """-1 for the last bytes of the file."""
    data_files: tuple[str, ...]
    """The files of the voxels; none where they follow the header."""
    data_at: int
    """Where they follow it, in bytes."""


def parse_header(data: memoryview, name: str) -> NrrdHeader:
    """The header at the start of `data`; UnreadableImage where it is none, or says what cannot be."""
    check_signature(bytes(data[:8]), name, _SIGNATURES, "an NRRD file of version 1 to 5")
    end = _END.search(data, 0, _LONGEST_HEADER)
    text = bytes(data[: end.start() if end else _LONGEST_HEADER]).decode("utf-8", "replace")
    fields, listed = _fields([line.removesuffix("\r") for line in text.split("\n")[1:]], name)
    sides = side_lengths(
        ("sizes", _required(fields, "sizes", name)), ("dimension", _required(fields, "dimension", name)), name
    )
    encoding = _word(fields, "encoding", _ENCODINGS, name)
    data_files = _data_files(fields, listed, name)
    if end is None and not data_files:
        raise UnreadableImage(f"{name}: an NRRD header without the empty line that ends it: the file is cut off")
    return NrrdHeader(
        fields=fields,
        sides=sides,
        dtype=_dtype(fields, encoding, name),
        encoding=encoding,
        line_skip=whole_number(fields, "lineskip", 0, 0, name),
        byte_skip=whole_number(fields, "byteskip", 0, -1 if encoding == "raw" else 0, name),
        data_files=data_files,
        data_at=end.end() if end else len(data),
    )


def floats(text: str, what: str, name: str) -> list[float]:
    """Numbers with spaces between; UnreadableImage for other words."""
    try:
        return [float(word) for word in text.split()]
    except ValueError:
        raise UnreadableImage(f"{name}: its field {what!r} is {text[:100]!r}; expected numbers") from None


def _fields(lines: list[str], name: str) -> tuple[dict[str, str], list[str]]:
    """The fields by name, and the lines behind a list of data files, which ends the header."""
    fields: dict[str, str] = {}
    for place, line in enumerate(lines):
        if not line.strip() or line.startswith("#") or ":=" in line.split(": ")[0]:
            continue
        match = _FIELD.fullmatch(line)
        if match is None:
            raise UnreadableImage(f"{name}: a line of its NRRD header is {line[:100]!r}; expected 'field: value'")
        key, value = match[1].lower().replace(" ", ""), match[2].strip()
        if key in fields:
            raise UnreadableImage(f"{name}: its field {match[1][:100]!r} stands twice in the header; expected once")
        fields[key] = value
        if key == "datafile" and value.startswith("LIST"):
            return fields, [one.strip() for one in lines[place + 1 :] if one.strip()]
    return fields, []


def _required(fields: Mapping[str, str], key: str, name: str) -> str:
    if key not in fields:
        raise UnreadableImage(f"{name}: its NRRD header has no field {key!r}")
    return fields[key]


def _word(fields: Mapping[str, str], key: str, words: Mapping[str, str], name: str) -> str:
    value = _required(fields, key, name)
    if value.lower() not in words:
        raise UnreadableImage(f"{name}: its field {key!r} is {value[:100]!r}; expected one of {', '.join(words)}")
    return words[value.lower()]


def _dtype(fields: Mapping[str, str], encoding: str, name: str) -> np.dtype[Any]:
    word = " ".join(_required(fields, "type", name).lower().split())
    if word not in _NUMPY_TYPES:
        raise UnreadableImage(
            f"{name}: numbers of type {word[:100]!r}; expected integers of 8 to 64 bits, float or double"
        )
    dtype = np.dtype(_NUMPY_TYPES[word])
    if dtype.itemsize == 1 or encoding == "text":
        return dtype
    order = _word(fields, "endian", {"little": "<", "big": ">"}, name)
    return dtype.newbyteorder("<" if order == "<" else ">")


def _data_files(fields: Mapping[str, str], listed: list[str], name: str) -> tuple[str, ...]:
    value = fields.get("datafile")
    if value is None:
        return ()
    first, *rest = value.split()[:5] or [""]
    if first == "LIST":
        return check_file_names(listed, name)
    if "%" in first and rest:
        return counted_names(first, rest[:3], name)
    return check_file_names([value], name)
