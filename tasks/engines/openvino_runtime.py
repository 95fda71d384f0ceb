"""The OpenVINO package: whether it is installed, and its import in silence."""

from __future__ import annotations

import importlib
import importlib.util
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from segscale.errors import EngineError

_PLACES = ("Exception from", "Check '", "FrontEnd API failed", "Summary", "Model wasn't")
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


def reason_of(error: BaseException) -> str:
    """What OpenVINO says, in a sentence without a full stop, and without the places in its source that come first."""
    if isinstance(error, MemoryError) or "allocator.cpp" in str(error) or "bad_alloc" in str(error):
        return "it asks for more memory than a network of its size is worth"
    lines = [line.strip() for line in str(error).splitlines()]
    said = [line for line in lines if line and not line.startswith(_PLACES)]
    return (said or lines or [type(error).__name__])[0].lstrip("- ").rstrip(".")


def serialised(graph: Any) -> tuple[bytes, bytes]:
    """A model of OpenVINO as bytes: the graph in its XML, and its constants."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "graph.xml"
        # By default the weights would be cut to float16.
        load_openvino().save_model(graph, path, compress_to_fp16=False)
        return path.read_bytes(), path.with_suffix(".bin").read_bytes()


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
