"""The data roots: folders that the files named by a manifest must lie in."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

_LOCAL = frozenset({"file", "local"})


@dataclass(frozen=True, slots=True)
class DataRoots:
    """Folders or URLs; a manifest comes from somebody else and may name what lies in them, and nothing beside it."""

    urls: tuple[str, ...]
    _folders: dict[str, str] = field(default_factory=dict, repr=False, compare=False)
    """Where local folders really lie, as far as they were asked for: images share theirs."""

    def hold(self, url: str) -> bool:
        """Whether a file lies in one of the roots.

        Locally ``..`` and links are followed first: what counts is where the bytes are. Elsewhere there are no links,
        and a path with ``..`` lies nowhere. A chain of file systems (``zip://a::...``) or one that no root is on is
        refused before anything is opened.
        """
        if "::" in url:
            return False
        if _protocol(url) in _LOCAL:
            path = self._real_file(url)
            return any(_is_below(path, self._real(_local(root))) for root in self.urls if _protocol(root) in _LOCAL)
        return any(_is_on(url, root) for root in self.urls if _protocol(root) == _protocol(url))

    def _real_file(self, url: str) -> str:
        path = _local(url)
        folder, _, name = path.rpartition("/")
        # A folder is resolved once, a file only where it is a link: a million of them lie in a few folders.
        if name in {"", ".", ".."} or _is_link(path):
            return os.path.realpath(path)
        return f"{self._real(folder or '/').rstrip('/')}/{name}"

    def _real(self, folder: str) -> str:
        if folder not in self._folders:
            self._folders[folder] = os.path.realpath(folder)
        return self._folders[folder]


def _is_link(path: str) -> bool:
    try:
        return Path(path).is_symlink()
    except (OSError, ValueError):
        # A name too long, or one with a null byte: it is no file at all, and is said to be missing.
        return False


def _protocol(url: str) -> str:
    return str(fsspec.utils.get_protocol(url))


def _local(url: str) -> str:
    return str(LocalFileSystem._strip_protocol(url))


def _is_on(url: str, root: str) -> bool:
    if ".." in url.split("/"):
        return False
    (filesystem, path), (of_root, folder) = _located(url), _located(root)
    return bool(filesystem == of_root) and _is_below(path, folder)


def _located(url: str) -> tuple[Any, str]:
    filesystem, path = fsspec.core.url_to_fs(url)
    return filesystem, str(path)


def _is_below(path: str, folder: str) -> bool:
    return path.startswith(folder.rstrip("/") + "/")
