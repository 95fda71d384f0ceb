"""An object store: whole objects by path, under a local folder or any fsspec URL."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import threading
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

# File systems whose `mode="create"` is one conditional request, decided by the server (or by one process, for memory).
CONDITIONAL_PROTOCOLS = frozenset({"memory", "s3", "s3a"})
_MEMORY_LOCK = threading.Lock()
_CHANGED = ("mtime", "LastModified", "last_modified", "updated", "created")
# How a folder says that it knows no hard links.
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


class StoreRefusedError(ValueError):
    """The store cannot do what is asked of it; the message says what to use instead."""


@dataclass(frozen=True, slots=True)
class Digest:
    """What an object must be: enough to notice a lost, torn or flipped byte."""

    size_bytes: int
    sha256: str

    @staticmethod
    def of(data: bytes) -> Digest:
        return Digest(len(data), hashlib.sha256(data).hexdigest())


@dataclass(frozen=True, slots=True)
class Listed:
    """What a listing says of one object."""

    path: str
    """Relative to the store."""
    size_bytes: int
    modified: float
    """Seconds since 1970, by the clock of the store."""


@dataclass(frozen=True, slots=True)
class ObjectStore:
    """Objects under one root. A small value: it travels to workers as its URL.

    Every path below is relative to the root, with forward slashes.
    """

    url: str
    """A local folder or any fsspec URL, e.g. ``s3://bucket/prefix``."""

    def _located(self, path: str) -> tuple[Any, str]:
        # Listings are never cached: another driver may be committing beside this one.
        filesystem, root = fsspec.core.url_to_fs(self.url, use_listings_cache=False)
        return filesystem, f"{root.rstrip('/')}/{path}" if path else root

    def read(self, path: str) -> bytes:
        """The bytes of one object. Raises FileNotFoundError where there is none."""
        filesystem, target = self._located(path)
        return bytes(filesystem.cat_file(target))

    def read_checked(self, path: str, digest: Digest) -> bytes:
        """The bytes of one object, if they are the ones that were committed.

        Raises ValueError naming the object, what was committed and what lies there now.
        """
        data = self.read(path)
        found = Digest.of(data)
        if found != digest:
            raise ValueError(
                f"{self.url}/{path} is damaged: committed {digest.size_bytes} bytes with sha256 {digest.sha256[:12]}, "
                f"found {found.size_bytes} bytes with {found.sha256[:12]}"
            )
        return data

    def write(self, path: str, data: bytes) -> Digest:
        """Put one whole object, durably; a reader sees the old bytes or the new ones, never a part."""
        filesystem, target = self._located(path)
        if isinstance(filesystem, LocalFileSystem):
            with _synced_temporary(Path(target), data) as temporary:
                temporary.replace(target)
                _sync_folder(Path(target).parent)
        else:
            filesystem.pipe_file(target, data)
        return Digest.of(data)

    def create_exclusive(self, path: str, data: bytes) -> bool:
        """Put one object unless there is one already: exactly one of any number of racing callers gets True.

        Raises StoreRefusedError for a store that can neither link nor write conditionally, because two drivers
        could then both believe that they had won.
        """
        filesystem, target = self._located(path)
        if isinstance(filesystem, LocalFileSystem):
            return _link_exclusive(Path(target), data)
        protocols = {filesystem.protocol} if isinstance(filesystem.protocol, str) else set(filesystem.protocol)
        if not protocols & CONDITIONAL_PROTOCOLS:
            raise StoreRefusedError(
                f"store {self.url}: {sorted(protocols)[0]} has no write that fails where an object exists, so commits "
                f"could overwrite each other; use a local folder or one of {sorted(CONDITIONAL_PROTOCOLS)}"
            )
        # In memory the look and the act are two steps; the server of an object store makes them one by itself.
        with _MEMORY_LOCK if "memory" in protocols else contextlib.nullcontext():
            try:
                filesystem.pipe_file(target, data, mode="create")
            except FileExistsError:
                return False
            return True

    def exists(self, path: str) -> bool:
        """Whether there is an object (or a folder) at the path."""
        filesystem, target = self._located(path)
        return bool(filesystem.exists(target))

    def names(self, folder: str) -> list[str]:
        """The names of the objects directly in a folder, sorted, hidden ones left out; empty for no folder."""
        filesystem, target = self._located(folder)
        try:
            listing = filesystem.ls(target, detail=True)
        except FileNotFoundError:
            return []
        names = (str(item["name"]).rsplit("/", 1)[-1] for item in listing if item["type"] == "file")
        return sorted(name for name in names if not name.startswith("."))

    def listing(self, folder: str = "") -> list[Listed]:
        """Everything below a folder that is no folder, hidden files and links too, by path; empty for no folder.

        What goes while the listing is made may be missing; a folder that may not be looked into raises OSError.
        """
        filesystem, target = self._located(folder)
        _, root = self._located("")
        below = len(root.rstrip("/")) + 1
        if isinstance(filesystem, LocalFileSystem):
            # fsspec leaves out, without a word, what it may not look into.
            listed = [Listed(path[below:], status.st_size, status.st_mtime) for path, status in _walked(target)]
        else:
            found = filesystem.find(target, detail=True)
            listed = [Listed(str(name)[below:], item["size"], _changed(item)) for name, item in found.items()]
        return sorted((item for item in listed if item.path), key=lambda item: item.path)

    def remove(self, path: str) -> None:
        """Remove an object, or a folder with all in it; nothing happens where there is none."""
        filesystem, target = self._located(path)
        with contextlib.suppress(FileNotFoundError):
            filesystem.rm(target, recursive=True)


def _walked(folder: str) -> Iterator[tuple[str, os.stat_result]]:
    """Every file below a folder with its status; of a link that of what it leads to, if that is there."""
    for place, folders, names in os.walk(folder, onerror=_raise_unless_gone):
        links = [name for name in folders if Path(place, name).is_symlink()]
        for path in (Path(place, name) for name in (*names, *links)):
            with contextlib.suppress(FileNotFoundError):
                yield path.as_posix(), path.stat() if path.exists() else path.lstat()


def _raise_unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error


def _changed(item: Mapping[str, Any]) -> float:
    """When an object was written, in seconds since 1970; stores name it differently and give a number, time or text."""
    value = next(item[name] for name in _CHANGED if item.get(name) is not None)
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    return float(value.timestamp() if isinstance(value, datetime) else value)


@contextlib.contextmanager
def _synced_temporary(target: Path, data: bytes) -> Iterator[Path]:
    # Hidden, so that what a kill leaves behind is no object in any listing.
    _make_folder(target.parent)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.partial")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _make_folder(folder: Path) -> None:
    """Make a folder and those above it, each of them durably: a name is on disk once its parent was synced."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
        _sync_folder(path.parent)


def _link_exclusive(target: Path, data: bytes) -> bool:
    with _synced_temporary(target, data) as temporary:
        try:
            # A hard link appears with its whole content or not at all, and fails where the name is taken.
            os.link(temporary, target)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            raise StoreRefusedError(
                f"store folder {target.parent}: it knows no hard links ({error.strerror}), so commits could overwrite "
                f"each other; use a local disk or one of {sorted(CONDITIONAL_PROTOCOLS)}"
            ) from error
        _sync_folder(target.parent)
        return True


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
