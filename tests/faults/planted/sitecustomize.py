"""Failpoints, planted into every process that has this folder on its PYTHONPATH; Segscale itself knows none.

Python imports `sitecustomize` at its start. Where SEGSCALE_FAULTS names a folder, the two ways in which anything
reaches a store (`ObjectStore.write`, `ObjectStore.create_exclusive`), and the reading of a source file, look into
``armed.json`` there: what is to happen, at which object, in which process. A fault happens once however many processes
come by: whoever creates its file is the one.
"""

from __future__ import annotations

import contextlib
import errno
import importlib.abc
import importlib.machinery
import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

FOLDER = os.environ.get("SEGSCALE_FAULTS", "")
_real_time = time.time
_clock = {"offset": 0.0}
_now = threading.local()


def role() -> str:
    """What this process is in a run: driver, worker, nanny or scheduler."""
    words = " ".join(sys.orig_argv)
    # A process without a cluster is forked from one that has this in its words.
    if "multiprocessing" in words or "fork_workers" in words:
        return "worker"
    return next((name for name in ("scheduler", "worker") if f"dask {name}" in words), "driver").replace(
        "worker", "nanny"
    )


def reach(moment: str, path: str) -> None:
    """Somebody is at a place: do what is armed for it."""
    try:
        armed = json.loads(Path(FOLDER, "armed.json").read_text())
    except FileNotFoundError:
        return
    for number, fault in enumerate(armed):
        if fault["moment"] == moment and fault["role"] == ROLE and re.search(fault["pattern"], path):
            seen = _next_number(number)
            if fault["nth"] <= seen < fault["nth"] + fault["times"]:
                Path(FOLDER, f"fired-{number}").touch()
                act(fault["action"], fault["pids"], path)


def _next_number(number: int) -> int:
    seen = 1
    while True:
        try:
            os.close(os.open(Path(FOLDER, f"seen-{number}-{seen}"), os.O_CREAT | os.O_EXCL))
            return seen
        except FileExistsError:
            seen += 1


def act(action: str, pids: dict[str, int], path: str) -> None:
    """Do one fault: ``kill``, ``stop`` (this process or another one, by its name), ``raise``, ``clock``."""
    verb, _, what = action.partition(":")
    if verb in ("kill", "stop"):
        if what == "driver":
            pids = {"driver": int(Path(FOLDER, "driver.pid").read_text())}
        victim = {"self": os.getpid(), "nanny": os.getppid(), **pids}[what]
        os.kill(victim, signal.SIGKILL if verb == "kill" else signal.SIGSTOP)
        # Whoever killed another one goes on, as the world would; itself it does not come so far.
    elif verb == "raise":
        code = getattr(errno, what)
        raise OSError(code, os.strerror(code), path)
    elif verb == "note":
        return
    elif verb == "append":
        with Path(path.removeprefix("file://")).open("ab") as file:
            file.write(b"\0")
    elif verb == "clock":
        _clock["offset"] = float(what)
    else:
        raise AssertionError(f"no such action: {action}")


def _shifted_time() -> float:
    return _real_time() + _clock["offset"]


def plant_store(module: ModuleType) -> None:
    """Around the methods of `segscale.storage.objects.ObjectStore`."""
    store = module.ObjectStore
    for name, verb in (("write", "write"), ("create_exclusive", "commit")):
        setattr(store, name, _around(getattr(store, name), verb))


def _around(method: Callable[..., Any], verb: str) -> Callable[..., Any]:
    def planted(self: Any, path: str, data: bytes) -> Any:
        place = f"{self.url}/{path}"
        reach(f"before-{verb}", place)
        _now.write = (verb, place)
        try:
            result = method(self, path, data)
        finally:
            _now.write = None
        reach(f"after-{verb}", place)
        return result

    return planted


def plant_sources(module: ModuleType) -> None:
    """Around the one way in which a worker reads a source file whose hash it does not know yet."""
    read = module.read_file

    def planted(url: str) -> bytes:
        reach("before-read", url)
        data: bytes = read(url)
        return data

    module.read_file = planted  # type: ignore[attr-defined]


def plant_temporary(module: ModuleType) -> None:
    """Around the hidden file that a local object is while it is written: there is a moment when half of it is there."""
    whole = module._synced_temporary

    @contextlib.contextmanager
    def planted(target: Path, data: bytes) -> Iterator[Path]:
        # None where the store is probed, by no method that is planted.
        verb, place = getattr(_now, "write", None) or ("", "")
        if verb and _is_armed(f"mid-{verb}", place):
            with whole(target, data[: len(data) // 2]):
                reach(f"mid-{verb}", place)
        with whole(target, data) as temporary:
            yield temporary

    module._synced_temporary = planted  # type: ignore[attr-defined]


def _is_armed(moment: str, path: str) -> bool:
    with contextlib.suppress(FileNotFoundError):
        armed = json.loads(Path(FOLDER, "armed.json").read_text())
        return any(fault["moment"] == moment and re.search(fault["pattern"], path) for fault in armed)
    return False


MODULES = frozenset({"segscale.storage.objects", "segscale.storage.folder_objects", "segscale.storage.sources"})
"""Where there are such things, whichever of them it is in."""


class _Planter(importlib.abc.MetaPathFinder):
    """Finds as the others do, and plants when a module has been executed."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name not in MODULES:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def planted(module: ModuleType) -> None:
                execute(module)
                if hasattr(module, "_synced_temporary"):
                    plant_temporary(module)
                if name == "segscale.storage.objects":
                    plant_store(module)
                if name == "segscale.storage.sources":
                    plant_sources(module)

            spec.loader.exec_module = planted  # type: ignore[method-assign]
        return spec


if FOLDER:
    ROLE = role()
    time.time = _shifted_time
    sys.meta_path.insert(0, _Planter())
