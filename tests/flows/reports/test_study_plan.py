"""`segscale plan` on written reports: words, JSON, what is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import numpy as np
import pytest

import segscale
from segscale.flows.cli.main import run
from segscale.tasks.decisions.study_plan import CURVE_COLUMNS, PLAN_COLUMNS
from segscale.tasks.metrics.settings import ScoreSettings

HITS = np.random.default_rng(2).integers(60, 95, 120)
MORE = np.minimum(HITS + np.random.default_rng(3).integers(-3, 5, 120), 100)


@pytest.fixture
def reports(write_run: Callable[..., str]) -> tuple[str, str]:
    settings = ScoreSettings(bootstrap=0, batch_sizes=())
    one, other = (
        write_run(name, [(int(n), 100 - int(n), 100 - int(n)) for n in hits], settings=settings)
        for name, hits in (("one", HITS), ("other", MORE))
    )
    return one, other


def test_in_words(reports: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", *reports, "--margin", "0.02", "--aggregation", "per_sample"]) == 0
    out = capsys.readouterr().out
    assert re.search(
        r"mean dice of lesion, whole set, 95% interval of width 0\.02: \d+ images \(\d+ to \d+\); there are 120", out
    )
    assert "not worse by 0.02 if as good, power 80%: " in out
    assert out.rstrip().endswith(f"report: {reports[0]}\nsecond: {reports[1]}")


def test_as_json_and_as_a_function(reports: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", reports[0], "--by", "site", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["report", "second", "sizes", "curves", "notes"]
    assert (list(found["sizes"][0]), list(found["curves"][0])) == (list(PLAN_COLUMNS), list(CURVE_COLUMNS))
    same = segscale.plan(reports[0], by=("site",))
    assert list(same.sizes["sentence"]) == [row["sentence"] for row in found["sizes"]]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        pytest.param(["--width", "0"], "--width: expected a number above 0", id="width"),
        pytest.param(["--by", "place"], "--by: expected a column of per_image, got 'place'", id="column"),
        pytest.param(
            ["--aggregation", "mean"], "--aggregation: expected per_sample, pooled, got 'mean'", id="aggregation"
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    reports: tuple[str, str], options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["plan", reports[0], *options]) == 2
    (said,) = capsys.readouterr().err.strip().splitlines()
    assert words in said
