"""What clean does beside reports; what it does to a store of a real run is in test_verify.py."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from segscale.flows.config.evaluation import EvaluationConfig, parse_config
from segscale.flows.maintenance.clean import clean_store, describe

TORN = f".run.json.{'1' * 32}.partial"


@pytest.fixture(params=["reports", "store/reports"], ids=["beside the store", "inside the store"])
def config(tmp_path: Path, request: pytest.FixtureRequest) -> EvaluationConfig:
    document = {
        "dataset": {"name": "d", "images": "*.png", "references": "*.png"},
        "predictions": {"path": "*.npy"},
        "store": {"path": "store"},
        "report": {"path": request.param},
    }
    (tmp_path / "store").mkdir()
    return parse_config(document, base=tmp_path, source="test")


def torn_in(config: EvaluationConfig, dataset: str = "d", hours: float = 2) -> Path:
    folder = Path(config.report.path) / dataset / "night"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text("{}")
    torn = folder / TORN
    torn.write_bytes(b"12345")
    written = torn.stat().st_mtime - hours * 3600
    os.utime(torn, (written, written))
    return torn


def test_a_torn_write_beside_a_report_goes_and_the_report_stays(config: EvaluationConfig) -> None:
    torn = torn_in(config)
    said = describe(clean_store(config, 1, dry_run=True))
    assert f"would remove {torn}: 1 file, 5 bytes" in said
    assert torn.exists()
    said = describe(clean_store(config, 1))
    assert said == f"removed {torn}: 1 file, 5 bytes\nremoved 1 leftover of 5 bytes, kept 0 younger"
    assert [path.name for path in torn.parent.iterdir()] == ["run.json"]


def test_a_write_that_is_not_old_enough_stays_and_is_counted(config: EvaluationConfig) -> None:
    torn = torn_in(config, hours=0)
    cleaning = clean_store(config, 1)
    assert (cleaning.removed, cleaning.n_young) == ((), 1)
    assert torn.exists()


def test_the_reports_of_other_data_sets_are_left_alone(config: EvaluationConfig) -> None:
    other = torn_in(config, dataset="other")
    assert clean_store(config, 0).removed == ()
    assert other.exists()


def test_no_folder_of_reports_is_made_where_there_is_none(config: EvaluationConfig) -> None:
    assert clean_store(config, 0).removed == ()
    assert not Path(config.report.path).exists()
