"""Source files as their readers want them: alone, or with the files beside a header that hold its voxels."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from segscale.errors import DataError
from segscale.storage.bundles import pack
from segscale.storage.source_names import channel_files, segment_in
from segscale.storage.sources import file_name, file_version, read_catalogued, read_file
from segscale.tasks.readers.companions import COMPANIONED, companion_names


def read_source(url: str) -> bytes:
    """The bytes of a source: of a file; of a folder that is a series, a header with its companions, or an image whose
    channels are in a file each, as a bundle.

    Of a segment of a file they are those of the whole file.

    A companion that is not there is left out, and the reader says so. Raises OSError for what cannot be fetched.
    """
    channels = channel_files(url)
    if channels:
        return pack({file_name(one): read_source(one) for one in channels})
    data = read_file(segment_in(url)[0])
    if not _is_header(url):
        return data
    members = {file_name(url): data}
    for name, place in _companions(url, data):
        try:
            members[name] = read_file(place)
        except FileNotFoundError:
            continue
    return pack(members)


def read_catalogued_source(url: str, sha256: str) -> bytes:
    """The same, if it is still what was catalogued; OSError where it is not."""
    return read_catalogued(url, sha256, read_source)


def source_version(url: str, version: str) -> str:
    """What changes with a source: the version of its file, with those of the companions of a header."""
    if not version or not _is_header(url):
        return version
    files = channel_files(url) or (url,)
    try:
        places = [place for one in files for _, place in _companions(one, read_file(one))]
    except OSError:
        return version  # whoever reads it says what is wrong
    hashed = hashlib.sha256("\n".join([version, *map(file_version, places)]).encode())
    return f"{version} with {len(places)} beside it, {hashed.hexdigest()[:32]}"


def source_versions(urls: Iterable[str], versions: Iterable[str]) -> list[str]:
    """`source_version` of each."""
    return [source_version(url, version) for url, version in zip(urls, versions, strict=True)]


def _is_header(url: str) -> bool:
    return url.lower().endswith(COMPANIONED)


def _companions(url: str, data: bytes) -> Iterator[tuple[str, str]]:
    """The name of each companion, and its URL."""
    folder = url.rpartition("/")[0]
    try:
        names = companion_names(data, file_name(url))
    except DataError:
        return  # a damaged header: its reader says what is wrong
    for name in names:
        yield name, f"{folder}/{name}"
