"""Prefect as an observer: what it retries, and what a run is told where Prefect does not answer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from segscale.errors import (
    ArgumentError,
    ClusterLostError,
    ConfigError,
    DamagedStoreError,
    FirstImagesError,
    PermanentError,
    ReportError,
    StoreRefusedError,
)
from segscale.flows.observer import UNOBSERVED
from segscale.flows.prefect import observer
from segscale.flows.report import RunResult
from segscale.storage.objects import ObjectStore
from segscale.storage.reports import encode_report_table, write_report
from segscale.tasks.metrics.findings import Finding
from segscale.tasks.reasons import Reason


@dataclass(frozen=True)
class State:
    """As much of Prefect's as is asked."""

    error: Exception

    def result(self, *, raise_on_failure: bool) -> Exception:
        assert not raise_on_failure
        return self.error


@pytest.mark.parametrize(
    ("error", "helps"),
    [
        pytest.param(ConfigError(""), False, id="the configuration stays as wrong as it is"),
        pytest.param(ReportError(""), False, id="so does the data"),
        pytest.param(StoreRefusedError(""), False, id="a store that cannot do it"),
        pytest.param(DamagedStoreError(""), False, id="what is damaged, until somebody repairs it"),
        pytest.param(ClusterLostError(""), True, id="another cluster may come"),
        pytest.param(PermanentError(""), True, id="on other workers"),
        pytest.param(OSError(), True, id="the network may be back"),
        pytest.param(FirstImagesError(""), False, id="images that fail alike fail again"),
        pytest.param(ArgumentError(""), True, id="a defect may meet other circumstances"),
        pytest.param(ValueError(), True, id="a defect that is a ValueError is no bad data"),
    ],
)
def test_prefect_tries_a_stage_again_by_type(error: Exception, helps: bool) -> None:
    state: Any = State(error)
    assert observer._may_help(None, None, state) is helps


def test_nobody_calls_a_stage_once_and_hears_nothing() -> None:
    calls: list[str] = []
    assert UNOBSERVED.stage("ingest", lambda: calls.append("once"), retries=2) is None
    assert calls == ["once"]
    with UNOBSERVED.turn():
        UNOBSERVED.progress("ingest")(50.0)


def test_a_run_that_is_done_says_what_it_knows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    published: dict[str, Any] = {}
    monkeypatch.setattr(
        observer, "publish_table", lambda rows, said, *names: published.update({names[-1]: (rows, said)})
    )
    monkeypatch.setattr(observer, "publish_link", lambda path, _, *names: published.update({names[-1]: path}))
    failures = pd.DataFrame({"image_id": ["a"], "stage": ["score"], "error_type": ["E"], "message": ["why"]})
    write_report(ObjectStore(str(tmp_path)), {"failures.parquet": encode_report_table(failures)}, {"run_id": "0a"})
    result = RunResult(
        str(tmp_path), "0a", 8, 1, False, pd.DataFrame({"dice": [0.5]}), n_missing=1,
        reasons=(Reason("score", "E", 1, "a", "why"),),
        findings=(Finding("x", "error", "a cause", "evidence", "remedy"),),
    )  # fmt: skip
    observer.PrefectObserver("d").reported(result, [])
    said = "1 of 8 images failed, 1 of them for want of a usable prediction"
    assert published["d"][1] == said
    assert published["failures"][0]["message"].tolist() == ["why"]
    assert published["reasons"][0].to_dict("records") == [
        {"stage": "score", "error_type": "E", "n_images": 1, "image_id": "a", "message": "why"}
    ]
    assert published["findings"][0]["remedy"].tolist() == ["remedy"]
    assert published["page"] == f"{tmp_path}/report.html"
    assert published["report"] == str(tmp_path)


def test_of_a_sound_run_there_is_nothing_to_say(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    published: list[str] = []
    for name in ("publish_table", "publish_link"):
        monkeypatch.setattr(observer, name, lambda *given: published.append(given[-1]))
    observer.PrefectObserver("d").reported(RunResult(str(tmp_path), "0a", 8, 0, True, pd.DataFrame()), [])
    assert published == ["d", "stages", "page", "report"]
