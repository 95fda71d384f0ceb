"""What a reduced precision costs: the same images through two engines, compared pixel by pixel and score by score."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from segscale.errors import DataError
from segscale.tasks.labels import IGNORED
from segscale.tasks.metrics import scores
from segscale.tasks.metrics.overlap import OverlapCounts, count_overlap


@dataclass(frozen=True, slots=True)
class Parity:
    """How far the results of a reduced precision lie from those of float32, over some images and all heads."""

    n_images: int
    """Images compared."""
    n_unusable: int
    """Images of which one precision or both gave something that is no probability; they are in no other number."""
    n_pixels: int
    """Of the images compared, over all heads, pixels without a reference included."""
    n_flipped: int
    """Of these, pixels whose predicted class differs."""
    largest_difference: float
    """Of any two probabilities; NaN where none were compared."""
    largest_dice_change: float
    """Of any image, head and foreground class, without its sign; NaN where no image was compared. A Dice that one
    precision defines and the other does not (it alone finds something where nothing is) has changed by 1."""
    mean_dice_change: float
    """Reduced minus float32, mean over images, heads and foreground classes that both define; NaN where none is."""
    worst_image: str
    """The image of the largest change; "" where none changed."""

    def within(self, max_dice_change: float) -> bool:
        """Whether every image gave probabilities, and none changed its Dice by more."""
        # Without any image compared nothing is known, and NaN is not within anything.
        return not self.n_unusable and self.largest_dice_change <= max_dice_change


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """An image or a part of one, seen with both precisions."""

    image_id: str
    reference: NDArray[np.uint8]
    """(H, W) class indices."""
    reduced: NDArray[np.float32]
    """(heads, H, W, outputs)."""
    full: NDArray[np.float32]
    """Likewise, in float32."""


@dataclass(frozen=True, slots=True)
class _Comparison:
    """What is known of one head of an image; parts add up."""

    reduced: OverlapCounts
    full: OverlapCounts
    n_flipped: int
    largest_difference: float

    def __add__(self, other: Self) -> Self:
        return type(self)(
            self.reduced + other.reduced,
            self.full + other.full,
            self.n_flipped + other.n_flipped,
            max(self.largest_difference, other.largest_difference),
        )

    @property
    def dice_changes(self) -> NDArray[np.float64]:
        """Of each foreground class, with its sign; NaN where neither Dice is defined, infinite where one is."""
        reduced, full = _foreground_dice(self.reduced), _foreground_dice(self.full)
        return np.where(np.isnan(reduced) == np.isnan(full), reduced - full, np.inf)


def compare(pieces: Iterable[Piece], n_classes: int, threshold: float) -> Parity:
    """Compare what two precisions make of the same images. Pieces of one image add up, in any order."""
    compared: dict[str, list[_Comparison]] = {}
    unusable: set[str] = set()
    for piece in pieces:
        try:
            found = [
                _compared(piece.reference, reduced, full, n_classes, threshold)
                for reduced, full in zip(piece.reduced, piece.full, strict=True)
            ]
        except DataError:
            # Which image it is, and why, is said when it is predicted.
            unusable.add(piece.image_id)
            continue
        known = compared.get(piece.image_id)
        compared[piece.image_id] = [a + b for a, b in zip(known, found, strict=True)] if known else found
    return _summary({name: heads for name, heads in compared.items() if name not in unusable}, len(unusable))


def _compared(
    reference: NDArray[np.uint8],
    reduced: NDArray[np.float32],
    full: NDArray[np.float32],
    n_classes: int,
    threshold: float,
) -> _Comparison:
    counted = [
        count_overlap(
            reference, n_classes=n_classes, probabilities=one, threshold=threshold, ignore_index=IGNORED
        )
        for one in (reduced, full)
    ]  # fmt: skip
    flipped = np.count_nonzero(_labels(reduced, threshold) != _labels(full, threshold))
    return _Comparison(counted[0], counted[1], int(flipped), float(np.abs(reduced - full).max()))


def _labels(probabilities: NDArray[np.float32], threshold: float) -> NDArray[np.intp]:
    """The predicted class of each pixel, by the rule of the counts."""
    if probabilities.shape[-1] <= 2:
        return (probabilities[..., -1] >= np.float32(threshold)).astype(np.intp)
    labels: NDArray[np.intp] = probabilities.argmax(axis=-1)
    return labels


def _foreground_dice(counts: OverlapCounts) -> NDArray[np.float64]:
    found: NDArray[np.float64] = scores.dice(counts.true_positive, counts.false_positive, counts.false_negative)[1:]
    return found


def _summary(compared: Mapping[str, list[_Comparison]], n_unusable: int) -> Parity:
    heads = [head for of_image in compared.values() for head in of_image]
    changes = {name: np.concatenate([head.dice_changes for head in of_image]) for name, of_image in compared.items()}
    largest = {name: _largest(of_image) for name, of_image in changes.items()}
    worst = max(largest, key=largest.__getitem__, default="")
    signed = np.concatenate([np.zeros(0), *changes.values()])
    defined = signed[np.isfinite(signed)]
    return Parity(
        n_images=len(compared),
        n_unusable=n_unusable,
        n_pixels=sum(head.full.n_pixels for head in heads),
        n_flipped=sum(head.n_flipped for head in heads),
        largest_difference=max((head.largest_difference for head in heads), default=np.nan),
        largest_dice_change=largest.get(worst, np.nan),
        mean_dice_change=float(defined.mean()) if defined.size else np.nan,
        worst_image=worst if largest.get(worst) else "",
    )


def _largest(changes: NDArray[np.float64]) -> float:
    """Without signs; a change of definedness is 1, none is 0."""
    return float(np.nan_to_num(np.abs(changes), nan=0.0, posinf=1.0).max())


def verdict(precision: str, parity: Parity, max_dice_change: float) -> str:
    """What is said of a reduced precision and its price, and what follows."""
    if not parity.n_images + parity.n_unusable:
        return f"no image of the shard checked can be predicted, so the price of {precision} is unknown: float32"
    price = (
        f"{precision} changes the Dice of {parity.n_images} images by {parity.largest_dice_change:.2g} at most, "
        f"{parity.n_flipped} of {parity.n_pixels} pixels flip"
    )
    if parity.n_unusable:
        return f"{price}, and {parity.n_unusable} images have results that are no probabilities: float32"
    within = parity.within(max_dice_change)
    return f"{price}: {'accepted' if within else f'more than {max_dice_change:g} (max_dice_change), so float32'}"
