"""The main job on every engine: what is chosen and why, heads and flips in one pass, and what a second run keeps."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from segscale.tasks.engines.hardware import cpu_flags, has_bfloat16

pytestmark = pytest.mark.nightly(part="models")


def report_folder(out: str) -> Path:
    return Path(out.strip().splitlines()[-1].removeprefix("report: "))


@pytest.fixture
def evaluate(
    segscale: Any, phantoms: Path, tmp_path: Path, write_config: Callable[..., Path]
) -> Callable[..., tuple[Path, Any]]:
    """evaluate(images=N, **keys of [model]): the report of N phantoms and how the command ended."""

    def run(*options: str, images: int = 12, **model: str) -> tuple[Path, Any]:
        for role in ("images", "masks"):
            (tmp_path / role).mkdir(exist_ok=True)
            for path in sorted((phantoms / role).glob("*.png"))[:images]:
                shutil.copyfile(path, tmp_path / role / path.name)
        config = write_config(
            dataset={
                "name": '"phantoms"', "images": '"images"', "references": '"masks"', "label_values": "[0, 255]",
            },
            model={"path": '"phantom"', **model},
            metrics={"bootstrap": "0"},
            store={"path": f'"store-{"-".join(model)}"', "shard_images": "4"},
            cluster={"workers": "1"},
        )  # fmt: skip
        outcome = segscale("run", config, *options)
        assert outcome.code == 0, outcome.err
        return report_folder(outcome.out), outcome

    return run


def lesion_dice(report: Path) -> pd.DataFrame:
    """A row per image, a column per head."""
    rows = pd.read_parquet(report / "per_image.parquet").query("class_index == 1")
    return rows.pivot_table(index="image_id", columns="head", values="dice", dropna=False)


def run_record(report: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((report / "run.json").read_text())
    return record


def test_auto_takes_openvino_and_says_what_its_precision_costs(evaluate: Callable[..., tuple[Path, Any]]) -> None:
    report, outcome = evaluate()
    record = run_record(report)
    engine = record["engine"]
    assert record["plan"]["engine"] == engine["facts"]["name"] == "openvino"
    assert f"predict: openvino, {record['plan']['precision']} on cpu: {engine['reason']}" in outcome.err
    assert engine["batch"]["trials"][0]["n_images"] == 1
    assert record["plan"]["batch_pixels"] > 0
    assert (engine["rates"] is not None) == has_bfloat16(cpu_flags())
    accepted = False
    if engine["rates"] is not None:
        ratios = np.divide(engine["rates"]["reduced"], engine["rates"]["full"])
        assert ratios.shape == (3,)
        assert (engine["parity"] is not None) == bool((ratios >= 1.3).all())
        assert outcome.err.count(f'model.precision = "{record["plan"]["precision"]}" pins it') == 1
    if engine["parity"] is not None:
        assert 0 < engine["parity"]["largest_difference"] < 0.5
        accepted = engine["parity"]["largest_dice_change"] <= record["config"]["model"]["max_dice_change"]
    assert (record["plan"]["precision"] == "bfloat16") == accepted


def test_engines_agree_in_float32(evaluate: Callable[..., tuple[Path, Any]]) -> None:
    ours, theirs = (
        lesion_dice(evaluate(engine=f'"{engine}"', precision='"float32"')[0]) for engine in ("openvino", "keras")
    )
    assert (ours - theirs).abs().max().item() < 2e-3
    assert ours.isna().equals(theirs.isna())


def test_all_levels_in_one_pass(evaluate: Callable[..., tuple[Path, Any]]) -> None:
    report, outcome = evaluate(level='"all"', ensemble="true", precision='"float32"')
    found = lesion_dice(report)
    assert list(found) == ["ensemble", "head_1", "head_2", "head_3", "head_4"]
    head, *rows = outcome.out.splitlines()
    assert head.split()[:3] == ["class", "metric", "head"]
    assert [row.split()[2] for row in rows[:10:2]] == ["head_1", "head_2", "head_3", "head_4", "ensemble"]
    alone = lesion_dice(evaluate(level="2", precision='"float32"')[0])
    assert (found["head_2"] - alone["head_2"]).abs().max() < 2e-3
    assert found["head_1"].ne(found["head_4"]).any()


def test_flips_change_the_result_and_no_key_of_the_images(evaluate: Callable[..., tuple[Path, Any]]) -> None:
    plain, _ = evaluate(precision='"float32"')
    flipped, _ = evaluate(precision='"float32"', flips="true")
    assert run_record(flipped)["plan"]["flips"] is True
    assert not lesion_dice(plain).equals(lesion_dice(flipped))
    assert (lesion_dice(plain) - lesion_dice(flipped)).abs().mean().item() < 0.1


def test_a_later_run_keeps_the_verdict_and_predicts_what_is_new(evaluate: Callable[..., tuple[Path, Any]]) -> None:
    first, _ = evaluate(images=10, max_dice_change="0.0")
    second, outcome = evaluate(images=12, max_dice_change="0.0")
    assert run_record(second)["engine"] == run_record(first)["engine"]
    stage = run_record(second)["stages"]["predict"]
    assert 0 < stage["reused"] < stage["shards"]
    assert "predict: openvino" not in outcome.err, "it was resolved anew"
    third, outcome = evaluate("--replan", images=12, max_dice_change="0.0")
    assert "predict: openvino" in outcome.err, "it was asked for anew"
    # No price is nothing: it is float32 again, and nothing is predicted a second time.
    assert run_record(third)["plan"]["precision"] == run_record(first)["plan"]["precision"]
    assert third == second


def test_a_reduced_precision_that_costs_too_much_gives_way(evaluate: Callable[..., tuple[Path, Any]]) -> None:
    report, outcome = evaluate(engine='"keras"', precision='"bfloat16"', max_dice_change="0.0")
    record = run_record(report)
    parity = record["engine"]["parity"]
    assert parity["n_images"] > 0
    if parity["largest_dice_change"]:
        assert record["plan"]["precision"] == "float32"
        assert "more than 0 (max_dice_change), so float32" in outcome.err
