"""Model facts: kept by hash and versions, and looked for again where anything differs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from segscale.tasks import inspection
from segscale.tasks.inspection import known_facts, remember_facts

SHA256 = "ab" * 32
FACTS: dict[str, Any] = {"channels": 1, "n_classes": 2, "levels": [1, 2, 3, 4]}


def test_what_was_found_is_known_the_next_time(tmp_path: Path) -> None:
    assert known_facts(SHA256, tmp_path) is None
    remember_facts(SHA256, FACTS, tmp_path)
    assert known_facts(SHA256, tmp_path) == FACTS
    assert known_facts("cd" * 32, tmp_path) is None


def test_another_version_looks_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remember_facts(SHA256, FACTS, tmp_path)
    monkeypatch.setattr(inspection, "CODE_VERSION", inspection.CODE_VERSION + 1)
    assert known_facts(SHA256, tmp_path) is None


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="emptied"),
        pytest.param(b'{"identity', id="cut"),
        pytest.param(b"[]", id="no object"),
        pytest.param(b"\xff\xfe", id="no text"),
        pytest.param(json.dumps({"identity": {}, "facts": FACTS}).encode(), id="of another model"),
    ],
)
def test_a_record_that_is_not_ours_is_no_record(tmp_path: Path, content: bytes) -> None:
    remember_facts(SHA256, FACTS, tmp_path)
    (record,) = tmp_path.glob("models/*")
    record.write_bytes(content)
    assert known_facts(SHA256, tmp_path) is None


def test_a_folder_that_cannot_be_written_to_costs_the_next_look(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file where the folder should be")
    remember_facts(SHA256, FACTS, tmp_path)
    assert known_facts(SHA256, tmp_path) is None
