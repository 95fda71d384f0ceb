"""`segscale calibration` on written reports: words, JSON, the map as a file, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import segscale
from segscale.flows.cli.main import run
from segscale.storage.objects import ObjectStore
from segscale.storage.reports import Report, encode_report_table, write_report
from segscale.tasks.calibration.calibrate import COLUMNS, CROSS_COLUMNS, MAP_COLUMNS, RELIABILITY_COLUMNS
from segscale.tasks.metrics.kept_thresholds import pair_names
from segscale.tasks.metrics.settings import ScoreSettings
from tests.tasks.calibration.made_pixels import true_errors

FIXTURES = Path(__file__).parents[2] / "fixtures" / "0bb167e" / "reports" / "drawn"
N_IMAGES, N_PIXELS = 48, 300
GENERATOR = np.random.default_rng(8)
PROBABILITIES = GENERATOR.random((N_IMAGES, N_PIXELS))
REFERENCES = GENERATOR.random((N_IMAGES, N_PIXELS)) < np.where(np.arange(N_IMAGES)[:, np.newaxis] % 2, 1, 0.5) * (
    PROBABILITIES
)


def _write(folder: Path, lost: dict[int, str] | None = None) -> Report:
    """A report of two sites, whose probabilities are as frequent as they say in one, half as frequent in the other.

    lost: images that failed, or are "missing".
    """
    lost = lost or {}
    per_image, thresholds = [], []
    for place, (p, m) in enumerate(zip(PROBABILITIES, REFERENCES, strict=True)):
        why = lost.get(place)
        keys = {"image_id": f"i{place}", "class_index": 1, "class_name": "lesion", "head": ""}
        tp, predicted, size = int((m & (p >= 0.5)).sum()), int((p >= 0.5).sum()), int(m.sum())
        counts: dict[str, Any] = {
            "true_positive": tp, "false_positive": predicted - tp, "false_negative": size - tp,
            "true_negative": p.size - predicted - size + tp, "reference_sum": size,
        }  # fmt: skip
        soft = {"soft_intersection": p[m].sum(), "soft_prediction_sum": p.sum(), "soft_prediction_squared_sum": 1.0}
        if why:
            counts, soft = dict.fromkeys(counts), dict.fromkeys(soft, np.nan)
        per_image.append({
            **keys, "site": "xy"[place % 2], "patient": f"p{place // 2}", "threshold": 0.5, **counts, **soft,
            "status": "failed" if why else "ok", "prediction_missing": why == "missing",
            "reference_pixels": size if why != "failed" else None,
        })  # fmt: skip
        pairs: dict[str, Any] = {}
        for k in range(1, 64):
            at = p >= k / 64
            pairs |= dict(
                zip(pair_names(k), (None, None) if why else (int((at & m).sum()), int(at.sum())), strict=True)
            )
        thresholds.append({**keys, "reference_sum": None if why else size, **pairs})
    of_images, of_thresholds = pd.DataFrame(per_image).convert_dtypes(), pd.DataFrame(thresholds).convert_dtypes()
    settings = ScoreSettings().model_dump()
    contents = {
        "per_image.parquet": encode_report_table(of_images),
        "thresholds.parquet": encode_report_table(of_thresholds.drop(columns="class_name")),
    }
    document = {"run_id": "r", "dataset": "d", "model": "", "config": {"metrics": {**settings, "threshold_count": 64}}}
    return write_report(ObjectStore(str(folder)), contents, document)


@pytest.fixture
def report(tmp_path: Path) -> str:
    return _write(tmp_path / "report").path


def test_as_pixels_say_it_by_stratum(report: str) -> None:
    found = segscale.calibration(report, by=("site",))
    pooled = found.errors[found.errors["aggregation"] == "pooled"].to_dict("records")
    errors: dict[Any, Any] = {(row["stratum"], row["metric"]): row for row in pooled}
    for stratum, chosen in (("", slice(None)), ("site=x", slice(0, None, 2)), ("site=y", slice(1, None, 2))):
        truths = true_errors(PROBABILITIES[chosen].ravel(), REFERENCES[chosen].ravel(), 64)
        for metric, truth in zip(("ece", "ace", "mce"), truths, strict=True):
            row = errors[stratum, metric]
            assert row["low"] - 1e-9 <= truth <= row["high"] + 1e-9
    assert errors["site=x", "ece"]["interval_low"] > errors["site=y", "ece"]["interval_high"]
    assert found.recalibration["verdict"].tolist() == ["better"]
    diagram = found.reliability[found.reliability["stratum"] == "site=y"]
    assert diagram["n_pixels"].sum() == N_PIXELS * N_IMAGES / 2
    assert diagram["n_positive"].sum() == REFERENCES[1::2].sum()


def test_strata_of_sizes_and_units_and_clusters(report: str) -> None:
    whole = segscale.calibration(report, by=("reference_volume:0,225",), unit="patient").errors
    assert set(whole["stratum"]) > {"", "reference_volume=[225,inf)"}
    first: dict[Any, Any] = whole.iloc[0].to_dict()
    assert [first[name] for name in ("unit", "n", "n_clusters")] == ["patient", 24, 24]
    clustered = segscale.calibration(report, cluster_by="site").errors
    assert clustered["reason"].str.startswith("2 clusters tell as much as 2.0 of one size").all()
    # Sums over pixels know no units.
    for end in ("low", "high"):
        assert first[end] == pytest.approx(float(clustered[end].iloc[0]))


def test_what_is_lost_is_counted(tmp_path: Path) -> None:
    path = _write(tmp_path / "lost", {0: "missing", 1: "failed", 2: "missing"}).path
    row = segscale.calibration(path).errors.iloc[0]
    assert row[["n", "n_missing", "n_failed", "n_label_maps"]].tolist() == [N_IMAGES - 3, 2, 1, 0]
    assert "2 missing, 1 failed otherwise" in row["sentence"]


def test_all_failed(tmp_path: Path) -> None:
    path = _write(tmp_path / "lost", dict.fromkeys(range(N_IMAGES), "failed")).path
    found = segscale.calibration(path, by=("site",))
    assert len(found.errors) == 8 * 3
    assert (found.errors["reason"] == "no image has probabilities").all()
    assert found.recalibration["verdict"].tolist() == ["cannot tell"]
    assert found.map["probability"].isna().all()


def test_a_stratum_of_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = _write(tmp_path / "report").path
    assert run(["calibration", path, "--by", "patient"]) == 0
    assert "patient=p3, over pixels" in capsys.readouterr().out


def test_as_json(report: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["calibration", report, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["report", "errors", "reliability", "recalibration", "map", "notes"]
    tables = {"errors": COLUMNS, "reliability": RELIABILITY_COLUMNS, "recalibration": CROSS_COLUMNS, "map": MAP_COLUMNS}
    for name, columns in tables.items():
        assert list(found[name][0]) == list(columns)
    assert len(found["map"]) == 64


@pytest.mark.parametrize("kind", ["csv", "json", "parquet"])
def test_the_map_as_a_file(kind: str, report: str, tmp_path: Path) -> None:
    file = tmp_path / "new folder" / f"map.{kind}"
    for _ in range(2):
        # What lay there is of the time before.
        assert run(["calibration", report, "--map", str(file)]) == 0
    if kind == "json":
        table = pd.DataFrame(json.loads(file.read_text(encoding="utf-8"))["map"])
    else:
        table = pd.read_csv(file) if kind == "csv" else pd.read_parquet(file)
    assert table["probability"].tolist() == pytest.approx(segscale.calibration(report).map["probability"].tolist())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param([str(FIXTURES / "second")], "its predictions are label maps", id="no probabilities"),
        pytest.param([str(FIXTURES)], "expected a report, found no run.json", id="no report"),
        pytest.param(
            [str(FIXTURES / "first"), "--by", "nowhere"], "--by: expected a column of per_image, got 'nowhere'; ",
            id="no such stratum",
        ),
        pytest.param(
            [str(FIXTURES / "first"), "--cluster-by", "nowhere"], "--cluster-by: expected a column",
            id="no such cluster",
        ),
        pytest.param([str(FIXTURES / "first"), "--head", "other"], "--head: expected a head", id="no such head"),
        pytest.param(
            [str(FIXTURES / "first"), "--map", "map.txt"], "--map: expected a file that ends in .csv, .json, .parquet",
            id="a map of no kind",
        ),
        pytest.param(
            [str(FIXTURES / "first"), "--by", "lesion_volume:0,10"], "lesions have no probabilities", id="lesions"
        ),
    ],
)  # fmt: skip
def test_refused(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["calibration", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err


@pytest.mark.parametrize("column", ["soft_prediction_sum", "head", "true_negative"])
def test_columns_that_are_missing_are_named(column: str, report: str, capsys: pytest.CaptureFixture[str]) -> None:
    store = ObjectStore(report)
    document = Report(store).run()
    rows = Report(store).table("per_image").drop(columns=column)
    contents = {
        "per_image.parquet": encode_report_table(rows), "thresholds.parquet": store.read("thresholds.parquet"),
    }  # fmt: skip
    write_report(store, contents, document)
    assert run(["calibration", report]) == 2
    assert f"['{column}'] are missing" in capsys.readouterr().err


def test_tables_of_other_images_are_refused(report: str, capsys: pytest.CaptureFixture[str]) -> None:
    store = ObjectStore(report)
    document = Report(store).run()
    rows = Report(store).table("thresholds").iloc[::-1]
    contents = {
        "per_image.parquet": store.read("per_image.parquet"), "thresholds.parquet": encode_report_table(rows),
    }  # fmt: skip
    write_report(store, contents, document)
    assert run(["calibration", report]) == 2
    assert "thresholds: expected the images of per_image, in their order" in capsys.readouterr().err
