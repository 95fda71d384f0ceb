"""Fields of patterns: what they stand for, and where that is not certain."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segscale.errors import ListingError
from segscale.storage.name_fields import Fields


def _read(pattern: str, *paths: str) -> list[dict[str, str]]:
    fields = Fields.of(f"/d/{pattern}")
    assert fields is not None
    table, differing = fields.read(paths)
    assert differing == []
    return [{str(name): str(text) for name, text in row.items()} for row in table.to_dict("records")]


@pytest.mark.parametrize(
    ("pattern", "path", "texts"),
    [
        pytest.param("{id}_mask.png", "p0_mask.png", {"id": "p0"}, id="before a suffix"),
        pytest.param(
            "{id}_mask.png", "p_0_mask.PNG", {"id": "p_0"}, id="with the suffix's own sign, ending in capitals"
        ),
        pytest.param("mask-{id}.png", "mask-a.b.png", {"id": "a.b"}, id="with a dot"),
        pytest.param("{site}/{patient}_{id}.png", "s/p_7.png", {"site": "s", "patient": "p", "id": "7"}, id="folders"),
        pytest.param("{id}/{id}_mask.png", "c1/c1_mask.png", {"id": "c1"}, id="twice the same"),
        pytest.param("**/{id}.png", "a/b/x.png", {"id": "x"}, id="at any depth"),
        pytest.param("**/{id}.png", "x.png", {"id": "x"}, id="at no depth"),
        pytest.param("{site}/**/{id}.png", "a/b/x.png", {"site": "a", "id": "x"}, id="a folder above any depth"),
        pytest.param("{site}/**", "a/b/x.png", {"site": "a"}, id="all that lies below"),
        pytest.param("*_*/{id}.png", "a_b_c/x.png", {"id": "x"}, id="a folder in two ways, which says nothing"),
        pytest.param("{id}_[0-9].png", "a_1_2.png", {"id": "a_1"}, id="a set of one letter"),
        pytest.param("r[[]{id}].png", "r[1].png", {"id": "1"}, id="between brackets"),
        pytest.param("{id}_mask.nii.gz", "a_mask.nii.GZ", {"id": "a"}, id="two endings"),
    ],
)
def test_what_fields_stand_for(pattern: str, path: str, texts: dict[str, str]) -> None:
    assert _read(pattern, path) == [texts]


def test_letters_are_those_of_the_disk_whatever_their_form() -> None:
    assert _read("M\u00fc{id}.png", "Mu\u03081.png") == [{"id": "1"}]
    assert _read("{id}.png", "Mu\u0308.png") == [{"id": "Mu\u0308"}]


@pytest.mark.parametrize(
    ("pattern", "path", "words"),
    [
        pytest.param("{a}_{id}.png", "x_y_z.png", r"\{a\} = 'x' and \{id\} = 'y_z', or \{a\} = 'x_y' and", id="fields"),
        pytest.param("*_{id}.png", "x_y_z.png", r"\{id\} = 'y_z', or \{id\} = 'z'", id="a star"),
        pytest.param("{id}.*", "x.nii.gz", r"\{id\} = 'x', or \{id\} = 'x.nii'", id="an ending"),
        pytest.param("**/{site}/**/{id}.png", "a/b/c.png", r"\{site\} = 'a'.* or \{site\} = 'b'", id="which folder"),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused_with_both(pattern: str, path: str, words: str) -> None:
    with pytest.raises(ListingError, match=f"{path} can be read in two ways: {words}"):
        _read(pattern, path)


@pytest.mark.parametrize("pattern", ["{a}{id}.png", "{id}*.png", "*{id}.png", "x/{a}{b}/{id}.png"])
def test_nothing_tells_where_neighbours_end(pattern: str) -> None:
    with pytest.raises(ListingError, match="expected letters between"):
        Fields.of(f"/d/{pattern}")


def test_a_field_that_would_stand_for_two_texts() -> None:
    fields = Fields.of("/d/{id}/{id}_mask.png")
    assert fields is not None
    table, differing = fields.read(["a/a_mask.png", "a/b_mask.png"])
    assert (table["id"].isna().tolist(), differing) == ([False, True], ["a/b_mask.png"])


def test_a_pattern_without_fields_has_none() -> None:
    assert Fields.of("/d/*/[ab].png") is None


texts = st.text(st.sampled_from("ab_-."), min_size=1, max_size=4)


@given(
    texts,
    texts,
    st.sampled_from(["{a}_{b}", "{a}-{b}.png", "{a}/{b}_m.png", "x{a}_{a}{b}.png".replace("{a}{b}", "{b}")]),
)
def test_what_was_written_with_a_pattern_is_read_or_refused(a: str, b: str, pattern: str) -> None:
    """Never another text than the one that was put in."""
    path = pattern.format(a=a, b=b)
    fields = Fields.of(f"/d/{pattern}")
    assert fields is not None
    try:
        table, differing = fields.read([path])
    except ListingError:
        return
    assert differing == []
    assert (table["a"][0], table["b"][0]) == (a, b)
