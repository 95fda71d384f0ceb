"""Batches for a training, made by threads while the network computes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from absl import logging as absl_logging
from numpy.typing import NDArray

from segscale.errors import ArgumentError
from segscale.tasks.labels import IGNORED
from segscale.tasks.normalize import apply_recipe
from segscale.tasks.tiling import pad_to
from segscale.tasks.training.augmentation import augment
from segscale.tasks.training.patches import PatchPlan, cut_patch, draw_position
from segscale.tasks.training.sample import Sample
from segscale.tasks.training.settings import Augmentation

_CHANGE = 3  # the stream of augmentation, apart from those of the plan

_Item = TypeVar("_Item")


class Batch(NamedTuple):
    """What one step takes."""

    images: NDArray[np.float32]
    """(B, H, W, channels), normalised."""
    references: NDArray[np.uint8]
    """(B, H, W, 1) class indices; 255 counts in nothing."""


def training_batches(
    plan: PatchPlan,
    augmentation: Augmentation,
    *,
    batch_size: int,
    channels: int,
    first_step: int = 0,
    n_steps: int,
    threads: int = 1,
) -> Iterator[Batch]:
    """The batches of `n_steps` steps from `first_step` on: square patches, all batches full.

    A batch is a pure function of the plan, the augmentation, the batch size, the channels and its step: the same bits
    whatever the number of threads, wherever a training starts anew. Two batches for each thread are made ahead;
    `threads` 0 makes each when it is asked for. What goes wrong in a thread is raised here, and says for which image.
    """
    if min(batch_size, channels) < 1 or min(first_step, n_steps, threads) < 0:
        raise ArgumentError(
            "training batches: expected batch_size and channels from 1, first_step, n_steps and threads from 0, "
            f"got {batch_size}, {channels}, {first_step}, {n_steps}, {threads}"
        )
    if not n_steps:
        return iter(())
    grain = _import_grain()
    patches = grain.MapDataset.range(first_step * batch_size, (first_step + n_steps) * batch_size)
    patches = patches.map(partial(draw_patch, plan, augmentation, channels))
    return _make_ahead(patches.batch(batch_size, batch_fn=_stack), threads)


def draw_patch(plan: PatchPlan, augmentation: Augmentation, channels: int, number: int) -> Batch:
    """The patch of position `number`: image (P, P, channels), reference (P, P, 1)."""
    position = draw_position(plan, number)
    sample = plan.samples[position.sample]
    try:
        pixels, reference = cut_patch(plan, position)
        generator = np.random.default_rng((plan.seed, _CHANGE, number))
        image, reference = augment(apply_recipe(pixels, sample.recipe), reference, augmentation, generator)
        # Copied to all channels last, so that a grey image is warped once.
        return Batch(_to_channels(image, channels), reference[..., np.newaxis])
    except Exception as error:
        error.add_note(f"while making patch {number}, of image {sample.image_id!r}")
        raise


def validation_batches(
    samples: Sequence[Sample], stride: int, batch_size: int, channels: int, threads: int = 1
) -> Iterator[Batch]:
    """Whole images, each once, in batches of one padded shape.

    Sides are padded to multiples of `stride` at the bottom and right: images by reflection, references with 255, so the
    padding counts in nothing. Shapes come in the order of their first sample, samples in their own; the last batch of a
    shape may be short.
    """
    if min(stride, batch_size, channels) < 1 or threads < 0:
        raise ArgumentError(
            "validation batches: expected stride, batch_size and channels from 1, threads from 0, "
            f"got {stride}, {batch_size}, {channels}, {threads}"
        )
    by_shape: dict[tuple[int, int], list[Sample]] = {}
    for sample in samples:
        height, width = (-(-side // stride) * stride for side in sample.reference.shape)
        by_shape.setdefault((height, width), []).append(sample)
    parts = [
        (shape, alike[start : start + batch_size])
        for shape, alike in by_shape.items()
        for start in range(0, len(alike), batch_size)
    ]
    if not parts:
        return iter(())
    return _make_ahead(_import_grain().MapDataset.source(parts).map(partial(_pad_whole, channels)), threads)


class WaitingClock(Generic[_Item], Iterator[_Item]):
    """Passes on what another iterator gives, and adds up how long it was waited for.

    >>> clock = WaitingClock(iter("ab"), now=iter([0.0, 2.0, 5.0, 6.0]).__next__)
    >>> next(clock), next(clock), clock.seconds
    ('a', 'b', 3.0)
    """

    def __init__(self, items: Iterable[_Item], now: Callable[[], float] = time.perf_counter) -> None:
        """`now` tells the time, seconds."""
        self._items = iter(items)
        self._now = now
        self.seconds = 0.0
        """Spent in waiting so far; set it to 0 for a new count."""

    def __next__(self) -> _Item:
        started = self._now()
        try:
            return next(self._items)
        finally:
            self.seconds += self._now() - started


def _make_ahead(dataset: Any, threads: int) -> Iterator[Batch]:
    options = _import_grain().ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads)
    iterator = iter(dataset.to_iter_dataset(options))
    try:
        yield from iterator
    finally:
        # Also when a training is broken off: no thread goes on making what nobody takes.
        iterator.close()


def _import_grain() -> Any:
    """grain, imported when it is used, and without its warning that there is no JAX to profile."""
    verbosity = absl_logging.get_verbosity()
    absl_logging.set_verbosity(absl_logging.ERROR)
    try:
        import grain
    finally:
        absl_logging.set_verbosity(verbosity)
    return grain


def _stack(patches: Sequence[Batch]) -> Batch:
    return Batch(np.stack([patch.images for patch in patches]), np.stack([patch.references for patch in patches]))


def _pad_whole(channels: int, part: tuple[tuple[int, int], Sequence[Sample]]) -> Batch:
    (height, width), samples = part
    images = np.empty((len(samples), height, width, channels), np.float32)
    references = np.full((len(samples), height, width, 1), IGNORED, np.uint8)
    for image, reference, sample in zip(images, references, samples, strict=True):
        rows, columns = sample.reference.shape
        image[...] = pad_to(apply_recipe(sample.pixels, sample.recipe)[np.newaxis], height, width, "reflect")[0]
        reference[:rows, :columns, 0] = sample.reference
    return Batch(images, references)


def _to_channels(image: NDArray[np.float32], channels: int) -> NDArray[np.float32]:
    return np.broadcast_to(image, (*image.shape[:-1], channels))
