"""A command in a terminal of its own, as people have it, and what is left of it after its end."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

WAIT_SECONDS = 240
MARK = "SEGSCALE_TEST_MARK"
# Of its own session, and the terminal is the one that it is controlled by: what is typed there reaches it as a signal.
_IN_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)


@dataclass
class Terminal:
    """A command, the terminal that it runs in, and all that it starts, known by a mark in the environment."""

    process: subprocess.Popen[bytes]
    end: int
    """Ours of the terminal."""
    mark: str
    shown: bytes = b""
    hung_up: bool = field(default=False)

    def look(self, seconds: float) -> None:
        """Take what is shown within so long."""
        if self.hung_up:
            time.sleep(seconds)
        elif select.select([self.end], [], [], seconds)[0]:
            try:
                self.shown += os.read(self.end, 65536)
            except OSError:
                # The last process that had the terminal is gone.
                time.sleep(seconds)

    def await_event(self, event: Callable[[str], object]) -> None:
        """Wait until something is there, or is shown."""
        end = time.monotonic() + WAIT_SECONDS
        while not event(self.shown.decode(errors="replace")):
            assert self.process.poll() is None, f"it ended before:\n{self.shown.decode(errors='replace')[-3000:]}"
            assert time.monotonic() < end, f"waited in vain:\n{self.shown.decode(errors='replace')[-3000:]}"
            self.look(0.02)

    def send(self, how: str) -> None:
        """`ctrl-c` as typed, `hangup` of the terminal, or a signal's name, with ``group:`` before it to the group."""
        if how == "ctrl-c":
            os.write(self.end, b"\x03")
        elif how == "hangup":
            os.close(self.end)
            self.hung_up = True
        elif how.startswith("group:"):
            os.killpg(self.process.pid, signal.Signals[how.removeprefix("group:")])
        else:
            self.process.send_signal(signal.Signals[how])

    def await_end(self, seconds: float) -> int:
        """The exit code; fails where the command, or anything that it has started, is there after so long."""
        end = time.monotonic() + seconds
        while self.process.poll() is None:
            assert time.monotonic() < end, f"still there after {seconds} s: {self.family()}"
            self.look(0.05)
        self.look(0)
        psutil.wait_procs(self.family(), timeout=max(0.0, end - time.monotonic()))
        assert self.family() == []
        return self.process.returncode

    def family(self) -> list[psutil.Process]:
        """The processes that have the mark."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == self.mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:
                continue
        return found


@contextmanager
def in_terminal(*command: str | Path, environment: Mapping[str, str], cwd: Path) -> Iterator[Terminal]:
    """Start a command; nothing of it outlives the block."""
    mine, its = pty.openpty()
    mark = uuid.uuid4().hex
    process = subprocess.Popen(
        [sys.executable, "-c", _IN_TERMINAL, *map(str, command)],
        stdin=its, stdout=its, stderr=its, start_new_session=True, env={**environment, MARK: mark}, cwd=cwd,
    )  # fmt: skip
    os.close(its)
    terminal = Terminal(process, mine, mark)
    try:
        yield terminal
    finally:
        for left in terminal.family():
            left.kill()
        process.wait()
        if not terminal.hung_up:
            os.close(mine)
