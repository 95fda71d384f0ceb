"""Settings that check themselves: what a computation takes, and what a section of the configuration is."""

from __future__ import annotations

import re
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from segscale.errors import ArgumentError

S = TypeVar("S", bound="Section")


class Section(BaseModel):
    """A frozen record of settings. ValidationError, a ValueError, names each field that is out of its range."""

    # Strict: "0.5" is no number and true is no 1; only lists may become tuples, and integers floats.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    def changed(self, **changes: Any) -> Self:
        """The same with other values of some fields. Raises ArgumentError, one line, for what is out of its range."""
        try:
            return type(self)(**{**dict(self), **changes})
        except ValidationError as error:
            raise ArgumentError(one_line(error)) from None

    def part(self, kind: type[S]) -> S:
        """The fields that a record has of another kind, as that kind: of a section its settings."""
        return kind(**{name: getattr(self, name) for name in kind.model_fields})


def one_line(error: ValidationError) -> str:
    """The first thing that was refused: which key, what was expected, what was given; and how many others were."""
    first, *others = error.errors(include_url=False)
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        text = f"{key}: unknown key"
    elif first["type"] == "missing":
        text = f"{key}: required, and not given"
    elif first["type"] == "value_error":
        said = str(first["ctx"]["error"])
        # What a section says of one of its keys begins with the key.
        joint = "." if re.match(r"[a-z_0-9]+(, [a-z_0-9]+)*: ", said) else ": "
        text = f"{key}{joint}{said}" if key else said
    else:
        text = f"{key}: {first['msg'][0].lower()}{first['msg'][1:]}, got {first['input']!r}"
    return text + (f" (and {len(others)} more)" if others else "")
