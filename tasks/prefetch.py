"""A pipeline of three stages: one thread works ahead of the caller, another behind it, and errors come out of both."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from segscale.errors import StageError

WAITING = 2
"""Items that may lie ready between two stages: enough that neither waits for the other's odd slow one."""
_SHOWN = 3
_END: Final = object()
_Item = TypeVar("_Item")


@contextmanager
def stage(name: str, image_ids: Iterable[str]) -> Iterator[None]:
    """Turn whatever breaks down inside into a StageError that names the stage and the images."""
    try:
        yield
    except Exception as error:
        named = _listed(list(dict.fromkeys(image_ids)))
        raise StageError(f"{name}, {named}: {type(error).__name__}: {error}") from error


def _listed(image_ids: Sequence[str]) -> str:
    more = f" and {len(image_ids) - _SHOWN} more" if len(image_ids) > _SHOWN else ""
    return f"image{'s' * (len(image_ids) > 1)} {', '.join(image_ids[:_SHOWN])}{more}"


def ahead(items: Iterable[_Item]) -> Generator[_Item, None, None]:
    """The items in their order, made by a thread that is at most `WAITING` of them ahead of the caller.

    An error in making one is raised in its place. Close the iterator (`contextlib.closing`) where it may not be used
    up: the thread has ended then.
    """
    source = iter(items)
    pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ahead")
    try:
        ready: deque[Future[Any]] = deque(pool.submit(next, source, _END) for _ in range(WAITING))
        while (item := ready.popleft().result()) is not _END:
            ready.append(pool.submit(next, source, _END))
            yield item
    finally:
        pool.shutdown(cancel_futures=True)


class Behind:
    """Calls made one after the other by a thread, in the order given, with at most `WAITING` of them unfinished.

    A context: on leaving it all calls are done, or dropped where the caller has failed, and the thread has ended. What
    a call raises comes out of a later `call` or out of the context; the calls after it are dropped.
    """

    def __enter__(self) -> Self:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="behind")
        self._unfinished: deque[Future[None]] = deque()
        return self

    def call(self, function: Callable[..., None], *arguments: Any) -> None:
        """Have it called; waits while too many calls are unfinished."""
        while len(self._unfinished) >= WAITING:
            self._unfinished.popleft().result()
        self._unfinished.append(self._pool.submit(function, *arguments))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            while self._unfinished and error is None:
                self._unfinished.popleft().result()
        finally:
            self._pool.shutdown(cancel_futures=True)
