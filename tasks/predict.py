"""Predict: a shard through the network, counted while the probabilities are in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, astuple, dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from storage import parts, shards
from storage.ledger import Ledger, content_key
from storage.objects import ObjectStore
from tasks.counting import Failure, count_rows, failed_rows
from tasks.engines import Engine
from tasks.ingest import IMAGES, REFERENCES, ShardDone
from tasks.metrics.overlap import OverlapCounts, count_overlap
from tasks.normalize import IGNORED
from tasks.shard_plan import PADDING
from tasks.shard_plan import STAGE as INGEST
from tasks.shard_rows import ShardRow, read_shard_rows
from tasks.tiling import TileSum, pad_to, plan_tiles

STAGE = "predict"
CODE_VERSION = 2
LABELS, PROBABILITIES = "labels", "probabilities"
BATCH_IMAGES = 16
"""Small images come so many at most: what fills up the last batch is computed too."""
_Item = TypeVar("_Item")
_Loaded = TypeVar("_Loaded")


@dataclass(frozen=True, slots=True)
class Prediction:
    """How a run predicts and counts; resolved once, committed, and part of every key."""

    weights_sha256: str
    engine: str
    precision: str
    versions: dict[str, str]
    """Of whatever computes the probabilities."""
    heads: tuple[str, ...]
    """What the engine returns along its first axis."""
    level: int | str
    """A number, or "all"; 0 for a network that has no levels."""
    ensemble: bool
    flips: bool
    """Whether probabilities are the mean over the image and its mirrored copies."""
    n_classes: int
    batch_size: int
    """Images of one batch; 0: as many as `batch_pixels` holds, at most `BATCH_IMAGES`."""
    batch_pixels: int
    """Pixels of one batch where `batch_size` is 0: found by measuring, once per run."""
    tile: int
    overlap: float
    threshold: float
    keep: str
    """labels, probabilities (as uint8 q = min(floor(256 p), 255)) or none."""


@dataclass(frozen=True, slots=True)
class PredictJob:
    """A shard to be predicted."""

    key: str
    ingest_key: str


def predict_key(ingest_key: str, prediction: Prediction) -> str:
    """The key of a predicted shard: everything that determines its counts and labels."""
    return content_key(
        {"stage": STAGE, "code_version": CODE_VERSION, "ingest": ingest_key, "prediction": asdict(prediction)}
    )


def batch_shape(height: int, width: int, prediction: Prediction) -> tuple[int, int, int]:
    """The one shape (B, H, W) in which all images of a bucket go through the network, tiles included."""
    height, width = min(height, prediction.tile), min(width, prediction.tile)
    chosen = prediction.batch_size or max(1, min(BATCH_IMAGES, prediction.batch_pixels // (height * width)))
    return chosen, height, width


def predict_shard(store: ObjectStore, job: PredictJob, prediction: Prediction, engine: Engine) -> ShardDone:
    """Predict and count every image of a shard, keep what was asked for, and commit the part.

    Images that failed in ingest, that have colours the network cannot take, or for which the network gives something
    that is no probability, become failed rows; the others are counted. The next batch is decoded while the engine
    works.
    """
    entry = Ledger(store).read(INGEST, job.ingest_key)
    rows = read_shard_rows(store, entry)
    failures = _refused(rows, engine)
    counts: dict[str, list[OverlapCounts]] = {}
    arrays: dict[str, npt.NDArray[Any]] = {}
    accepted = [row for row in rows if row.image_id not in failures]
    if accepted:
        images, references = shards.open_arrays(store, entry, IMAGES, REFERENCES)
        kept = _Kept(prediction, references.shape, engine.facts.outputs)
        for row, position, probabilities in _predicted(images, accepted, prediction, engine):
            if row.image_id in failures:
                continue
            reference = shards.as_numpy(references, position, position + 1)[0, : row.height, : row.width]
            try:
                counted = [_count(reference, head, prediction) for head in probabilities]
            except ValueError as error:
                failures[row.image_id] = Failure(STAGE, "BadProbabilities", f"image {row.image_id}: {error}")
                kept.drop(row)
                continue
            known = counts.get(row.image_id)
            counts[row.image_id] = [a + b for a, b in zip(known, counted, strict=True)] if known else counted
            kept.put(position, probabilities[-1])
        arrays = kept.arrays
    part = [line for row in rows for line in _part_rows(row.image_id, prediction, counts, failures)]
    facts = {"n_images": len(rows), "n_failed": len(failures)}
    shards.commit_shard(store, STAGE, job.key, arrays=arrays, rows=parts.encode_part(part), facts=facts)
    return ShardDone(job.key, len(rows), len(failures))


def _refused(rows: Sequence[ShardRow], engine: Engine) -> dict[str, Failure]:
    failures = {}
    for row in rows:
        if not row.is_sound:
            failures[row.image_id] = Failure(INGEST, row.error_type, row.error)
        elif row.coloured and engine.facts.channels == 1:
            error = f"image {row.image_id}: the network takes 1 channel, the image has colours; convert it to grey"
            failures[row.image_id] = Failure(STAGE, "ColourImage", error)
    return failures


def _count(
    reference: npt.NDArray[np.uint8], probabilities: npt.NDArray[np.float32], prediction: Prediction
) -> OverlapCounts:
    return count_overlap(
        reference,
        n_classes=prediction.n_classes,
        probabilities=probabilities,
        threshold=prediction.threshold,
        ignore_index=IGNORED,
    )


def _part_rows(
    image_id: str,
    prediction: Prediction,
    counts: Mapping[str, Sequence[OverlapCounts]],
    failures: Mapping[str, Failure],
) -> Iterator[dict[str, Any]]:
    for position, head in enumerate(prediction.heads):
        if image_id in failures:
            yield from failed_rows(image_id, head, prediction.n_classes, failures[image_id])
        else:
            yield from count_rows(image_id, head, counts[image_id][position])


class _Kept:
    """What is kept of the last head's predictions, in the shape of the shard."""

    def __init__(self, prediction: Prediction, shape: Sequence[int], outputs: int) -> None:
        self._prediction = prediction
        shapes = {LABELS: tuple(shape), PROBABILITIES: (*shape, outputs)}
        keep = prediction.keep
        self.arrays = {keep: np.zeros(shapes[keep], np.uint8)} if keep in shapes else {}

    def put(self, position: int, probabilities: npt.NDArray[np.float32]) -> None:
        """Keep one slice; `probabilities` is (H, W, outputs) without padding."""
        height, width, _ = probabilities.shape
        if LABELS in self.arrays:
            self.arrays[LABELS][position, :height, :width] = to_labels(probabilities, self._prediction)
        if PROBABILITIES in self.arrays:
            self.arrays[PROBABILITIES][position, :height, :width] = quantize(probabilities)

    def drop(self, row: ShardRow) -> None:
        """Keep nothing of an image whose later slice failed."""
        for array in self.arrays.values():
            array[row.start : row.stop] = 0


