"""int8 for a run: images drawn to calibrate it, and layers left in float32 until its price is within the bound."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segscale.errors import EngineError
from segscale.storage.objects import ObjectStore
from segscale.tasks.engine_sample import PARITY_IMAGES, Sample
from segscale.tasks.engines import Engine
from segscale.tasks.engines.openvino_graph import OpenVinoGraph
from segscale.tasks.engines.quantisation import LEAST_IMAGES
from segscale.tasks.parity import Parity, verdict
from segscale.tasks.prediction import Prediction

IMAGES = 100
"""Most images that are drawn."""
PIXELS = 2**24
"""Most pixels of all that are drawn, as long as `LEAST_IMAGES` are: each is computed in float32, several times."""
SEED = 0
KEPT = (1, 2, 3, 4)
"""So many convolutions at either end stay in float32, tried in this order."""

Quantise = Callable[[Mapping[str, NDArray[np.float32]], int], tuple[OpenVinoGraph, Engine]]
"""Makes a graph, and its engine, of images by their ids and of how many layers are kept in float32."""


@dataclass(frozen=True, slots=True)
class Int8Source:
    """What int8 is made with."""

    ingest_keys: Sequence[str]
    """Of the shards from which images are drawn."""
    quantise: Quantise


@dataclass(frozen=True, slots=True)
class Quantisation:
    """How the graph of a plan was quantised."""

    images: tuple[str, ...]
    """The images that it was calibrated on, of `seed`."""
    seed: int
    kept: int
    """Convolutions at either end that stay in float32."""
    graph: str
    """`OpenVinoGraph.content`: the graph lies under it in the store."""


def quantisation_of(record: Mapping[str, Any] | None) -> Quantisation | None:
    """Out of JSON."""
    return None if record is None else Quantisation(**{**record, "images": tuple(record["images"])})


@dataclass(frozen=True, slots=True, eq=False)
class Int8:
    """A graph in int8 and its price."""

    graph: OpenVinoGraph
    engine: Engine
    quantisation: Quantisation
    parity: Parity
    accepted: bool
    """Whether the price is within the bound."""
    reason: str
    """What was tried and found, in half a sentence."""


def find_int8(
    store: ObjectStore,
    source: Int8Source,
    sample: Sample,
    full: Engine,
    prediction: Prediction,
    max_dice_change: float,
) -> Int8:
    """The first graph whose worst image is within the bound, or the best one, not accepted.

    The images that the price is checked on are none of those that it was calibrated on. Raises EngineError where there
    are too few, or int8 cannot be had.
    """
    images, checked = _drawn(store, source.ingest_keys, sample, full, prediction)
    best: Int8 | None = None
    tried: list[str] = []
    for kept in KEPT:
        graph, engine = source.quantise(images, kept)
        parity = checked.compare(engine, full, prediction)
        accepted = parity.within(max_dice_change)
        layers = f"the first and last {kept} layers" if kept > 1 else "the first and last layer"
        reason = f"int8 calibrated on {len(images)} images with {layers} in float32: "
        reason += verdict("int8", parity, max_dice_change)
        found = Int8(graph, engine, Quantisation(tuple(images), SEED, kept, graph.content), parity, accepted, reason)
        if accepted:
            return replace(found, reason="; ".join([*tried, reason]))
        tried.append(f"int8 with {layers} in float32 changes the Dice by {parity.largest_dice_change:.2g}")
        # NaN is not better than anything.
        if best is None or parity.largest_dice_change < best.parity.largest_dice_change:
            best = found
    assert best is not None
    return replace(best, reason=f"{best.reason}, the best of {len(KEPT)} that were tried")


def _drawn(
    store: ObjectStore, ingest_keys: Sequence[str], sample: Sample, full: Engine, prediction: Prediction
) -> tuple[dict[str, NDArray[np.float32]], Sample]:
    """Images to calibrate on as the network sees them, by their ids, and the others, to check the price on."""
    held = [Sample.read(store, key, full, most=None) for key in dict.fromkeys(ingest_keys)]
    usable = [(one, row) for one in held for row in one.rows_for(prediction)]
    rows = sample.rows_for(prediction)
    checked = rows[: min(PARITY_IMAGES, len(usable) // 4)]
    taken = {row.image_id for row in checked}
    others = [(one, row) for one, row in usable if row.image_id not in taken]
    if len(others) < LEAST_IMAGES or not checked:
        raise EngineError(
            f"precision int8 needs {LEAST_IMAGES} images to be calibrated on and others to be checked with, "
            f"{LEAST_IMAGES * 4 // 3} in all; of the shards looked at {len(usable)} images can be predicted: "
            "use float32"
        )
    random = np.random.default_rng(SEED)
    order = random.permutation(len(others))
    images: dict[str, NDArray[np.float32]] = {}
    n_pixels = 0
    for place in order[:IMAGES]:
        one, row = others[int(place)]
        images[row.image_id] = one.seen(row, prediction, full.facts, random.random())
        n_pixels += images[row.image_id].shape[0] * images[row.image_id].shape[1]
        if n_pixels >= PIXELS and len(images) >= LEAST_IMAGES:
            break
    return images, replace(sample, rows=checked)
