"""Reports as CSV and as nnU-Net's summary.json."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import csv

import segscale
from segscale.errors import ConfigError
from segscale.flows.reports.export import export
from segscale.storage.reports import open_report
from segscale.storage.table_csv import encode_csv
from segscale.tasks.metrics.nnunet_summary import nnunet_summary
from segscale.tasks.metrics.settings import ScoreSettings

WriteRun = Callable[..., str]
FIXTURE = str(Path(__file__).parents[2] / "fixtures" / "0bb167e" / "reports" / "drawn" / "first")
LESIONS = [(40, 10, 10), (0, 0, 0), (5, 5, 15), (30, 0, 0)]


def read_again(data: bytes, like: pd.DataFrame) -> pd.DataFrame:
    """As docs/reports.md reads a CSV, with the types of the table."""
    schema = pa.Table.from_pandas(like, preserve_index=False).schema
    options = csv.ConvertOptions(
        column_types=schema, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
    )
    table = csv.read_csv(
        io.BytesIO(data), parse_options=csv.ParseOptions(newlines_in_values=True), convert_options=options
    )
    again: pd.DataFrame = table.replace_schema_metadata(schema.metadata).to_pandas()
    return again


def test_every_table_is_read_again_as_it_was(tmp_path: Path) -> None:
    exported = export(FIXTURE, folder=str(tmp_path / "csv"))
    report = open_report(FIXTURE)
    tables = {Path(file).stem for file in exported.files}
    assert {f"{name}.parquet" for name in tables} | {"report.html"} == set(report.run()["files"])
    for name in tables:
        table = report.table(name)
        again = read_again((tmp_path / "csv" / f"{name}.csv").read_bytes(), table)
        pd.testing.assert_frame_equal(again, table, check_exact=True)


def test_where_nothing_can_be_written_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "t.csv").touch()
    for place in ("t.csv", "t.csv/deep"):
        with pytest.raises(ConfigError, match=r"expected a place .*/t\.csv is a file, no folder"):
            export(FIXTURE, folder=str(tmp_path / place))
        with pytest.raises(ConfigError, match=r"expected a place .*/t\.csv is a file, no folder"):
            export(FIXTURE, file=str(tmp_path / place / "summary.json"))


@given(
    st.lists(
        st.tuples(
            st.floats(),
            st.integers(-(2**63), 2**63 - 1) | st.none(),
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0"), max_size=5) | st.none(),
        ),
        min_size=1,
    )
)
def test_floats_nulls_and_texts_survive(rows: list[tuple[float, int | None, str | None]]) -> None:
    frame = pd.DataFrame(rows, columns=["score", "count", "text"]).astype({"score": "float64", "text": "str"})
    frame["count"] = pd.array([row[1] for row in rows], dtype="Int64")
    again = read_again(encode_csv(frame), frame)
    pd.testing.assert_frame_equal(again, frame, check_exact=True)


def test_nan_and_null_and_nothing_look_different() -> None:
    frame = pd.DataFrame(
        {"a": [math.nan], "b": pd.array([None], dtype="Int64"), "c": [""], "d": pd.array([None], "str")}
    )
    assert encode_csv(frame).decode().splitlines() == ['"a","b","c","d"', 'nan,,"",']


def test_nothing_is_overwritten(write_run: WriteRun, tmp_path: Path) -> None:
    path = write_run("a", LESIONS)
    (tmp_path / "csv").mkdir()
    (tmp_path / "csv" / "gap.csv").write_text("mine")
    with pytest.raises(ConfigError, match=r"gap\.csv: there already"):
        export(path, folder=str(tmp_path / "csv"), file=str(tmp_path / "new.json"))
    assert [file.name for file in (tmp_path / "csv").iterdir()] == ["gap.csv"]
    assert not (tmp_path / "new.json").exists()
    (tmp_path / "s.json").write_text("mine")
    with pytest.raises(ConfigError, match=r"s\.json: there already"):
        export(path, folder=str(tmp_path / "other"), file=str(tmp_path / "s.json"))
    assert not (tmp_path / "other").exists()


def per_image(path: str) -> pd.DataFrame:
    return pd.read_parquet(f"{path}/per_image.parquet")


def test_the_summary_has_the_names_and_the_formulas_of_nnunet(write_run: WriteRun) -> None:
    # Whatever smoothing and empty policy the run had, the counts alone decide.
    path = write_run("a", LESIONS, failed=(3,), settings=ScoreSettings(bootstrap=0, smooth=7.0, empty="one"))
    summary = nnunet_summary(per_image(path), {0: 0, 1: 255})
    assert list(summary) == ["metric_per_case", "mean", "foreground_mean"]
    first, empty, third = summary["metric_per_case"]
    assert first == {
        "reference_file": "case0",
        "prediction_file": "case0",
        "metrics": {
            "255": {"Dice": 0.8, "IoU": 40 / 60, "TP": 40, "FP": 10, "FN": 10, "TN": 340, "n_pred": 50, "n_ref": 50}
        },
    }
    assert math.isnan(empty["metrics"]["255"]["Dice"])
    assert third["metrics"]["255"]["n_ref"] == 20
    assert summary["mean"]["255"]["Dice"] == pytest.approx((0.8 + 10 / 30) / 2)
    assert summary["mean"]["255"]["TP"] == pytest.approx(45 / 3)
    assert summary["foreground_mean"] == summary["mean"]["255"]


def test_the_mean_over_labels_is_undefined_where_one_is(write_run: WriteRun) -> None:
    table = per_image(write_run("a", LESIONS))
    second = table[table["class_index"] == 1].assign(
        class_index=2, true_positive=0, false_positive=0, false_negative=0, true_negative=400
    )
    summary = nnunet_summary(pd.concat([table, second]), {0: 0, 1: 1, 2: 2})
    assert set(summary["metric_per_case"][0]["metrics"]) == {"1", "2"}
    assert math.isnan(summary["mean"]["2"]["Dice"])
    assert math.isnan(summary["foreground_mean"]["Dice"])
    assert summary["foreground_mean"]["TP"] == pytest.approx(75 / 4 / 2)


def test_of_several_heads_one_is_named(write_run: WriteRun) -> None:
    table = per_image(write_run("a", LESIONS))
    both = pd.concat([table.assign(head="head_1"), table.assign(head="head_2", true_positive=0)])
    with pytest.raises(ValueError, match=r"expected the one whose predictions are meant, .*there are head_1, head_2"):
        nnunet_summary(both, {0: 0, 1: 1})
    with pytest.raises(ValueError, match="got 'head_3'"):
        nnunet_summary(both, {0: 0, 1: 1}, "head_3")
    assert nnunet_summary(both, {0: 0, 1: 1}, "head_2")["mean"]["1"]["TP"] == 0


def test_without_a_sound_image_there_is_nothing_to_say(write_run: WriteRun) -> None:
    summary = nnunet_summary(per_image(write_run("a", LESIONS, failed=(0, 1, 2, 3))), {0: 0, 1: 1})
    assert summary == {"metric_per_case": [], "mean": {}, "foreground_mean": {}}


def test_the_command_says_what_a_report_cannot_tell(segscale_here: Any, tmp_path: Path) -> None:
    outcome = segscale_here("export", FIXTURE, "--nnunet", tmp_path / "to" / "summary.json")
    assert (outcome.code, outcome.out.strip()) == (0, str(tmp_path / "to" / "summary.json"))
    assert outcome.err.splitlines() == [
        "reference_file and prediction_file are the ids of images: a report keeps no paths",
        "2 of 8 images failed and are no cases; failures.parquet says why",
    ]
    written = json.loads((tmp_path / "to" / "summary.json").read_text())
    assert json.dumps(written, sort_keys=True) == json.dumps(segscale.nnunet_summary(FIXTURE), sort_keys=True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param([FIXTURE], "expected --csv DIR or --nnunet FILE", id="neither"),
        pytest.param(["none", "--csv", "x"], "none: expected a report", id="no report"),
        pytest.param(
            [FIXTURE, "--nnunet", "x.json", "--head", "h"],
            "of one head without a name; leave it out",
            id="no such head",
        ),
    ],
)
def test_what_cannot_be_exported_is_one_line(
    segscale_here: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = segscale_here("export", *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert words in outcome.err
    assert len(outcome.err.splitlines()) == 1
    assert not list(tmp_path.iterdir())
