"""Which files a run looks at, and what it remembers of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from segscale.flows.config.evaluation import EvaluationConfig, override, parse_config
from segscale.flows.run import Run
from segscale.flows.scan import look_at_files
from segscale.flows.shards.retry import Finished
from segscale.flows.worker.work import ScanJob
from segscale.flows.workers import Workers
from segscale.storage import sources
from segscale.tasks import scan


class Here:
    """Workers that are this process, and count the files that they look at."""

    def __init__(self) -> None:
        self.looked_at: list[str] = []

    def stream(self, work: Callable[..., Any], jobs: Iterable[ScanJob], **_: Any) -> Iterator[Finished]:
        for job in jobs:
            self.looked_at += [sources.file_name(url) for url, _ in job.files]
            yield Finished(job.key, work(job), 1)


@pytest.fixture
def config(tmp_path: Path) -> EvaluationConfig:
    for role in ("images", "masks"):
        (tmp_path / role).mkdir()
        for number in range(3):
            _save(tmp_path / role / f"case{number}.png", number)
    dataset = {"name": "set", "images": "images/*.png", "references": "masks"}
    sections = {"dataset": dataset, "model": {"path": "nuclei"}, "store": {"path": "store"}}
    return parse_config(sections, base=tmp_path, source="test")


def _save(path: Path, value: int) -> None:
    Image.fromarray(np.full((4, 4), value, np.uint8)).save(path)


def _look(config: EvaluationConfig) -> tuple[list[str], dict[str, str]]:
    """The files looked at by a run, and the hash that it knows of each reference."""
    workers = Here()
    run = Run(config, workers=cast(Workers, workers))
    files = look_at_files(run, run.take_listing())
    references = files[files["role"] == "reference"]
    return sorted(workers.looked_at), dict(
        zip(references["url"].map(sources.file_name), references["sha256"], strict=True)
    )


def test_what_is_unchanged_is_not_looked_at_again(config: EvaluationConfig) -> None:
    looked_at, first = _look(config)
    assert len(looked_at) == 6
    assert _look(config) == ([], first)


def test_a_rescan_looks_at_everything_and_remembers_nothing_twice(config: EvaluationConfig) -> None:
    _, first = _look(config)
    fragments = config.store.open().names(f"catalog/sources-{scan.CODE_VERSION}")
    again = override(config, rescan=True)
    assert _look(again) == (sorted([f"case{number}.png" for number in range(3)] * 2), first)
    assert config.store.open().names(f"catalog/sources-{scan.CODE_VERSION}") == fragments


def test_a_rescan_finds_other_bytes_under_the_same_times(
    config: EvaluationConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What no disk of the tests does: a file with other bytes, and all that is said of it as before."""
    monkeypatch.setattr("segscale.storage.trees.local_version", lambda path: f"of {path}")
    logging.getLogger("segscale").propagate = True
    _, first = _look(config)
    _save(tmp_path / "masks" / "case1.png", 77)
    assert _look(config) == ([], first)
    looked_at, found = _look(override(config, rescan=True))
    assert len(looked_at) == 6
    assert {name for name in first if first[name] != found[name]} == {"case1.png"}
    assert "scan: 1 file with other bytes, though of equal size and times: case1.png" in caplog.text
    # From now on this is what is known, and the old bytes are forgotten.
    assert _look(config) == ([], found)


def test_the_option_reaches_the_run(config: EvaluationConfig) -> None:
    assert not config.dataset.rescan
    assert override(config, rescan=True).dataset.rescan
    assert not override(config, workers=2).dataset.rescan


def test_notes_of_the_listing_are_logged_once_it_is_taken(
    config: EvaluationConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _save(tmp_path / "masks" / "extra.png", 1)
    logging.getLogger("segscale").propagate = True
    run = Run(config)
    run.listing()
    assert caplog.records == []
    run.take_listing()
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("WARNING", "references: 1 has no image: extra.png")
    ]
