"""A stage: the planned shards that the ledger does not hold yet, streamed over the workers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flows.cluster import ClusterLostError, Connection
from flows.progress import StageProgress, timed
from flows.stream import Job, Lost, stream_shards
from storage.ledger import Ledger
from storage.objects import ObjectStore

logger = logging.getLogger("segscale")


@dataclass(frozen=True, slots=True)
class StageSummary:
    """What a stage did."""

    stage: str
    shards: int
    """Planned."""
    reused: int
    """Of these, committed before this run."""
    attempts: int
    """What it took to finish the others; as many as there are where nothing went wrong."""
    images: int
    """Images of the shards done in this run."""
    failed: int
    """Of these, failed."""
    seconds: float


class WorkLostError(ClusterLostError):
    """Some shards were not finished by any attempt; the others are committed."""


def run_stage(
    stage: str,
    planned: Mapping[str, int],
    make_job: Callable[[str], Job],
    work: Callable[..., Any],
    connection: Connection,
    store: ObjectStore,
    *arguments: Any,
) -> StageSummary:
    """Do what is planned and not committed; say what was left alone.

    `planned` gives for each shard's key the number of its images; `make_job` makes the job of a key when its turn
    comes. Raises WorkLostError at the end, when the other shards are done, if no attempt finished a shard.
    """
    done = Ledger(store).done(stage)
    pending = [key for key in planned if key not in done]
    reused = len(planned) - len(pending)
    if not pending:
        logger.info("%s: all %d shards are committed, nothing to do", stage, len(planned))
        return StageSummary(stage, len(planned), reused, 0, 0, 0, 0.0)
    logger.info("%s: %d shards to do, %d committed before", stage, len(pending), reused)
    images = failed = attempts = 0
    lost: list[Lost] = []
    with timed() as seconds, StageProgress(stage, sum(planned[key] for key in pending)) as progress:
        for outcome in stream_shards(connection.client, work, map(make_job, pending), store, *arguments):
            if isinstance(outcome, Lost):
                logger.warning("%s: shard %s was not finished: %s", stage, outcome.key[:12], outcome.error)
                lost.append(outcome)
                continue
            images += outcome.result.n_images
            failed += outcome.result.n_failed
            attempts += outcome.attempts
            progress.advance(outcome.result.n_images)
    missing = planned.keys() - Ledger(store).done(stage) - {shard.key for shard in lost}
    assert not missing, f"{stage}: shards {sorted(missing)} came back and are not committed"
    if lost:
        raise WorkLostError(
            f"{stage}: {len(lost)} of {len(planned)} shards were not finished, the first because of {lost[0].error}; "
            "what was finished is committed, run again to resume"
        )
    return StageSummary(stage, len(planned), reused, attempts, images, failed, seconds[0])
