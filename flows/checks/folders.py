"""The folders of a run: whether its store can decide between drivers, and its reports can be written."""

from __future__ import annotations

import errno
import logging
import uuid
from collections.abc import Callable

from segscale.errors import ConfigError, StoreRefusedError
from segscale.flows.config.evaluation import EvaluationConfig
from segscale.storage.nearby import why_not_written
from segscale.storage.objects import ObjectStore

logger = logging.getLogger("segscale")
# No mistake in the configuration: the same one will do when there is room again.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def check_folders(config: EvaluationConfig) -> None:
    """The store takes exclusive commits and the reports can be written: tried with objects that are removed again.

    Every flow that writes asks this first, for a flow that is deployed is not started by the command line. A store that
    only a single driver may use is said to be one in a warning, every time. Raises ConfigError, and OSError where
    there is no room.
    """
    if config.store.path.startswith("memory:"):
        raise ConfigError(f"store.path: expected what all workers see, got {config.store.path} of this process alone")
    try:
        _probe("store.path", config.store.path, ObjectStore(config.store.path).check_exclusive)
    except ConfigError as error:
        if not (config.store.single_driver and isinstance(error.__cause__, StoreRefusedError)):
            raise
        _probe("store.path", config.store.path, lambda: _write_probe(config.store.path))
        logger.warning("store.single_driver: there must be no other driver on this store; %s", error.__cause__)
    _probe("report.path", config.report.path, lambda: _write_probe(config.report.path))


def _write_probe(path: str) -> None:
    store, name = ObjectStore(path), f".probe-{uuid.uuid4().hex}"
    store.write(name, b"")
    store.remove(name)


def _probe(key: str, path: str, attempt: Callable[[], None]) -> None:
    try:
        attempt()
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _FULL:
            raise OSError(error.errno, f"{key}: {path}: {error.strerror}") from error
        # Every kind of store has errors of its own kind for the same few mistakes.
        reason = (str(error).splitlines() or [""])[0] or type(error).__name__
        if isinstance(error, OSError) and error.errno and "://" not in path:
            reason = why_not_written(path, error)
        raise ConfigError(f"{key}: expected a folder or URL that can be written, got {path}: {reason}") from error
