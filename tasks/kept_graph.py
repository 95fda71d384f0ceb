"""Quantised graphs in a store, by content: what every worker of a plan computes with, on whatever machine."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from segscale.errors import EngineError
from segscale.storage import shards, tables
from segscale.storage.ledger import Ledger
from segscale.storage.objects import ObjectStore
from segscale.tasks.engines.openvino_graph import OpenVinoGraph, read_graph, write_graph
from segscale.tasks.int8 import Quantisation

STAGE = "quantise"
_GRAPH = "graph"
_BLOCK = 2**20


def commit_graph(store: ObjectStore, graph: OpenVinoGraph, made: Quantisation) -> None:
    """Keep a graph under its content, with the images that it was calibrated on as its table; one that is there stays.

    It lies there as shards do, its bytes as blocks of one array, so that verify, repair and clean know it.
    """
    with tempfile.TemporaryDirectory(prefix="segscale-") as folder:
        path = Path(folder) / "graph.zip"
        write_graph(graph, path)
        data = np.frombuffer(path.read_bytes(), np.uint8)
    blocks = np.zeros((-(-len(data) // _BLOCK), 1, _BLOCK), np.uint8)
    blocks.reshape(-1)[: len(data)] = data
    rows = tables.encode_frame(pd.DataFrame({"image_id": list(made.images)}))
    facts = {"n_bytes": len(data), "seed": made.seed, "kept": made.kept}
    shards.commit_shard(store, STAGE, graph.content, arrays={_GRAPH: blocks}, rows=rows, facts=facts)


def kept_graph(store: ObjectStore, content: str) -> OpenVinoGraph:
    """The graph of this content. Raises EngineError where the store has none, DamagedStoreError for a damaged one."""
    entry = Ledger(store).find(STAGE, content)
    if entry is None:
        raise EngineError(
            f"no quantised graph {content[:12]} in the store {store.url}; segscale run with --replan makes one anew"
        )
    (blocks,) = shards.open_arrays(store, entry, _GRAPH)
    data = shards.as_numpy(blocks, 0, blocks.shape[0]).reshape(-1)[: entry.facts["n_bytes"]]
    with tempfile.TemporaryDirectory(prefix="segscale-") as folder:
        path = Path(folder) / "graph.zip"
        path.write_bytes(data.tobytes())
        return read_graph(path)
