"""Pairs of PNG files for benchmarks: real nuclei under any number of names, and small drawn ones."""

from __future__ import annotations

import shutil
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

FOREGROUND = 255
"""Of all masks here."""
SIDE = 64
"""Of the drawn ones."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Two folders, and for an earlier version a third."""

    folder: Path
    count: int
    images: Path

    @property
    def references(self) -> Path:
        return self.folder / "references"

    @property
    def predictions(self) -> Path:
        return self.folder / "predictions"


def nuclei_pairs(folder: Path, data: Path, n_copies: int) -> Pairs:
    """The nuclei and shifted masks as their predictions, each under so many names; `data` has images and masks."""
    masks = sorted((data / "masks").glob("*.png"))
    if not masks:
        raise SystemExit(f"{data}: expected the folders images and masks; SEGSCALE_DATA names the folder above")
    pairs = Pairs(folder, len(masks) * n_copies, data / "images")
    for place in (pairs.references, pairs.predictions):
        place.mkdir(parents=True)
    for number, path in enumerate(masks):
        mask = np.where(np.asarray(Image.open(path)) > 0, FOREGROUND, 0).astype(np.uint8)
        shifted = np.roll(mask, (1 + number % 4, number % 3), (0, 1))
        for copy in range(n_copies):
            name = path.name if n_copies == 1 else f"{path.stem}_{copy:03d}.png"
            for place, pixels in ((pairs.references, mask), (pairs.predictions, shifted)):
                if copy == 0:
                    Image.fromarray(pixels).save(place / name)
                else:
                    shutil.copyfile(place / f"{path.stem}_000.png", place / name)
    return pairs


def small_pairs(folder: Path, count: int) -> Pairs:
    """Drawn ellipses of 64 x 64 pixels, no two alike, and as predictions the same, shifted."""
    pairs = Pairs(folder, count, folder)
    for place in (pairs.references, pairs.predictions):
        place.mkdir(parents=True)
    with ProcessPoolExecutor() as pool:
        list(pool.map(partial(draw_small, pairs), range(count), chunksize=1000))
    return pairs


def draw_small(pairs: Pairs, number: int) -> None:
    generator = np.random.default_rng(number)
    y, x = np.ogrid[:SIDE, :SIDE]
    centre, radii = generator.uniform(16, 48, 2), generator.uniform(3, 16, 2)
    mask = ((y - centre[0]) / radii[0]) ** 2 + ((x - centre[1]) / radii[1]) ** 2 < 1
    pixels = np.where(mask, FOREGROUND, 0).astype(np.uint8)
    shifted = np.roll(pixels, tuple(generator.integers(1, 3, 2)), (0, 1))
    for place, one in ((pairs.references, pixels), (pairs.predictions, shifted)):
        Image.fromarray(one).save(place / f"case_{number:06d}.png", compress_level=1)
