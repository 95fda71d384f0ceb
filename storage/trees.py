"""Folders and files below a place, local or of any fsspec file system, with what tells whether a file is the same."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from segscale.errors import ListingError
from segscale.storage.file_names import is_hidden, is_litter
from segscale.storage.local_files import local_version

# The first of these that a file system reports tells whether a file is still the same.
_CHANGE_KEYS = ("ETag", "etag", "md5Hash", "mtime", "LastModified", "last_modified", "created")


class Tree(Protocol):
    """What a listing asks of a file system. Paths are absolute, without a protocol."""

    def is_folder(self, path: str) -> bool:
        """Links are followed."""

    def is_file(self, path: str) -> bool:
        """Or a link that leads nowhere."""

    def entries(self, folder: str) -> Iterable[tuple[str, bool]]:
        """Of what lies directly in a folder the name, and whether it is a folder. Raises OSError."""

    def version(self, path: str) -> str:
        """What changes with a file; "" where a link leads nowhere."""

    def url(self, path: str) -> str:
        """As whoever reads the file calls it."""

    def enter(self, folder: str, above: tuple[Any, ...]) -> tuple[Any, ...]:
        """The folders that a walk is in, given those above. Raises ListingError for a link to one of these."""


def folder_version(tree: Tree, folder: str) -> str:
    """What changes with the files that lie directly in a folder, as those of a DICOM series do; "" where none do.

    Hidden files and those of operating systems belong to no series.
    """
    return version_of_files(
        (name, tree.version(f"{folder}/{name}"))
        for name, is_folder in tree.entries(folder)
        if not is_folder and not is_hidden(name) and not is_litter(name)
    )


def version_of_files(files: Iterable[tuple[str, str]]) -> str:
    """One version of several files, given by name and version; "" for none."""
    listed = sorted(files)
    return hashlib.sha256(repr(listed).encode(errors="backslashreplace")).hexdigest() if listed else ""


class LocalTree:
    """Folders of this machine. Links are followed."""

    def is_folder(self, path: str) -> bool:
        return Path(path).is_dir()

    def is_file(self, path: str) -> bool:
        return os.path.isfile(path) or os.path.islink(path)  # noqa: PTH113, PTH114 - Path raises where a link is closed

    def entries(self, folder: str) -> Iterable[tuple[str, bool]]:
        with os.scandir(folder) as found:
            # Files alone are asked for more, once it is known that they are wanted.
            yield from [(entry.name, _may_be_folder(entry)) for entry in found]

    def is_reachable_folder(self, path: str) -> bool:
        return os.path.isdir(path)  # noqa: PTH112 - Path raises where a link is closed

    def version(self, path: str) -> str:
        return local_version(path)

    def url(self, path: str) -> str:
        return f"file://{path}"

    def enter(self, folder: str, above: tuple[Any, ...]) -> tuple[Any, ...]:
        found = Path(folder).stat()
        identity = found.st_dev, found.st_ino
        if identity in above:
            raise ListingError(
                f"{folder}: a link to a folder that holds it, {os.path.realpath(folder)}: the walk would not end; "
                "remove the link, or name the folders that are meant"
            )
        return (*above, identity)


def _may_be_folder(entry: os.DirEntry[str]) -> bool:
    """False for a link that leads nowhere, True where it is not allowed to see where one leads. Raises OSError."""
    try:
        return entry.is_dir()
    except PermissionError:
        if entry.is_symlink():
            return True
        raise
    except OSError:
        # Into itself, or below a file.
        if entry.is_symlink():
            return False
        raise


@dataclass(frozen=True, slots=True)
class RemoteTree:
    """What a file system elsewhere lists below a root, asked for at once: each question travels."""

    filesystem: Any
    _folders: dict[str, dict[str, bool]] = field(default_factory=dict)
    _versions: dict[str, str] = field(default_factory=dict)

    @staticmethod
    def below(filesystem: Any, root: str, depth: int | None) -> RemoteTree:
        """All that is listed down to a depth, or at any."""
        tree = RemoteTree(filesystem)
        limits = {} if depth is None else {"maxdepth": depth, "withdirs": True}
        listed = filesystem.find(root, detail=True, **limits)
        while listed:
            # Taken out as they are read: what a file system tells of a file is ten times what is kept of it.
            name, details = listed.popitem()
            is_file = details["type"] == "file"
            if is_file:
                tree._versions[name] = version_of(details)
            if name != root and (is_file or details["type"] == "directory"):
                tree._place(name.rstrip("/"), root, not is_file)
        return tree

    def _place(self, name: str, root: str, is_folder: bool) -> None:
        while name.startswith(f"{root}/"):
            folder, _, last = name.rpartition("/")
            known = self._folders.setdefault(folder, {})
            if last in known:
                return
            known[last] = is_folder
            name, is_folder = folder, True

    def is_folder(self, path: str) -> bool:
        return path in self._folders

    def is_file(self, path: str) -> bool:
        return path in self._versions

    def entries(self, folder: str) -> Iterable[tuple[str, bool]]:
        return self._folders.get(folder, {}).items()

    def version(self, path: str) -> str:
        return self._versions[path]

    def url(self, path: str) -> str:
        return str(self.filesystem.unstrip_protocol(path))

    def enter(self, folder: str, above: tuple[Any, ...]) -> tuple[Any, ...]:
        return (*above, folder)


def version_of(details: dict[str, Any]) -> str:
    """The ETag, or size and time of change, of what an fsspec file system tells of a file."""
    changed = next((details[key] for key in _CHANGE_KEYS if details.get(key) is not None), "")
    return f"{details['size']}:{round(changed * 1e9) if isinstance(changed, float) else changed}"
