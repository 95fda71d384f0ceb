"""What stands under a field is its description where a schema is asked for."""

from __future__ import annotations

from segscale.tasks.section import Section


class Plain(Section):
    """A section."""

    size: int = 1
    """Side of a square,
    in pixels."""
    bare: int = 2


class Wider(Plain):
    """The same with more."""

    size: int = 3
    """Likewise, of a rectangle."""
    more: str = ""
    """Anything."""


def test_texts_under_fields_are_their_descriptions() -> None:
    said = {name: shown.get("description") for name, shown in Plain.model_json_schema()["properties"].items()}
    assert said == {"size": "Side of a square, in pixels.", "bare": None}


def test_a_field_that_is_written_anew_has_its_new_text() -> None:
    said = {name: shown.get("description") for name, shown in Wider.model_json_schema()["properties"].items()}
    assert said == {"size": "Likewise, of a rectangle.", "bare": None, "more": "Anything."}
