"""Affixes that all names of a folder share: what is found, and what is no pair however near it looks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segscale.storage.affixes import Affixes, Match, matches


def _found(names: str, others: str) -> list[tuple[str, str]]:
    """As patterns of each side."""
    named = [(match.own.named("*"), match.other.named("*")) for match in matches(names.split(), others.split())]
    swapped = [(match.other.named("*"), match.own.named("*")) for match in matches(others.split(), names.split())]
    assert sorted(named) == sorted(swapped), "whichever side is asked"
    return named


@pytest.mark.parametrize(
    ("names", "others", "patterns"),
    [
        pytest.param("p0 p1", "p0_mask p1_mask", ("*", "*_mask"), id="a suffix"),
        pytest.param("p0 p1", "mask_p0 mask_p1", ("*", "mask_*"), id="a prefix"),
        pytest.param("p0 p1", "pred-p0 pred-p1", ("*", "pred-*"), id="a prefix with a dash"),
        pytest.param("a_0000 b_0000", "a b", ("*_0000", "*"), id="nnU-Net's channel"),
        pytest.param("c_1_0000 c_2_0000", "c_1 c_2", ("*_0000", "*"), id="a channel behind a number"),
        pytest.param("a.ome b.ome", "a b", ("*.ome", "*"), id="half an ending"),
        pytest.param("IDRiD_01_EX IDRiD_02_EX", "IDRiD_01 IDRiD_02", ("*_EX", "*"), id="a word that nobody knows"),
        pytest.param("IDRiD_01_EX IDRiD_02_EX", "IDRiD_01_pred IDRiD_02_pred", ("*_EX", "*_pred"), id="beside a known"),
        pytest.param("p0_mask p1_mask", "p0_pred p1_pred", ("*_mask", "*_pred"), id="of each side its own"),
        pytest.param("img_01_ct img_02_ct", "01 02", ("img_*_ct", "*"), id="on both ends"),
        pytest.param("img_01 img_02", "01_seg 02_seg", ("img_*", "*_seg"), id="at different ends"),
        pytest.param("img001 img002", "mask001 mask002", ("img*", "mask*"), id="a word beside a number"),
        pytest.param("c1 c2", "c1Mask c2Mask", ("*", "*Mask"), id="a number beside a word"),
        pytest.param("a b c d", "a_pred c_pred", ("*", "*_pred"), id="half the predictions missing"),
        pytest.param("a b", "a_pred b_pred c_pred d_pred", ("*", "*_pred"), id="half the references missing"),
        pytest.param("case_1_img case_2_img", "case_1_seg", ("*_img", "*_seg"), id="a single one"),
        pytest.param("lung_img_1 lung_img_2", "lung_mask_1 lung_mask_2", ("lung_img_*", "lung_mask_*"), id="shared"),
        pytest.param("x/p0_img y/p0_img", "x/p0_seg y/p0_seg", ("*_img", "*_seg"), id="in folders"),
        pytest.param("I(1) I(2)", "I(1)_mask I(2)_mask", ("*", "*_mask"), id="behind a bracket"),
        pytest.param("I(1)_img J(1)_img", "I(1)_seg J(1)_seg", ("*_img", "*_seg"), id="behind one that all have"),
        pytest.param("I(1) J(1)", "I(1)_mask J(1)_mask", ("*", "*_mask"), id="a bracket is no suffix"),
        pytest.param("(1)I (1)J", "mask_(1)I mask_(1)J", ("*", "mask_*"), id="before a bracket"),
        pytest.param("a1 a2", "a1(mask) a2(mask)", ("*", "*(mask)"), id="in brackets"),
        pytest.param("a+ b+", "a+_mask b+_mask", ("*", "*_mask"), id="behind any sign"),
        pytest.param("c1/images/x c2/images/x", "c1/masks/x c2/masks/x", ("*/images/x", "*/masks/x"), id="of folders"),
    ],
)
def test_what_a_whole_side_shares_is_found(names: str, others: str, patterns: tuple[str, str]) -> None:
    assert _found(names, others) == [patterns]


@pytest.mark.parametrize(
    ("names", "others"),
    [
        pytest.param("1 2 3", "01 02 03", id="other zeros: 1 may or may not be 01"),
        pytest.param("img_1 img_2", "mask_01 mask_02", id="other zeros behind words"),
        pytest.param("10 20 30", "1 2 3", id="the end of a number is no suffix"),
        pytest.param("1_1 1_2", "1 2", id="slices of patient 1 are not patients"),
        pytest.param("1_1 2_1", "1 2", id="slice 1 of a patient is not the patient"),
        pytest.param("p1_s1 p1_s2", "p2_s1 p2_s2", id="another patient's slices"),
        pytest.param("siteA_1 siteA_2", "siteB_1 siteB_2", id="another site's numbers"),
        pytest.param("a_x b_x", "a_y b_y", id="words that nobody knows on both sides"),
        pytest.param("p0 p1", "p0_mask p1_edge", id="a suffix that only some have"),
        pytest.param("P1 P2", "p1 p2", id="upper and lower case"),
        pytest.param("cat dog", "catx dogx", id="the end of a word is no suffix"),
        pytest.param("a b c d e f", "a_pred x_pred y_pred z_pred", id="fewer than half"),
        pytest.param("mask", "pred", id="nothing would be left"),
        pytest.param("a_b_1 a_b_2", "b_a_1 b_a_2", id="the same words in another order"),
    ],
)
def test_what_only_looks_like_a_pair_is_none(names: str, others: str) -> None:
    assert _found(names, others) == []


@pytest.mark.parametrize("sign", [")", "+", "#", "_", "-"])
def test_signs_alone_are_no_affix(sign: str) -> None:
    """They may be a part of the name."""
    assert matches(["a", "b"], [f"a{sign}", f"b{sign}"]) == []
    assert matches(["a", "b"], [f"{sign}a", f"{sign}b"]) == []


def test_names_with_blanks_are_cut_at_the_suffix_alone() -> None:
    images = [f"IMG {place} (1)" for place in range(3)]
    found = matches(images, [f"{name}_mask" for name in images])
    assert found[0] == Match(Affixes(), Affixes("", "_mask"))
    assert all(match.own.core(images[0]) in (images[0], "IMG 0") for match in found)


def test_an_affix_with_blanks_is_quoted() -> None:
    assert str(Affixes("a ", "_b")) == "begin with 'a ' and end in _b"
    assert str(Affixes("", " mask")) == "end in ' mask'"


def test_two_readings_are_both_returned() -> None:
    assert _found("s_a_m", "s_a a_m") == [("*_m", "*"), ("s_*", "*")]


names = st.lists(st.from_regex(r"[a-z]{1,3}(_[a-z]{1,2})?", fullmatch=True), min_size=2, max_size=6, unique=True)
ends = st.sampled_from(["_mask", "_pred", "_seg", "_0000", "-gt"])


@given(names, ends, st.sampled_from(["", "img_", "pred-"]))
def test_a_folder_renamed_as_a_whole_is_found_again(stems: list[str], suffix: str, prefix: str) -> None:
    own, other = Affixes(), Affixes(prefix, suffix)
    assert Match(own, other) in matches(stems, [other.named(stem) for stem in stems])


@given(names, names)
def test_whatever_is_matched_shares_what_is_left(one: list[str], two: list[str]) -> None:
    for match in matches(one, two):
        cores, others = ({a.core(name) for name in side} for a, side in ((match.own, one), (match.other, two)))
        assert 2 * len(cores & others) >= min(len(one), len(two))
        assert "" not in cores | others
        assert all(match.own.named(match.own.core(name)) == name for name in one)
