"""What the tests of the stream have workers do. Every new worker loads this: of Dask it takes what a deed needs."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Deed:
    """A job: what its worker does, in which attempt, counted in a folder."""

    key: str
    act: str = ""
    """die, exit, raise, odd (raise what does not survive the way), orphan (end the parent); hang, lock (hang with
    Python's lock held), stop, hoard (1 GB); prepare (take long before the work begins) or await (that the folder holds
    `go`, but for the first attempt). "tell:" and a name of the environment is answered with its value. Anything else is
    to succeed."""
    times: int = 1_000
    """So often it does that; then it succeeds."""


class OddError(Exception):
    """Does not come back from where it is sent: it is made of two things and tells of one."""

    def __init__(self, what: str, where: str) -> None:
        super().__init__(f"{what} at {where}")


def warm_up() -> None:
    """What processes without a cluster call first; there is nothing to load here."""


def do(deed: Deed, folder: str) -> Any:
    """The deed; leaves a file for each attempt."""
    number = len(list(Path(folder).glob(f"{deed.key}-*")))
    (Path(folder) / f"{deed.key}-{number}").touch()
    if deed.act == "await" and number > 0:
        from tests.faults.scene import await_true

        await_true((Path(folder) / "go").exists, 60, "go")
    if number < deed.times:
        if deed.act == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if deed.act == "lock":
            ctypes.PyDLL(None).sleep(600)
        if deed.act == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        if deed.act == "hoard":
            hoard = b"x" * 1_000_000_000
            threading.Event().wait(60)
            del hoard
        if deed.act == "odd":
            raise OddError("it broke", deed.key)
        if deed.act == "exit":
            raise SystemExit("no more")
        if deed.act == "orphan":
            os.kill(os.getppid(), signal.SIGKILL)
            threading.Event().wait(60)
        if deed.act.startswith("tell:"):
            return os.environ.get(deed.act.removeprefix("tell:"))
        if deed.act == "hang":
            threading.Event().wait()
        if deed.act == "prepare":
            from segscale.flows.shards.timeout import other_limit

            with other_limit(60):
                threading.Event().wait(3)
        if deed.act == "raise":
            raise OSError(f"attempt {number} of {deed.key}")
    return deed.key
