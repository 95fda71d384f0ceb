"""Preview: what a run would meet, from its listing, from headers and from some files counted on trial."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from segscale.flows.checks.cluster import check_cluster
from segscale.flows.checks.model import check_model
from segscale.flows.checks.paths import check_sources
from segscale.flows.cluster.machine import local_workers
from segscale.flows.config.evaluation import EvaluationConfig
from segscale.flows.dataset import (
    counting,
    list_dataset,
    names_images,
    preparation,
    scores_predictions,
    volumes,
)
from segscale.flows.layouts.listed import DatasetListing
from segscale.flows.progress import duration
from segscale.flows.survey import survey
from segscale.flows.trial import Agreement, Trial, try_images
from segscale.storage.enumeration import counted, first_of
from segscale.tasks import reasons
from segscale.tasks.score_plan import pack, shard_size
from segscale.tasks.survey import DARK, Reading

FEWEST = 10
"""Units that an interval needs."""
Severity = Literal["fails", "warns"]


@dataclass(frozen=True, slots=True)
class Remark:
    """What would go wrong, or be said in a warning."""

    severity: Severity
    text: str


@dataclass(frozen=True, slots=True)
class Fact:
    """What is known of a run before it starts."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Preview:
    """What a run would meet."""

    facts: tuple[Fact, ...]
    remarks: tuple[Remark, ...]
    """Those first by which images fail."""


def preview(config: EvaluationConfig) -> Preview:
    """What a run with this configuration would meet, from its listing and some of its files; nothing is written.

    Args:
        config: as `load_config` returns it.

    Returns:
        A record of ``facts`` (``name``, ``text``) about set and run, and of ``remarks`` (``severity``, ``fails``
        or ``warns``, and ``text``) on what would go wrong.

    Raises:
        ConfigError: as of a run before it starts: the configuration, or the set as a whole, is wrong.
    """
    check_sources(config)
    check_cluster(config.cluster)
    listing = list_dataset(config)
    scored = scores_predictions(config, listing.images)
    if not scored:
        check_model(config)
    reading = survey(config, listing.images, scored=scored)
    rule = preparation(config, reading).labels
    trials = try_images(listing.images, rule, counting(config, reading) if scored else None, volumes(config))
    remarks = [*_failing(listing, trials), *_unwritable(config), *_warned(config, listing, reading, trials)]
    return Preview(tuple(_facts(config, listing, reading, trials, scored=scored)), tuple(remarks))


def _failing(listing: DatasetListing, trials: Sequence[Trial]) -> Iterator[Remark]:
    n_images = len(listing.images)
    for role in listing.roles:
        if role.n_absent:
            yield Remark(
                "fails", f"{role.n_absent} of {counted(n_images, 'image')} have no {role.role}: "
                f"{first_of(role.absent, role.n_absent)}"
            )  # fmt: skip
    failed = [trial for trial in trials if trial.error]
    if failed:
        rows = [{"stage": "score", "source": "", **asdict(one), "message": one.error} for one in failed]
        for reason in reasons.reasons_of(pd.DataFrame(rows)):
            yield Remark(
                "fails", f"{reason.n_images} of {len(trials)} images looked at, {reason.error_type}: "
                f"{'e.g. ' if reason.n_images > 1 else ''}{reasons.one_line(reason.image_id)}: {reason.message}"
            )  # fmt: skip


def _unwritable(config: EvaluationConfig) -> Iterator[Remark]:
    for key, path in (("store.path", config.store.path), ("report.path", config.report.path)):
        if "://" in path:
            continue
        place = Path(path)
        while not place.exists() and place != place.parent:
            place = place.parent
        if not (place.is_dir() and os.access(place, os.W_OK | os.X_OK)):
            yield Remark("fails", f"{key}: {path}: {place} is no folder that can be written")


_SUSPICIONS: dict[Agreement, str] = {
    "copy": "predictions looked at are their references, byte for byte: does predictions.path lead to copies of them",
    "disjoint": "predictions looked at have foreground and meet none of their references: are they of other images, "
    "mirrored or turned",
}


