import numpy as np
import pytest

from segscale.tasks.report_html import words


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param(0.12349, "0.123", id="three decimals"),
        pytest.param(-0.5, "\N{MINUS SIGN}0.500", id="a true minus sign"),
        pytest.param(-0.0001, "0.000", id="no minus before nothing"),
        pytest.param(np.nan, words.UNDEFINED, id="NaN is no number"),
        pytest.param(None, words.UNDEFINED, id="nor is None"),
    ],
)
def test_scores(value: float | None, text: str) -> None:
    assert words.score(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param(0.25, "+0.250", id="above"),
        pytest.param(-0.25, "\N{MINUS SIGN}0.250", id="below"),
        pytest.param(0.0001, "0.000", id="no sign before nothing"),
        pytest.param(np.nan, words.UNDEFINED, id="undefined"),
    ],
)
def test_signed_scores(value: float, text: str) -> None:
    assert words.signed(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param(-0.05, "\N{MINUS SIGN}0.050", id="two digits, the zero too"),
        pytest.param(1.234e-6, "+1.2e\N{MINUS SIGN}06", id="one image of a million"),
        pytest.param(0.0, "0", id="nothing"),
        pytest.param(np.nan, words.UNDEFINED, id="undefined"),
    ],
)
def test_small_parts(value: float, text: str) -> None:
    assert words.small(value) == text


def test_counts_and_levels() -> None:
    assert (words.images(1), words.images(0), words.images(100_000)) == ("1 image", "0 images", "100,000 images")
    assert (words.share(0.95), words.share(0.995)) == ("95 %", "99.5 %")
