"""Named files: what a manifest calls a file, and the file that is there."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from segscale.storage.enumeration import SHOWN, counted, first_of
from segscale.storage.listing import Note
from segscale.storage.local_files import is_local, local_version, without_file
from segscale.storage.nearby import Nearness
from segscale.storage.patterns import composed
from segscale.storage.sources import file_name

_SCHEME = "file://"


@dataclass(frozen=True, slots=True)
class NamedFiles:
    """The files of one role: where they are, in which version, and what was said of them."""

    urls: list[str]
    versions: list[str]
    notes: tuple[Note, ...]
    renamed: bool
    """Whether any is called otherwise than in the manifest."""

    @staticmethod
    def of(role: str, ids: Sequence[str], urls: Sequence[str], versions: Sequence[str]) -> NamedFiles:
        """A local file that is there under a name of another Unicode form is taken; what is missing is named."""
        disk = _Disk()
        urls, versions = list(urls), list(versions)
        other: list[str] = []
        for place in [place for place, version in enumerate(versions) if not version and is_local(urls[place])]:
            path = urls[place].removeprefix(_SCHEME)
            found = disk.in_another_form(path) if path else ""
            if found and found != path:
                urls[place], versions[place] = _SCHEME + found, local_version(found)
                other.append(file_name(found))
        return NamedFiles(urls, versions, tuple(_notes(role, ids, urls, versions, other, disk)), bool(other))


def _notes(
    role: str, ids: Sequence[str], urls: Sequence[str], versions: Sequence[str], other: Sequence[str], disk: _Disk
) -> Iterator[Note]:
    none = [image_id for image_id, url in zip(ids, urls, strict=True) if not url]
    # A manifest with no prediction at all is one of a data set to be predicted.
    if none and not (role == "prediction" and len(none) == len(urls)):
        verb = "has" if len(none) == 1 else "have"
        yield Note(f"{role}s: {counted(len(none), 'image')} {verb} none in the manifest: {first_of(none)}")
    missing = [url for url, version in zip(urls, versions, strict=True) if url and not version]
    if missing:
        shown = [f"{file_name(url)}{disk.hint(url)}" for url in missing[:SHOWN]]
        yield Note(
            f"{role}s: {counted(len(missing), 'file')} of the manifest not there: {first_of(shown, len(missing))}"
        )
    if other:
        text = (
            f"{counted(len(other), 'name')} in another Unicode form (NFC, NFD) than in the manifest, taken for the same"
        )
        yield Note(f"{role}s: {text}: {first_of(list(other))}", warns=False)


@dataclass(frozen=True, slots=True)
class _Disk:
    """The names in local folders, each folder read once."""

    _names: dict[str, dict[str, str]] = field(default_factory=dict)
    """By folder the names as they are, by their composed form."""

    def in_another_form(self, path: str) -> str:
        """The path of what is there under this name but for its Unicode form; "" for nothing."""
        if path in ("", "/") or os.path.lexists(path):
            return path
        folder, name = os.path.split(path)
        there = self.in_another_form(folder)
        found = self._in(there).get(composed(name), "") if there else ""
        return f"{there.rstrip('/')}/{found}" if found else ""

    def _in(self, folder: str) -> dict[str, str]:
        if folder not in self._names:
            try:
                self._names[folder] = {composed(path.name): path.name for path in Path(folder).iterdir()}
            except OSError:
                self._names[folder] = {}
        return self._names[folder]

    def hint(self, url: str) -> str:
        """What may have been meant instead, in brackets."""
        if not is_local(url):
            return ""
        path = url.removeprefix(_SCHEME)
        if what := without_file(path):
            return f" ({what})"
        if "/~" in path:
            return f" (looked for as {path}: ~ does not stand for a home folder here)"
        folder, name = os.path.split(path)
        if "\\" in name:
            return " (write / for \\)"
        if not Path(folder).is_dir():
            return f" (there is no folder {Path(folder).name})"
        near = Nearness(sorted(self._in(folder).values())).to(name)
        return f" (there is {near})" if near else ""
