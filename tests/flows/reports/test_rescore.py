import json
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from segscale.flows.cli.main import run
from segscale.flows.cli.stop import Stop
from segscale.flows.reports.rescore import open_rescoring
from segscale.storage.reports import Report, encode_report_table, write_report
from segscale.tasks.metrics.settings import ScoreSettings
from segscale.tasks.rescore import Changes

ROOT = Path(__file__).parents[3]
WRITE = runpy.run_path(str(ROOT / "benchmarks" / "made_report.py"))["write_made_report"]
SETTINGS = ScoreSettings(batch_sizes=(1, 4), bootstrap=0)
TABLES = ("per_sample", "batch_summed", "gap")


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Report:
    made: Report = WRITE(tmp_path_factory.mktemp("two"), 12, settings=SETTINGS, failed_every=6)
    return made


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Report:
    made: Report = WRITE(tmp_path_factory.mktemp("three"), 6, n_classes=3, heads=("first", "last"), settings=SETTINGS)
    return made


def test_json_holds_the_runs_own_tables(two: Report, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["rescore", two.path, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == list(TABLES)
    for name in TABLES:
        own = two.table(name).astype(object)
        assert found[name] == own.where(own.notna(), None).to_dict("records")


def test_the_headline_is_like_the_end_of_a_run(two: Report, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["rescore", two.path]) == 0
    lines = capsys.readouterr().out.splitlines()
    columns = ["class", "metric", "per-sample", "failed", "as", "0", "batch", "1", "batch", "4", "pooled"]
    assert lines[0].split() == columns
    per_sample = two.table("per_sample").set_index(["class_name", "metric"])["mean"]
    assert lines[1].split()[:3] == ["class_1", "dice", f"{per_sample['class_1', 'dice']:.4f}"]
    assert lines[2].split()[1:3] == ["tversky", f"{per_sample['class_1', 'tversky']:.4f}"]
    assert lines[3:5] == ["", "threshold as in the run"]
    assert lines[-2:] == ["12 images, 2 failed (see failures.parquet)", f"report: {two.path}"]


@pytest.fixture(scope="module")
def of_patients(tmp_path_factory: pytest.TempPathFactory) -> Report:
    settings = SETTINGS.changed(unit="patient_id", folds="site", group_by=("site", "reference_volume:0,40"))
    made: Report = WRITE(tmp_path_factory.mktemp("patients"), 12, settings=settings, failed_every=6)
    return made


def test_a_run_of_units_is_rescored_as_it_was(of_patients: Report, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["rescore", of_patients.path, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == [*TABLES, "per_unit"]
    for name, rows in found.items():
        own = of_patients.table(name).astype(object)
        assert rows == own.where(own.notna(), None).to_dict("records")
    assert run(["rescore", of_patients.path]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "per-sample  per patient_id  mean of folds  failed as 0" in lines[0]
    means = of_patients.table("per_sample").query("metric == 'dice' and class_index == 1 and stratum == ''")
    by_unit = means.set_index("unit")
    values = by_unit["mean"]["image"], by_unit["mean"]["patient_id"], by_unit["mean_of_folds"]["image"]
    assert lines[1].split()[2:5] == [f"{value:.4f}" for value in values]


def test_units_are_asked_for_later(two: Report, of_patients: Report, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--unit", "patient_id", "--folds", "site", "--by", "site", "--by", "reference_volume:0,40", "--json"]
    assert run(["rescore", two.path, *asked]) == 0
    later = json.loads(capsys.readouterr().out)
    assert run(["rescore", of_patients.path, "--json"]) == 0
    assert later == json.loads(capsys.readouterr().out)
    assert run(["rescore", of_patients.path, "--unit", "", "--json"]) == 0
    assert {row["unit"] for row in json.loads(capsys.readouterr().out)["per_sample"]} == {"image"}


def test_strata_that_nobody_named_do_not_refuse_a_unit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = WRITE(tmp_path, 24, settings=SETTINGS.changed(group_by=("patient_id", "site")))
    note = "strata of the run left out, as they cut a site apart: patient_id"
    assert run(["rescore", report.path, "--unit", "site"]) == 0
    assert note in capsys.readouterr().out.splitlines()
    assert run(["rescore", report.path, "--unit", "site", "--json"]) == 0
    said = capsys.readouterr()
    strata = {row["stratum"] for row in json.loads(said.out)["per_sample"]}
    assert strata == {"", "site=north", "site=south", "site=west"}
    assert note in said.err.splitlines()
    assert run(["rescore", report.path, "--unit", "site", "--by", "patient_id"]) == 2
    assert "in one patient_id (--by)" in capsys.readouterr().err


def test_units_that_cannot_be_made_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = WRITE(tmp_path, 24, settings=SETTINGS)
    assert run(["rescore", report.path, "--folds", "patient_id", "--unit", "site"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "unit: expected all images of a site in one patient_id (--folds), got site" in said.err


def test_options_change_the_scores(two: Report, capsys: pytest.CaptureFixture[str]) -> None:
    options = "--threshold 0.25 --alpha 0.5 --beta 0.5 --smooth 1 --batch-size 3 --batch-size 5 --empty one --by site"
    assert run(["rescore", two.path, *options.split()]) == 0
    out = capsys.readouterr().out
    assert {"site=north", "site=south", "site=west"} <= set(out.split())
    assert "batch 3  batch 5  pooled" in out
    assert "threshold 0.25\n" in out
    assert "alpha 0.5 (false positives), beta 0.5 (false negatives); smooth 1.0; empty one" in out


@pytest.mark.parametrize("option", [[], ["--json"]], ids=["text", "json"])
def test_several_classes_at_a_threshold_are_no_argmax(
    three: Report, option: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["rescore", three.path, "--threshold", "0.5", *option]) == 0
    captured = capsys.readouterr()
    said = captured.err if option else captured.out
    assert "each class is scored against the rest, not by argmax" in said
    assert run(["rescore", three.path, *option]) == 0
    captured = capsys.readouterr()
    assert "predicted classes as in the run" in (captured.err if option else captured.out)
    if not option:
        assert captured.out.splitlines()[0].split()[:3] == ["class", "head", "metric"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        pytest.param(["--threshold", "0.7"], "nearest: 0.6875 (44/64) and 0.703125 (45/64)", id="not kept"),
        pytest.param(["--threshold", "half"], "'half' is not a valid float", id="no number"),
        pytest.param(["--by", "status"], "--by: expected a group column of this report", id="no group"),
        pytest.param(
            ["--empty", "two"], '--empty: expected "nan", "one", "zero" or "smooth", got "two"', id="no policy"
        ),
        pytest.param(["--batch-size", "0"], "--batch-size, value 1: expected a number greater", id="an empty batch"),
        pytest.param(
            ["--batch-size", "9" * 20, "--json"],
            "--batch-size, value 1: expected a number less",
            id="a batch beyond all integers",
        ),
        pytest.param(["--alpha", "0", "--beta", "0"], "--alpha, --beta: expected", id="no weights"),
        pytest.param(["--smooth", "nan"], "--smooth: expected a finite number, got nan", id="no smooth"),
    ],
)
def test_wrong_values_end_with_one_line(
    two: Report, options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _expect_refused(["rescore", two.path, *options], words, capsys)


def test_a_report_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _expect_refused(["rescore", str(tmp_path / "no")], "expected a report, found no run.json", capsys)
    _expect_refused(["rescore"], "Missing argument 'REPORT'", capsys)


def test_label_maps_have_no_thresholds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = WRITE(tmp_path, 4, settings=SETTINGS, label_maps=True)
    _expect_refused(["rescore", report.path, "--threshold", "0.5"], "its predictions are label maps", capsys)
    assert run(["rescore", report.path]) == 0


@pytest.mark.parametrize("table", ["per_image", "thresholds"])
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        pytest.param(lambda path: path.unlink(), "stands in run.json and is missing", id="lost"),
        pytest.param(lambda path: path.write_bytes(path.read_bytes()[:-100]), "is damaged", id="torn off"),
        pytest.param(lambda path: path.write_bytes(b"no parquet"), "is damaged", id="another format"),
        pytest.param(lambda path: path.write_bytes(bytes(path.stat().st_size - 4) + b"PAR1"), "is damaged", id="zeros"),
        pytest.param(lambda path: pd.DataFrame({"dice": [1.0]}).to_parquet(path), "is foreign", id="foreign"),
    ],
)
def test_spoilt_tables_end_with_one_line(
    table: str, spoil: object, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = WRITE(tmp_path, 4, settings=SETTINGS)
    assert callable(spoil)
    spoil(tmp_path / f"{table}.parquet")
    _expect_refused(["rescore", report.path, "--threshold", "0.5"], words, capsys)


@pytest.mark.parametrize(
    ("run_json", "words"),
    [
        pytest.param("{}", "expected the record of a Segscale run", id="of something else"),
        pytest.param("{", "damaged: expected JSON", id="torn off"),
        pytest.param('{"files": {}, "run_id": "made"}', "run.json: expected the metrics", id="without settings"),
    ],
)
def test_a_spoilt_record_ends_with_one_line(
    run_json: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run.json").write_text(run_json)
    _expect_refused(["rescore", str(tmp_path)], words, capsys)


@pytest.mark.parametrize("count", [256, 32, 0, "64", 64.0, None])
def test_thresholds_that_the_table_does_not_have_are_refused(
    count: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Taken at its word, 256 would make the threshold 1/256 the numbers of 1/64."""
    report = WRITE(tmp_path, 4, settings=SETTINGS)
    record = report.run()
    metrics = record["config"]["metrics"]
    record["config"]["metrics"] = {**metrics, "threshold_count": count} if count is not None else {
        name: value for name, value in metrics.items() if name != "threshold_count"
    }  # fmt: skip
    (tmp_path / "run.json").write_text(json.dumps(record))
    words = f"run.json: threshold_count: expected 64, as thresholds.parquet has 63 thresholds, got {count!r}"
    _expect_refused(["rescore", report.path, "--threshold", "0.00390625"], words, capsys)
    assert run(["rescore", report.path]) == 0


def test_a_table_of_another_run_is_called_that(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = WRITE(tmp_path / "mine", 4, settings=SETTINGS)
    WRITE(tmp_path / "other", 5, settings=SETTINGS, run_id="other")
    shutil.copy(tmp_path / "other" / "per_image.parquet", tmp_path / "mine")
    words = "per_image.parquet is of run 'other', not of 'made'"
    _expect_refused(["rescore", mine.path], words, capsys)
    assert run(["compare", mine.path, mine.path]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (RuntimeError("our mistake"), 3, "segscale: RuntimeError: our mistake (SEGSCALE_TRACEBACK=1 shows where)"),
        (KeyboardInterrupt(), 130, "segscale: interrupted"),
    ],
    ids=["unforeseen", "interrupted"],
)
def test_a_command_that_commits_nothing_does_not_speak_of_it(
    error: BaseException, code: int, said: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.delenv("SEGSCALE_TRACEBACK", raising=False)
    monkeypatch.setattr("segscale.flows.reports.rescore.open_rescoring", fail)
    monkeypatch.setattr("segscale.flows.cli.main.STOP", Stop())
    assert run(["rescore", "anything"]) == code
    assert capfd.readouterr().err.splitlines()[-1] == said


def test_a_foreign_table_with_a_true_record_is_refused(
    two: Report, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    foreign = encode_report_table(pd.DataFrame({"run_id": ["made"], "image_id": ["a"], "class_index": [1]}))
    report = write_report(type(two.store)(str(tmp_path)), {"per_image.parquet": foreign}, two.run())
    _expect_refused(["rescore", report.path], "per_image: expected the columns of a report", capsys)


def test_no_more_is_read_than_needed(two: Report) -> None:
    rescoring = open_rescoring(two.path, Changes())
    assert "dice" not in rescoring.per_image
    assert rescoring.plan.thresholds_columns == ()


def test_the_command_starts_without_orchestrators_and_networks(two: Report) -> None:
    probe = (
        "import sys; from segscale.flows.cli.main import run; code = run(sys.argv[1:]);"
        "print(code, sorted({'prefect', 'dask', 'distributed', 'tensorflow', 'keras'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", probe, "rescore", two.path, "--threshold", "0.5"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout.splitlines()[-1] == "0 []"


def _expect_refused(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert words in captured.err
    assert len(captured.err.splitlines()) == 1
