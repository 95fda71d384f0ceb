"""What becomes of a shard at which workers end, by what they do when it is tried in parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from segscale.errors import WorkLostError
from segscale.flows.observer import UNOBSERVED
from segscale.flows.shards.retry import Finished, Lost
from segscale.flows.stage import ShardPlan, _Bench, run_stage
from segscale.storage.objects import ObjectStore
from segscale.storage.quarantine import Held
from segscale.tasks.ingest import ShardDone

IMAGES: dict[str, tuple[str, ...]] = {"a": ("1", "2"), "b": ("3", "4"), "c": ("5", "6")}


@dataclass(frozen=True, slots=True)
class Job:
    key: str = "shard"
    only: tuple[str, ...] = ()


def isolate(
    images: dict[str, tuple[str, ...]], ends: Callable[[tuple[str, ...]], bool]
) -> list[Finished | Lost | Held]:
    """The outcomes, where workers end at a trial of these ids as `ends` says; () is the shard as a whole."""

    def try_alone(_work: Any, job: Job, **_: Any) -> Finished | Lost:
        if ends(job.only):
            return Lost(job.key, "WorkerDied: a worker died at it", 1, "WorkerDied")
        return Finished(job.key, None, 1)

    planned = {"shard": ShardPlan(len(images), 1.0, lambda: images)}
    workers: Any = SimpleNamespace(try_alone=try_alone)
    return list(_Bench("predict", planned, Job, lambda: None, workers, ())._isolate(Job()))


def test_the_images_that_end_workers_are_held() -> None:
    found = isolate(IMAGES, lambda only: not only or "b" in only)
    assert found == [Held("b", ("3", "4"), "predict", "WorkerDied")]


def test_a_single_image_can_be_the_whole_shard() -> None:
    found = isolate({"a": ("1", "2")}, lambda only: not only or "a" in only)
    assert found == [Held("a", ("1", "2"), "predict", "WorkerDied")]


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        pytest.param(lambda _: True, "without any of its images", id="whatever is tried: no image is to blame"),
        pytest.param(lambda only: only != ("",), "at every image of it alone", id="all images: a setting is to blame"),
        pytest.param(lambda only: not only, "at no image of it alone", id="the whole and no part: memory"),
    ],
)
def test_what_is_no_image_s_fault_holds_none(ends: Callable[[tuple[str, ...]], bool], words: str) -> None:
    (lost,) = isolate(IMAGES, ends)
    assert isinstance(lost, Lost)
    assert lost.error.startswith("WorkerDied: workers end at")
    assert words in lost.error


def test_a_shard_that_ends_no_worker_alone_is_done() -> None:
    assert isolate(IMAGES, lambda _: False) == [Finished("shard", None, 1)]


def test_what_was_committed_and_taken_away_is_lost(tmp_path: Path) -> None:
    done = Finished("shard", ShardDone("shard", 1, 0), 1)
    workers = SimpleNamespace(stream=lambda *_, **__: [done])
    run: Any = SimpleNamespace(
        store=ObjectStore(str(tmp_path)), workers=workers, observer=UNOBSERVED, be_busy=lambda: None
    )
    planned = {"shard": ShardPlan(1, 1.0, dict)}
    with pytest.raises(
        WorkLostError, match=r"predict: 1 of 1 shards were committed and are not any more, .* run again"
    ):
        run_stage("predict", planned, Job, lambda: None, run)
