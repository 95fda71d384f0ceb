"""Sampling: some images of a data set, drawn by a seed, in the place of all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from segscale.errors import ConfigError
from segscale.flows.run import Run
from segscale.storage.enumeration import first_of
from segscale.storage.sources import ROLES

N_IMAGES = 128


@dataclass(frozen=True, slots=True)
class Sampling:
    """Which images of a set are priced."""

    n_images: int = N_IMAGES
    """At most, drawn without replacement."""
    seed: int = 0
    where: Mapping[str, str] = field(default_factory=dict)
    """Columns of the listing, and the value that the images have in each."""

    def check(self) -> None:
        """Raise ConfigError for what is no number of images, or no seed."""
        if self.n_images < 1:
            raise ConfigError(f"images: expected 1 or more, got {self.n_images}")
        if self.seed < 0:
            raise ConfigError(f"seed: expected 0 or more, got {self.seed}")


def draw(run: Run, sampling: Sampling) -> int:
    """Leave of the listing of a run the images that are drawn, in its order; returns of how many they were drawn.

    Raises ConfigError where there are none, or where a column is none of the data set.
    """
    images = run.listing()
    chosen = np.ones(len(images), bool)
    known = [str(name) for name in images if name not in {"image_id", *ROLES, *(f"{role}_version" for role in ROLES)}]
    for column, value in sampling.where.items():
        if column not in known:
            there = ", ".join(known) or "none"
            raise ConfigError(f"where: expected a column of the data set, got {column!r}; there are {there}")
        values = images[column].astype(str)
        if not (values == value).any():
            raise ConfigError(f"where: no image has {column} = {value!r}; there are {first_of(sorted(set(values)))}")
        chosen &= (values == value).to_numpy()
    places = np.flatnonzero(chosen)
    if not places.size:
        said = " and ".join(f"{column} = {value!r}" for column, value in sampling.where.items())
        raise ConfigError(f"where: no image has {said}" if said else "dataset: there are no images to price")
    n_drawn = min(sampling.n_images, places.size)
    drawn = np.random.default_rng(sampling.seed).choice(places, n_drawn, replace=False)
    run.keep_only(np.sort(drawn))
    return int(places.size)
