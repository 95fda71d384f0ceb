import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from segscale.errors import StageError
from segscale.tasks.prefetch import WAITING, Behind, ahead, stage

PATIENCE = 30
"""Seconds after which a thread that should have acted never will."""


def _threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith(("ahead", "behind"))}


def test_items_come_in_their_order_from_one_thread() -> None:
    makers = set()

    def numbers() -> Iterator[int]:
        for number in range(20):
            makers.add(threading.current_thread())
            yield number

    assert list(ahead(numbers())) == list(range(20))
    assert len(makers) == 1
    assert threading.current_thread() not in makers
    assert _threads() == set()


def test_items_are_made_while_the_caller_is_busy_but_only_so_many() -> None:
    made, reached = [], threading.Event()

    def numbers() -> Iterator[int]:
        for number in range(20):
            made.append(number)
            if number == WAITING:
                reached.set()
            yield number

    with closing(ahead(numbers())) as items:
        assert next(items) == 0
        assert reached.wait(PATIENCE), "nothing is made while the caller holds an item"
        assert len(made) == 1 + WAITING
    assert _threads() == set()
    assert len(made) == 1 + WAITING


def test_an_error_in_making_comes_in_its_place() -> None:
    def numbers() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("no third")

    items = ahead(numbers())
    assert [next(items), next(items)] == [1, 2]
    with pytest.raises(ValueError, match="no third"):
        next(items)
    assert _threads() == set()


def test_calls_are_made_in_their_order_and_all_of_them() -> None:
    called: list[int] = []
    with Behind() as behind:
        for number in range(50):
            behind.call(called.append, number)
    assert called == list(range(50))
    assert _threads() == set()


def test_the_caller_waits_for_calls_that_are_behind() -> None:
    started, release, accepted = threading.Event(), threading.Event(), []

    def hold() -> None:
        started.set()
        assert release.wait(PATIENCE)

    def give() -> None:
        with Behind() as behind:
            for number in range(WAITING + 1):
                behind.call(hold)
                accepted.append(number)

    giver = threading.Thread(target=give)
    giver.start()
    assert started.wait(PATIENCE)
    assert len(accepted) <= WAITING
    release.set()
    giver.join(PATIENCE)
    assert len(accepted) == WAITING + 1


@pytest.mark.parametrize("failing", [0, 3], ids=["early: at a later call", "last: at the end"])
def test_an_error_of_a_call_comes_out_and_drops_the_others(failing: int) -> None:
    called: list[int] = []

    def note(number: int) -> None:
        if number == failing:
            raise ValueError(f"number {number}")
        called.append(number)

    def note_all() -> None:
        with Behind() as behind:
            for number in range(4):
                behind.call(note, number)

    with pytest.raises(ValueError, match=f"number {failing}"):
        note_all()
    assert called[:failing] == list(range(failing))
    assert _threads() == set()


def test_an_error_of_the_caller_drops_what_was_not_begun() -> None:
    began, release = threading.Event(), threading.Event()
    called: list[int] = []

    def hold() -> None:
        began.set()
        assert release.wait(PATIENCE)

    def fail() -> None:
        with Behind() as behind:
            behind.call(hold)
            behind.call(called.append, 1)
            assert began.wait(PATIENCE)
            threading.Timer(0, release.set).start()
            raise KeyError("caller")

    with pytest.raises(KeyError, match="caller"):
        fail()
    assert _threads() == set()


@pytest.mark.parametrize(
    ("image_ids", "named"),
    [
        pytest.param(["a"], "image a", id="one"),
        pytest.param(["a", "a", "b"], "images a, b", id="tiles of one are one"),
        pytest.param(list("abcde"), "images a, b, c and 2 more", id="many"),
    ],
)
def test_a_stage_names_itself_and_its_images(image_ids: list[str], named: str) -> None:
    with pytest.raises(StageError) as caught, stage("reading", image_ids):
        raise OSError("disk on fire")
    assert str(caught.value) == f"reading, {named}: OSError: disk on fire"
    assert isinstance(caught.value.__cause__, OSError)


def test_an_interrupt_is_no_breakdown() -> None:
    with pytest.raises(KeyboardInterrupt), stage("reading", ["a"]):
        raise KeyboardInterrupt
