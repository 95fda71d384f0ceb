"""Band measures: label maps gathered as a network finishes bands of them, measured when an image is whole."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from segscale.tasks.inference import Band
from segscale.tasks.kept import to_labels
from segscale.tasks.measuring import Measured, Measuring, StackOf
from segscale.tasks.metrics.regions import Regions
from segscale.tasks.shard_rows import ShardRow

References = npt.NDArray[np.uint8]


class BandMeasures:
    """What is measured of the images of a shard, whose bands come in any order, each once."""

    def __init__(
        self,
        measuring: Measuring,
        stacks: Mapping[str, StackOf],
        heads: Sequence[str],
        n_classes: int,
        regions: Regions,
        threshold: float,
        instances_of: Callable[[ShardRow], npt.NDArray[Any]] | None = None,
    ) -> None:
        """instances_of: the numbers (slices, H, W) that the reference of an image has, where each is a lesion."""
        self._instances_of = instances_of
        self._measuring, self._stacks, self._heads = measuring, stacks, heads
        self._of_set, self._threshold = (n_classes, regions), threshold
        self._gathered: dict[str, _Gathered] = {}
        """Of images of which some bands have come."""
        self._found: dict[str, Measured] = {}

    def add(self, band: Band, reference: References) -> None:
        """Take in the rows of a slice; `reference` is (rows, width) of class indices. The last ones are measured."""
        row = band.row
        gathered = self._gathered.get(row.image_id)
        if gathered is None:
            gathered = self._gathered[row.image_id] = _Gathered(len(self._heads), row)
        gathered.put(band, reference, [to_labels(one, self._of_set[0], self._threshold) for one in band.probabilities])
        if gathered.rows_to_come:
            return
        del self._gathered[row.image_id]
        stack, instances = self._stacks[row.image_id], self._instances(row)
        structures = [stack.structures(gathered.reference, one, *self._of_set, instances) for one in gathered.labels]
        of_heads = dict(zip(self._heads, structures, strict=True))
        self._found[row.image_id] = Measured.of(row.image_id, of_heads, self._measuring)

    def drop(self, image_id: str) -> None:
        """Nothing more comes of an image: something of it is no prediction."""
        self._gathered.pop(image_id, None)

    def encode(
        self, rows: Iterable[ShardRow], failed: Collection[str], reference_of: Callable[[ShardRow], References]
    ) -> dict[str, bytes]:
        """The side parts of the shard, image by image; of one without a usable prediction its reference alone."""
        found = []
        for row in rows:
            if row.image_id not in failed:
                found.append(self._found[row.image_id])
            elif row.is_sound:
                known = reference_of(row), None, *self._of_set, self._instances(row)
                nothing = self._stacks[row.image_id].structures(*known)
                found.append(Measured.of(row.image_id, dict.fromkeys(self._heads, nothing), self._measuring))
        return Measured.joined(found).encode(self._measuring)

    def _instances(self, row: ShardRow) -> npt.NDArray[Any] | None:
        return None if self._instances_of is None else self._instances_of(row)


class _Gathered:
    """The label maps of one image beside its reference."""

    def __init__(self, n_heads: int, row: ShardRow) -> None:
        shape = row.depth, row.height, row.width
        self.reference = np.zeros(shape, np.uint8)
        self.labels = np.zeros((n_heads, *shape), np.uint8)
        """(heads, slices, H, W)."""
        self.rows_to_come = row.depth * row.height

    def put(self, band: Band, reference: References, labels: Iterable[npt.NDArray[np.uint8]]) -> None:
        place = band.position - band.row.start, slice(band.top, band.bottom)
        self.reference[place] = reference
        for whole, rows in zip(self.labels, labels, strict=True):
            whole[place] = rows
        self.rows_to_come -= band.bottom - band.top
