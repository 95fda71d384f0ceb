import base64

from segscale.tasks.overlays.pictures import Overlay, Overlays
from segscale.tasks.report_html.case_cards import case_groups
from segscale.tasks.report_html.cases import Case

CASES = (
    Case("a", 1, "liver", "worst", 0.1, 1000, 5),
    Case("b", 1, "liver", "worst", 0.2, 10, 5),
    Case("c", 1, "liver", "best", 0.9, 10, 5),
    Case("a", 2, "spleen", "worst", 0.3, 10, 5),
)


def test_cases_of_a_class_and_rank_stand_together() -> None:
    groups = case_groups(CASES, Overlays())
    assert [(group.class_name, group.title, [card.image_id for card in group.cards]) for group in groups] == [
        ("liver", "Lowest Dice", ["a", "b"]), ("liver", "Highest Dice", ["c"]), ("spleen", "Lowest Dice", ["a"]),
    ]  # fmt: skip
    assert groups[0].cards[0].pixels == "1,000 reference, 5 predicted pixels"
    assert {card.source for group in groups for card in group.cards} == {""}


def test_a_picture_is_of_one_class_and_says_its_slice() -> None:
    drawn = {("a", 1): Overlay(b"png", 3, 40), ("c", 1): Overlay(b"flat", 0, 1)}
    first, last, other = case_groups(CASES, Overlays(drawn))
    assert base64.b64decode(first.cards[0].source.removeprefix("data:image/png;base64,")) == b"png"
    assert first.cards[0].slice == "slice 3 of 40"
    assert "Dice 0.100" in first.cards[0].alt
    assert first.cards[0].alt.endswith("slice 3 of 40")
    assert last.cards[0].slice == ""
    assert other.cards[0].source == ""
