"""What lies in a tree of DICOM files: series, each a folder, and segmentations, each a file."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from segscale.errors import ListingError, UnreadableImage
from segscale.storage.dataset_json import folder_of
from segscale.storage.enumeration import counted, first_of
from segscale.storage.file_heads import read_head
from segscale.storage.listing import Note, list_files
from segscale.storage.patterns import escaped
from segscale.storage.sources import read_file
from segscale.storage.trees import version_of_files
from segscale.tasks.readers.dicom_file import is_dicom
from segscale.tasks.readers.dicom_identity import Identity, identify

_HEADS = (2**15, 2**20)
"""Bytes that are read of a file before all of it: few headers are longer than the first."""
_REMEMBERED = 2**17
"""Files whose identities are kept for the next look in the same process."""


@dataclass(frozen=True, slots=True)
class Series:
    """A folder whose files are one image."""

    series_id: str
    """Its UID, hashed."""
    url: str
    """With a slash at its end."""
    relative: str
    version: str


@dataclass(frozen=True, slots=True)
class Drawn:
    """A segmentation."""

    url: str
    relative: str
    version: str
    series_ids: tuple[str, ...]
    """Hashed UIDs of the series that it says it was drawn on."""


@dataclass(frozen=True, slots=True)
class DicomTree:
    """What was found below a folder."""

    series: Mapping[str, Series]
    """By their ids."""
    segmentations: tuple[Drawn, ...]
    notes: tuple[Note, ...]


@dataclass(frozen=True, slots=True)
class _File:
    url: str
    relative: str
    version: str

    @property
    def folder(self) -> str:
        return self.relative.rpartition("/")[0]

    @property
    def name(self) -> str:
        return self.relative.rpartition("/")[2]


def dicom_tree(root: str) -> DicomTree:
    """The series and segmentations below a folder, by their headers; nothing else of these is kept.

    A folder with images directly in it is one series. Raises ListingError where a folder holds several series, or a
    segmentation beside images, where a series lies in two folders, and for files that are damaged; OSError.
    """
    listing = list_files(escaped(folder_of(root)))
    folders: dict[str, list[_File]] = defaultdict(list)
    for row in listing.files.itertuples(index=False):
        file = _File(*map(str, row))
        folders[file.folder].append(file)
    series: dict[str, Series] = {}
    drawn: list[Drawn] = []
    left_out: list[str] = []
    for folder, files in folders.items():
        known = {file: one for file in files if (one := _identity(root, file)) is not None}
        left_out += [file.relative for file in files if file not in known or not known[file].has_pixels]
        images = {file: one for file, one in known.items() if one.has_pixels and not one.is_segmentation}
        masks = {file: one for file, one in known.items() if one.is_segmentation}
        drawn += [
            Drawn(file.url, file.relative, file.version, one.referenced_series_ids) for file, one in masks.items()
        ]
        if images:
            _refuse_mixed(root, folder, list(images.values()), masks)
            image = _series(root, folder, files, images)
            other = series.setdefault(image.series_id, image)
            if other is not image:
                raise ListingError(
                    f"{root}: {other.relative or '.'} and {image.relative or '.'} hold files of one series: expected a "
                    "folder for each series; put its files together"
                )
    text = f"{counted(len(left_out), 'file')} without an image, or of another kind, left out: {first_of(left_out)}"
    return DicomTree(series, tuple(drawn), (Note(text, warns=False),) if left_out else ())


def _refuse_mixed(root: str, folder: str, images: Sequence[Identity], masks: Mapping[_File, Identity]) -> None:
    counts = Counter(one.series_id for one in images)
    where = f"{root}: {folder or 'the folder itself'}"
    if len(counts) > 1:
        numbers = " and ".join(map(str, sorted(counts.values(), reverse=True)))
        raise ListingError(
            f"{where}: holds images of {len(counts)} series ({numbers} files): expected a folder for each series"
        )
    if masks:
        raise ListingError(
            f"{where}: holds {counted(len(masks), 'segmentation')} ({first_of([file.name for file in masks])}) beside "
            f"{counted(counts.total(), 'image')} of a series: put segmentations in folders of their own"
        )


def _series(root: str, folder: str, files: Sequence[_File], images: Mapping[_File, Identity]) -> Series:
    series_id = next(iter(images.values())).series_id
    if series_id is None:
        raise ListingError(f"{root}: {next(iter(images)).relative}: says of no series that it belongs to it")
    version = version_of_files((file.name, file.version) for file in files)
    url = files[0].url
    return Series(series_id, url[: len(url) - len(files[0].name)], folder, version)


def _identity(root: str, file: _File) -> Identity | None:
    """What a file says it is; None where it is no DICOM file."""
    try:
        return identity_of(file.url, file.version, file.relative)
    except UnreadableImage as error:
        raise ListingError(f"{root}: {error}") from None


@lru_cache(_REMEMBERED)
def identity_of(url: str, version: str, relative: str) -> Identity | None:
    """What a file says it is, remembered as long as its version is the same; None where it is no DICOM file.

    Raises UnreadableImage for a damaged one; OSError.
    """
    del version
    for is_last, data in _heads(url):
        if not is_dicom(data):
            return None
        try:
            return identify(data, relative)
        except UnreadableImage:
            # The header may go on behind what was read.
            if is_last:
                raise
    return None


def _heads(url: str) -> Iterator[tuple[bool, bytes]]:
    """More and more of a file, and whether that is all of it."""
    for size in _HEADS:
        data = read_head(url, size)
        yield len(data) < size, data
        if len(data) < size:
            return
    yield True, read_file(url)
