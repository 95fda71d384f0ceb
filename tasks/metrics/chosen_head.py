"""The head of a network whose rows of a table are meant."""

from __future__ import annotations

import pandas as pd

from segscale.errors import ArgumentError
from segscale.tasks.refusal import there_are


def chosen_head(table: pd.DataFrame, head: str | None) -> str:
    """The head that is asked for, as the column `head` of a table has it; of one alone it need not be named.

    Raises ArgumentError for a head that there is not, and where one of several has to be named.
    """
    heads = list(dict.fromkeys(table["head"].astype(str)))
    if head is None and len(heads) > 1:
        raise ArgumentError(f"head: expected the one whose predictions are meant, got none; {there_are(heads)}")
    if head is not None and head not in heads:
        known = there_are(heads) if any(heads) else "its predictions are of one head without a name; leave it out"
        raise ArgumentError(f"head: expected a head of this report, got {head!r}; {known}")
    return heads[0] if head is None else head
