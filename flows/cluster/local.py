"""Workers on this machine: processes that start and end with the run."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from distributed import LocalCluster, Nanny, Scheduler, SpecCluster, Status
from distributed.utils import LoopRunner
from tornado.ioloop import IOLoop

from segscale.errors import ConfigError
from segscale.flows.cluster import tied
from segscale.flows.cluster.apart import deaf
from segscale.flows.cluster.machine import local_workers, memory_bytes
from segscale.flows.config.cluster import Cluster
from segscale.tasks.engines.hardware import visible_gpus

TIED = tied.__name__
"""Loaded by each worker process when it starts."""


@contextmanager
def local_cluster(config: Cluster) -> Iterator[LocalCluster]:
    """Start worker processes with one thread each."""
    n_workers = local_workers(config)
    _require_semaphores()
    with (
        _deaf_loop() as loop,
        LocalCluster(
            n_workers=n_workers,
            threads_per_worker=1,
            # A network takes all of a GPU: several processes on one would fail each other. `gpus` gives each its own.
            env={"CUDA_VISIBLE_DEVICES": ""} if n_workers > 1 else {},
            processes=True,
            # Any free port: 8787 may be another run's.
            dashboard_address="127.0.0.1:0",
            host="127.0.0.1",
            # Dask's own share goes by cores, of which there may be more than memory has room for workers.
            memory_limit=memory_bytes() // n_workers,
            silence_logs=logging.CRITICAL,
            preload=TIED,
            loop=loop,
        ) as cluster,
    ):
        yield cluster


@contextmanager
def gpu_cluster(config: Cluster) -> Iterator[SpecCluster]:
    """Start one process with one thread for each GPU, which sees no other."""
    gpus = visible_gpus()[: config.workers or None]
    options = {
        "nthreads": 1,
        "host": "127.0.0.1",
        # Dask's own share of the memory goes by threads, and these workers have one each whatever their number.
        "memory_limit": memory_bytes() // len(gpus),
        "resources": {"GPU": 1},
        "silence_logs": logging.CRITICAL,
        "preload": TIED,
    }
    workers = {
        f"gpu-{gpu}": {"cls": Nanny, "options": {**options, "env": {"CUDA_VISIBLE_DEVICES": gpu}}} for gpu in gpus
    }
    scheduler = {"cls": Scheduler, "options": {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}}
    _require_semaphores()
    with (
        _deaf_loop() as loop,
        SpecCluster(workers=workers, scheduler=scheduler, silence_logs=logging.CRITICAL, loop=loop) as cluster,
    ):
        yield cluster


def _require_semaphores() -> None:
    """Raise ConfigError where this machine has none to speak to worker processes with; Dask says nothing of it."""
    try:
        multiprocessing.get_context("fork").Lock()
    except OSError as error:
        raise ConfigError(
            f"cluster.kind: workers on this machine need semaphores, which are in /dev/shm: {error}; mount it writable "
            '(containers: --shm-size), or use "address" with workers elsewhere'
        ) from None


@contextmanager
def _deaf_loop() -> Iterator[IOLoop]:
    """The loop of a cluster, in a thread of its own, whose worker processes hear no signal of a terminal."""
    runner = LoopRunner()
    with deaf():
        runner.start()
    try:
        yield runner.loop
    finally:
        runner.stop()


def end_at_once(cluster: SpecCluster) -> None:
    """Kill the workers of a cluster that is about to be closed; nothing that they are at is waited for.

    What they have committed stands, and the rest is nothing.
    """

    def kill() -> None:
        for nanny in cluster.workers.values():
            # It starts no other in its place.
            nanny.close_gracefully()
            if nanny.is_alive():
                with suppress(ProcessLookupError):
                    os.kill(nanny.pid, signal.SIGKILL)

    cluster.loop.add_callback(kill)


def start_missing(cluster: SpecCluster) -> None:
    """Start the workers of a cluster that it should have and whose nannies have given up; returns at once.

    A nanny starts a new process for each that ends. Where that fails as well, for want of memory perhaps, it closes for
    good, and nothing else would take its place.
    """

    def forget_closed() -> None:
        for name, nanny in list(cluster.workers.items()):
            if nanny.status in (Status.closed, Status.failed):
                del cluster.workers[name]

    cluster.loop.add_callback(forget_closed)
    cluster.scale(len(cluster.worker_spec))
