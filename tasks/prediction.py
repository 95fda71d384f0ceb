"""Prediction: how a run predicts and counts, and the batches in which images go through its network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from segscale.storage import shards
from segscale.tasks.engines import EngineFacts
from segscale.tasks.inference import Batch, BatchShape, plan_pieces, read_batches, whole_pieces
from segscale.tasks.metrics.regions import Regions, without_none
from segscale.tasks.model_facts import Ending, ModelReading
from segscale.tasks.shard_rows import ShardRow
from segscale.tasks.tiling import next_multiple

BATCH_IMAGES = 16
"""Small images come so many at most: what fills up the last batch is computed too."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a configuration says of a prediction."""

    weights_sha256: str
    level: int | str
    """A number, or "all"; 0 for a network that has no levels."""
    ensemble: bool
    flips: bool
    """Whether probabilities are the mean over the image and its mirrored copies."""
    n_classes: int
    batch_size: int
    """Images of one batch; 0: as many as are found to pay, at most `BATCH_IMAGES`."""
    tile: int
    overlap: float
    threshold: float
    keep: str
    """labels, probabilities (as uint8 q = min(floor(256 p), 255)) or none."""
    regions: Regions = field(default=(), kw_only=True)
    """Of class indices, counted behind the classes."""
    output: str = field(default="", kw_only=True)
    activation: Ending = field(default="", kw_only=True)
    layout: Literal["", "NCHW", "NHWC"] = field(default="", kw_only=True)
    """These three are how the file of the network is read: see `ModelReading`."""

    @property
    def n_counted(self) -> int:
        """Classes and regions."""
        return self.n_classes + len(self.regions)

    def record(self) -> dict[str, Any]:
        """What of it stands in keys, and in the plan record."""
        silent = {"output", "activation", "layout"} - self.reading.said().keys()
        return {name: value for name, value in without_none(asdict(self)).items() if name not in silent}

    @property
    def reading(self) -> ModelReading:
        """How the file of the network is read."""
        return ModelReading(self.output, self.activation, self.layout)


@dataclass(frozen=True, slots=True)
class Prediction(Asked):
    """How a run predicts and counts; resolved once, committed, and part of every key."""

    engine: str
    precision: str
    versions: dict[str, str]
    """Of whatever computes the probabilities."""
    heads: tuple[str, ...]
    """What the engine returns along its first axis."""
    batch_pixels: int
    """Pixels of one batch where `batch_size` is 0: found by measuring, once per run."""
    whole_image: bool = False
    """Whether images go through the network at their true size, since padding would change them everywhere."""


def prediction_of(record: Mapping[str, Any]) -> Prediction:
    """A prediction out of JSON. Raises TypeError or KeyError for what is none."""
    regions = tuple(tuple(region) for region in record.get("regions", ()))
    return Prediction(**{**record, "heads": tuple(record["heads"]), "regions": regions})


def batch_shape(height: int, width: int, prediction: Prediction) -> BatchShape:
    """The one shape (B, H, W) in which all images of a bucket go through the network, tiles included."""
    height, width = min(height, prediction.tile), min(width, prediction.tile)
    return _images_of(height * width, prediction), height, width


def _images_of(pixels: int, prediction: Prediction) -> int:
    """How many images of so many pixels make a batch."""
    return prediction.batch_size or max(1, min(BATCH_IMAGES, prediction.batch_pixels // pixels))


def batches_of(
    images: shards.ZarrArray, rows: Sequence[ShardRow], prediction: Prediction, facts: EngineFacts
) -> Iterator[Batch]:
    """The images of some rows of a shard, in the batches in which they go through the network.

    All in one shape, large ones in tiles; or, where the network looks at the whole image, each whole at its true size.
    """
    padded = int(images.shape[1]), int(images.shape[2])
    for shape, group in shapes_of(rows, padded, prediction, facts.stride, facts.fixed_size).items():
        pieces = whole_pieces(group) if prediction.whole_image else plan_pieces(group, shape, prediction.overlap)
        yield from read_batches(images, pieces, shape, facts)


def shapes_of(
    rows: Sequence[ShardRow],
    padded: tuple[int, int],
    prediction: Prediction,
    stride: int,
    fixed_size: tuple[int, int] | None = None,
) -> dict[BatchShape, list[ShardRow]]:
    """The shapes of the batches of a shard, `padded` in height and width, each with the rows that have it.

    One for all, or one for each true size, rounded up to the stride of the network. A network of a fixed size has no
    other: larger images go through it in tiles of that size, smaller ones are padded to it.
    """
    if fixed_size:
        return {(_images_of(fixed_size[0] * fixed_size[1], prediction), *fixed_size): list(rows)}
    if not prediction.whole_image:
        return {batch_shape(*padded, prediction): list(rows)}
    sizes: dict[tuple[int, int], list[ShardRow]] = {}
    for row in rows:
        sizes.setdefault((next_multiple(row.height, stride), next_multiple(row.width, stride)), []).append(row)
    return {
        # What would fill a batch up is computed too, and there may be few images of a size.
        (min(_images_of(height * width, prediction), sum(row.depth for row in group)), height, width): group
        for (height, width), group in sizes.items()
    }
