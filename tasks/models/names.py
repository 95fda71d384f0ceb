"""Names of losses and metrics, which become columns and keys."""

import re


def default_name(made: object) -> str:
    """weighted_dice of a WeightedDice. Keras would number those made later.

    >>> default_name(ValueError())
    'value_error'
    """
    return re.sub(r"\B([A-Z])", r"_\1", type(made).__name__).lower()
