"""The commands of docs/clusters.md, as the tests run them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "clusters.md"


def commands_of(name: str, **replaced: str) -> list[list[str]]:
    """The commands under ``<!-- run: NAME -->``, with words replaced: hosts, ports and files are others in a test."""
    found = re.search(rf"<!-- run: {name} -->\n```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None, f"{PAGE}: no commands under {name}"
    text = found[1]
    for old, new in replaced.items():
        old = old.replace("_", "-")
        assert old in text, f"{PAGE}: {name} does not mention {old}"
        text = text.replace(old, new)
    return [shlex.split(line) for line in text.splitlines()]
