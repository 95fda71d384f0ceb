"""An OpenVINO graph of a segmentation network, with what an engine must know of it, in one file."""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from segscale.errors import DataError
from segscale.tasks.engines.heads import HeadChoice

_FACTS, _TOPOLOGY, _WEIGHTS = "facts.json", "graph.xml", "graph.bin"


@dataclass(frozen=True, slots=True)
class OpenVinoGraph:
    """A network (B, H, W, channels) -> one float32 (B, H, W, outputs) for each computed head.

    Its weights are float32, those of a quantised one int8 for the most part.
    """

    topology: bytes
    """The graph in OpenVINO's XML."""
    weights: bytes
    """Its constants."""
    heads: HeadChoice
    """The outputs in their order, and what is reported of them."""
    outputs: int
    """Channels of every head: 1, or one for each class."""
    channels: int
    """Channels of the input."""
    stride: int
    """Height and width must be multiples of this."""
    made_with: str
    """The libraries that converted it, with their versions."""
    rescales: str = ""
    """The layer by which the network scales stored values itself; see `EngineFacts`."""
    whole_image: tuple[str, ...] = ()
    """Layers that look at the whole image; see `EngineFacts`."""
    fixed_size: tuple[int, int] | None = None
    """The one height and width that it takes; None for any."""
    quantised: bool = False
    """Whether it computes in int8; see `segscale.tasks.engines.quantisation`."""

    @property
    def content(self) -> str:
        """What its numbers follow from, as 64 hex digits: its constants and who made it.

        Not the XML: the same network is written with other names each time.
        """
        return hashlib.sha256(self.weights + self.made_with.encode()).hexdigest()


def write_graph(graph: OpenVinoGraph, path: Path) -> None:
    """Write a graph to a file that tells a damaged copy from a sound one: every part carries a checksum."""
    facts = {
        "heads": asdict(graph.heads),
        "outputs": graph.outputs,
        "channels": graph.channels,
        "stride": graph.stride,
        "made_with": graph.made_with,
        "rescales": graph.rescales,
        "whole_image": graph.whole_image,
        "fixed_size": graph.fixed_size,
        "quantised": graph.quantised,
    }
    # Weights hardly compress, and stored parts are read as fast as the disk.
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(_FACTS, json.dumps(facts))
        archive.writestr(_TOPOLOGY, graph.topology)
        archive.writestr(_WEIGHTS, graph.weights)


def read_graph(path: Path) -> OpenVinoGraph:
    """The graph in a file.

    Raises FileNotFoundError where there is none, and ValueError where it is cut short, changed or no such file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            facts: dict[str, Any] = json.loads(archive.read(_FACTS))
            heads = HeadChoice(**{name: tuple(values) for name, values in facts.pop("heads").items()})
            facts["whole_image"] = tuple(facts["whole_image"])
            # Graphs that were kept before any had a fixed size do not speak of it.
            facts["fixed_size"] = tuple(facts.get("fixed_size") or ()) or None
            return OpenVinoGraph(archive.read(_TOPOLOGY), archive.read(_WEIGHTS), heads=heads, **facts)
    except FileNotFoundError:
        raise
    # NotImplementedError is what zipfile raises for a compression that it does not know.
    except (zipfile.BadZipFile, NotImplementedError, KeyError, TypeError, ValueError, OSError, EOFError) as error:
        raise DataError(f"{path} is no OpenVINO graph of segscale, or is damaged ({error}); remove it") from error
