"""Engines: a built model made callable on batches of stored pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from segscale.errors import ArgumentError

Precision = Literal["float32", "bfloat16", "float16", "int8"]
"""Of the convolutions; what goes in and comes out is float32. int8: of most of them, whose weights and inputs are
rounded to 256 steps; the first and the last stay in float32."""


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """What an engine computes, and with what. Engines of unequal facts may give unequal numbers."""

    name: str
    """Which engine, e.g. keras."""
    device: str
    """Where it runs, e.g. cpu:0."""
    precision: Precision
    """Of the convolutions."""
    version: str
    """Of everything below this package that computes, e.g. keras 3.15.0, tensorflow 2.21.0."""
    heads: tuple[str, ...]
    """What lies along the first axis of the probabilities; "ensemble" is the mean of several heads."""
    n_classes: int
    """Classes told apart; 2 for one output."""
    outputs: int
    """Channels of the probabilities: 1, p(class 1), or n_classes."""
    channels: int
    """Channels of the network's input; one stored channel is repeated to these."""
    stride: int
    """Height and width must be multiples of this."""
    one_by_one: bool = False
    """Whether it computes each image alone: a short batch then costs less than a full one, and needs no filling up."""
    rescales: str = ""
    """The layer by which the network scales stored values itself, and how; "" where it takes what is scaled before."""
    whole_image: tuple[str, ...] = ()
    """Layers whose results at a pixel depend on the whole image, so that padding changes them."""
    fixed_size: tuple[int, int] | None = None
    """The one height and width that the network takes; None for all multiples of the stride."""
    graph: str = ""
    """Of int8, which constants the graph holds (`OpenVinoGraph.content`); "" where weights and versions say it all."""


class Engine(Protocol):
    """A network that turns stored pixels into probabilities."""

    @property
    def facts(self) -> EngineFacts:
        """What this engine computes, and with what."""
        ...

    def probabilities(self, pixels: NDArray[Any], recipe: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities (heads, B, H, W, outputs) of stored images (B, H, W, C).

        `pixels` are integers of any width or float32, C is 1 or facts.channels, H and W are facts.fixed_size where
        there is one, else multiples of facts.stride.
        `recipe` is float32 (B, 4) with the columns clip_low, clip_high, offset, scale; the network sees
        x = (clip(pixels, clip_low, clip_high) - offset) / scale, by true division, so that 255 / 255 is exactly 1. The
        bounds may be infinite. Raises ValueError for arrays that do not fit. Non-finite results are passed on. The
        result is the caller's: it is read while the next call computes.
        """
        ...


def check_batch(pixels: NDArray[Any], recipe: NDArray[np.float32], facts: EngineFacts) -> None:
    """Raise ValueError where a batch does not fit an engine: what `Engine.probabilities` demands."""
    if pixels.ndim != 4 or 0 in pixels.shape or pixels.shape[3] not in (1, facts.channels):
        raise ArgumentError(f"pixels must be (B, H, W, 1 or {facts.channels}), got {pixels.shape}")
    if not (np.issubdtype(pixels.dtype, np.integer) or pixels.dtype == np.float32):
        raise ArgumentError(f"pixels must be integers or float32, got {pixels.dtype}")
    if facts.fixed_size not in (None, pixels.shape[1:3]):
        raise ArgumentError(
            f"height and width must be {facts.fixed_size}, the one size that the network takes, got {pixels.shape[1:3]}"
        )
    if pixels.shape[1] % facts.stride or pixels.shape[2] % facts.stride:
        raise ArgumentError(
            f"height and width must be multiples of the network's stride {facts.stride}, got "
            f"{pixels.shape[1]}x{pixels.shape[2]}; pad the images"
        )
    if recipe.shape != (len(pixels), 4) or recipe.dtype != np.float32:
        raise ArgumentError(
            f"recipe must be float32 ({len(pixels)}, 4), a row per image, got {recipe.dtype} {recipe.shape}"
        )
