"""The command line, stopped (SIGSTOP) at places that a test names: ``python stoppable.py run config.toml``.

Segscale itself knows no such places. Whatever reaches a store goes through three methods of `ObjectStore`; they are
wrapped here, in the driver and in the workers that it starts, which run this file as well (multiprocessing's spawn
imports the main module of its parent). A place is ``role:moment:pattern:victim``:

- role: ``driver`` or ``worker``, the process that comes by;
- moment: ``before-`` or ``after-``, and what is done there: ``write``, ``commit``, ``remove``, or ``any`` of them;
- pattern: a regular expression, found in the URL of the object;
- victim: ``self``, or ``driver`` for the driver of a worker.

STOPPABLE_PLACES holds several of them, a line each; one is reached once, and only after those before it. Whoever stops
writes a file into STOPPABLE_FOLDER first: its name is the number of the place, its text the process that is stopped.
STOPPABLE_MEET is a folder where drivers meet: no commit whose URL matches STOPPABLE_MEET_AT is made before as many as
STOPPABLE_MEET_COUNT have come to it.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from segscale.storage.objects import ObjectStore

MEET_SECONDS = 120
DRIVER = "STOPPABLE_DRIVER"


def plant(role: str) -> None:
    """Wrap the methods of `ObjectStore` in this process."""
    for name, verb in (("write", "write"), ("create_exclusive", "commit"), ("remove", "remove")):
        setattr(ObjectStore, name, _stopping(getattr(ObjectStore, name), role, verb))


def _stopping(method: Callable[..., Any], role: str, verb: str) -> Callable[..., Any]:
    def planted(self: ObjectStore, path: str, *arguments: Any) -> Any:
        url = f"{self.url}/{path}"
        _reach(f"{role}:before-{verb}", f"{role}:before-any", url)
        if verb == "commit":
            _meet(path)
        answer = method(self, path, *arguments)
        _reach(f"{role}:after-{verb}", f"{role}:after-any", url)
        return answer

    return planted


def _reach(here: str, anything: str, url: str) -> None:
    """Stop where the first place that was not reached yet is this one."""
    folder = Path(os.environ.get("STOPPABLE_FOLDER", ""))
    places = os.environ.get("STOPPABLE_PLACES", "").splitlines()
    number = next((number for number in range(len(places)) if not (folder / str(number)).exists()), None)
    if number is None:
        return
    role, moment, pattern, victim = places[number].split(":")
    if f"{role}:{moment}" not in (here, anything) or not re.search(pattern, url):
        return
    pid = os.getpid() if victim == "self" else int(os.environ[DRIVER])
    claim = folder / f".{number}"
    try:
        claim.touch(exist_ok=False)
    except FileExistsError:
        return
    claim.write_text(str(pid))
    claim.rename(folder / str(number))
    os.kill(pid, signal.SIGSTOP)


def _meet(path: str) -> None:
    """Wait until every driver has come to this commit; raises where the others stay away."""
    pattern = os.environ.get("STOPPABLE_MEET_AT")
    if not pattern or not re.search(pattern, path):
        return
    place = Path(os.environ["STOPPABLE_MEET"], path.replace("/", "-"))
    place.mkdir(exist_ok=True)
    (place / os.environ[DRIVER]).touch()
    end = time.monotonic() + MEET_SECONDS
    while len(list(place.iterdir())) < int(os.environ["STOPPABLE_MEET_COUNT"]):
        if time.monotonic() > end:
            raise TimeoutError(f"nobody else came to {path}")
        time.sleep(0.01)


if __name__ == "__main__":
    os.environ[DRIVER] = str(os.getpid())
    plant("driver")
    from segscale.flows.cli.main import main

    main()
elif __name__ == "__mp_main__":
    plant("worker")
