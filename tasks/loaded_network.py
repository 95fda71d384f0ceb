"""A network of any kind of file, loaded: what it is, and its graph for OpenVINO. For programs of their own."""

from __future__ import annotations

import argparse
import json
import resource
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

from segscale.tasks.engines.heads import Level
from segscale.tasks.engines.openvino_graph import OpenVinoGraph
from segscale.tasks.model_facts import ModelFacts, ModelReading, is_onnx

_ROOM_BYTES, _ROOM_TIMES = 4 * 2**30, 8
"""What reading a network may take: so much, and so many times the bytes of its files."""


class LoadedNetwork(Protocol):
    """A network that was read and found usable."""

    @property
    def facts(self) -> ModelFacts:
        """What it takes and gives."""
        ...

    @property
    def levels(self) -> tuple[int, ...]:
        """Levels of a deeply supervised network, ascending; empty for any other."""
        ...

    def graph(self, level: Level, ensemble: bool) -> OpenVinoGraph:
        """The part that these need. Raises UnconvertibleError, or ValueError for a level that is not there."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class _KerasNetwork:
    model: Any
    facts: ModelFacts
    levels: tuple[int, ...]

    def graph(self, level: Level, ensemble: bool) -> OpenVinoGraph:
        from segscale.tasks.engines.openvino_conversion import convert

        return convert(self.model, level, ensemble)


def load_network(path: Path, reading: ModelReading) -> LoadedNetwork:
    """The network in a `.keras` or `.onnx` file. Raises DataError, in one sentence, for one that cannot be used."""
    if is_onnx(path.name):
        from segscale.tasks.onnx_networks.network import read_network

        return read_network(path, reading)
    from segscale.tasks.models.model_file import inspect_model, load_model
    from segscale.tasks.models.unet_plus_plus import supervised_levels

    model = load_model(path, reading)
    return _KerasNetwork(model, inspect_model(model, reading.activation), supervised_levels(model))


def limit_memory(path: Path) -> None:
    """Let this process take no more than an ONNX file is worth: a few bytes can ask for any amount.

    What asks for more ends with an error instead of taking the memory of the machine. Not on systems without such a
    limit.
    """
    if not is_onnx(path.name):
        return
    n_bytes = sum(file.stat().st_size for file in path.parent.rglob("*") if file.is_file())
    wanted, (_, most) = _ROOM_BYTES + _ROOM_TIMES * n_bytes, resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (wanted if most == resource.RLIM_INFINITY else min(wanted, most), most))


def reading_arguments(reading: ModelReading) -> list[str]:
    """How a network is read, as arguments of a command; none where nothing is said."""
    return ["--reading", json.dumps(reading.said())] if reading.said() else []


def add_reading(parser: argparse.ArgumentParser) -> None:
    """Take what `reading_arguments` gives."""
    parser.add_argument("--reading", type=lambda said: ModelReading(**json.loads(said)), default=ModelReading())


def versions_of(*packages: str) -> dict[str, str]:
    """The versions of packages, "" for one that is not installed."""
    return {name: _version(name) for name in packages}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
