"""Bundles: several files that are one image, a header with its data or the slices of a series, as one run of bytes.

What reads, hashes and decodes a source file does the same with a bundle. Its bytes are those of its files, each behind
its name and length, in the order given.
"""

from __future__ import annotations

from collections.abc import Mapping

_SIGNATURE = b"segscale bundle 1\n"


def pack(members: Mapping[str, bytes]) -> bytes:
    """The bundle of files by their names, of which the first is what others call the whole by."""
    parts = [_SIGNATURE]
    for name, data in members.items():
        encoded = name.encode()
        parts += [len(encoded).to_bytes(4, "big"), encoded, len(data).to_bytes(8, "big"), data]
    return b"".join(parts)


def is_bundle(data: bytes) -> bool:
    """Whether bytes are those of a bundle."""
    return data.startswith(_SIGNATURE)


def unpack(data: bytes) -> dict[str, memoryview]:
    """The files of a bundle by their names, in their order, without a copy."""
    view, position, members = memoryview(data), len(_SIGNATURE), {}
    while position < len(view):
        stop = position + 4 + int.from_bytes(view[position : position + 4], "big")
        name = bytes(view[position + 4 : stop]).decode()
        position = stop + 8 + int.from_bytes(view[stop : stop + 8], "big")
        members[name] = view[stop + 8 : position]
    return members
