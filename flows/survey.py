"""Survey: some files of every role are read before anything starts; they tell what the files of the set are."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from segscale.errors import ConfigError, SegscaleError
from segscale.flows.config.evaluation import EvaluationConfig
from segscale.flows.dataset import catalog_name, scores_predictions, volumes
from segscale.storage.ledger import content_key
from segscale.storage.objects import ObjectStore
from segscale.storage.readings import read_reading, write_reading
from segscale.storage.sources import file_name
from segscale.storage.tables import frame_sha256
from segscale.tasks.readers import Choice, holds_volume, voxel_bytes
from segscale.tasks.readers.buffers import let_go
from segscale.tasks.source_files import read_source
from segscale.tasks.survey import (
    CODE_VERSION,
    DARK,
    Reading,
    Seen,
    kind_of,
    look_at_image,
    look_at_labels,
    look_at_type,
    two_values_of,
)

logger = logging.getLogger("segscale")
FILES = 64
"""Of each role, spread evenly over the set."""
MOST_BYTES = 2**29
"""So much is read of each role, and a few files more: of large volumes fewer files are looked at."""
MOST_VOXEL_BYTES = 2**28
"""So much is decoded of the volumes of a role, and a few more: few large ones tell as much as many would."""
_TOGETHER, _TOGETHER_BYTES = 8, 2**27
"""So many files are looked at at once, and of volumes no more than decode to so much."""
_Found = TypeVar("_Found")


@dataclass(frozen=True, slots=True)
class Looked:
    """A reading, and what it was found in."""

    reading: Reading
    listing_sha256: str
    made_from: str
    """The sha256 of the listing, of what was asked of it, and of how it was looked at."""
    catalog: str
    """The name of the catalog that it is kept beside."""
    is_kept: bool = True
    """Whether the store holds it already; else files were looked at just now."""

    def keep(self, store: ObjectStore) -> None:
        """Write it into the store, for the next run and for commands that list nothing."""
        write_reading(store, self.catalog, self.made_from, asdict(self.reading))


def look(config: EvaluationConfig, store: ObjectStore, listing: pd.DataFrame, *, scored: bool) -> Looked:
    """How the files of a listing are read: as kept of this very listing, else as a survey finds it now.

    Raises ConfigError where they can be read in more than one way.
    """
    name = catalog_name(config, scored=scored)
    listing_sha256, kept = frame_sha256(listing), _kept(store, name)
    made_from = _made_from(config, listing, listing_sha256)
    is_kept = kept is not None and kept[0] == made_from and not config.dataset.rescan
    if kept is not None and is_kept:
        reading = Reading.from_facts(kept[1])
    else:
        reading = survey(config, listing, scored=scores_predictions(config, listing))
    _warn(reading)
    return Looked(reading, listing_sha256, made_from, name, is_kept)


def _made_from(config: EvaluationConfig, listing: pd.DataFrame, listing_sha256: str) -> str:
    return content_key(
        {
            "code_version": CODE_VERSION,
            "listing": listing_sha256,
            "dataset": config.dataset.model_dump(mode="json", exclude={"rescan", "regions"}),
            "predictions": config.predictions.model_dump(mode="json", exclude={"regions", "regions_class_order"}),
            "scored": scores_predictions(config, listing),
        }
    )


def check_as_counted(config: EvaluationConfig, store: ObjectStore, listing: pd.DataFrame, *, scored: bool) -> None:
    """Raise ConfigError where the files of a listing, or what is said of them, are not those that were counted."""
    kept = _kept(store, catalog_name(config, scored=scored))
    if kept is not None and kept[0] != _made_from(config, listing, frame_sha256(listing)):
        job = "score" if scored else "ingest"
        raise ConfigError(
            f"dataset: the files of {config.dataset.name!r}, or what the configuration says of them, have changed "
            f"since the last {job}; segscale {job} takes them in, segscale run does all that is missing"
        )


def last_look(config: EvaluationConfig, store: ObjectStore, *, scored: bool) -> Looked | None:
    """What was kept with the catalog; None where there is nothing."""
    name = catalog_name(config, scored=scored)
    kept = _kept(store, name)
    return None if kept is None else Looked(Reading.from_facts(kept[1]), "", kept[0], name)


def _kept(store: ObjectStore, catalog: str) -> tuple[str, dict[str, Any]] | None:
    try:
        return read_reading(store, catalog)
    except (OSError, ImportError, SegscaleError):
        # Whatever is wrong with the store is said by the check of the store.
        return None


def _warn(reading: Reading) -> None:
    if reading.highest_share < DARK:
        logger.warning(
            "dataset.full_scale: the images looked at reach %.2g of the full scale of their type at most; where they "
            'hold fewer bits than their files (12 of 16: 4095) set dataset.full_scale, or normalize = "percentile"',
            reading.highest_share,
        )


def survey(config: EvaluationConfig, listing: pd.DataFrame, *, scored: bool) -> Reading:
    """How the files of a listing are read; `scored` says whether it is existing predictions that are counted.

    Files that cannot be read are left to the stages, which fail their images. Raises ConfigError where what the files
    hold can be read in more than one way.
    """
    dataset, predictions = config.dataset, config.predictions
    seeks_values = len(dataset.classes) == 2 and not dataset.label_values and not dataset.foreground
    seeks_kind = scored and predictions.kind == "auto"
    shares_values = seeks_values and scored and not predictions.label_values and predictions.kind != "probabilities"
    choice = volumes(config).choice
    looks = seeks_kind or shares_values
    predicted = _some_labels(listing, "prediction", choice, types=not shares_values) if looks else []
    kind = kind_of(predicted) if seeks_kind else "floats" if predictions.kind == "auto" else predictions.kind
    values = dataset.label_values
    if seeks_values:
        files = _some_labels(listing, "reference", choice)
        if shares_values:
            files += [one for one in predicted if one.whole and (kind == "labels" or not one.floats)]
        if not any(one.labels for one in files):
            # Nothing but background so far: the first file that holds something else tells.
            files += _first_foreground(listing, choice)
        values = two_values_of(files, dataset.ignore_label)
    sees_pixels = dataset.normalize == "unit" and not scored
    share = _highest_share(listing, dataset.full_scale, choice) if sees_pixels else 1.0
    return Reading(values, seeks_values, kind, seeks_kind, share)


def _highest_share(listing: pd.DataFrame, full_scale: float, choice: Choice) -> float:
    look = partial(look_at_image, full_scale=full_scale, choice=choice)
    return max(_found(_looked_at(_spread(listing, "image")[:FILES], look, choice)), default=1.0)


def _some_labels(listing: pd.DataFrame, role: str, choice: Choice, *, types: bool = False) -> list[Seen]:
    """What some files of a role hold; with `types` only what those hold that store floats."""
    return _found(_looked_at(_spread(listing, role)[:FILES], _label_look(role, choice, types), choice))


def _first_foreground(listing: pd.DataFrame, choice: Choice) -> list[Seen]:
    rest = _spread(listing, "reference")[FILES:]
    look = _label_look("reference", choice)
    for start in range(0, len(rest), FILES):
        # However large they are: one that was passed over may be the one that tells.
        found = _found(_looked_at(rest[start : start + FILES], look, choice, math.inf))
        held = [one for one in found if one.labels]
        if held:
            return held
    return []


def _label_look(role: str, choice: Choice, types: bool = False) -> Callable[[bytes, str], Seen | None]:
    look = look_at_type if types else look_at_labels
    return lambda data, name: look(data, f"{role} {name}", choice)


def _spread(listing: pd.DataFrame, role: str) -> list[str]:
    """The files of a role: first some that lie evenly over the set, then the others, in the order of the listing."""
    urls = listing[role][(listing[role] != "") & (listing[f"{role}_version"] != "")].tolist()
    chosen = np.unique(np.linspace(0, len(urls) - 1, min(FILES, len(urls))).round().astype(int)).tolist()
    others = set(chosen)
    return [urls[place] for place in chosen] + [url for place, url in enumerate(urls) if place not in others]


def _looked_at(
    urls: Sequence[str],
    look: Callable[[bytes, str], _Found | None],
    choice: Choice,
    most_voxel_bytes: float | None = None,
) -> Iterator[_Found | None]:
    """What the files hold, until `MOST_BYTES` were read, or of volumes `MOST_VOXEL_BYTES`, or as many as are given; of
    two at least.

    One that cannot be fetched is passed over.
    """
    most = MOST_VOXEL_BYTES if most_voxel_bytes is None else most_voxel_bytes
    n_bytes = n_voxel_bytes = start = 0
    together = 1 if any(map(holds_volume, urls)) else _TOGETHER

    def one(url: str) -> tuple[int, int, _Found | None]:
        try:
            data = read_source(url)
        except OSError:
            return 0, 0, None
        name = file_name(url)
        return len(data), voxel_bytes(data, name, choice), look(data, name)

    try:
        with ThreadPoolExecutor(_TOGETHER) as pool:
            while start < min(len(urls), 2) or (start < len(urls) and n_bytes <= MOST_BYTES and n_voxel_bytes <= most):
                for size, voxels, found in pool.map(one, urls[start : start + together]):
                    n_bytes += size
                    n_voxel_bytes += voxels
                    yield found
                start += together
                of_each = n_voxel_bytes // start
                together = max(1, min(_TOGETHER, _TOGETHER_BYTES // max(1, of_each)))
    finally:
        let_go()  # the driver reads no more of them


def _found(seen: Iterator[_Found | None]) -> list[_Found]:
    return [one for one in seen if one is not None]
