"""`segscale verify`, `repair` and `clean` as a user types them: what they print and how they exit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.score_set import score_sections

pytestmark = pytest.mark.slow


def tables(work: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(work.glob("reports/phantom/*/*.parquet"))}


def test_a_damaged_store_is_verified_repaired_and_cleaned(
    segscale: Any, phantoms: Path, tmp_path: Path, write_config: Callable[..., Path]
) -> None:
    config = write_config(**score_sections(phantoms, tmp_path, shard_images="16"))
    done = segscale("run", config)
    assert done.code == 0, done.err
    before = tables(tmp_path)
    assert len(before) == 6
    store = tmp_path / "store"
    torn, other = sorted((store / "ledger" / "score").glob("*.json"))[:2]
    chunk = min(store.glob(f"shards/score/*/{other.stem}/*/rows.parquet"))
    data = bytearray(chunk.read_bytes())
    data[len(data) // 2] ^= 1
    chunk.write_bytes(data)
    torn.write_bytes(torn.read_bytes()[:100])

    full = segscale("verify", config, "--full", "--json")
    assert full.code == 1
    found = {finding["kind"]: finding for finding in json.loads(full.out)["findings"]}
    assert set(found) == {"damaged record", "damaged object"}
    assert found["damaged object"]["place"] == str(chunk.relative_to(store))

    repaired = segscale("repair", config)
    assert repaired.code == 0, repaired.out + repaired.err
    assert "shards done again: 2 of score" in repaired.out
    assert tables(tmp_path) == before
    assert list(store.glob("set-aside/*/findings.json"))
    assert segscale("clean", config, "--older-than", "0").code == 0
    assert not list(store.glob("set-aside/*"))
    clean = segscale("verify", config, "--full")
    assert clean.code == 0, clean.out
    assert len(clean.out.splitlines()) == 1


def test_a_store_that_cannot_be_reached_exits_3(
    segscale: Any, phantoms: Path, tmp_path: Path, write_config: Callable[..., Path]
) -> None:
    config = score_sections(phantoms, tmp_path, shard_images="16")
    # Nothing listens there.
    config["store"]["path"] = '"ftp://127.0.0.1:9/store"'
    outcome = segscale("verify", write_config(**config))
    assert outcome.code == 3, outcome.err
    assert len(outcome.err.strip().splitlines()) == 1
