"""Network input: which images of a shard a network can be given."""

from __future__ import annotations

from collections.abc import Sequence

from segscale.storage import shards
from segscale.storage.enumeration import counted
from segscale.storage.failures import Failure
from segscale.tasks.engines import EngineFacts
from segscale.tasks.shard_rows import ShardRow

COLOURS = 3
"""Channels of a picture in colours."""


def refused_rows(
    rows: Sequence[ShardRow], facts: EngineFacts, arrays: Sequence[shards.ZarrArray], stage: str
) -> dict[str, Failure]:
    """Why images cannot be predicted, by their ids: they failed before, or have channels that the network cannot take.

    `arrays` are the images and references of the shard; none where all of its images failed.
    """
    takes, has = facts.channels, int(arrays[0].shape[3]) if arrays else 1
    failures = {}
    for row in rows:
        if row.failure is not None:
            failures[row.image_id] = row.failure
        elif takes == 1 and has == COLOURS and row.coloured:
            error = f"image {row.image_id}: the network takes 1 channel, the image has colours; convert it to grey"
            failures[row.image_id] = Failure(stage, "ColourImage", error)
        elif not _takes(takes, has, row.coloured):
            error = f"image {row.image_id}: has {counted(has, 'channel')}, the network takes {takes}; expected as many"
            failures[row.image_id] = Failure(stage, "OtherChannels", error)
    return failures


def _takes(takes: int, has: int, coloured: bool) -> bool:
    """Whether a network can be given an image: as it is, grey as colours, or equal channels as one."""
    return has == takes or (takes == COLOURS and has == 1) or (takes == 1 and not coloured)
