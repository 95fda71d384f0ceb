"""docs/first-steps.md holds what the commands say: its script runs them again."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.test_docs_why import assert_same_page

DOCS = Path(__file__).parents[1] / "docs"
STEPS = SimpleNamespace(**runpy.run_path(str(DOCS / "scripts" / "first_steps.py")))


@pytest.mark.slow
def test_the_page_is_what_the_commands_say(tmp_path: Path) -> None:
    STEPS.write_page(tmp_path)
    found, expected = ((folder / STEPS.PAGE).read_text(encoding="utf-8") for folder in (tmp_path, DOCS))
    assert_same_page(found, expected)
