from __future__ import annotations

import pytest

from segscale.tasks.engines.heads import Level, choose_heads

FOUR = ("head_1", "head_2", "head_3", "head_4")


@pytest.mark.parametrize(
    ("outputs", "level", "ensemble", "computed", "reported"),
    [
        pytest.param(FOUR, 1, False, ("head_1",), ("head_1",), id="a level is its head"),
        pytest.param(FOUR, 4, False, ("head_4",), ("head_4",), id="the last level needs no other head"),
        pytest.param(FOUR, 3, True, FOUR[:3], ("ensemble",), id="the mean of the heads up to a level"),
        pytest.param(FOUR, 1, True, ("head_1",), ("ensemble",), id="the mean of one"),
        pytest.param(FOUR, "all", False, FOUR, FOUR, id="every head in one pass"),
        pytest.param(FOUR, "all", True, FOUR, (*FOUR, "ensemble"), id="every head, then their mean"),
        pytest.param(("head_10", "head_9"), "all", False, ("head_9", "head_10"), ("head_9", "head_10"), id="by number"),
        pytest.param(("head_4",), 4, True, ("head_4",), ("ensemble",), id="trained without deep supervision"),
        pytest.param(("seen",), 4, False, ("seen",), ("seen",), id="a network with no levels"),
        pytest.param(("b", "a"), "all", False, ("b", "a"), ("b", "a"), id="other names keep their order"),
        pytest.param(("head_1", "edge"), 1, False, ("head_1", "edge"), ("head_1", "edge"), id="one other name"),
        pytest.param(("b", "a"), 2, True, ("b", "a"), ("ensemble",), id="mean of outputs with other names"),
    ],
)
def test_choice(
    outputs: tuple[str, ...], level: Level, ensemble: bool, computed: tuple[str, ...], reported: tuple[str, ...]
) -> None:
    choice = choose_heads(outputs, level, ensemble)
    assert (choice.computed, choice.reported) == (computed, reported)
    assert choice.averaged is ensemble


@pytest.mark.parametrize("ensemble", [False, True])
def test_a_level_that_is_not_there_is_refused(ensemble: bool) -> None:
    with pytest.raises(ValueError, match="level 3 is not there: the model has the outputs head_1, head_2"):
        choose_heads(["head_2", "head_1"], 3, ensemble)
