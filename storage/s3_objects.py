"""Objects in a bucket, through s3fs: whole objects in one request each, and creations that know whether they won."""

from __future__ import annotations

import errno
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from segscale.errors import StoreRefusedError
from segscale.storage.locations import answer_of, os_errors, read_whole
from segscale.storage.object_kind import ObjectInfo

# What S3 takes in one request. One request is all or nothing: no upload in parts is ever left half done.
LARGEST_BYTES = 5 * 1024**3
WRITER = "segscale-writer"
"""Metadata of a created object: who wrote it."""
# Pauses before a creation that met another change of the same key is tried again, in seconds.
CONFLICT_PAUSES = (0.1, 0.3, 1.0, 3.0)
_EXISTS, _CONFLICT = (412, 304), 409
_UNKNOWN_HEADER = ("NotImplemented", "InvalidArgument")


@dataclass(frozen=True, slots=True)
class S3Objects:
    """The objects below one prefix of a bucket."""

    filesystem: Any
    """An s3fs.S3FileSystem: its client finds the credentials, signs, and tries again."""
    root: str
    """``bucket`` or ``bucket/prefix``."""
    url: str
    """What messages call it."""

    @property
    def _bucket(self) -> str:
        return self.root.partition("/")[0]

    def _key(self, path: str) -> str:
        return "/".join(part for part in (self.root.partition("/")[2].strip("/"), path) if part)

    def _call(self, method: str, path: str, **arguments: Any) -> Any:
        with os_errors(f"{self.url.rstrip('/')}/{path}"):
            return self.filesystem.call_s3(method, Bucket=self._bucket, **arguments)

    def read(self, path: str) -> bytes:
        with os_errors(f"{self.url.rstrip('/')}/{path}"):
            return read_whole(self.filesystem, f"{self._bucket}/{self._key(path)}")

    def write(self, path: str, data: bytes) -> None:
        self._put(path, data)

    def _put(self, path: str, data: bytes, **conditions: Any) -> None:
        if len(data) > LARGEST_BYTES:
            raise OSError(
                errno.EFBIG, f"{self.url}/{path}: expected at most {LARGEST_BYTES} bytes an object, got {len(data)}"
            )
        self._call("put_object", path, Key=self._key(path), Body=data, **conditions)

    def create(self, path: str, data: bytes) -> bool:
        """As promised by `ObjectStore.create_exclusive`.

        The first of several attempts may have succeeded with its answer lost on the way; the next one then finds an
        object, which is our own. So every creation carries a name of its own, and whoever is told that there is an
        object asks whose it is.
        """
        writer = uuid.uuid4().hex
        for pause in CONFLICT_PAUSES:
            try:
                self._put(path, data, IfNoneMatch="*", Metadata={WRITER: writer})
                return True
            except OSError as error:
                won = self._outcome(path, writer, error)
            if won is not None:
                return won
            time.sleep(pause)
        raise OSError(errno.EBUSY, f"{self.url}/{path}: {len(CONFLICT_PAUSES)} creations met other changes of this key")

    def _outcome(self, path: str, writer: str, error: OSError) -> bool | None:
        """Whether a creation that was answered with an error won; None where it must be tried again."""
        status, code = (error.__cause__ and answer_of(error.__cause__)) or (0, "")
        if status in _EXISTS:
            standing = self._writer(path)
            # What was there is gone again: somebody removed it.
            return None if standing is None else standing == writer
        if status == _CONFLICT:
            return None
        if status == 501 or (status == 400 and code in _UNKNOWN_HEADER):
            raise StoreRefusedError(
                f"store {self.url}: the server knows no If-None-Match ({status} {code}), so commits could overwrite "
                "each other; use another server, or set single_driver in [store] and start one driver at a time"
            ) from error
        if status == 0 or status >= 500:
            # Nothing says whether it was carried out. Where the object is there and ours, it was.
            with suppress(OSError):
                if self._writer(path) == writer:
                    return True
        raise error

    def _writer(self, path: str) -> str | None:
        """Who created an object; "" for one that was not created, None for none."""
        try:
            found = self._call("head_object", path, Key=self._key(path))
        except FileNotFoundError:
            return None
        return str(found.get("Metadata", {}).get(WRITER, ""))

    def exists(self, path: str) -> bool:
        if path and self._writer(path) is not None:
            return True
        pages = self._pages(self._prefix(path), path, MaxKeys=1)
        return any(page.get("Contents") for page in pages)

    def names(self, folder: str) -> list[str]:
        prefix = self._prefix(folder)
        found = [
            item["Key"] for page in self._pages(prefix, folder, Delimiter="/") for item in page.get("Contents", ())
        ]
        # A key that ends with a slash is what some tools put where a folder shall be seen.
        return [key[len(prefix) :] for key in found if not key.endswith("/")]

    def walk(self, folder: str) -> Iterator[ObjectInfo]:
        root = len(self._prefix(""))
        for page in self._pages(self._prefix(folder), folder):
            for item in page.get("Contents", ()):
                yield ObjectInfo(item["Key"][root:], int(item["Size"]), item["LastModified"].astimezone(UTC))

    def remove(self, path: str) -> None:
        # One by one: not every server knows how to remove several, and an attempt has few objects.
        inside = [item["Key"] for page in self._pages(self._prefix(path), path) for item in page.get("Contents", ())]
        for key in (*inside, self._key(path)):
            self._call("delete_object", path, Key=key)

    def _prefix(self, folder: str) -> str:
        key = self._key(folder)
        return f"{key}/" if key else ""

    def _pages(self, prefix: str, path: str, **arguments: Any) -> Iterator[dict[str, Any]]:
        while True:
            page = self._call("list_objects_v2", path, Prefix=prefix, **arguments)
            yield page
            if not page.get("IsTruncated"):
                return
            arguments["ContinuationToken"] = page["NextContinuationToken"]
