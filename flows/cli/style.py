"""How the result looks: as wide as the terminal, and with emphasis where a terminal shows it."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from dataclasses import dataclass

_BOLD, _RED, _YELLOW, _PLAIN = "\x1b[1m", "\x1b[31m", "\x1b[33m", "\x1b[0m"


@dataclass(frozen=True, slots=True)
class Style:
    """What files and pipes get is plain and as wide as it is."""

    width: int | None = None
    """Places of a line; None: any number."""
    has_colours: bool = False

    def strong(self, text: str) -> str:
        """Emphasised."""
        return self._in(_BOLD, text)

    def alarming(self, text: str, severity: str) -> str:
        """An error red, a warning yellow."""
        return self._in({"error": _RED, "warning": _YELLOW}.get(severity, ""), text)

    def wrapped(self, text: str) -> list[str]:
        """A sentence as lines of the terminal; what follows the first stands further in."""
        if self.width is None:
            return [text]
        inner = " " * (len(text) - len(text.lstrip()) + 2)
        return textwrap.wrap(text, max(self.width, 20), subsequent_indent=inner, break_on_hyphens=False) or [""]

    def _in(self, code: str, text: str) -> str:
        return f"{code}{text}{_PLAIN}" if self.has_colours and code else text


def style_of_stdout() -> Style:
    """What the reader of stdout is: a terminal of some width, or something else. NO_COLOR, if not empty, is heeded."""
    if not sys.stdout.isatty():
        return Style()
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM", "dumb") == "dumb"
    return Style(shutil.get_terminal_size().columns, not plain)
