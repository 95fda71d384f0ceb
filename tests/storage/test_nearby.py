"""What somebody may have meant by a name that nothing has: whatever is said, no number is cut."""

from __future__ import annotations

import pytest

from segscale.storage.nearby import Affix, Nearness


@pytest.mark.parametrize(
    ("wanted", "names", "near"),
    [
        pytest.param("case01", "case0 case1", "case1", id="zeros before a number, not the beginning of another"),
        pytest.param("case1", "case001 case01_pred", "case001", id="zeros come before an affix"),
        pytest.param("c1", "c10_pred c1_pred", "c1_pred", id="an affix behind the whole number"),
        pytest.param("c10", "c1_pred c100_pred", "", id="numbers are never cut"),
        pytest.param("case10", "case106_pred case1_pred", "", id="nor where something more is behind them"),
        pytest.param("c1_0", "c10", "", id="nor put together of two"),
        pytest.param("c1", "c1_2", "", id="a number more is another thing"),
        pytest.param("c1", "2_c1", "", id="before the name as well"),
        pytest.param("c1", "c1_0000", "c1_0000", id="but for a channel"),
        pytest.param("c1_0000", "c1", "c1", id="on either side"),
        pytest.param("c1", "pred_c1", "pred_c1", id="a prefix"),
        pytest.param("c1", "c1Mask", "c1Mask", id="a capital begins a word"),
        pytest.param("c01", "c1_pred c2_pred", "c1_pred", id="other zeros and an affix"),
        pytest.param("c1", "c1_final_pred c1_pred", "c1_pred", id="the shortest affix"),
        pytest.param("cat", "catx", "", id="the beginning of a word is no word"),
        pytest.param("c1", "C1 c01", "C1", id="upper and lower case before zeros"),
        pytest.param("case-12", "case_12", "case_12", id="other signs"),
        pytest.param("case1.png", "case1_mask.png case2.png", "case1_mask.png", id="before an ending"),
        pytest.param("case1.png", "case1.nii.gz", "case1.nii.gz", id="with another ending"),
        pytest.param("case1", "quite case2", "", id="none is near"),
    ],
)
def test_the_name_that_was_probably_meant(wanted: str, names: str, near: str) -> None:
    assert Nearness(names.split()).to(wanted) == near


def test_no_affix_cuts_a_number() -> None:
    assert Affix.between(["c10", "c11"], ["c1"]) is None
    assert Affix.between(["c1_0", "c1_1"], ["c1"]) == Affix("_0", True, "c1_0", "c1")


def test_names_without_words_are_near_nothing() -> None:
    assert Nearness(["--", "+"]).to("++") == ""
