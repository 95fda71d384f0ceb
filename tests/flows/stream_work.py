"""What the tests of the stream have workers do. Every new worker loads this: of Dask it takes what a deed needs."""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Deed:
    """A job: what its worker does, in which attempt, counted in a folder."""

    key: str
    act: str = ""
    """die, hang, raise, prepare (take long before the work begins) or await (that the folder holds `go`, but for the
    first attempt); anything else is to succeed."""
    times: int = 1_000
    """So often it does that; then it succeeds."""


def do(deed: Deed, folder: str) -> str:
    """The deed; leaves a file for each attempt."""
    number = len(list(Path(folder).glob(f"{deed.key}-*")))
    (Path(folder) / f"{deed.key}-{number}").touch()
    if deed.act == "await" and number > 0:
        from tests.faults.scene import await_true

        await_true((Path(folder) / "go").exists, 60, "go")
    if number < deed.times:
        if deed.act == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if deed.act == "hang":
            threading.Event().wait()
        if deed.act == "prepare":
            from segscale.flows.shards.timeout import other_limit

            with other_limit(60):
                threading.Event().wait(3)
        if deed.act == "raise":
            raise OSError(f"attempt {number} of {deed.key}")
    return deed.key
