"""An image that ends every worker whose network meets it, first of the shard that the plan is tried on."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

pytestmark = pytest.mark.nightly(part="poison")

N_IMAGES = 12
PLANTED = """
# Found by every Python that has this folder on its path: a network that is given one image does not end well.
import importlib.abc, importlib.machinery, os, signal, sys

def plant(module):
    plan = module.plan_pieces

    def poisoned(rows, *arguments):
        for row in rows:
            if row.image_id == os.environ["POISON"]:
                os.kill(os.getpid(), signal.SIGKILL)
            yield from plan([row], *arguments)

    module.plan_pieces = poisoned

class Planter(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != "segscale.tasks.inference":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        execute = spec.loader.exec_module
        spec.loader.exec_module = lambda module: (execute(module), plant(module))
        return spec

sys.meta_path.insert(0, Planter())
"""
SAME = ["image_id", "class_index", "true_positive", "false_positive", "false_negative", "true_negative"]


def images_of(work: Path) -> pd.DataFrame:
    return pd.read_parquet(work / "reports/set/run/per_image.parquet")


def config_in(work: Path, data: Path, write_config: Callable[..., Path]) -> Path:
    return write_config(
        f"{work.name}.toml",
        dataset={
            "name": '"set"', "images": f'"{data}/images/*.png"', "references": f'"{data}/masks"',
            "label_values": "[0, 255]",
        },
        model={"path": '"phantom"', "precision": '"float32"'},
        metrics={"bootstrap": "0"},
        store={"path": f'"{work}/store"', "shard_images": "4"},
        report={"path": f'"{work}/reports"', "run_id": '"run"'},
        cluster={"workers": "1"},
    )  # fmt: skip


def test_the_plan_is_made_on_another_shard_and_the_image_is_quarantined(
    segscale: Any, phantoms: Path, tmp_path: Path, write_config: Callable[..., Path]
) -> None:
    data, sound, poisoned = (tmp_path / name for name in ("data", "sound", "poisoned"))
    for role in ("images", "masks"):
        (data / role).mkdir(parents=True)
        for file in sorted((phantoms / role).glob("*.png"))[:N_IMAGES]:
            shutil.copy2(file, data / role / file.name)
    outcome = segscale("run", config_in(sound, data, write_config))
    assert outcome.code == 0, outcome.err
    (catalog_file,) = (sound / "store" / "catalog").glob("*.parquet")
    catalog = pd.read_parquet(catalog_file)
    largest = catalog[catalog["shard"] == catalog["shard"].value_counts(sort=True).index[0]]
    poison = str(largest.set_index("image_id")["row"].idxmin())

    (tmp_path / "planted").mkdir()
    (tmp_path / "planted" / "sitecustomize.py").write_text(PLANTED)
    path = os.pathsep.join(filter(None, [str(tmp_path / "planted"), os.environ.get("PYTHONPATH")]))
    outcome = segscale.with_environment(PYTHONPATH=path, POISON=poison)("run", config_in(poisoned, data, write_config))
    assert outcome.code == 1, outcome.err
    assert "cannot be planned on" in outcome.err
    assert f"predict: quarantined {poison}" in outcome.err
    found, expected = images_of(poisoned), images_of(sound)
    assert set(found[found["image_id"] == poison]["status"]) == {"failed"}
    pd.testing.assert_frame_equal(
        found[found["image_id"] != poison][SAME].reset_index(drop=True),
        expected[expected["image_id"] != poison][SAME].reset_index(drop=True),
    )
