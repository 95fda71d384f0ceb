"""Setting aside: what is damaged is moved out of the way, for it might be the only copy of something."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from segscale.storage.ledger import Entry, record_path
from segscale.storage.objects import ObjectStore
from segscale.storage.store_paths import SET_ASIDE, judge
from segscale.storage.verification import Finding, check_record

FINDINGS = "findings.json"
WHOLE_SHARDS = frozenset({"damaged record", "damaged object", "missing object"})
SINGLE_FILES = frozenset({"damaged catalog", "damaged reading", "damaged source memory"})


def store_clock(store: ObjectStore) -> float:
    """The time by the clock of the store, in seconds since 1970: that of an object written now, and removed again."""
    folder = f".probe-{uuid.uuid4().hex}"
    store.write(f"{folder}/now", b"")
    try:
        return store.listing(folder)[0].modified.timestamp()
    finally:
        store.remove(folder)


def set_aside(store: ObjectStore, findings: Sequence[Finding]) -> tuple[str, ...]:
    """Move what the findings say is damaged to ``set-aside/<time>/``, under its own path; returns the paths moved.

    Of a shard the record goes first, so that nobody reads the half of it, and all its objects with it. What was found
    is written beside them as findings.json, before anything is moved.
    """
    chosen = [finding for finding in findings if finding.kind in WHOLE_SHARDS | SINGLE_FILES]
    if not chosen:
        return ()
    time = datetime.fromtimestamp(store_clock(store), UTC)
    folder = f"{SET_ASIDE}/{time:%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:8]}"
    document = {"findings": [asdict(finding) for finding in chosen]}
    store.write(f"{folder}/{FINDINGS}", (json.dumps(document, indent=1) + "\n").encode())
    moved: list[str] = []
    for stage, key in dict.fromkeys((item.stage, item.key) for item in chosen if item.kind in WHOLE_SHARDS):
        moved += _move_shard(store, stage, key, folder)
    for place in dict.fromkeys(item.place for item in chosen if item.kind in SINGLE_FILES):
        moved += _move(store, place, folder)
    return tuple(moved)


def waiting(store: ObjectStore) -> set[tuple[str, str]]:
    """(stage, key) of all shards that were set aside and are not committed again, whoever set them aside."""
    listed = (judge(item.path.split("/", 2)[-1]) for item in store.listing(SET_ASIDE))
    return {
        (path.stage, path.key)
        for path in listed
        if path.kind == "record" and not store.exists(record_path(path.stage, path.key))
    }


def _move_shard(store: ObjectStore, stage: str, key: str, folder: str) -> list[str]:
    # Listed while the record is there: whoever does this work again from now on writes to another folder.
    objects = [item.path for item in store.listing(_folder(store, stage, key))]
    moved = _move(store, record_path(stage, key), folder)
    for path in objects:
        moved += _move(store, path, folder)
    return moved


def _folder(store: ObjectStore, stage: str, key: str) -> str:
    """The folder of the attempt that is committed; where the record does not say, that of all attempts at this work."""
    every = f"shards/{stage}/{key[:2]}/{key}"
    try:
        found = check_record(judge(record_path(stage, key)), store.read(record_path(stage, key)))
    except FileNotFoundError:
        return every
    return found.path or every if isinstance(found, Entry) else every


def _move(store: ObjectStore, path: str, folder: str) -> list[str]:
    try:
        data = store.read(path)
    except FileNotFoundError:
        return []
    store.write(f"{folder}/{path}", data)
    store.remove(path)
    return [path]
