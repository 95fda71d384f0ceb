from __future__ import annotations

import pandas as pd
import pytest

from segscale.errors import ArgumentError
from segscale.tasks.metrics.chosen_head import chosen_head


@pytest.mark.parametrize(
    ("heads", "asked", "expected"),
    [
        pytest.param(["", ""], None, "", id="one without a name"),
        pytest.param(["head_4"], None, "head_4", id="one alone need not be named"),
        pytest.param(["head_1", "head_4", "head_1"], "head_4", "head_4", id="one of several"),
    ],
)
def test_a_head_is_found(heads: list[str], asked: str | None, expected: str) -> None:
    assert chosen_head(pd.DataFrame({"head": heads}), asked) == expected


@pytest.mark.parametrize(
    ("heads", "asked", "words"),
    [
        pytest.param(["head_1", "head_4"], None, "expected the one whose predictions are meant", id="two, none named"),
        pytest.param(["head_1"], "head_9", "expected a head of this report, got 'head_9'", id="no such head"),
        pytest.param([""], "head_1", "of one head without a name; leave it out", id="a name where there is none"),
    ],
)
def test_what_names_no_head_is_refused(heads: list[str], asked: str | None, words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        chosen_head(pd.DataFrame({"head": heads}), asked)
