"""On which shards a worker is asked for its plan, where they end workers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from segscale.flows import plan
from segscale.flows.errors import ClusterLostError
from segscale.flows.shards.retry import UNLIMITED, Finished, Lost
from segscale.flows.worker.engine_plugin import PlanJob

DEADLY = "WorkerDied"


def ask(outcomes: dict[str, str]) -> tuple[Any, list[str]]:
    """What is planned, and the shards that were tried; `outcomes` says of each what ends it, "" for nothing."""
    tried: list[str] = []

    def stream(_work: Any, jobs: list[Any], *_: Any, **__: Any) -> list[Finished | Lost]:
        (job,) = jobs
        tried.append(job.key)
        reason = outcomes[job.key]
        if not reason:
            return [Finished(job.key, ("the plan of", job.key), 1)]
        return [Lost(job.key, f"{reason}: so it was", 1, reason if reason == DEADLY else "")]

    basis: Any = None
    jobs = [PlanJob(key, ("auto", "auto"), 0.001, basis) for key in outcomes]
    run: Any = SimpleNamespace(workers=SimpleNamespace(stream=stream), store=None)
    return plan._ask(run, jobs, UNLIMITED), tried


def test_the_first_shard_is_asked() -> None:
    assert ask({"a": "", "b": ""}) == (("the plan of", "a"), ["a"])


def test_a_shard_that_ends_workers_is_passed_over() -> None:
    assert ask({"a": DEADLY, "b": ""}) == (("the plan of", "b"), ["a", "b"])


@pytest.mark.parametrize(
    "outcomes",
    [
        pytest.param({"a": DEADLY, "b": DEADLY}, id="all of them end workers"),
        pytest.param({"a": "OSError", "b": ""}, id="what is raised is no image's fault"),
    ],
)
def test_no_plan_is_no_run(outcomes: dict[str, str]) -> None:
    with pytest.raises(ClusterLostError, match=r"no worker could try the network on a shard: .*so it was"):
        ask(outcomes)
