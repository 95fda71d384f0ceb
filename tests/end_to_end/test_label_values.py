"""A file that contradicts those looked at before the run: the run ends, and there is no report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from segscale.flows.survey import FILES

pytestmark = pytest.mark.slow
N_IMAGES = 100
UNSEEN = next(place for place in range(N_IMAGES) if place not in np.linspace(0, N_IMAGES - 1, FILES).round())


@pytest.fixture
def sections(tmp_path: Path) -> dict[str, dict[str, str]]:
    """References of 0 and 255, predictions of probabilities."""
    generator = np.random.default_rng(2)
    for role in ("images", "masks", "preds"):
        (tmp_path / role).mkdir()
    for number in range(N_IMAGES):
        mask = generator.random((8, 8)) < 0.3
        Image.fromarray(mask.astype(np.uint8) * 200).save(tmp_path / f"images/{number:03}.png")
        Image.fromarray(mask.astype(np.uint8) * 255).save(tmp_path / f"masks/{number:03}.png")
        np.save(tmp_path / f"preds/{number:03}.npy", np.where(mask, np.float32(0.75), np.float32(0.25)))
    return {
        "dataset": {
            "name": '"set"', "images": f'"{tmp_path}/images/*.png"', "references": f'"{tmp_path}/masks/*.png"',
        },
        "predictions": {"path": f'"{tmp_path}/preds/*"'},
        "metrics": {"bootstrap": "0"},
        "store": {"path": f'"{tmp_path}/store"', "shard_images": "16"},
        "report": {"path": f'"{tmp_path}/reports"'},
        "cluster": {"workers": "1"},
    }  # fmt: skip


@pytest.mark.parametrize("role", ["masks", "preds"])
def test_what_contradicts_ends_the_run(
    segscale: Any, sections: dict[str, dict[str, str]], write_config: Callable[..., Path], tmp_path: Path, role: str
) -> None:
    labels = np.random.default_rng(3).integers(0, 3, (8, 8), np.uint8)
    if role == "masks":
        Image.fromarray(labels).save(tmp_path / f"masks/{UNSEEN:03}.png")
    else:
        np.save(tmp_path / f"preds/{UNSEEN:03}.npy", labels.astype(np.float32))
    config = write_config(**sections)
    for _ in range(2):
        outcome = segscale("run", config)
        assert outcome.code == 2, outcome.err
        assert f"{UNSEEN:03}." in outcome.err.splitlines()[-1]
        assert ("dataset.label_values = [0, 1, 2]" if role == "masks" else "predictions.kind") in outcome.err
        assert not list((tmp_path / "reports").rglob("run.json"))
    said = {"masks": {"dataset": {"foreground": '"any"'}}, "preds": {"predictions": {"kind": '"probabilities"'}}}[role]
    config = write_config(**{name: {**keys, **said.get(name, {})} for name, keys in sections.items()})
    outcome = segscale("run", config)
    assert outcome.code == (0 if role == "masks" else 1), outcome.err
    report = Path(outcome.out.strip().splitlines()[-1].removeprefix("report: "))
    per_image = pd.read_parquet(report / "per_image.parquet").query("class_index == 1").set_index("image_id")
    others = per_image.drop(f"{UNSEEN:03}")
    assert (others["dice"] == 1).all()
    if role == "masks":
        assert per_image.loc[f"{UNSEEN:03}", "reference_sum"] == np.count_nonzero(labels)
    else:
        assert "from 0 to 2" in per_image["error"].loc[f"{UNSEEN:03}"]
