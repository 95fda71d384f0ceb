"""Settings that check themselves: what a computation takes, and what a section of the configuration is."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A frozen record of settings. ValidationError, a ValueError, names each field that is out of its range."""

    # Strict: "0.5" is no number and true is no 1; only lists may become tuples, and integers floats.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    def changed(self, **changes: Any) -> Self:
        """The same with other values of some fields, checked anew."""
        return type(self)(**{**dict(self), **changes})
