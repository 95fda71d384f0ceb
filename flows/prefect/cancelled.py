"""A run that is cancelled at the server ends as Cancelled, also one that no runner and no worker looks after."""

from __future__ import annotations

import _thread
import logging
import os
import threading
from collections.abc import Callable
from typing import Any, TypeVar, cast
from uuid import UUID

import httpx
from prefect import get_client
from prefect.client.schemas.objects import State
from prefect.exceptions import PrefectException
from prefect.runtime import flow_run
from prefect.settings import PREFECT_API_URL
from prefect.states import Cancelled

R = TypeVar("R")
logger = logging.getLogger("segscale")
LOOK_SECONDS = 3.0
"""So often the server is asked."""
SLOW_SECONDS = 3.0
"""A main thread that is in a library for longer will not say itself what became of the run: the command is ended."""
LOOKED_AFTER = "PREFECT__FLOW_RUN_ID"
"""In the environment of flow runs that a runner or a worker has started, which ends them itself."""


def until_cancelled(body: Callable[[], R]) -> R:
    """What `body` returns, in a flow; Prefect's state Cancelled where the run is cancelled before.

    The body is then interrupted as by a Ctrl-C.
    """
    if LOOKED_AFTER in os.environ or not PREFECT_API_URL.value():
        return body()
    ended, cancelled = threading.Event(), threading.Event()
    threading.Thread(target=_watch, args=(flow_run.id, ended, cancelled), name="cancelled", daemon=True).start()
    try:
        return body()
    except BaseException:  # what is interrupted within a library may come out as an error of it
        if not cancelled.is_set():
            raise
        # Prefect takes a state that a flow returns for the flow's own.
        return cast(R, _state())
    finally:
        ended.set()


def _state() -> State[Any]:
    return Cancelled(message="The run was cancelled; what was committed stays.")


def _watch(run_id: str, ended: threading.Event, cancelled: threading.Event) -> None:
    """Interrupts the main thread where a run is cancelled before it has ended."""
    with get_client(sync_client=True) as client:
        this = UUID(run_id)
        while not ended.wait(LOOK_SECONDS):
            try:
                state = client.read_flow_run(this).state
            except (httpx.HTTPError, PrefectException):
                # Of a server that is away for a while the run itself hears soon enough.
                continue
            if state is not None and (state.is_cancelling() or state.is_cancelled()):
                logger.warning("prefect: the run was cancelled")
                cancelled.set()
                _thread.interrupt_main()
                if not ended.wait(SLOW_SECONDS):
                    client.set_flow_run_state(this, _state(), force=True)
                return
