"""A drawn data set on disk: discs on a noisy ground, no two images alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def draw_set(folder: Path, count: int, side: int, seed: int = 0) -> None:
    """Write images/*.png, RGB, and masks/*.png with 0 and 255."""
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, :side]
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for number in range(count):
        (row, column), radius = generator.uniform(0, side, 2), generator.uniform(side / 16, side / 3)
        disc = (rows - row) ** 2 + (columns - column) ** 2 < radius**2
        # Half of the noise is the same along a column, so that images are compressed about as well as real ones.
        noise = generator.normal(0, 8, (side, side, 3)) * (columns % 2)[..., np.newaxis]
        pixels = (90 + 80 * disc[..., np.newaxis] + noise).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{number:06d}.png", compress_level=1)
        Image.fromarray(disc.astype(np.uint8) * 255).save(folder / "masks" / f"{number:06d}.png", compress_level=1)
