"""Values that more than one section of the configuration holds: names, numbers, places."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from segscale.errors import ListingError
from segscale.flows.config.toml_text import special_letters
from segscale.storage.locations import redacted, refuse_secrets
from segscale.storage.patterns import Pattern, names_folders
from segscale.tasks.refusal import as_toml

NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
NAMED = "letters A to Z, digits, dots, dashes and underscores, with a letter or digit at the beginning"
"""The same in words."""


def spelled(pattern: str, words: str) -> AfterValidator:
    """Makes a text one that the pattern fits; what fits not is refused in words, for nobody reads patterns."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"expected {words}, got {as_toml(text)}")
        return text

    return AfterValidator(check)


Name = Annotated[str, Field(max_length=100), spelled(NAME, NAMED)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]


def _typed_place(place: str) -> str:
    if advice := special_letters(place):
        raise ValueError(f"expected a path, got {as_toml(place)}: {advice}")
    return place


# What is refused is shown by whoever validates (Prefect too), so it is refused without its secrets.
Place = Annotated[
    str,
    AfterValidator(_typed_place),
    AfterValidator(refuse_secrets),
    BeforeValidator(lambda url: redacted(url) if isinstance(url, str) else url),
]
Folder = Annotated[Place, Field(min_length=1)]


def _readable(pattern: str) -> str:
    try:
        Pattern.of(pattern)
    except ListingError as error:
        raise ValueError(str(error)) from None
    return pattern


Names = Annotated[Place, AfterValidator(_readable)]
"""A folder, a file or a pattern."""


def anchored(path: str, base: Path) -> str:
    """A path that is meant relative to a folder, absolute; others, and URLs, as they are."""
    if not path or "://" in path or Path(path).is_absolute():
        return path
    # A slash at the end of a pattern says that it names folders.
    return os.path.normpath(base / path) + "/" * names_folders(path)
