"""Halving: the names at which workers end are found, and no others."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segscale.flows.shards.bisection import find_poison


@given(st.integers(1, 40).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1)))))
def test_exactly_the_deadly_are_found(case: tuple[int, set[int]]) -> None:
    count, deadly = case
    trials: list[Sequence[str]] = []

    def trial(names: Sequence[str]) -> str:
        trials.append(names)
        return "WorkerDied" if any(int(name) in deadly for name in names) else ""

    found = find_poison([str(number) for number in range(count)], trial)
    assert found == {str(number): "WorkerDied" for number in deadly}
    for name in found:
        # The shard that is one image has died as a whole before.
        assert sum(list(names) == [name] for names in trials) == (2 if count > 1 else 1)


def test_what_ends_workers_only_together_is_nobody_s_fault() -> None:
    assert find_poison(["a", "b", "c", "d"], lambda names: "WorkerDied" if len(names) > 1 else "") == {}


def test_a_single_death_alone_is_not_enough() -> None:
    deaths = iter(["WorkerDied", "", ""])
    assert find_poison(["a", "b"], lambda _: next(deaths)) == {}


@pytest.mark.parametrize("ending", ["WorkerDied", "TimeLimit"])
def test_the_word_is_kept(ending: str) -> None:
    assert find_poison(["a"], lambda _: ending) == {"a": ending}
