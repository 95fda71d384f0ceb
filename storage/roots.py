"""The data roots: folders that the files named by a manifest must lie in."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import fsspec
from fsspec.implementations.local import LocalFileSystem

from segscale.storage.local_files import is_local
from segscale.storage.locations import os_errors

# Names are taken letter by letter there. Elsewhere they travel in URLs, which clients and servers decode and shorten.
_LITERAL = frozenset({"s3", "s3a", "memory"})
# More than client, proxy and server do between them; a name that is still encoded after them means no good.
_DECODINGS = 8
# What ends a segment of a URL: the slash, and parameters, query and fragment, before which dots count as well.
_SEGMENT_ENDS = re.compile(r"[/;?#]")
# Clients drop control characters out of the middle of a URL; servers on Windows read the backslash as a slash.
_UNSAFE = re.compile(r"[\x00-\x1f\x7f\\]")


@dataclass(frozen=True, slots=True)
class DataRoots:
    """Folders or URLs; a manifest comes from somebody else and may name what lies in them, and nothing beside it."""

    urls: tuple[str, ...]
    _folders: dict[str, str] = field(default_factory=dict, repr=False, compare=False)
    """Where local folders really lie, as far as they were asked for: images share theirs."""

    def hold(self, url: str) -> bool:
        """Whether a file lies in one of the roots.

        Locally ``..`` and links are followed first: what counts is where the bytes are. Elsewhere a path with ``..``
        lies nowhere, nor one that could be read as one by whoever decodes it (``%2e%2e``); links of a server are its
        own affair. A chain of file systems (``zip://a::...``) or one that no root is on is refused before anything is
        opened.
        """
        if is_local(url):
            path = self._real_file(url)
            return any(_is_below(path, self._real(_local(root))) for root in self.urls if is_local(root))
        if "::" in url:
            return False
        there = [root for root in self.urls if not is_local(root) and _protocol(root) == _protocol(url)]
        return any(_is_on(url, root) for root in there)

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
    if filesystem != of_root or not _is_below(path, folder):
        return False
    return _protocol(url) in _LITERAL or not _may_lead_out(path[len(folder.rstrip("/")) + 1 :])


def _may_lead_out(name: str) -> bool:
    """Whether a name below a folder may be read, by whoever decodes it once or more, as one that leaves the folder."""
    plain = name
    for _ in range(_DECODINGS):
        if (decoded := unquote(plain)) == plain:
            break
        plain = decoded
    else:
        return True
    hides_slashes = plain.count("/") > name.count("/")
    dots = ".." in (segment.strip() for segment in _SEGMENT_ENDS.split(plain))
    return hides_slashes or dots or _UNSAFE.search(plain) is not None


def _located(url: str) -> tuple[Any, str]:
    with os_errors(url):
        filesystem, path = fsspec.core.url_to_fs(url)
    return filesystem, str(path)


def _is_below(path: str, folder: str) -> bool:
    return path.startswith(folder.rstrip("/") + "/")
