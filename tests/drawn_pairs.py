"""Small drawn pairs of references and predictions, laid down as people lay theirs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIZE = (24, 32)
IDS = tuple(f"case{number:02}" for number in range(1, 13))


def disc(number: int, shift: int = 0, value: int = 255) -> NDArray[np.uint8]:
    """A disc whose place and size depend on `number`; a prediction is one that is shifted."""
    rows, columns = np.indices(SIZE)
    inside = (rows - 12) ** 2 + (columns - 10 - number % 7 - shift) ** 2 <= (4 + number % 3) ** 2
    return np.where(inside, value, 0).astype(np.uint8)


def noise(number: int) -> NDArray[np.uint8]:
    """What stands for an image."""
    return np.random.default_rng(number).integers(0, 256, SIZE).astype(np.uint8)


def save(path: Path, pixels: NDArray[Any]) -> None:
    """PNG or .npy, as the name says; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, pixels)
    else:
        Image.fromarray(pixels).save(path)


def draw(folder: Path, places: Mapping[str, str], ids: Sequence[str] = IDS, value: int = 255) -> Path:
    """Files for each id: `places` has patterns with {id} by role (image, reference, prediction). Returns `folder`."""
    for number, name in enumerate(ids):
        made = {"image": noise(number), "reference": disc(number, 0, value), "prediction": disc(number, 1, value)}
        for role, pattern in places.items():
            save(folder / pattern.replace("{id}", name), made[role])
    return folder


def dice(number: int) -> float:
    """Of the prediction and the reference of a number, by plain numpy."""
    reference, prediction = disc(number) > 0, disc(number, 1) > 0
    return float(2 * (reference & prediction).sum() / (reference.sum() + prediction.sum()))
