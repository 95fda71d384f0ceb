"""What every kind of object store can do, and what is said about an object."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What a listing tells of one object."""

    path: str
    """Relative to the root of the store."""
    size_bytes: int
    modified: datetime
    """When it was written, by the clock of whoever keeps it; in UTC."""


class ObjectKind(Protocol):
    """One kind of store. Paths are relative to its root; `segscale.storage.objects` says what is promised."""

    def read(self, path: str) -> bytes:
        """Raises FileNotFoundError."""

    def write(self, path: str, data: bytes) -> None:
        """All or nothing, whatever was there before."""

    def create(self, path: str, data: bytes) -> bool:
        """False where there is an object; of racing callers one gets True. Raises StoreRefusedError."""

    def exists(self, path: str) -> bool:
        """Of an object, or of a folder with any object in it."""

    def names(self, folder: str) -> list[str]:
        """Of the objects directly in a folder, in any order, hidden ones included."""

    def walk(self, folder: str) -> Iterator[ObjectInfo]:
        """All objects in a folder and below it, in any order, hidden ones included."""

    def remove(self, path: str) -> None:
        """An object, or a folder with all in it; nothing where there is none."""
