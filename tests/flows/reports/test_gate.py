"""`segscale gate` on written reports: exit codes, words, JSON, JUnit XML and Markdown."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import segscale
from segscale.flows.cli.main import run
from segscale.flows.reports.gate import Asking, gate_reports
from segscale.flows.reports.gate_files import junit, markdown
from segscale.tasks.decisions.gate import COLUMNS
from segscale.tasks.metrics.settings import ScoreSettings

WriteRun = Callable[..., str]
ROOT = Path(__file__).parents[3]
GENERATOR = np.random.default_rng(1)
FOUND = GENERATOR.integers(60, 95, 60)
BASE = [(int(one), 100 - int(one), 100 - int(one)) for one in FOUND]
ALIKE = [(tp + 1, fp - 1, fn - 1) if place % 2 else (tp - 1, fp + 1, fn + 1) for place, (tp, fp, fn) in enumerate(BASE)]
WORSE = [(tp - 20, fp + 20, fn + 20) for tp, fp, fn in BASE]
SETTINGS = ScoreSettings(bootstrap=0, batch_sizes=())


@pytest.fixture
def reports(write_run: WriteRun) -> dict[str, str]:
    runs = {"base": BASE, "alike": ALIKE, "worse": WORSE}
    return {name: write_run(name, lesions, settings=SETTINGS) for name, lesions in runs.items()}


@pytest.mark.parametrize(
    ("new", "arguments", "code", "verdict"),
    [
        pytest.param("alike", ["--margin", "dice=0.05"], 0, "pass", id="pass"),
        pytest.param("worse", ["--margin", "dice=0.05"], 1, "fail", id="fail"),
        pytest.param("alike", ["--margin", "dice=0.001"], 4, "cannot tell", id="the interval holds the margin"),
        pytest.param("worse", [], 1, "fail", id="the margin that is asked for where none is given"),
        pytest.param("alike", ["--floor", "dice=0.5"], 0, "pass", id="a floor beside a base"),
    ],
)  # fmt: skip
def test_exit_codes(
    new: str, arguments: list[str], code: int, verdict: str, reports: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["gate", reports["base"], reports[new], *arguments]) == code
    out = capsys.readouterr().out
    assert out.startswith(f"{verdict}: of 1 question 1 {verdict}; asked was: mean dice ")
    assert "mean dice of lesion, whole set: NEW 0." in out
    assert f"BASE: {reports['base']}" in out
    assert "images are taken as independent of each other" in out
    assert ("no margin was given: dice=0.01" in out) == (not arguments)


def test_a_floor_without_a_base(reports: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["gate", reports["alike"], "--floor", "dice=0.9", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["verdict"], found["base"]) == ("fail", "")
    assert found["strata"][0]["margin"] is None
    assert found["strata"][0]["bound"] == 0.9


def test_as_json(reports: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["gate", reports["base"], reports["worse"], "--margin", "dice=0.05", "--by", "site", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["verdict", "summary", "base", "new", "strata", "left_out", "notes"]
    assert found["verdict"] == "fail"
    assert [row["stratum"] for row in found["strata"]] == ["", "site=x", "site=y"]
    row = found["strata"][0]
    assert list(row) == list(COLUMNS)
    assert [row["estimate"], row["margin"]] == pytest.approx([-0.2, 0.05])
    assert row["n_missing_new"] == 0


def test_junit_and_markdown(reports: dict[str, str], tmp_path: Path) -> None:
    xml, text = tmp_path / "new folder" / "gate.xml", tmp_path / "gate.md"
    files = ["--junit", str(xml), "--markdown", str(text)]
    assert run(["gate", reports["base"], reports["worse"], "--by", "site", *files]) == 1
    suite = ElementTree.fromstring(xml.read_bytes())
    assert suite.attrib == {"name": "segscale gate", "tests": "3", "failures": "3", "errors": "0"}
    cases = suite.findall("testcase")
    assert [case.get("name") for case in cases][1] == "lesion, site=x, per_sample, not worse"
    failure = cases[1].find("failure")
    assert failure is not None
    assert "fail, it is worse by 0.01 or more" in failure.attrib["message"]
    page = text.read_text(encoding="utf-8")
    assert page.startswith("## ❌ segscale gate: fail\n\nfail: of 3 questions 3 fail")
    assert "| ❌ fail | site=y | lesion | per_sample dice | 0." in page
    # What lay there is of the gate before.
    assert run(["gate", reports["base"], reports["alike"], "--margin", "dice=0.05", *files]) == 0
    assert text.read_text(encoding="utf-8").startswith("## ✅ segscale gate: pass")


def test_what_cannot_be_told_is_an_error_of_the_suite(reports: dict[str, str]) -> None:
    found = gate_reports(reports["base"], reports["alike"], Asking({"dice": 0.001}, {}))
    suite = ElementTree.fromstring(junit(found))
    assert (suite.get("errors"), suite.get("failures")) == ("1", "0")
    error = suite.find("testcase/error")
    assert error is not None
    assert error.get("type") == "cannot tell"
    assert "- mean dice of lesion, whole set:" in markdown(found)


def test_names_of_strata_are_no_markup(write_run: WriteRun) -> None:
    odd = np.repeat(["<b>|a", "x\x01y"], 60)
    base, new = (write_run(name, lesions, settings=SETTINGS, site=odd) for name, lesions in (("a", BASE), ("b", ALIKE)))
    found = gate_reports(base, new, Asking({"dice": 0.05}, {}, by=("site",)))
    names = [case.get("name") for case in ElementTree.fromstring(junit(found)).findall("testcase")]
    assert names[1:] == ["lesion, site=<b>|a, per_sample, not worse", "lesion, site=x\\x01y, per_sample, not worse"]
    assert "site=&lt;b&gt;\\|a" in markdown(found)


def _refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert run(["gate", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("segscale: ")
    assert captured.err.count("\n") == 1
    return captured.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(["alike"], "floor: expected one", id="nothing to hold it against"),
        pytest.param(["alike", "--margin", "dice=0.1"], "margin: expected two reports", id="a margin without a base"),
        pytest.param(["base", "alike", "worse"], "got 3 reports", id="three"),
        pytest.param(["base", "alike", "--margin", "dice"], "expected METRIC=NUMBER, as in dice=0.01", id="no number"),
        pytest.param(["base", "alike", "--margin", "dice=x"], "got 'dice=x'", id="a word"),
        pytest.param(["base", "alike", "--margin", "dice=nan"], "got 'dice=nan'", id="not a number"),
        pytest.param(["base", "alike", "--margin", "dice=-0.1"], "--margin: expected a number above 0", id="negative"),
        pytest.param(["base", "alike", "--margin", "hd95=1"], "got 'hd95'", id="a distance"),
        pytest.param(["base", "alike", "--margin", "dice=.1", "--margin", "dice=.2"], "one number for dice", id="2"),
        pytest.param(["base", "alike", "--by", "age"], "--by: expected a column of per_image, got 'age'", id="by"),
        pytest.param(["base", "alike", "--superior", "iou"], "--superior: expected a metric that has", id="superior"),
        pytest.param(["base", "alike", "--aggregation", "mean"], "--aggregation: expected per_sample", id="agg"),
        pytest.param(["base", "alike", "--head", "x"], "--head: expected a head of both runs", id="no head"),
        pytest.param(["base", "/nothing"], "expected a report, found no run.json", id="no report"),
    ],
)  # fmt: skip
def test_what_is_refused(
    arguments: list[str], words: str, reports: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert words in _refused([reports.get(one, one) for one in arguments], capsys)


def test_what_cannot_be_compared(
    reports: dict[str, str], write_run: WriteRun, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = SETTINGS.changed(empty="one")
    for other, words in (
        (write_run("fewer", BASE[:50], settings=SETTINGS), "different images: 10 only in a"),
        (write_run("reference", BASE, settings=SETTINGS, reference_sha256="x"), "different references"),
        (write_run("policy", BASE, settings=policy), "metrics.empty: expected the same in both runs"),
        (write_run("lost", BASE, settings=SETTINGS, failed=range(60)), "no image is ok in both runs"),
    ):
        assert words in _refused([reports["base"], other], capsys)


def test_a_file_that_cannot_be_written_is_one_line(reports: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    file = Path(reports["base"]).parent / "file"
    file.write_text("")
    assert run(["gate", reports["base"], reports["alike"], "--junit", str(file / "gate.xml")]) == 2
    assert "expected a place that can be written" in capsys.readouterr().err


def test_the_same_as_a_function(reports: dict[str, str]) -> None:
    found = segscale.gate(reports["base"], reports["alike"], margin={"dice": 0.05}, by=("site",))
    assert isinstance(found, segscale.GateResult)
    assert found
    assert found.verdict == "pass"
    assert list(found.strata["verdict"]) == ["pass"] * 3
    assert not segscale.gate(reports["base"], reports["worse"])
    assert not segscale.gate(None, reports["base"], floor={"dice": 0.99})
    with pytest.raises(segscale.ConfigError, match="by: expected a column of per_image"):
        segscale.gate(reports["base"], reports["base"], by=("age",))


def test_settings_of_the_base_hold_unless_others_are_asked_for(write_run: WriteRun) -> None:
    patients = np.repeat(np.arange(60) // 2, 2)
    clustered = SETTINGS.changed(cluster_by="patient")
    base = write_run("clustered", BASE, settings=clustered, patient=patients)
    new = write_run("plain", ALIKE, settings=SETTINGS, patient=patients)
    own = segscale.gate(base, new, margin={"dice": 0.05})
    assert own.strata["n_clusters"].tolist() == [30]
    assert own.notes[0].startswith("images of one patient are taken together")
    assert segscale.gate(base, new, cluster_by="").strata["n_clusters"].tolist() == [60]
    of_units = segscale.gate(base, new, unit="patient", cluster_by="")
    assert of_units.strata[["unit", "n"]].values.tolist() == [["patient", 30]]


def test_nothing_heavy_is_imported(reports: dict[str, str]) -> None:
    code = (
        "import sys; from segscale.flows.cli.main import run; assert run(sys.argv[1:]) == 0; "
        "print([name for name in ('prefect', 'dask', 'distributed', 'tensorflow', 'keras') if name in sys.modules])"
    )
    command = [sys.executable, "-c", code, "gate", reports["base"], reports["base"], "--margin", "dice=0.1"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout.splitlines()[-1] == "[]"
