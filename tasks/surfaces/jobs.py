"""Pieces of work on several threads."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

ResultT = TypeVar("ResultT")


def run(jobs: Sequence[Callable[[], ResultT]], n_threads: int) -> list[ResultT]:
    """What the jobs give, in their order; compiled code lets other threads run."""
    if n_threads < 2 or len(jobs) < 2:
        return [job() for job in jobs]
    with ThreadPoolExecutor(min(n_threads, len(jobs))) as pool:
        return list(pool.map(lambda job: job(), jobs))