def to_labels(probabilities: npt.NDArray[np.float32], prediction: Prediction) -> npt.NDArray[np.uint8]:
    """The predicted class of each pixel (H, W), from (H, W, outputs), by the same rule as the counts."""
    if prediction.n_classes == 2:
        return (probabilities[..., -1] >= np.float32(prediction.threshold)).astype(np.uint8)
    labels: npt.NDArray[np.uint8] = probabilities.argmax(axis=-1).astype(np.uint8)
    return labels


def quantize(probabilities: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Probabilities as q = min(floor(256 p), 255), computed in float32: q >= k exactly where p >= k/256."""
    quantized: npt.NDArray[np.uint8] = np.minimum(probabilities * np.float32(256), np.float32(255)).astype(np.uint8)
    return quantized


def _predicted(
    images: shards.ZarrArray, rows: Sequence[ShardRow], prediction: Prediction, engine: Engine
) -> Iterator[tuple[ShardRow, int, npt.NDArray[np.float32]]]:
    """Every slice of the rows in their order: (row, position, probabilities (heads, H, W, outputs))."""
    slices = [(row, position) for row in rows for position in range(row.start, row.stop)]
    _, padded_height, padded_width, _ = images.shape
    shape = batch_shape(padded_height, padded_width, prediction)
    whole = shape[1:] == (padded_height, padded_width)
    step = shape[0] if whole else 1
    groups = [slices[first : first + step] for first in range(0, len(slices), step)]
    decoded = _ahead(lambda group: _decode(images, group, engine.facts.channels), groups)
    for group, pixels in zip(groups, decoded, strict=True):
        recipes = np.array([astuple(row.recipe) for row, _ in group], np.float32)
        if whole:
            found = _infer(engine, pixels, recipes, shape[0])
        else:
            found = _infer_tiled(engine, pixels[0], recipes, shape, prediction, group[0][0])
        for index, (row, position) in enumerate(group):
            yield row, position, found[:, index, : row.height, : row.width]


def _decode(images: shards.ZarrArray, group: Sequence[tuple[ShardRow, int]], channels: int) -> npt.NDArray[Any]:
    """Slices as the engine takes them: of three equal channels one, where the network has one; no float16."""
    pixels = np.concatenate([shards.as_numpy(images, position, position + 1) for _, position in group])
    pixels = pixels[..., :1] if channels == 1 else pixels
    return pixels.astype(np.float32) if pixels.dtype == np.float16 else pixels


def _ahead(load: Callable[[_Item], _Loaded], items: Sequence[_Item]) -> Iterator[_Loaded]:
    """`load` of each item in order, one step ahead of the consumer."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        following = pool.submit(load, items[0])
        for item in items[1:]:
            loaded = following.result()
            following = pool.submit(load, item)
            yield loaded
        yield following.result()


def _infer(
    engine: Engine, pixels: npt.NDArray[Any], recipes: npt.NDArray[np.float32], size: int
) -> npt.NDArray[np.float32]:
    """Probabilities (heads, n, H, W, outputs) of n <= `size` images, computed in a batch of `size`: one graph."""
    count, height, width, channels = pixels.shape
    stride = engine.facts.stride
    filled = np.zeros((size, -(-height // stride) * stride, -(-width // stride) * stride, channels), pixels.dtype)
    filled[:count] = pad_to(pixels, filled.shape[1], filled.shape[2], PADDING)
    all_recipes = np.ones((size, 4), np.float32)
    all_recipes[:count] = recipes
    return engine.probabilities(filled, all_recipes)[:, :count, :height, :width]


def _infer_tiled(
    engine: Engine,
    pixels: npt.NDArray[Any],
    recipe: npt.NDArray[np.float32],
    shape: tuple[int, int, int],
    prediction: Prediction,
    row: ShardRow,
) -> npt.NDArray[np.float32]:
    """Probabilities (heads, 1, H, W, outputs) of one large image, merged from overlapped tiles row by row."""
    size, height, width = shape
    # Tiles are laid over the true size; where that is smaller than a tile, the padding fills it up.
    area = (max(row.height, height), max(row.width, width))
    tiles = plan_tiles(*area, (height, width), prediction.overlap)
    sums = [TileSum(*area, engine.facts.outputs) for _ in prediction.heads]
    for first in range(0, len(tiles), size):
        group = tiles[first : first + size]
        batch = np.stack([pixels[tile.top : tile.top + height, tile.left : tile.left + width] for tile in group])
        found = _infer(engine, batch, np.repeat(recipe, len(group), axis=0), size)
        for head, total in zip(found, sums, strict=True):
            for tile, probabilities in zip(group, head, strict=True):
                total.add(tile, probabilities)
    return np.stack([total.mean()[np.newaxis] for total in sums])
