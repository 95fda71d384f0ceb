"""Two folders in, a report out: the commands of the first five minutes, as somebody types them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.conftest import Outcome, Segscale
from tests.drawn_pairs import IDS, dice, draw
from tests.end_to_end.test_light_run import CODE

pytestmark = pytest.mark.slow
PLACES = {"reference": "masks/{id}_mask.png", "prediction": "preds/{id}_pred.png"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set in which one prediction is missing, and one file belongs to nothing."""
    made = draw(tmp_path_factory.mktemp("sets") / "liver", PLACES)
    (made / "preds" / "case12_pred.png").unlink()
    draw(made, {"prediction": PLACES["prediction"]}, ("case99",))
    rows = [f"{name};p{number // 3};{'ab'[number % 2]}" for number, name in enumerate(IDS)]
    (made / "table.csv").write_text("\n".join(["image_id;patient;view", *rows]))
    return made


def ended(segscale: Segscale, cwd: Path, *arguments: str) -> Outcome:
    process = segscale.start(*arguments, cwd=cwd)
    out, err = process.communicate(timeout=300)
    return Outcome(process.returncode, out, err)


def report_of(out: str) -> Path:
    return Path(out.splitlines()[-1].removeprefix("report: "))


@pytest.fixture(scope="module")
def evaluated(segscale: Segscale, folder: Path) -> Outcome:
    return ended(segscale, folder, "evaluate", "--predictions", "preds", "--references", "masks", "--by", "table.csv")


def test_a_report_of_two_folders(evaluated: Outcome) -> None:
    # The missing prediction is a failed image.
    assert evaluated.code == 1, evaluated.err
    assert evaluated.err.splitlines()[0].startswith("references: masks, 12 files; predictions: preds, 11 paired")
    per_image = pd.read_parquet(report_of(evaluated.out) / "per_image.parquet")
    found = per_image[per_image["class_index"] == 1].set_index("image_id")["dice"]
    assert list(found.index) == list(IDS)
    assert found.dropna().to_dict() == pytest.approx({name: dice(n) for n, name in enumerate(IDS[:11])}, abs=1e-12)
    assert set(per_image.loc[per_image["status"] == "failed", "image_id"]) == {"case12"}
    assert {"patient", "view"} <= set(per_image)
    per_sample = pd.read_parquet(report_of(evaluated.out) / "per_sample.parquet")
    assert set(per_sample["stratum"]) == {"", "view=a", "view=b"}


def test_the_configuration_beside_is_the_same_run(segscale: Segscale, folder: Path, evaluated: Outcome) -> None:
    report = report_of(evaluated.out)
    again = ended(segscale, folder.parent, "run", str(report / "evaluate.toml"))
    assert (again.code, report_of(again.out)) == (evaluated.code, report)
    assert "nothing had changed, the report was there" in again.out


def test_the_same_again_costs_nothing(folder: Path, evaluated: Outcome) -> None:
    command = ("evaluate", "--predictions", "preds", "--references", "masks", "--by", "table.csv", "--quiet")
    done = subprocess.run(
        [sys.executable, "-c", CODE, *command], cwd=folder, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout.splitlines()[-1]) == [evaluated.code, []]


def test_one_object_on_stdout(segscale: Segscale, folder: Path, evaluated: Outcome) -> None:
    command = ("evaluate", "--predictions", "preds", "--references", "masks", "--by", "table.csv", "--json")
    document: dict[str, Any] = json.loads(ended(segscale, folder, *command).out)
    assert list(document) == ["report", "per_sample", "batch_summed", "intervals", "gap", "failures"]
    assert document["report"] == str(report_of(evaluated.out))
    assert [row["image_id"] for row in document["failures"]] == ["case12"]


def test_as_a_function(folder: Path, evaluated: Outcome, monkeypatch: pytest.MonkeyPatch) -> None:
    import segscale

    monkeypatch.chdir(folder)
    report = segscale.evaluate(predictions="preds", references="masks", by="table.csv")
    assert report.path == str(report_of(evaluated.out))
    assert report.run()["n_missing"] == 1


def test_no_editing_between_init_check_and_run(segscale: Segscale, folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "masks", tmp_path / "masks")
    shutil.copytree(folder / "masks", tmp_path / "preds")
    draw(tmp_path, {"prediction": "preds/{id}_mask.png"})
    assert ended(segscale, tmp_path, "init", "masks", "preds", "--output", "set.toml").code == 0
    checked = ended(segscale, tmp_path, "check", "set.toml")
    assert (checked.code, checked.err) == (0, "")
    done = ended(segscale, tmp_path, "run", "set.toml")
    assert done.code == 0, done.err
    assert report_of(done.out).is_relative_to(tmp_path / "reports")
