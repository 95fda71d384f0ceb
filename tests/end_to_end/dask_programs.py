"""A scheduler and workers as `dask` starts them: programs of their own, in folders of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

SECONDS = 60
DASK = str(Path(sys.executable).with_name("dask"))
Program = subprocess.Popen[str]


@dataclass(frozen=True)
class DaskPrograms:
    """Starts programs that end with the block; each works in a folder of its own name under `folder`."""

    folder: Path
    stack: ExitStack

    def scheduler(self, command: Sequence[str]) -> Program:
        return self._start(self._own("scheduler"), command, "Scheduler at", {})

    def worker(
        self,
        name: str,
        command: Sequence[str],
        *,
        cwd: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Program:
        return self._start(cwd or self._own(name), command, "Registered to", environment or {})

    def _own(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir(parents=True)
        return folder

    def _start(self, work: Path, command: Sequence[str], ready: str, environment: Mapping[str, str]) -> Program:
        """Returns as soon as the program has said `ready`."""
        assert command[0] == "dask"
        process = subprocess.Popen(
            [DASK, *command[1:]], cwd=work, env={**os.environ, **environment}, text=True, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )  # fmt: skip
        self.stack.callback(end, process)
        said: list[str] = []
        is_ready, has_ended = threading.Event(), threading.Event()

        def listen() -> None:
            assert process.stderr is not None
            for line in process.stderr:
                said.append(line)
                if ready in line:
                    is_ready.set()
            has_ended.set()
            is_ready.set()

        threading.Thread(target=listen, daemon=True).start()
        assert is_ready.wait(SECONDS), f"{command} was not ready in time:\n{''.join(said)}"
        assert not has_ended.is_set(), f"{command} ended before it was ready:\n{''.join(said)}"
        return process


def end(process: Program) -> None:
    """Stop a program, kindly at first."""
    process.terminate()
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def dask_programs(folder: Path) -> Iterator[DaskPrograms]:
    with ExitStack() as stack:
        yield DaskPrograms(folder, stack)