def _warned(
    config: EvaluationConfig, listing: DatasetListing, reading: Reading, trials: Sequence[Trial]
) -> Iterator[Remark]:
    # What has no partner is said above, with the numbers of the whole set.
    said = {f"{role.role}s: {counted(role.n_absent, of)}" for role in listing.roles for of in ("image", "reference")}
    for note in listing.notes:
        if note.warns and not any(note.text.startswith(text) for text in said):
            yield Remark("warns", note.text)
    counted_ones = [trial for trial in trials if not trial.error]
    for kind, text in _SUSPICIONS.items():
        alike = [trial.image_id for trial in counted_ones if trial.agreement == kind]
        if alike and len(alike) > len(counted_ones) / 2:
            yield Remark("warns", f"{len(alike)} of {len(counted_ones)} {text}: {first_of(alike)}")
    yield from _mixed_units(config, counted_ones)
    if reading.highest_share < DARK:
        yield Remark(
            "warns", f"dataset.full_scale: the images looked at reach {reading.highest_share:.2g} of the full scale of "
            "their type at most"
        )  # fmt: skip
    if len(listing.images) < FEWEST:
        yield Remark("warns", f"{counted(len(listing.images), 'image')}: intervals need {FEWEST}")
    for column in config.metrics.group_by:
        if column in listing.images:
            few = listing.images[column].value_counts(dropna=False)
            few = few[few < FEWEST]
            if len(few):
                named = [f"{value} ({count})" for value, count in few.items()]
                yield Remark(
                    "warns", f"metrics.group_by: {counted(len(few), 'value')} of {column!r} with fewer than {FEWEST} "
                    f"images, too few for intervals: {first_of(named)}"
                )  # fmt: skip


def _mixed_units(config: EvaluationConfig, trials: Sequence[Trial]) -> Iterator[Remark]:
    """Images whose distances would be in mm beside others whose distances would be in pixels."""
    measured = [name for name in ("surface", "lesions") if getattr(config.metrics, name)]
    if not measured or config.dataset.spacing_mm is not None:
        return
    with_spacing, without = ([one.image_id for one in trials if one.distance_unit == unit] for unit in ("mm", "px"))
    if with_spacing and without:
        outcome = "no mean of their distances is made" if config.metrics.surface else (
            "sizes and distances of their lesions are in either unit"
        )  # fmt: skip
        yield Remark(
            "warns", f"metrics.{' and '.join(measured)}: of {counted(len(trials), 'image')} looked at "
            f"{len(with_spacing)} have a spacing (mm), e.g. {with_spacing[0]}, and {len(without)} have none (px), e.g. "
            f"{without[0]}: {outcome}; say by dataset.spacing_mm how far the voxels of the latter lie apart, or make "
            "two sets of them"
        )  # fmt: skip


def _facts(
    config: EvaluationConfig, listing: DatasetListing, reading: Reading, trials: Sequence[Trial], *, scored: bool
) -> Iterator[Fact]:
    n_images = len(listing.images)
    for role in listing.roles:
        yield Fact(f"{role.role}s", f"{role.source}: {role.n_paired} of {n_images}")
    yield Fact("looked at", f"{len(trials)} of {counted(n_images, 'image')}" + (", counted on trial" if scored else ""))
    sizes = sorted({trial.size for trial in trials if trial.size}, key=lambda size: int(np.prod(size)))
    if sizes:
        ends = list(dict.fromkeys([sizes[0], sizes[-1]]))
        axes = "height x width" if all(size[0] == 1 for size in ends) else "depth x height x width"
        yield Fact("size", " to ".join("x".join(map(str, _flat(size))) for size in ends) + f" ({axes})")
    yield Fact("classes", _classes(config, reading))
    if scored:
        yield Fact("predictions are", _kind(config, reading))
    yield Fact("shards", _shards(listing.images["image_id"].to_list(), config.store.shard_images, scored=scored))
    n_pixels = max((int(np.prod(size)) for size in sizes), default=0)
    yield Fact(
        "memory", f"{_bytes(n_pixels * _PIXEL_BYTES)} for the largest image looked at, in each worker"
        f"{'' if scored else ', and the network'}; {_bytes(n_images * _ROW_BYTES)} for the tables"
    )  # fmt: skip
    yield Fact("time", _seconds(config, n_images, trials) if scored else "unknown until the network has seen an image")
    if scored and not names_images(listing.images):
        yield Fact("images", "none are named, and none are needed")


