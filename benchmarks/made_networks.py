"""UNet++ with made-up weights, and images for it: what inference is measured with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import keras
import numpy as np
import numpy.typing as npt

from segscale.tasks.models.unet_plus_plus import build_unet_plus_plus
from segscale.tasks.networks import select_outputs

UNIT = (-np.inf, np.inf, 0.0, 255.0)
"""The recipe of 8-bit images: nothing is clipped, 255 becomes 1."""


@dataclass(frozen=True, slots=True)
class Network:
    """A UNet++ and the size of its images."""

    name: str
    filters: tuple[int, ...]
    normalization: Literal["none", "batch"]
    side: int = 256

    @property
    def level(self) -> int:
        """The whole of it."""
        return len(self.filters) - 1


PLAIN = Network("L4 as published", (32, 64, 128, 256, 512), "none")
NORMALIZED = Network("L4 with BatchNorm", (32, 64, 128, 256, 512), "batch")
SMALL = Network("small, with BatchNorm", (8, 16, 32, 64, 128), "batch")
TINY = Network("tiny, with BatchNorm", (2, 4, 8), "batch", side=32)


def made_model(network: Network, policy: str = "float32") -> keras.Model:
    """The network with its last head alone, computing under a precision policy of Keras.

    Equal networks have equal weights under every policy. BatchNorm has statistics unlike those it starts with, so that
    a copy which forgets them gives other probabilities.
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = build_unet_plus_plus(
            channels=3, outputs=1, filters=network.filters, normalization=network.normalization
        )
    finally:
        keras.config.set_dtype_policy(before)
    generator = np.random.default_rng(0)
    for variable in model.variables:
        if "seed_generator" not in variable.path:
            variable.assign(_made_weights(variable.path, tuple(variable.shape), generator))
    return select_outputs(model, [f"head_{network.level}"])


def _made_weights(path: str, shape: tuple[int, ...], generator: np.random.Generator) -> npt.NDArray[np.float32]:
    if "kernel" in path:
        # He's initialisation; a pixel of a 2x2 transposed convolution of stride 2 has one weight for each channel.
        fan_in = shape[3] if "_up/" in path else int(np.prod(shape[:3]))
        drawn = generator.normal(0, np.sqrt(2 / fan_in), shape)
    else:
        centre = 1.0 if path.endswith(("gamma", "moving_variance")) else 0.0
        drawn = centre + generator.uniform(-0.1, 0.1, shape)
    return drawn.astype(np.float32)


def made_pixels(count: int, side: int) -> npt.NDArray[np.uint8]:
    """Different noisy images (count, side, side, 3)."""
    return np.random.default_rng(1).integers(0, 256, (count, side, side, 3), np.uint8)


def unit_recipes(count: int) -> npt.NDArray[np.float32]:
    """A row of the recipe for each image."""
    return np.tile(np.array(UNIT, np.float32), (count, 1))


def unit_images(pixels: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """The images as the network sees them."""
    return pixels.astype(np.float32) / np.float32(255)
