"""Numpy .npz archives: one array of them, as if it were a .npy file."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from segscale.errors import UnreadableImage
from segscale.tasks.readers.arrays import ArrayHeader, NumpyReader, parse_array_header, picture_header, read_array
from segscale.tasks.readers.inflation import LARGEST_RATIO
from segscale.tasks.readers.picture import DECODED_BYTES_LIMIT, Header, Picture, check_signature, decoding

_SIGNATURES = (b"PK\x03\x04", b"PK\x05\x06")
_LONGEST_HEADER = 2**16
_ENDING = ".npy"


@dataclass(frozen=True)
class NpzReader:
    """Reader of .npz, whose one array is what `NumpyReader` takes it for; of several `array` names the one."""

    array: str | None = None

    suffixes = (".npz",)

    def header(self, data: bytes, name: str) -> Header:
        """Shape and type from the header of the array."""
        return picture_header(read_member_header(data, name, self.array), name)

    def read(self, data: bytes, name: str) -> Picture:
        """Picture as `NumpyReader` reads it."""
        self.header(data, name)
        return NumpyReader().read(member_bytes(data, name, self.array), name)

    def stored_values(self, data: bytes, name: str) -> NDArray[Any]:
        """Numbers as stored."""
        return NumpyReader().stored_values(member_bytes(data, name, self.array), name)

    def orientation(self, data: bytes, name: str) -> int:
        """0: the format has no such thing."""
        check_signature(data, name, _SIGNATURES, "a .npz archive of numpy")
        return 0


def read_member_header(data: bytes, name: str, array: str | None = None) -> ArrayHeader:
    """Shape and type of an array of the archive, of which no number is decoded."""
    archive, member = _member(data, name, array)
    with decoding(name, ".npz archive"), archive.open(member) as stream:
        head = io.BytesIO(stream.read(_LONGEST_HEADER))
    header = parse_array_header(head, name)
    expected = head.tell() + header.n_bytes
    if member.file_size != expected:
        raise UnreadableImage(
            f"{name}: its array {member.filename} has {member.file_size} bytes; expected {expected} of shape "
            f"{header.shape} {header.dtype.name}"
        )
    return header


def read_member(data: bytes, name: str, array: str | None = None) -> NDArray[Any]:
    """An array of the archive in its own shape, C-contiguous and in native byte order; never unpickles."""
    return read_array(member_bytes(data, name, array), name)


def member_bytes(data: bytes, name: str, array: str | None = None) -> bytes:
    """The .npy file of an array in the archive, inflated as far as its own header claims."""
    read_member_header(data, name, array)
    archive, member = _member(data, name, array)
    if member.file_size > DECODED_BYTES_LIMIT:
        raise UnreadableImage(
            f"{name}: claims {member.file_size} decoded bytes, expected at most {DECODED_BYTES_LIMIT}; cut larger "
            "volumes into parts"
        )
    if member.file_size > LARGEST_RATIO * len(data):
        raise UnreadableImage(f"{name}: {len(data)} bytes cannot hold the {member.file_size} that its array claims")
    with decoding(name, ".npz archive"):
        return archive.read(member)


def _member(data: bytes, name: str, array: str | None) -> tuple[zipfile.ZipFile, zipfile.ZipInfo]:
    check_signature(data, name, _SIGNATURES, "a .npz archive of numpy")
    with decoding(name, ".npz archive"):
        archive = zipfile.ZipFile(io.BytesIO(data))
    members = [member for member in archive.infolist() if member.filename.endswith(_ENDING)]
    names = [member.filename.removesuffix(_ENDING) for member in members]
    found = [member for member, own in zip(members, names, strict=True) if array in (None, own)]
    if len(found) == 1:
        return archive, found[0]
    if not members:
        raise UnreadableImage(f"{name}: an archive without arrays; expected one")
    listed = ", ".join(map(repr, sorted(names)[:10])) + (" and more" if len(names) > 10 else "")
    if array is None:
        raise UnreadableImage(f"{name}: {len(names)} arrays, {listed}; expected one: save the volume alone")
    raise UnreadableImage(f"{name}: {len(found) or 'no'} arrays of the name {array!r}; it has {listed}")
