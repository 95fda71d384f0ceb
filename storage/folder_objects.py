"""Objects in a local folder: files that appear whole, are on disk before their name is, and are created once."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path

from segscale.errors import StoreRefusedError
from segscale.storage.object_kind import ObjectInfo

# How a folder says that it knows no hard links.
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


@dataclass(frozen=True, slots=True)
class FolderObjects:
    """The files of a folder of this machine, or of one that all machines see (NFS, Lustre)."""

    root: Path

    def read(self, path: str) -> bytes:
        return (self.root / path).read_bytes()

    def write(self, path: str, data: bytes) -> None:
        target = self.root / path
        with _synced_temporary(target, data) as temporary:
            temporary.replace(target)
            _sync_folder(target.parent)

    def create(self, path: str, data: bytes) -> bool:
        target = self.root / path
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
                    f"store folder {target.parent}: it knows no hard links ({error.strerror}), so commits could "
                    "overwrite each other; use a local disk or s3://"
                ) from error
            _sync_folder(target.parent)
            return True

    def exists(self, path: str) -> bool:
        return (self.root / path).exists()

    def names(self, folder: str) -> list[str]:
        try:
            with os.scandir(self.root / folder) as entries:
                return [entry.name for entry in entries if entry.is_file()]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def walk(self, folder: str) -> Iterator[ObjectInfo]:
        for place, folders, names in os.walk(self.root / folder, onerror=_raise_unless_gone):
            # A link to a folder is not walked into.
            links = [name for name in folders if Path(place, name).is_symlink()]
            for file in (Path(place, name) for name in (*names, *links)):
                # Another driver, or another clean, may have removed it since.
                with contextlib.suppress(FileNotFoundError):
                    found = file.stat() if file.exists() else file.lstat()
                    modified = datetime.fromtimestamp(found.st_mtime, UTC)
                    yield ObjectInfo(file.relative_to(self.root).as_posix(), found.st_size, modified)

    def remove(self, path: str) -> None:
        target = self.root / path
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            if target.is_dir() and not target.is_symlink():
                shutil.rmtree(target)
            else:
                target.unlink()


def _raise_unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error


@contextlib.contextmanager
def _synced_temporary(target: Path, data: bytes) -> Iterator[Path]:
    # Hidden, so that what a kill leaves behind is no object in any listing of names.
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
    missing = takewhile(lambda path: not path.exists(), (folder, *folder.parents))
    for path in reversed(list(missing)):
        path.mkdir(exist_ok=True)
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
