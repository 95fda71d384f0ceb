"""An object store: whole objects by path, under a local folder or any fsspec URL."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from pathlib import Path

from fsspec.implementations.local import LocalFileSystem

from segscale.errors import DamagedStoreError, StoreRefusedError
from segscale.storage.folder_objects import FolderObjects
from segscale.storage.fsspec_objects import FsspecObjects
from segscale.storage.locations import S3_PROTOCOLS, located, refuse_secrets
from segscale.storage.object_kind import ObjectInfo, ObjectKind
from segscale.storage.s3_objects import S3Objects

__all__ = ["Digest", "ObjectInfo", "ObjectStore"]


@dataclass(frozen=True, slots=True)
class Digest:
    """What an object must be: enough to notice a lost, torn or flipped byte."""

    size_bytes: int
    sha256: str

    @staticmethod
    def of(data: bytes) -> Digest:
        return Digest(len(data), hashlib.sha256(data).hexdigest())


@dataclass(frozen=True, slots=True)
class ObjectStore:
    """Objects under one root. A small value: it travels to workers as its URL.

    Every path below is relative to the root, with forward slashes. Raises SecretInUrlError for a URL that may carry
    a secret. What a store answers with an error comes as an OSError that names the object.
    """

    url: str
    """A local folder or any fsspec URL, e.g. ``s3://bucket/prefix``."""
    single_driver: bool = False
    """Go on where the store cannot decide between drivers: whoever sets it makes sure that there is one at a time."""

    def __post_init__(self) -> None:
        refuse_secrets(self.url)

    def _kind(self) -> ObjectKind:
        filesystem, root = located(self.url)
        if isinstance(filesystem, LocalFileSystem):
            return FolderObjects(Path(root))
        if self.url.startswith(S3_PROTOCOLS):
            return S3Objects(filesystem, root, self.url)
        return FsspecObjects(filesystem, root, self.url)

    def read(self, path: str) -> bytes:
        """The bytes of one object. Raises FileNotFoundError where there is none."""
        return self._kind().read(path)

    def read_checked(self, path: str, digest: Digest) -> bytes:
        """The bytes of one object, if they are the ones that were committed.

        Raises DamagedStoreError naming the object, what was committed and what lies there now.
        """
        data = self.read(path)
        found = Digest.of(data)
        if found != digest:
            raise DamagedStoreError(
                f"{self.url}/{path} is damaged: committed {digest.size_bytes} bytes with sha256 {digest.sha256[:12]}, "
                f"found {found.size_bytes} bytes with {found.sha256[:12]}"
            )
        return data

    def write(self, path: str, data: bytes) -> Digest:
        """Put one whole object, durably; a reader sees the old bytes or the new ones, never a part."""
        self._kind().write(path, data)
        return Digest.of(data)

    def create_exclusive(self, path: str, data: bytes) -> bool:
        """Put one object unless there is one already: exactly one of any number of racing callers gets True.

        Raises StoreRefusedError for a store that can neither link nor write conditionally, because two drivers
        could then both believe that they had won. A store of a single driver is looked at first and then written.
        """
        kind = self._kind()
        if self.single_driver and kind.exists(path):
            return False
        try:
            return kind.create(path, data)
        except StoreRefusedError:
            if not self.single_driver:
                raise
        kind.write(path, data)
        return True

    def check_exclusive(self) -> None:
        """Try with an object that is removed again whether the store can create exclusively, not only says so.

        Raises StoreRefusedError where it cannot.
        """
        kind, probe = self._kind(), f".probe-{uuid.uuid4().hex}"
        kind.create(probe, b"first")
        again = kind.create(probe, b"second")
        kind.remove(probe)
        if again:
            raise StoreRefusedError(
                f"store {self.url}: the server overwrote an object that it was asked to create only if absent (it "
                "ignores If-None-Match), so two drivers could each believe that their commit stands; use a server with "
                "conditional writes, or set single_driver in [store] and start one driver at a time"
            )

    def exists(self, path: str) -> bool:
        """Whether there is an object (or a folder) at the path."""
        return self._kind().exists(path)

    def names(self, folder: str) -> list[str]:
        """The names of the objects directly in a folder, sorted, hidden ones left out; empty for no folder."""
        return sorted(name for name in self._kind().names(folder) if not name.startswith("."))

    def listing(self, folder: str = "") -> list[ObjectInfo]:
        """Everything below a folder that is no folder, with sizes and times, by path; empty for no folder.

        Hidden files are among them, for that is what a killed writer leaves, and so are links. What goes while the
        listing is made may be missing; a folder that may not be looked into raises OSError.
        """
        return sorted(self._kind().walk(folder), key=lambda item: item.path)

    def remove(self, path: str) -> None:
        """Remove an object, or a folder with all in it; nothing happens where there is none."""
        self._kind().remove(path)
