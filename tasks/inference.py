"""Inference: the slices of a shard as batches for a network, and its answers as bands of finished rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from segscale.storage import shards
from segscale.tasks.blocks import BlockReader, Place
from segscale.tasks.engines import EngineFacts
from segscale.tasks.prefetch import stage
from segscale.tasks.shard_plan import PADDING
from segscale.tasks.shard_rows import ShardRow
from segscale.tasks.tiling import Tile, TileSum, fill_padded, next_multiple, plan_tiles

BatchShape = tuple[int, int, int]
"""Images or tiles of a batch, their height and width."""


@dataclass(frozen=True, slots=True)
class Piece:
    """What passes through the network at once: a whole slice, or one tile of a large one."""

    row: ShardRow
    position: int
    """Of the slice, in the arrays of the shard."""
    plan: tuple[Tile, ...]
    """All tiles of the slice; one where it is no larger than a tile."""
    index: int
    """Of this tile among them."""

    @property
    def tile(self) -> Tile:
        return self.plan[self.index]

    @property
    def place(self) -> Place:
        """The rows of the shard that it is cut from."""
        return Place(self.position, self.tile.top, self.tile.top + self.tile.height)


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Pieces as an engine takes them."""

    pieces: tuple[Piece, ...]
    pixels: npt.NDArray[Any]
    """(B, H, W, C); in front the pieces, behind them zeros where a short batch was filled up."""
    recipes: npt.NDArray[np.float32]
    """(B, 4)."""

    @property
    def image_ids(self) -> list[str]:
        return [piece.row.image_id for piece in self.pieces]


@dataclass(frozen=True, slots=True, eq=False)
class Band:
    """Rows of a slice whose probabilities are final: all of them, or where it is tiled those that tiles finished."""

    row: ShardRow
    position: int
    top: int
    probabilities: npt.NDArray[np.float32]
    """(heads, rows, width, outputs), without padding."""

    @property
    def bottom(self) -> int:
        """One past its last row."""
        return self.top + int(self.probabilities.shape[1])

    @property
    def is_whole(self) -> bool:
        return (self.top, self.bottom) == (0, self.row.height)


def plan_pieces(rows: Iterable[ShardRow], shape: BatchShape, overlap: float) -> Iterator[Piece]:
    """The pieces of the rows in their order, tiles row by row.

    Tiles are laid over the true size; where that is smaller than a tile, the padding fills it up.
    """
    _, height, width = shape
    for row in rows:
        plan = plan_tiles(max(row.height, height), max(row.width, width), (height, width), overlap)
        for position in range(row.start, row.stop):
            for index in range(len(plan)):
                yield Piece(row, position, plan, index)


def whole_pieces(rows: Iterable[ShardRow]) -> Iterator[Piece]:
    """The slices of the rows, each one piece of its true size: nothing of the padding in the shard is in it."""
    for row in rows:
        plan = (Tile(0, 0, row.height, row.width),)
        for position in range(row.start, row.stop):
            yield Piece(row, position, plan, 0)


def read_batches(
    images: shards.ZarrArray, pieces: Iterable[Piece], shape: BatchShape, facts: EngineFacts
) -> Iterator[Batch]:
    """The pieces, decoded and padded, in batches of one shape.

    The last one is filled up with zeros, but for engines that compute image by image.
    """
    reader, remaining = BlockReader(images), iter(pieces)
    while group := tuple(islice(remaining, shape[0])):
        with stage("reading", (piece.row.image_id for piece in group)):
            batch = _fill(reader, group, shape, facts)
        yield batch


def _fill(reader: BlockReader, pieces: tuple[Piece, ...], shape: BatchShape, facts: EngineFacts) -> Batch:
    size, *sides = shape
    if facts.one_by_one:
        size = len(pieces)
    height, width = (next_multiple(side, facts.stride) for side in sides)
    # Of three equal channels a network of one takes the first.
    channels = 1 if facts.channels == 1 else reader.channels
    # Engines take no float16.
    dtype = np.dtype(np.float32) if reader.dtype == np.float16 else reader.dtype
    pixels = np.zeros((size, height, width, channels), dtype)
    recipes = np.ones((size, 4), np.float32)
    blocks = reader.read([piece.place for piece in pieces])
    for index, (piece, block) in enumerate(zip(pieces, blocks, strict=True)):
        left, right = piece.tile.left, piece.tile.left + piece.tile.width
        if facts.fixed_size:
            # The padding that the shard shares with others may be less than the network wants: it is padded from the
            # true size, whatever lies in the shard.
            right, block = min(right, piece.row.width), block[: piece.row.height - piece.tile.top]
        fill_padded(pixels[index : index + 1], block[np.newaxis, :, left:right, :channels], PADDING)
        recipes[index] = astuple(piece.row.recipe)
    return Batch(pieces, pixels, recipes)


class Merging:
    """Makes bands of the probabilities of pieces, which come in the order of their plan.

    A slice of one piece is a band by itself. Of a tiled one a band leaves for each row of tiles, so that no more than
    that is in memory, however large the slice.
    """

    def __init__(self) -> None:
        self._sum: TileSum | None = None

    def bands(self, pieces: Sequence[Piece], probabilities: npt.NDArray[np.float32]) -> Iterator[Band]:
        """The bands that these pieces finish; `probabilities` is (heads, B, H, W, outputs) of a batch."""
        for index, piece in enumerate(pieces):
            found = probabilities[:, index, : piece.tile.height, : piece.tile.width]
            top, finished = (0, found) if len(piece.plan) == 1 else self._add(piece, found) or (0, found[:, :0])
            rows = min(int(finished.shape[1]), piece.row.height - top)
            if rows > 0:
                yield Band(piece.row, piece.position, top, finished[:, :rows, : piece.row.width])

    def _add(self, piece: Piece, found: npt.NDArray[np.float32]) -> tuple[int, npt.NDArray[np.float32]] | None:
        if piece.index == 0:
            self._sum = TileSum(piece.plan, len(found), int(found.shape[-1]))
        assert self._sum is not None, "the first tile of a slice comes first"
        finished = self._sum.add(piece.tile, found)
        if piece.index == len(piece.plan) - 1:
            self._sum = None
        return finished
