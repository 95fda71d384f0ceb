"""Which columns of a table make strata where nobody said so."""

from __future__ import annotations

import pandas as pd
import pytest

from segscale.flows.strata import MOST, columns_of_few_values

TABLE = pd.DataFrame(
    {
        "patient": [f"p{row // 4}" for row in range(32)],
        "site": [f"s{row // 8}" for row in range(32)],
        "view": [f"v{row % 2}" for row in range(32)],
        "age": range(32),
        "constant": "x",
        "year": [row % (MOST + 1) for row in range(32)],
        "empty": None,
    }
)
NAMES = [str(name) for name in TABLE]


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        pytest.param("", ["site", "view"], id="2 to 12 values, of 5 images and more"),
        pytest.param("patient", ["site"], id="a patient has several views, and is no stratum of its own"),
    ],
)
def test_columns_of_few_values(unit: str, expected: list[str]) -> None:
    assert columns_of_few_values(TABLE, NAMES, unit) == expected


def test_values_of_few_images_are_no_strata() -> None:
    assert columns_of_few_values(pd.DataFrame({"a": range(20), "b": [n // 4 for n in range(20)]}), ["a", "b"]) == []
