"""The images of an ingested shard on which engines are tried, for the plan of a run."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from segscale.storage import shards
from segscale.storage.ledger import Ledger
from segscale.storage.objects import ObjectStore
from segscale.tasks.batch_size import BatchSize, find_batch_size
from segscale.tasks.blocks import BlockReader, Place
from segscale.tasks.engine_rates import EngineRates, measure_rates
from segscale.tasks.engines import Engine, EngineFacts
from segscale.tasks.engines.openvino import seen_image
from segscale.tasks.inference import Batch, BatchShape, Merging, plan_pieces, read_batches, whole_pieces
from segscale.tasks.ingest import IMAGES, REFERENCES
from segscale.tasks.network_input import refused_rows
from segscale.tasks.parity import Parity, Piece, compare
from segscale.tasks.predict import STAGE
from segscale.tasks.prediction import Prediction, batches_of, shapes_of
from segscale.tasks.reach import Reach, far_difference, sees_far
from segscale.tasks.shard_plan import STAGE as INGEST
from segscale.tasks.shard_rows import ShardRow, read_shard_rows, sound
from segscale.tasks.tiling import next_multiple

PARITY_IMAGES = 32
"""So many of the shard's images, the first ones, are predicted in both precisions."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """The images that an engine is tried on."""

    rows: Sequence[ShardRow]
    """Of images that the network can take; none where all of the shard failed."""
    arrays: tuple[shards.ZarrArray, ...]
    """Images and references; none where there are no rows."""

    @classmethod
    def read(cls, store: ObjectStore, ingest_key: str, engine: Engine, most: int | None = PARITY_IMAGES) -> Sample:
        """Of an ingested shard the first images that the network can take; None for all of them."""
        entry = Ledger(store).read(INGEST, ingest_key)
        rows = read_shard_rows(store, entry)
        arrays = shards.open_arrays(store, entry, IMAGES, REFERENCES) if sound(rows) else ()
        refused = refused_rows(rows, engine.facts, arrays, STAGE)
        accepted = [row for row in rows if row.image_id not in refused][:most]
        return cls(accepted, arrays if accepted else ())

    @property
    def padded(self) -> tuple[int, int]:
        """Height and width of the images as stored; 0 of no images."""
        return (int(self.arrays[0].shape[1]), int(self.arrays[0].shape[2])) if self.arrays else (0, 0)

    def rows_for(self, prediction: Prediction) -> Sequence[ShardRow]:
        """Without those that are refused later, because they are too large for a network that must see all of them."""
        tile = prediction.tile
        return [row for row in self.rows if not prediction.whole_image or max(row.height, row.width) <= tile]

    def shapes(self, prediction: Prediction, facts: EngineFacts) -> dict[BatchShape, list[ShardRow]]:
        return shapes_of(self.rows_for(prediction), self.padded, prediction, facts.stride, facts.fixed_size)

    def batches(self, prediction: Prediction, facts: EngineFacts) -> Iterator[Batch]:
        rows = self.rows_for(prediction)
        return batches_of(self.arrays[0], rows, prediction, facts) if rows else iter(())

    def seen(self, row: ShardRow, prediction: Prediction, facts: EngineFacts, share: float) -> NDArray[np.float32]:
        """What the network sees of one piece of an image, (H, W, channels): the one at `share` (0 to 1) of all."""
        ((shape, group),) = replace(self, rows=[row]).shapes(replace(prediction, batch_size=1), facts).items()
        pieces = whole_pieces(group) if prediction.whole_image else plan_pieces(group, shape, prediction.overlap)
        every = list(pieces)
        piece = every[min(int(share * len(every)), len(every) - 1)]
        batch = next(read_batches(self.arrays[0], [piece], shape, facts))
        seen: NDArray[np.float32] = seen_image(batch.pixels[0], batch.recipes[0], facts.channels)[0]
        return seen

    def find_batch_size(self, engine: Engine, prediction: Prediction, memory_bytes: int) -> BatchSize | None:
        one_by_one = replace(prediction, batch_size=1)
        for batch in self.batches(one_by_one, engine.facts):
            return find_batch_size(engine, batch.pixels, batch.recipes, memory_bytes=memory_bytes)
        return None

    def rates(self, reduced: Engine, full: Engine, prediction: Prediction) -> EngineRates | None:
        """Of the first batch; None where no image can be predicted."""
        for batch in self.batches(prediction, full.facts):
            return measure_rates(reduced, full, batch.pixels, batch.recipes)
        return None

    def find_reach(self, engine: Engine, prediction: Prediction) -> Reach | None:
        """How far a network looks that a prediction takes for one that looks at the whole image, or for none."""
        one_by_one, facts = replace(prediction, batch_size=1), engine.facts
        first = next(self.batches(one_by_one, facts), None)
        if first is None or facts.fixed_size:
            return None
        far = math.nan if prediction.whole_image else far_difference(engine, first.pixels, first.recipes)
        reach = Reach(first.image_ids[0], far, math.nan)
        whole = replace(one_by_one, whole_image=True)
        if not (prediction.whole_image or sees_far(far, facts.precision)) or not self.rows_for(whole):
            return reach
        row = max(self.rows_for(whole), key=lambda row: self.padding_of(row, facts))
        padded, true = (
            next(replace(self, rows=[row]).batches(replace(whole, whole_image=is_whole), facts))
            for is_whole in (False, True)
        )
        found = [engine.probabilities(batch.pixels, batch.recipes) for batch in (padded, true)]
        shown = [one[:, 0, : row.height, : row.width] for one in found]
        return replace(reach, image=row.image_id, padding_difference=float(np.abs(shown[0] - shown[1]).max()))

    def padding_of(self, row: ShardRow, facts: EngineFacts) -> int:
        """Pixels that the size shared with others has beyond the true one."""
        height, width = (next_multiple(side, facts.stride) for side in (row.height, row.width))
        return self.padded[0] * self.padded[1] - height * width

    def compare(self, reduced: Engine, full: Engine, prediction: Prediction) -> Parity:
        return compare(self._pieces(reduced, full, prediction), prediction.n_classes, prediction.threshold)

    def _pieces(self, reduced: Engine, full: Engine, prediction: Prediction) -> Iterator[Piece]:
        if not self.rows:
            return
        references, mergings = BlockReader(self.arrays[1]), (Merging(), Merging())
        for batch in self.batches(prediction, reduced.facts):
            found = (engine.probabilities(batch.pixels, batch.recipes) for engine in (reduced, full))
            bands = (merging.bands(batch.pieces, one) for merging, one in zip(mergings, found, strict=True))
            for one, other in zip(*bands, strict=True):
                (reference,) = references.read([Place(one.position, one.top, one.bottom)])
                yield Piece(one.row.image_id, reference[:, : one.row.width], one.probabilities, other.probabilities)
