"""What this machine has for workers: the cores and the memory that this process may use, of a container too.

As Dask counts them, without loading it.
"""

from __future__ import annotations

import math
import os
import resource
from functools import cache
from pathlib import Path

import psutil

from segscale.flows.config.cluster import Cluster

# A worker that holds a compiled network, its activations and a shard.
WORKER_BYTES = 3 * 1000**3
_GROUPS = Path("/sys/fs/cgroup")
_MEMORY_FILES = ("memory/memory.limit_in_bytes", "memory/memory.soft_limit_in_bytes", "memory.max", "memory.high")


def local_workers(config: Cluster) -> int:
    """How many worker processes this machine gets: as configured, or one per core as far as the memory goes."""
    return config.workers or max(1, min(core_count(), memory_bytes() // WORKER_BYTES))


@cache
def core_count() -> int:
    """The cores that this process may run on, or as many as its group may use the time of."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min([affinity, *_quota()])


def _quota() -> list[int]:
    """The cores whose time the group of this process may use; none where nobody has set a limit."""
    for folder in (_GROUPS / "cpuacct,cpu", _GROUPS / "cpu,cpuacct"):
        try:
            quota, period = (int((folder / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
        except (OSError, ValueError):
            continue
        return [math.ceil(quota / period)] if quota > 0 else []
    try:
        own = Path("/proc/self/cgroup").read_text().strip().rpartition(":")[2].strip("/")
        quota, period = map(int, (_GROUPS / own / "cpu.max").read_text().split())
    except (OSError, ValueError):
        # "max" for the quota, or no groups at all.
        return []
    return [math.ceil(quota / period)] if quota > 0 else []


@cache
def memory_bytes() -> int:
    """The memory that this process and its workers may fill."""
    limits: list[int] = [psutil.virtual_memory().total]
    for name in _MEMORY_FILES:
        try:
            limits.append(int((_GROUPS / name).read_text()))
        except (OSError, ValueError):
            continue
    limits.append(resource.getrlimit(resource.RLIMIT_RSS)[1])
    return min(limit for limit in limits if limit > 0)
