"""`segscale strata` on written reports: words, JSON, what is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import numpy as np
import pytest

import segscale
from segscale.flows.cli.main import run
from segscale.tasks.decisions.strata import GAP_COLUMNS, TAIL_COLUMNS
from segscale.tasks.metrics.settings import ScoreSettings

WriteRun = Callable[..., str]
HITS = np.random.default_rng(2).integers(60, 95, 120)


@pytest.fixture
def report(write_run: WriteRun) -> str:
    settings = ScoreSettings(bootstrap=0, batch_sizes=(), group_by=("site",))
    return write_run("run", [(int(one), 100 - int(one), 100 - int(one)) for one in HITS], settings=settings)


def test_in_words(report: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["strata", report, "--below", "0.7"]) == 0
    out = capsys.readouterr().out
    n_below = int((HITS < 70).sum())
    assert "dice of lesion, site=x: mean 0." in out
    assert f"dice of lesion, whole set: {n_below} of 120 images below 0.7, " in out
    assert out.rstrip().endswith(
        f"images are taken as independent of each other: no cluster_by says that some belong together\nreport: {report}"
    )


def test_as_json_and_as_a_function(report: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["strata", report, "--by", "site", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["report", "gaps", "tails", "notes"]
    assert (list(found["gaps"][0]), list(found["tails"][0])) == (list(GAP_COLUMNS), list(TAIL_COLUMNS))
    same = segscale.strata(report)
    assert list(same.gaps["sentence"]) == [row["sentence"] for row in found["gaps"]]
    assert len(segscale.strata(report, by=()).gaps) == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        pytest.param(["--margin", "2"], "--margin: expected a number above 0 and below 1, got 2.0", id="margin"),
        pytest.param(["--by", "place"], "--by: expected a column of per_image, got 'place'", id="column"),
        pytest.param(["--metric", "dise"], "--metric: .* did you mean dice", id="metric"),
        pytest.param(["--head", "second"], "--head: expected a head", id="head"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    report: str, options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["strata", report, *options]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert re.search(words, said[0]), said[0]