_PIXEL_BYTES = 16
"""Of a worker: a reference as stored and as classes, a prediction as stored, in float32 and as classes."""
_ROW_BYTES = 4000
"""Of an image in the driver: its row in the listing, and in the tables with two classes."""
_START_SECONDS = 2.0


def _flat(size: tuple[int, int, int]) -> tuple[int, ...]:
    return size[1:] if size[0] == 1 else size


def _classes(config: EvaluationConfig, reading: Reading) -> str:
    unions = [f"{name} {', '.join(map(str, values))}" for name, values in config.dataset.regions.items()]
    return _values(config, reading) + (f"; regions: {'; '.join(unions)}" if unions else "")


def _values(config: EvaluationConfig, reading: Reading) -> str:
    dataset = config.dataset
    names = ", ".join(dataset.classes)
    if dataset.foreground:
        return f"{names}: every value but 0 is {dataset.classes[1]}"
    values = dataset.label_values or reading.label_values
    if values:
        return f"{names} are {', '.join(map(str, values))}" + ("" if dataset.label_values else ", as files told")
    if reading.labels_found:
        return f"{names} are 0 and 1, or full scale, as files told"
    return f"{names} are 0 to {len(dataset.classes) - 1}"


def _kind(config: EvaluationConfig, reading: Reading) -> str:
    kind = {"labels": "label maps", "probabilities": "probabilities"}.get(reading.kind)
    if kind is None:
        kind = (
            f"label maps where they are integers, and probabilities (threshold {config.metrics.threshold}) where floats"
        )
    return kind + (", as files told" if reading.kind_found else "")


def _shards(ids: Sequence[str], most: int, *, scored: bool) -> str:
    if scored:
        return f"{len(pack(ids, most))} of up to {counted(shard_size(len(ids), most), 'image')}"
    return f"about {-(-len(ids) // most)} of up to {counted(most, 'image')}"


def _seconds(config: EvaluationConfig, n_images: int, trials: Sequence[Trial]) -> str:
    sound = [trial.seconds for trial in trials if not trial.error]
    # Of the first one's time much is that of loops which are compiled once.
    sound = sound[1:] or sound
    if not sound:
        return "unknown: no image could be counted"
    cluster = config.cluster
    workers = local_workers(cluster) if cluster.kind == "local" else cluster.workers
    # How many a cluster has of itself is not known before it is there.
    on = counted(workers, "worker") if workers else "1 worker, less on more"
    seconds = _START_SECONDS + n_images * float(np.mean(sound)) / max(1, workers)
    return f"about {duration(seconds)} on {on}, where nothing is counted yet"


def _bytes(number: float) -> str:
    if number < 1e9:
        return f"{number / 1e6:.1f} MB"
    return f"{number / 1e9:.1f} GB"


def describe(found: Preview) -> str:
    """A line for each fact and remark, and one that counts what would go wrong."""
    width = max(len(fact.name) for fact in found.facts)
    lines = [f"{fact.name:<{width}}  {fact.text}" for fact in found.facts]
    lines += ["", *(f"{remark.severity}: {remark.text}" for remark in found.remarks)] if found.remarks else [""]
    n_fails = sum(remark.severity == "fails" for remark in found.remarks)
    n_warns = len(found.remarks) - n_fails
    lines.append(f"{n_fails} would fail, {n_warns} would warn" if found.remarks else "nothing would fail or warn")
    return "\n".join(lines)
