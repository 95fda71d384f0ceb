"""Buffers: memory is used again as soon as nobody holds any of it, and never before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from segscale.tasks.readers import buffers
from segscale.tasks.readers.buffers import LEAST_BYTES, MOST_BYTES, MOST_KEPT, buffer, let_go


@pytest.fixture(autouse=True)
def _keep_nothing() -> Iterator[None]:
    let_go()
    yield
    let_go()


def address(array: NDArray[Any]) -> int:
    return int(array.__array_interface__["data"][0])


def test_what_nobody_holds_is_used_again() -> None:
    first = buffer(LEAST_BYTES)
    place = address(first)
    del first
    again = buffer(LEAST_BYTES)
    assert address(again) == place
    assert again.shape == (LEAST_BYTES,)
    assert again.dtype == np.uint8


def test_what_somebody_holds_is_not() -> None:
    """By whatever is made of it without a copy."""
    holders: list[Callable[[Any], Any]] = [
        lambda array: array,
        lambda array: array[8:].view(np.float64),
        lambda array: array[::2].reshape(2, -1).T,
        memoryview,
        lambda array: np.frombuffer(memoryview(array), np.int16),
        lambda array: array.ctypes,
    ]
    for hold in holders:
        given = buffer(LEAST_BYTES)
        place, held = address(given), hold(given)
        del given
        other = buffer(LEAST_BYTES)
        assert address(other) != place
        del held, other
        let_go()


def test_a_smaller_one_is_a_part_of_the_smallest_that_will_do() -> None:
    sizes = (LEAST_BYTES + 100, LEAST_BYTES + 5, LEAST_BYTES + 50)
    three = [buffer(size) for size in sizes]
    places = [address(one) for one in three]
    del three
    part = buffer(LEAST_BYTES + 6)
    assert (address(part), part.size) == (places[2], LEAST_BYTES + 6)
    part = buffer(LEAST_BYTES + 200)
    assert address(part) not in places, "none of them is as large"


def test_small_and_huge_ones_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    assert buffer(0).size == 0
    assert buffer(LEAST_BYTES - 1).size == LEAST_BYTES - 1
    monkeypatch.setattr(buffers, "MOST_BYTES", 2 * LEAST_BYTES)
    assert buffer(2 * LEAST_BYTES + 1).size == 2 * LEAST_BYTES + 1
    assert buffers._kept == []


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    held = [buffer(LEAST_BYTES) for _ in range(MOST_KEPT + 3)]
    assert len({address(one) for one in held}) == len(held)
    assert len(buffers._kept) == MOST_KEPT
    del held
    monkeypatch.setattr(buffers, "MOST_BYTES", 3 * LEAST_BYTES)
    for n_bytes in (LEAST_BYTES, 2 * LEAST_BYTES, 3 * LEAST_BYTES, LEAST_BYTES):
        assert buffer(n_bytes).size == n_bytes
        assert sum(one.size for one in buffers._kept) <= 3 * LEAST_BYTES
    assert MOST_BYTES >= 2 * 512 * 512 * 1000


def test_threads_never_share_one() -> None:
    def fill(number: int) -> bool:
        mine = buffer(LEAST_BYTES)
        mine[:] = number
        return bool((mine == number).all())

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(fill, range(64)))
