"""The keys of `[cluster]`: which kind uses which, and what a walltime means."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

OWN_MACHINE = ("local", "gpus")
"""Kinds whose workers are processes of this machine, with the driver's own files and libraries."""

THREADS = "SEGSCALE_THREADS"
"""Tells a worker how many cores are its own, where something else hands them out: jobs, pods."""

_GROWING = ("workers", "adaptive", "wait_seconds", "cores", "memory")
KEYS_OF_KIND: dict[str, tuple[str, ...]] = {
    "local": ("workers",),
    "gpus": ("workers",),
    "address": ("address", "workers", "wait_seconds", "resources", "tls_ca", "tls_cert", "tls_key"),
    "slurm": (*_GROWING, "queue", "account", "walltime", "interface", "directives", "prologue", "job_folder"),
    "kubernetes": (*_GROWING, "image", "namespace", "spec"),
}
"""Beside those of all kinds."""
_ALWAYS = ("kind", "shard_seconds")

# Minutes, minutes:seconds, hours:minutes:seconds, days-hours, days-hours:minutes, days-hours:minutes:seconds.
_WALLTIME = re.compile(r"(?:(?P<days>\d+)-)?(?P<parts>\d+(?::\d{1,2}){0,2})")


def unused_key(kind: str, given: Iterable[str]) -> str:
    """The first of the given keys that the kind does not use, with the kinds that do, as an error; "" for none."""
    for key in given:
        if key not in _ALWAYS and key not in KEYS_OF_KIND[kind]:
            users = [f'"{name}"' for name, keys in KEYS_OF_KIND.items() if key in keys]
            return f'{key}: is not used with kind = "{kind}", only with {" and ".join(users)}; leave it out'
    return ""


def lifetime_seconds(walltime: str) -> tuple[int, int]:
    """When a worker ends itself before SLURM does, and by how much sooner or later, since not all do it at once.

    The margin is a tenth of the walltime, from 1 to 10 minutes, of which each worker takes half to one and a half.
    """
    seconds = walltime_seconds(walltime)
    margin = min(600, max(60, seconds // 10))
    return seconds - margin, margin // 2


def walltime_seconds(text: str) -> int:
    """Seconds of a time limit as SLURM writes it: "30", "01:30:00", "2-12". Raises ValueError for anything else."""
    match = _WALLTIME.fullmatch(text)
    if match is None:
        raise ValueError(f'walltime: expected minutes, HH:MM:SS or D-HH:MM:SS, got "{text}"')
    parts = [int(part) for part in match["parts"].split(":")]
    if match["days"] is not None:
        hours, minutes, seconds = parts + [0] * (3 - len(parts))
        return ((int(match["days"]) * 24 + hours) * 60 + minutes) * 60 + seconds
    if len(parts) < 3:
        parts = [0, *parts, *[0] * (2 - len(parts))]
    hours, minutes, seconds = parts
    return (hours * 60 + minutes) * 60 + seconds


def longest_shard_seconds(kind: str, walltime: str) -> float:
    """What the time limit of a shard may be: half of a worker's life, where workers come to the end of it.

    A shard that is handed on starts its limit anew; so half of the workers have enough of their lives left for all of
    it. Without end (inf) for other kinds.
    """
    if kind != "slurm":
        return math.inf
    lifetime, stagger = lifetime_seconds(walltime)
    return (lifetime - stagger) / 2
