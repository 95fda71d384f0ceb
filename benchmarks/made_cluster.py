"""A Dask scheduler with any number of workers, all in one process: python made_cluster.py N

They are distributed's own `Worker`, each with its state, its heartbeat and its stream to the scheduler, but without
processes: what a scheduler and a driver have to do for a thousand workers is the same, what the workers compute is not
there. Prints the address of the scheduler when all have come, and ends with its stdin.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

import dask
from distributed import Scheduler, Worker

QUIET = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.system-monitor.gil.enabled": False,
    "distributed.admin.system-monitor.disk": False,
    # Each looks fifty times a second whether the one loop that they share is late.
    "distributed.admin.tick.interval": "1h",
    # Each counts the open files of the one process that they share, twice a second.
    "distributed.admin.system-monitor.interval": "1h",
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
}
TOGETHER = 50


async def serve(n_workers: int) -> None:
    """Start them, say where, and wait for the end of stdin."""
    # A dozen lines of each worker are of no use to anybody, and fill the pipe of whoever does not read them.
    logging.getLogger("distributed").setLevel(logging.ERROR)
    with dask.config.set(QUIET), tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as threads:
        async with Scheduler(host="127.0.0.1", dashboard=False, port=0) as scheduler:
            workers = [
                Worker(
                    scheduler.address,
                    host="127.0.0.1",
                    nthreads=1,
                    memory_limit=0,
                    dashboard=False,
                    name=number,
                    executor={"default": threads},
                    local_directory=folder,
                    heartbeat_interval="30s",
                )
                for number in range(n_workers)
            ]
            for start in range(0, n_workers, TOGETHER):
                await asyncio.gather(*workers[start : start + TOGETHER])
            print(scheduler.address, flush=True)
            await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
            # Nobody waits for a thousand farewells: the process ends with all of them.
            sys.stdout.flush()
            os._exit(0)


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
