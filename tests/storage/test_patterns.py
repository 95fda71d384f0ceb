"""Patterns: where one begins, what it stands for, and how a letter that stands for others is written as itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segscale.errors import ListingError
from segscale.storage.patterns import Pattern, escaped, has_fields, is_pattern, matcher


@pytest.mark.parametrize(
    ("path", "root", "segments"),
    [
        pytest.param("/data/masks", "/data/masks", (), id="a folder"),
        pytest.param("/data/masks/{id}_mask.png", "/data/masks", ("{id}_mask.png",), id="a field"),
        pytest.param("/d/{site}/m/{id}.png", "/d", ("{site}", "m", "{id}.png"), id="a field in a folder"),
        pytest.param("/d/[{]id}/m", "/d/{id}/m", (), id="a folder that is called like a field"),
        pytest.param("/d/{open/m", "/d/{open/m", (), id="a brace that nobody closed"),
        pytest.param("s3://b/{id}.png", "s3://b", ("{id}.png",), id="elsewhere"),
    ],
)
def test_where_a_pattern_begins(path: str, root: str, segments: tuple[str, ...]) -> None:
    assert Pattern.of(path) == Pattern(root, segments)


@pytest.mark.parametrize("segment", ["{}", "{a-b}.png", "*.{png,tif}", "{1}", "{3F25-04E0}", "{é}"])
def test_braces_around_what_is_no_name_are_refused(segment: str) -> None:
    with pytest.raises(ListingError, match=r"name of a field between braces.*\[{\]"):
        Pattern.of(f"/data/{segment}")


@pytest.mark.parametrize(
    ("segment", "name", "takes"),
    [
        pytest.param("{id}_mask.png", "p0_mask.PNG", True, id="the ending in either case"),
        pytest.param("{id}_mask.png", "p0_Mask.png", False, id="the rest as it is"),
        pytest.param("{id}_mask.png", "_mask.png", False, id="no empty field"),
        pytest.param("{id}*.png", "p0.png", True, id="beside a star"),
        pytest.param("{id}_[0-9].png", "p_7.png", True, id="beside a set"),
    ],
)
def test_what_a_field_stands_for(segment: str, name: str, takes: bool) -> None:
    assert (matcher(segment).fullmatch(name) is not None) is takes


@given(st.text(st.sampled_from("ab*?[]{}!/"), min_size=1))
def test_an_escaped_path_stands_for_itself_alone(path: str) -> None:
    assert Pattern.of(escaped(path)) == Pattern(path, ())
    assert not any(is_pattern(part) or has_fields(part) for part in escaped(path).split("/"))
