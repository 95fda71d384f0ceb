"""Settings that check themselves: what a computation takes, and what a section of the configuration is."""

from __future__ import annotations

from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from segscale.errors import ArgumentError
from segscale.tasks.refusal import refusals

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
            raise ArgumentError("; ".join(refusals(error, type(self)))) from None

    def part(self, kind: type[S]) -> S:
        """The fields that a record has of another kind, as that kind: of a section its settings."""
        return kind(**{name: getattr(self, name) for name in kind.model_fields})
