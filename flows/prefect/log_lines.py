"""Segscale's own log lines among those of the run at the server."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from prefect.context import TaskRunContext
from prefect.logging.handlers import APILogHandler
from prefect.runtime import flow_run

logger = logging.getLogger("segscale")


@contextmanager
def log_lines_at_the_server() -> Iterator[None]:
    """While this is open, what Segscale logs is in the logs of the flow run, and of the task that it came in.

    Where nobody has said how much is to be logged (a worker of Prefect says nothing of it), progress is.
    """
    run_id = flow_run.id
    if run_id is None or any(isinstance(one, APILogHandler) for one in logger.handlers):
        # Prefect's setting `logging.extra_loggers` does the same.
        yield
        return
    handler = APILogHandler()
    handler.addFilter(_Named(run_id))
    level = logger.level
    if level == logging.NOTSET:
        logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


class _Named(logging.Filter):
    """Lets everything pass, and says which run it is of: threads of the run do not know it themselves."""

    def __init__(self, flow_run_id: str) -> None:
        super().__init__()
        self._flow_run_id = flow_run_id

    def filter(self, record: logging.LogRecord) -> bool:
        task = TaskRunContext.get()
        record.flow_run_id = self._flow_run_id
        record.task_run_id = str(task.task_run.id) if task else None
        return True
