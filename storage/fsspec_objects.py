"""Objects of any other file system that fsspec knows: in memory for tests, elsewhere for readers and single drivers."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from segscale.errors import StoreRefusedError
from segscale.storage.object_kind import ObjectInfo

_MEMORY_LOCK = threading.Lock()
_TIMES = ("mtime", "LastModified", "last_modified", "updated", "created")


@dataclass(frozen=True, slots=True)
class FsspecObjects:
    """The objects below one path of a file system."""

    filesystem: Any
    root: str
    url: str
    """What messages call it."""

    def _target(self, path: str) -> str:
        return f"{self.root.rstrip('/')}/{path}" if path else self.root

    def read(self, path: str) -> bytes:
        return bytes(self.filesystem.cat_file(self._target(path)))

    def write(self, path: str, data: bytes) -> None:
        self.filesystem.pipe_file(self._target(path), data)

    def create(self, path: str, data: bytes) -> bool:
        protocol = self.filesystem.protocol
        protocols = {protocol} if isinstance(protocol, str) else set(protocol)
        if "memory" not in protocols:
            raise StoreRefusedError(
                f"store {self.url}: {sorted(protocols)[0]} has no write that fails where an object exists, so commits "
                "could overwrite each other; use a local folder or s3://, or set single_driver in [store] and start "
                "one driver at a time"
            )
        # The look and the act are two steps; the server of an object store makes them one by itself.
        with _MEMORY_LOCK:
            try:
                self.filesystem.pipe_file(self._target(path), data, mode="create")
            except FileExistsError:
                return False
            return True

    def exists(self, path: str) -> bool:
        return bool(self.filesystem.exists(self._target(path)))

    def names(self, folder: str) -> list[str]:
        try:
            listing = self.filesystem.ls(self._target(folder), detail=True)
        except FileNotFoundError:
            return []
        return [str(item["name"]).rsplit("/", 1)[-1] for item in listing if item["type"] == "file"]

    def walk(self, folder: str) -> Iterator[ObjectInfo]:
        found = self.filesystem.find(self._target(folder), detail=True)
        for name, details in found.items():
            path = str(name)[len(self.root.rstrip("/")) :].lstrip("/")
            yield ObjectInfo(path, int(details["size"]), self._modified(str(name), details))

    def _modified(self, name: str, details: dict[str, Any]) -> datetime:
        found = next((details[key] for key in _TIMES if details.get(key) is not None), None)
        found = self.filesystem.modified(name) if found is None else found
        if isinstance(found, int | float):
            return datetime.fromtimestamp(found, UTC)
        moment = datetime.fromisoformat(found) if isinstance(found, str) else found
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)

    def remove(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.filesystem.rm(self._target(path), recursive=True)
