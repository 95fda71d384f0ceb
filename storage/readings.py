"""Readings: what was found about the files of a data set as a whole, kept beside its catalog."""

from __future__ import annotations

import json
from typing import Any

from segscale.storage.ledger import content_key
from segscale.storage.objects import ObjectStore


def _path(name: str) -> str:
    return f"catalog/{name}.json"


def write_reading(store: ObjectStore, name: str, made_from: str, facts: dict[str, Any]) -> None:
    """Keep the facts of the data set of a catalog; `made_from` stands for what they were found in."""
    content = {"made_from": made_from, "facts": facts}
    store.write(_path(name), json.dumps({**content, "sha256": content_key(content)}, sort_keys=True).encode())


def read_reading(store: ObjectStore, name: str) -> tuple[str, dict[str, Any]] | None:
    """What was kept, `made_from` first; None where there is nothing, or something damaged."""
    try:
        return decode_reading(store.read(_path(name)))
    except FileNotFoundError:
        return None


def decode_reading(data: bytes) -> tuple[str, dict[str, Any]] | None:
    """`made_from` and the facts; None for bytes that are not those that were written."""
    try:
        kept = json.loads(data)
        content = {"made_from": kept["made_from"], "facts": kept["facts"]}
        return (content["made_from"], content["facts"]) if kept["sha256"] == content_key(content) else None
    except (ValueError, KeyError, TypeError):
        return None
