"""What becomes of a shard at which workers end, by what they do when it is tried in parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from segscale.flows.shards import stage
from segscale.flows.shards.retry import Finished, Lost
from segscale.flows.shards.stage import ShardPlan, WorkLostError, _Bench, run_stage
from segscale.storage.objects import ObjectStore
from segscale.storage.quarantine import Held
from segscale.tasks.ingest import ShardDone

IMAGES: dict[str, tuple[str, ...]] = {"a": ("1", "2"), "b": ("3", "4"), "c": ("5", "6")}


@dataclass(frozen=True, slots=True)
class Job:
    key: str = "shard"
    only: tuple[str, ...] = ()


def isolate(
    monkeypatch: pytest.MonkeyPatch, images: dict[str, tuple[str, ...]], ends: Callable[[tuple[str, ...]], bool]
) -> list[Finished | Lost | Held]:
    """The outcomes, where workers end at a trial of these ids as `ends` says; () is the shard as a whole."""

    def try_alone(_client: Any, _work: Any, job: Job, **_: Any) -> Finished | Lost:
        if ends(job.only):
            return Lost(job.key, "WorkerDied: a worker died at it", 1, "WorkerDied")
        return Finished(job.key, None, 1)

    monkeypatch.setattr(stage, "try_alone", try_alone)
    planned = {"shard": ShardPlan(len(images), 1.0, lambda: images)}
    connection: Any = SimpleNamespace(client=None)
    return list(_Bench("predict", planned, Job, lambda: None, connection, ())._isolate(Job()))


def test_the_images_that_end_workers_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    found = isolate(monkeypatch, IMAGES, lambda only: not only or "b" in only)
    assert found == [Held("b", ("3", "4"), "predict", "WorkerDied")]


def test_a_single_image_can_be_the_whole_shard(monkeypatch: pytest.MonkeyPatch) -> None:
    found = isolate(monkeypatch, {"a": ("1", "2")}, lambda only: not only or "a" in only)
    assert found == [Held("a", ("1", "2"), "predict", "WorkerDied")]


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        pytest.param(lambda _: True, "without any of its images", id="whatever is tried: no image is to blame"),
        pytest.param(lambda only: only != ("",), "at every image of it alone", id="all images: a setting is to blame"),
        pytest.param(lambda only: not only, "at no image of it alone", id="the whole and no part: memory"),
    ],
)
def test_what_is_no_image_s_fault_holds_none(
    monkeypatch: pytest.MonkeyPatch, ends: Callable[[tuple[str, ...]], bool], words: str
) -> None:
    (lost,) = isolate(monkeypatch, IMAGES, ends)
    assert isinstance(lost, Lost)
    assert lost.error.startswith("WorkerDied: workers end at")
    assert words in lost.error


def test_a_shard_that_ends_no_worker_alone_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isolate(monkeypatch, IMAGES, lambda _: False) == [Finished("shard", None, 1)]


def test_what_was_committed_and_taken_away_is_lost(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    done = Finished("shard", ShardDone("shard", 1, 0), 1)
    monkeypatch.setattr(stage, "stream_shards", lambda *_, **__: [done])
    connection: Any = SimpleNamespace(client=None)
    planned = {"shard": ShardPlan(1, 1.0, dict)}
    with pytest.raises(
        WorkLostError, match=r"predict: 1 of 1 shards were committed and are not any more, .* run again"
    ):
        run_stage("predict", planned, Job, lambda: None, connection, ObjectStore(str(tmp_path)))
