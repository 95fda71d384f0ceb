"""The ledger: one commit record for each finished piece of work, the only truth for a resume."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from segscale.errors import DamagedStoreError
from segscale.storage.objects import Digest, ObjectStore

SCHEMA_VERSION = 1
CHECKSUM = "sha256"
REPAIR = "segscale repair sets it aside and does this work again"
"""Said to whoever meets a damaged record, or one whose objects are damaged or gone."""


def content_key(content: Mapping[str, Any]) -> str:
    """The sha256 of everything that determines a result, as 64 hex digits.

    `content` holds JSON values only; equal content gives equal keys whatever the order of its names.
    A NaN is refused (ValueError), for it would not be equal to itself.
    """
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


@dataclass(frozen=True, slots=True)
class Entry:
    """A commit: where the objects of a finished piece of work lie, and what they must be."""

    stage: str
    """ingest, predict, score, ..."""
    key: str
    """`content_key` of all that determines the work's bytes."""
    path: str
    """The folder of the attempt that won, relative to the store."""
    objects: Mapping[str, Digest]
    """Every object under `path`, by its relative name."""
    facts: Mapping[str, Any]
    """Small numbers and names a reader wants without opening the objects."""

    def __post_init__(self) -> None:
        # Read from a file: a record that was tampered with must not lead to other files than the store's.
        for path in (self.path, *self.objects):
            if path.startswith("/") or ".." in path.split("/"):
                raise ValueError(f"commit {self.stage}/{self.key[:12]} names {path!r}, which leads out of the store")


def fresh_attempt(stage: str, key: str) -> str:
    """A path that no other attempt at the same work uses."""
    return f"shards/{stage}/{key[:2]}/{key}/{uuid.uuid4().hex[:16]}"


@dataclass(frozen=True, slots=True)
class Ledger:
    """The commit records of one store, a file each under ``ledger/<stage>/<key>.json``."""

    store: ObjectStore

    def done(self, stage: str) -> frozenset[str]:
        """The keys of all committed work of a stage, from one listing."""
        names = self.store.names(f"ledger/{stage}")
        return frozenset(name.removesuffix(".json") for name in names if name.endswith(".json"))

    def read(self, stage: str, key: str) -> Entry:
        """The commit of one piece of work.

        Raises FileNotFoundError where it has not been done, DamagedStoreError naming the record where that is damaged.
        """
        path = record_path(stage, key)
        try:
            return decode_record(self.store.read(path), stage, key)
        except DamagedStoreError as error:
            raise DamagedStoreError(f"{self.store.url}/{path} is no commit record ({error}); {REPAIR}") from error

    def find(self, stage: str, key: str) -> Entry | None:
        """The commit of one piece of work, or None where it has not been done."""
        try:
            return self.read(stage, key)
        except FileNotFoundError:
            return None

    def commit(self, entry: Entry) -> Entry:
        """Record finished work and return the record that stands: this one, or that of whoever was first.

        The objects must have been written before; raises OSError naming those that are gone, so that the work gets
        another attempt. A loser's objects are removed: equal keys mean equal bytes.
        """
        self._require_objects(entry)
        if self.store.create_exclusive(record_path(entry.stage, entry.key), encode_record(entry)):
            return entry
        standing = self.read(entry.stage, entry.key)
        if entry.objects and entry.path != standing.path:
            self.store.remove(entry.path)
        return standing

    def _require_objects(self, entry: Entry) -> None:
        """Raise OSError where an attempt that is about to be committed has lost objects; costs one listing."""
        if not entry.objects:
            return
        # A worker that was suspended for longer than `segscale clean` was told to wait wakes up to an attempt that is
        # gone, and a record of it would end every later run. What goes between this look and the record is not seen
        # here: `clean` asks the ledger again once it has removed an attempt (storage/garbage.py) and says so. Only a
        # worker that was suspended at this very place, until `clean` was through, passes both; the readers of its
        # record then name `segscale repair`.
        there = {item.path for item in self.store.listing(entry.path)}
        missing = [name for name in sorted(entry.objects) if f"{entry.path}/{name}" not in there]
        if missing:
            raise OSError(
                f"{self.store.url}/{entry.path}: expected the {len(entry.objects)} objects that were written for "
                f"{entry.stage}/{entry.key[:12]}, {missing[0]} is gone"
                + (f" and {len(missing) - 1} more" if len(missing) > 1 else "")
                + "; nothing is committed (`segscale clean` removes what is older than `--older-than`)"
            )

    def record(self, stage: str, key: str, facts: Mapping[str, Any]) -> Entry:
        """Commit facts that have no objects of their own, such as a plan record; the first ones recorded stand."""
        return self.commit(Entry(stage, key, path="", objects={}, facts=facts))


def record_path(stage: str, key: str) -> str:
    """Where the commit record of a piece of work lies."""
    return f"ledger/{stage}/{key}.json"


def encode_record(entry: Entry) -> bytes:
    """A commit record: JSON that holds the sha256 of the rest of itself, for a flipped digit is JSON as well."""
    document = {"schema_version": SCHEMA_VERSION, **asdict(entry)}
    return _as_text({**document, CHECKSUM: _checksum(document)})


def decode_record(data: bytes, stage: str, key: str) -> Entry:
    """The commit in the bytes of a record; DamagedStoreError where they are not the whole record of this very work.

    Records of versions that wrote no checksum are taken without one.
    """
    try:
        document = json.loads(data)
        if document["schema_version"] != SCHEMA_VERSION:
            raise ValueError(f"schema version {document['schema_version']}, this Segscale knows {SCHEMA_VERSION}")
        if (document["stage"], document["key"]) != (stage, key):
            raise ValueError(f"it is the record of {document['stage']}/{document['key']}")
        noted = document.pop(CHECKSUM, None)
        if noted not in (None, _checksum(document)):
            raise ValueError("its content is not that of its checksum")
        objects = {name: Digest(**digest) for name, digest in document["objects"].items()}
        return Entry(stage, key, document["path"], objects, dict(document["facts"]))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DamagedStoreError(f"{type(error).__name__}: {error}") from error


def is_as_written(data: bytes, entry: Entry) -> bool:
    """Whether the bytes of a record are what is written for its commit, to the last blank."""
    return data in (encode_record(entry), _as_text({"schema_version": SCHEMA_VERSION, **asdict(entry)}))


def _checksum(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(_as_text(document)).hexdigest()


def _as_text(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, indent=1).encode()
