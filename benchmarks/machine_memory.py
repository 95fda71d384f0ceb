"""How fast a machine reads its memory."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np


def read_bandwidth(size: int, repeats: int, threads: int) -> float:
    """Bytes per second that the threads read at best, adding up float64 numbers of `size` bytes."""
    parts = np.array_split(np.ones(size // 8), threads)
    seconds = []
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(repeats + 1):
            start = time.perf_counter()
            list(pool.map(np.sum, parts))
            seconds.append(time.perf_counter() - start)
    return size / min(seconds)
