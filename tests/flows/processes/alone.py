"""Workers without a cluster for tests: two, whatever the machine has, that load next to nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from segscale.flows.config.cluster import Cluster
from segscale.flows.workers import Workers, end_early


@contextmanager
def two_processes(memory_bytes: int = 2 * 10**12) -> Iterator[Workers]:
    """Of a machine with so much memory."""
    # A command that another test has run in this process may have started some and not taken them.
    end_early()
    machine = "segscale.flows.cluster.machine"
    with (
        mock.patch(f"{machine}.core_count", return_value=2),
        mock.patch("segscale.flows.processes.pool.memory_bytes", return_value=memory_bytes),
        mock.patch("segscale.flows.workers.PRELOAD", "tests.flows.stream_work"),
        Workers(Cluster(), alone=True) as workers,
    ):
        yield workers
