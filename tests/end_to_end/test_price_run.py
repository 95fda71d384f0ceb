"""`segscale price` on the bundled network: what it says an image has is what runs in each precision report."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from segscale.tasks.engines.hardware import cpu_flags, has_bfloat16

pytestmark = pytest.mark.slow


def test_a_price_is_the_difference_of_two_runs(
    segscale: Any, phantoms: Path, tmp_path: Path, write_config: Callable[..., Path]
) -> None:
    own = tmp_path / "set"
    own.mkdir()
    manifest = pd.read_csv(phantoms / "manifest.csv").head(12)
    for role in ("image", "reference"):
        manifest[role] = [str((phantoms / path).resolve()) for path in manifest[role]]
    manifest.to_csv(own / "manifest.csv", index=False)
    sections = {
        "dataset": {
            "name": '"drawn"', "manifest": '"set/manifest.csv"', "roots": f'["{phantoms}"]', "label_values": "[0, 255]",
        },
        "metrics": {"bootstrap": "50"},
    }  # fmt: skip
    engine = '"openvino"'
    config = write_config(**sections, model={"path": '"phantom"', "engine": engine})
    priced = segscale("price", config, "--json", "--quiet")
    assert priced.code == 0, priced.err
    assert not (tmp_path / "work").exists()
    told = json.loads(priced.out)
    rows = {row["precision"]: row for row in told["precisions"]}
    assert rows["float32"]["images_per_second"] > 0
    if not has_bfloat16(cpu_flags()):
        assert "no instruction for it" in rows["bfloat16"]["reason"]
        assert told["price"] == []
        return
    images = pd.DataFrame(told["images"]).set_index("image_id")
    assert len(images) == 12
    for precision, column in (("float32", "dice_full"), ("bfloat16", "dice")):
        pinned = {"path": '"phantom"', "engine": engine, "precision": f'"{precision}"', "max_dice_change": "1.0"}
        run = segscale("run", write_config(f"{precision}.toml", **sections, model=pinned), "--run-id", precision)
        assert run.code == 0, run.err
        report = tmp_path / "reports" / "drawn" / precision
        assert json.loads((report / "run.json").read_text())["engine"]["facts"]["precision"] == precision
        per_image = pd.read_parquet(report / "per_image.parquet").query("class_index == 1").set_index("image_id")
        np.testing.assert_array_equal(images[column].astype(float), per_image["dice"].loc[images.index])
