"""The OpenVINO package: whether it is installed, and its import in silence."""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from segscale.errors import EngineError

NOT_INSTALLED = "engine openvino is not installed; install the extra predict (docs/inference.md)"


def openvino_is_installed() -> bool:
    """Whether the package is there; it is not imported."""
    return importlib.util.find_spec("openvino") is not None


def load_openvino() -> Any:
    """The module `openvino`. Raises ValueError where it is not installed."""
    if not openvino_is_installed():
        raise EngineError(NOT_INSTALLED)
    with unreported():
        return importlib.import_module("openvino")


@contextmanager
def unreported() -> Iterator[None]:
    """Keep OpenVINO from reporting its use to its makers over the network: it does so unless in CI."""
    before = os.environ.get("CI")
    os.environ["CI"] = "true"
    try:
        yield
    finally:
        if before is None:
            del os.environ["CI"]
        else:
            os.environ["CI"] = before
