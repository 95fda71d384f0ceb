"""Pages of docs whose rows are each shown by a check of the same name."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Generic, ParamSpec

P = ParamSpec("P")
DOCS = Path(__file__).parents[1] / "docs"


class PageRows(Generic[P]):
    """The rows of the tables of a page, and the checks that were written for them."""

    def __init__(self, page: str, *heads: str) -> None:
        """`heads` are the first cells of its tables."""
        found = re.findall(r"^\| (.+?) \| ", (DOCS / page).read_text(encoding="utf-8"), re.MULTILINE)
        self.names = [name for name in found if name not in heads]
        self.checks: dict[str, Callable[P, None]] = {}

    def row(self, name: str) -> Callable[[Callable[P, None]], Callable[P, None]]:
        """The decorator of the check of a row."""

        def register(check: Callable[P, None]) -> Callable[P, None]:
            assert name not in self.checks
            self.checks[name] = check
            return check

        return register
