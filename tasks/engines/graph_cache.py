"""The cache of converted graphs: a folder of the user's, shared by all processes and runs."""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from segscale.errors import DataError
from segscale.tasks.engines.openvino_graph import OpenVinoGraph, read_graph

logger = logging.getLogger("segscale")


def cache_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where graphs are kept: $SEGSCALE_CACHE, else segscale in $XDG_CACHE_HOME, else in ~/.cache."""
    if environment.get("SEGSCALE_CACHE"):
        return Path(environment["SEGSCALE_CACHE"])
    home = environment.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111  # pathlib raises without a home
    # Whoever has no home keeps the sign for it; nothing can be written below this.
    return Path(os.devnull if home.startswith("~") else home) / "segscale"


def cached_graph(identity: Mapping[str, object], make: Callable[[Path], None], folder: Path) -> OpenVinoGraph:
    """The graph of this identity from `folder`, made first where it is not there or damaged.

    `identity` is all that determines the graph, as JSON values; `make` writes it to a path. One process makes a graph
    while the others wait for it. A folder that cannot be written to costs the time of making it again, nothing else,
    and is logged. What `make` raises is passed on.
    """
    path = graph_path(identity, folder)
    found = _sound(path)
    if found is not None:
        return found
    with _turn(path.with_suffix(".lock")):
        found = _sound(path)
        return found if found is not None else _make(make, path)


def graph_path(identity: Mapping[str, object], folder: Path) -> Path:
    """Where the graph of this identity lies, or will lie."""
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return folder / "openvino" / f"{digest}.zip"


def _sound(path: Path) -> OpenVinoGraph | None:
    try:
        return read_graph(path)
    except FileNotFoundError:
        return None
    except DataError as error:
        logger.warning("openvino: %s; it is converted again", error)
        return None


def _make(make: Callable[[Path], None], path: Path) -> OpenVinoGraph:
    with tempfile.TemporaryDirectory(prefix="segscale-") as folder:
        fresh = Path(folder) / "graph.zip"
        make(fresh)
        graph = read_graph(fresh)
        try:
            _keep(fresh, path)
        except OSError as error:
            logger.warning("openvino: %s cannot be written (%s); the graph is not kept", path.parent, error.strerror)
    return graph


def _keep(fresh: Path, path: Path) -> None:
    """Put a file in its place in one step, so that no other process ever sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f"{path.stem}.", suffix=".part", dir=path.parent)
    os.close(handle)
    try:
        shutil.copyfile(fresh, name)
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)


@contextmanager
def _turn(lock: Path) -> Iterator[None]:
    """Wait until no other process holds the lock; without one where the folder or the file system has none."""
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        file = lock.open("a")
    except OSError:
        yield
        return
    with file:
        try:
            # Freed by the system when its holder ends, however it ends.
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:
            logger.debug("openvino: %s cannot be locked", lock)
        yield
