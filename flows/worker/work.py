"""What runs on a worker: the bodies of tasks/, with the worker's own compiled engine where they need one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from segscale.storage.objects import ObjectStore
from segscale.tasks import scan
from segscale.tasks.readers import NO_CHOICE, Choice
from segscale.tasks.scan import SourceFacts

# What a worker never does it does not load: of a few hundred files that would take longer than they do.
if TYPE_CHECKING:
    from segscale.tasks.ingest import ShardDone
    from segscale.tasks.predict import PredictJob
    from segscale.tasks.prediction import Prediction
    from segscale.tasks.scoring import ScoreDone, ScoreJob, Scoring
    from segscale.tasks.shard_plan import IngestJob, Preparation

_Done = TypeVar("_Done", "ShardDone", "ScoreDone")


@dataclass(frozen=True, slots=True)
class ScanJob:
    """Files of one role to be hashed, (url, version) each."""

    key: str
    role: str
    files: tuple[tuple[str, str], ...]
    choice: Choice = NO_CHOICE


def scan_files(job: ScanJob) -> list[SourceFacts]:
    """Hash and inspect files; one that cannot be fetched comes back with its error and is looked at again next time."""
    found = []
    for url, version in job.files:
        try:
            found += scan.inspect_files(job.role, [(url, version)], job.choice)
        except OSError as error:
            found.append(scan.unread(job.role, url, version, error))
    return found


def ingest_shard(job: IngestJob, store: ObjectStore, preparation: Preparation) -> ShardDone:
    """`segscale.tasks.ingest.ingest_shard`, timed."""
    from segscale.tasks import ingest

    return _timed(lambda: ingest.ingest_shard(store, job, preparation))


def score_shard(job: ScoreJob, store: ObjectStore, scoring: Scoring) -> ScoreDone:
    """`segscale.tasks.score.score_shard`, timed."""
    from segscale.tasks import score

    return _timed(lambda: score.score_shard(store, job, scoring))


def predict_shard(job: PredictJob, store: ObjectStore, prediction: Prediction) -> ShardDone:
    """`segscale.tasks.predict.predict_shard` with this worker's engine, timed."""
    # Of Dask, which the other work knows nothing of.
    from segscale.flows.worker.engine_plugin import plugin_of
    from segscale.tasks import predict

    return _timed(
        lambda: predict.predict_shard(store, job, prediction, plugin_of(prediction).engine_for(prediction, store))
    )


def _timed(work: Callable[[], _Done]) -> _Done:
    start = time.monotonic()
    return replace(work(), seconds=time.monotonic() - start)
