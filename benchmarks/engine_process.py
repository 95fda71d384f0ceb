"""An engine in a process of its own, which computes while it is told to.

The process reads a line with two moments of the system's monotonic clock, computes batch after batch from about the
first until the second, and answers with the moments at which batches ended in between (two at least). So several of
them can be watched over a window in which all of them work.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from made_engines import EngineName, make_engine

from segscale.tasks.engines import Precision

START_SECONDS = 0.5
"""From the order to the first moment; half of it is spent computing already, so that all are at work by then."""


@dataclass(frozen=True, slots=True)
class EngineOrder:
    """Which engine, and on what."""

    model: str
    """A `.keras` file."""
    level: int
    engine: EngineName
    precision: Precision
    threads: int
    batch: int
    side: int


class EngineProcess:
    """The other end: a running process."""

    def __init__(self, order: EngineOrder) -> None:
        self._order = order
        fields = {name: getattr(order, name) for name in EngineOrder.__dataclass_fields__}
        command = [sys.executable, __file__, json.dumps(fields)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def wait_until_warm(self) -> None:
        """Return when the engine is compiled. Raises RuntimeError where it could not be built."""
        if self._read() != "warm":
            raise RuntimeError(f"no engine {self._order.engine} in {self._order.precision}; the reason stands above")

    def start(self, begin: float, end: float) -> None:
        """Let it work in this window; `rate` waits for the end."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{begin} {end}\n")
        self._process.stdin.flush()

    def rate(self) -> float:
        """Images per second of the window, from the first batch that ended in it to the last."""
        ends: list[float] = json.loads(self._read())
        return (len(ends) - 1) * self._order.batch / (ends[-1] - ends[0])

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def rates_together(processes: list[EngineProcess], seconds: float) -> list[float]:
    """Images per second of each, all of them at work over the same window."""
    begin = time.monotonic() + START_SECONDS
    for process in processes:
        process.start(begin, begin + seconds)
    return [process.rate() for process in processes]


def serve(order: EngineOrder) -> None:
    """Build the engine and work as told by the lines of standard input, until it ends."""
    # Nothing but answers may come out where the other end reads.
    from made_networks import made_pixels, unit_recipes

    engine = make_engine(
        order.engine, Path(order.model), level=order.level, precision=order.precision, threads=order.threads
    )
    pixels, recipes = made_pixels(order.batch, order.side), unit_recipes(order.batch)
    for _ in range(3):
        engine.probabilities(pixels, recipes)
    print("warm", flush=True)
    for line in sys.stdin:
        begin, end = map(float, line.split())
        time.sleep(max(0.0, begin - START_SECONDS / 2 - time.monotonic()))
        ends: list[float] = []
        # A window that is too short for two batches is left: any rate needs two.
        while time.monotonic() < end or len(ends) < 2:
            engine.probabilities(pixels, recipes)
            now = time.monotonic()
            if begin <= now and (now <= end or len(ends) < 2):
                ends.append(now)
        print(json.dumps(ends), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("order", type=json.loads, help="fields of EngineOrder as JSON")
    fields: dict[str, Any] = parser.parse_args().order
    serve(EngineOrder(**fields))


if __name__ == "__main__":
    main()
