"""A stage: the planned shards that the ledger does not hold yet, streamed over the workers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from segscale.errors import SegscaleError, WorkLostError
from segscale.flows.first_images import NONE, FirstImages, Watch
from segscale.flows.progress import StageProgress, timed
from segscale.flows.run import Run
from segscale.flows.shards.bisection import ending_of, find_poison
from segscale.flows.shards.retry import Finished, Limits, Lost
from segscale.flows.workers import Workers
from segscale.storage.enumeration import counted
from segscale.storage.ledger import Ledger
from segscale.storage.quarantine import Held, quarantine

logger = logging.getLogger("segscale")
NO_IMAGE = ""
"""An id that no image has: a trial of it does all of a shard that is not for an image."""


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """What is known of a shard before it is done."""

    n_images: int
    seconds: float
    """Its time limit."""
    contents: Callable[[], dict[str, tuple[str, ...]]]
    """By the id of each image what must be equal for it to be the same (`tasks.listed_facts.CONTENT`); asked for only
    where workers end, for of a million images it is hundreds of megabytes."""


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


class QuarantinedError(SegscaleError):
    """Images were quarantined; the other shards are committed, and the rest needs another plan."""

    def __init__(self, images: Sequence[str], so_far: StageSummary) -> None:
        super().__init__(f"quarantined: {', '.join(images)}")
        self.so_far = so_far


def _leave(planned: str, result: Any) -> None:
    """Nobody wants to know what a shard came to."""


def run_stage(
    stage: str,
    planned: Mapping[str, ShardPlan],
    make_job: Callable[[str], Any],
    work: Callable[..., Any],
    run: Run,
    *arguments: Any,
    first: FirstImages | None = None,
    take: Callable[[str, Any], None] = _leave,
) -> StageSummary:
    """Do what is planned and not committed on the workers of `run`; say what was left alone.

    `work` is called with a job, the store and `arguments`. `make_job` makes the job of a key when its turn comes: a
    frozen record whose `only` restricts it to the ids of some images and keeps it from committing. Raises
    WorkLostError at the end, when the other shards are done, if no attempt finished a shard, and QuarantinedError
    where images were found at which workers end. The shards of the `first` images come first, and where all of these
    images failed alike, FirstImagesError is raised as soon as that is known. `take` is called with the planned key and
    the result of each shard that was done, whose `key` is the one that it was committed under.
    """
    done = Ledger(run.store).done(stage)
    watch = Watch(stage, first or NONE, run.store)
    pending = sorted((key for key in planned if key not in done), key=lambda key: key not in watch.keys)
    for key in watch.keys:
        if key in done:
            watch.look(key)
    summary = StageSummary(stage, len(planned), len(planned) - len(pending), 0, 0, 0, 0.0)
    if not pending:
        logger.info("%s: all %d shards are committed, nothing to do", stage, len(planned))
        return summary
    logger.info("%s: %s to do, %d committed before", stage, counted(len(pending), "shard"), summary.reused)
    run.be_busy()
    bench = _Bench(stage, planned, make_job, work, run.workers, (run.store, *arguments))
    lost: list[Lost] = []
    held: list[Held] = []
    committed_as = {key: key for key in planned}
    n_images = sum(planned[key].n_images for key in pending)
    with timed() as seconds, StageProgress(stage, n_images, run.observer) as progress:
        for outcome in bench.outcomes(pending):
            if isinstance(outcome, Held):
                quarantine(run.store, outcome)
                logger.warning("%s: quarantined %s", stage, outcome.error)
                held.append(outcome)
            elif isinstance(outcome, Lost):
                logger.warning("%s: shard %s was not finished: %s", stage, outcome.key[:12], outcome.error)
                lost.append(outcome)
            else:
                summary = _with(summary, outcome)
                committed_as[outcome.key] = outcome.result.key
                take(outcome.key, outcome.result)
                progress.advance(outcome.result.n_images)
                watch.look(outcome.key, outcome.result.key)
    summary = replace(summary, seconds=seconds[0])
    if held:
        raise QuarantinedError([one.name for one in held], summary)
    missing = set(committed_as.values()) - Ledger(run.store).done(stage) - {shard.key for shard in lost}
    if missing:
        raise WorkLostError(
            f"{stage}: {len(missing)} of {len(planned)} shards were committed and are not any more, the first "
            f"{min(missing)[:12]}: a repair beside this run, or somebody else, took them away; run again to resume"
        )
    if lost:
        raise WorkLostError(
            f"{stage}: {len(lost)} of {len(planned)} shards were not finished, the first because of {lost[0].error}; "
            "what was finished is committed, run again to resume"
        )
    return summary


@dataclass(frozen=True, slots=True)
class _Bench:
    """Where the shards of a stage are worked on."""

    stage: str
    planned: Mapping[str, ShardPlan]
    make_job: Callable[[str], Any]
    work: Callable[..., Any]
    workers: Workers
    arguments: tuple[Any, ...]

    def outcomes(self, keys: Iterable[str]) -> Iterator[Finished | Lost | Held]:
        """What becomes of each shard; those at which workers ended come last, one after the other."""
        suspects: list[Lost] = []
        jobs = map(self.make_job, keys)
        for outcome in self.workers.stream(self.work, jobs, *self.arguments, limits=Limits(self._seconds)):
            if isinstance(outcome, Lost) and outcome.deadly:
                logger.warning("%s: shard %s is tried alone: %s", self.stage, outcome.key[:12], outcome.error)
                suspects.append(outcome)
            else:
                yield outcome
        for suspect in suspects:
            yield from self._isolate(self.make_job(suspect.key))

    def _isolate(self, job: Any) -> Iterator[Finished | Lost | Held]:
        outcome = self._try(job)
        if not ending_of(outcome):
            yield outcome
            return
        contents = self.planned[job.key].contents()
        if self._ending(job, NO_IMAGE):
            poison, why = {}, "without any of its images: the network, its settings or a library"
        else:
            poison = find_poison(list(contents), lambda ids: self._ending(job, *ids))
            why = _other_cause(len(poison), len(contents))
        if why:
            yield Lost(job.key, f"{ending_of(outcome)}: workers end at it {why}", outcome.attempts)
            return
        for name, ending in poison.items():
            yield Held(name, contents[name], self.stage, ending)

    def _ending(self, job: Any, *ids: str) -> str:
        return ending_of(self._try(replace(job, only=ids)))

    def _try(self, job: Any) -> Finished | Lost:
        return self.workers.try_alone(self.work, job, *self.arguments, seconds=self._seconds)

    def _seconds(self, key: str) -> float:
        return self.planned[key].seconds


def _other_cause(n_poison: int, n_images: int) -> str:
    """Where the images found cannot be to blame, at what else workers end; "" where they are."""
    if not n_poison:
        return "as a whole and at no image of it alone: memory, perhaps"
    if n_poison == n_images > 1:
        return (
            "and at every image of it alone: the machine, its settings (cluster.shard_seconds), or a library; files "
            "that are all like that have to be left out by hand"
        )
    return ""


def _with(summary: StageSummary, outcome: Finished) -> StageSummary:
    return replace(
        summary,
        attempts=summary.attempts + outcome.attempts,
        images=summary.images + outcome.result.n_images,
        failed=summary.failed + outcome.result.n_failed,
    )


def leaving_out(body: Callable[[], StageSummary], plan_anew: Callable[[], object]) -> StageSummary:
    """The summary of `body`, done again after `plan_anew` for as long as it quarantines images."""
    before: list[StageSummary] = []
    while True:
        try:
            summary = body()
        except QuarantinedError as error:
            before.append(error.so_far)
            plan_anew()
            continue
        return replace(
            summary,
            reused=before[0].reused if before else summary.reused,
            attempts=summary.attempts + sum(one.attempts for one in before),
            images=summary.images + sum(one.images for one in before),
            failed=summary.failed + sum(one.failed for one in before),
            seconds=summary.seconds + sum(one.seconds for one in before),
        )
