"""Prefect as an observer: what it retries, and what a run is told where Prefect does not answer."""

from __future__ import annotations

from collections.abc import Callable
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
from segscale.flows.prefect import artifacts, observer
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


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What was sent, by the last part of its key: the kind, the content, the description."""
    found: dict[str, Any] = {}

    def keeping(kind: str) -> Callable[..., None]:
        return lambda content, said, *names: found.update({names[-1]: (kind, content, said)})

    for kind in ("table", "link", "text", "path"):
        monkeypatch.setattr(observer, f"publish_{kind}", keeping(kind))
    monkeypatch.setattr(observer, "gap_of_report", lambda _: "the gap")
    return found


def test_a_run_that_is_done_says_what_it_knows(published: dict[str, Any], tmp_path: Path) -> None:
    failures = pd.DataFrame({"image_id": ["a"], "stage": ["score"], "error_type": ["E"], "message": ["why"]})
    write_report(ObjectStore(str(tmp_path)), {"failures.parquet": encode_report_table(failures)}, {"run_id": "0a"})
    result = RunResult(
        str(tmp_path), "0a", 8, 1, False, pd.DataFrame({"dice": [0.5]}), n_missing=1,
        reasons=(Reason("score", "E", 1, "a", "why"),),
        findings=(Finding("x", "error", "a cause", "evidence", "remedy"),),
    )  # fmt: skip
    observer.PrefectObserver("d").reported(result, [])
    assert published["d"][2] == "1 of 8 images failed, 1 of them for want of a usable prediction"
    assert published["gap"][:2] == ("text", "the gap")
    assert published["failures"][1]["message"].tolist() == ["why"]
    assert published["reasons"][1].to_dict("records") == [
        {"stage": "score", "error_type": "E", "n_images": 1, "image_id": "a", "message": "why"}
    ]
    assert published["findings"][1]["remedy"].tolist() == ["remedy"]
    assert published["page"][:2] == ("path", f"{tmp_path}/report.html")
    assert published["report"][:2] == ("path", str(tmp_path))


def test_of_a_sound_run_there_is_nothing_to_say(published: dict[str, Any], tmp_path: Path) -> None:
    observer.PrefectObserver("d").reported(RunResult(str(tmp_path), "0a", 8, 0, True, pd.DataFrame()), [])
    assert list(published) == ["d", "gap", "stages", "page", "report"]


def test_the_page_is_a_link_where_it_is_served(published: dict[str, Any], tmp_path: Path) -> None:
    result = RunResult(str(tmp_path), "0a", 8, 0, True, pd.DataFrame())
    observer.PrefectObserver("d", "https://host/reports").reported(result, [])
    assert published["page"][:2] == ("link", "https://host/reports/d/0a/report.html")
    assert published["report"][:2] == ("path", str(tmp_path))


def test_a_path_is_text_that_no_name_makes_a_link(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    monkeypatch.setattr(artifacts, "create_markdown_artifact", lambda *, markdown, **_: sent.append(markdown))
    artifacts.publish_path("/reports/[x](y)", "where", "d", "report")
    assert sent == ["    /reports/[x](y)"]
