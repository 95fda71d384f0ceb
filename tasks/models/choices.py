"""Arguments that name one of a few choices."""

from __future__ import annotations

from typing import Any, get_args

from segscale.errors import ArgumentError


def check_choice(argument: str, value: str, choices: Any) -> None:
    """Raise ArgumentError for a `value` that is none of a Literal's `choices`; it names the argument and all of them.

    >>> from typing import Literal
    >>> check_choice("size", "small", Literal["small", "large"])
    >>> check_choice("size", "huge", Literal["small", "large"])
    Traceback (most recent call last):
    segscale.errors.ArgumentError: size must be one of ('small', 'large'), got 'huge'
    """
    if value not in get_args(choices):
        raise ArgumentError(f"{argument} must be one of {get_args(choices)}, got {value!r}")
