"""What the tests of the stream have workers do."""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import dataclass
from pathlib import Path

from flows.time_limit import other_limit


@dataclass(frozen=True, slots=True)
class Deed:
    """A job: what its worker does, in which attempt, counted in a folder."""

    key: str
    act: str = ""
    """die, hang, raise or prepare (take long before the work begins); anything else is to succeed."""
    times: int = 1_000
    """So often it does that; then it succeeds."""


def do(deed: Deed, folder: str) -> str:
    """The deed; leaves a file for each attempt."""
    number = len(list(Path(folder).glob(f"{deed.key}-*")))
    (Path(folder) / f"{deed.key}-{number}").touch()
    if number < deed.times:
        if deed.act == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if deed.act == "hang":
            threading.Event().wait()
        if deed.act == "prepare":
            with other_limit(60):
                threading.Event().wait(3)
        if deed.act == "raise":
            raise OSError(f"attempt {number} of {deed.key}")
    return deed.key
