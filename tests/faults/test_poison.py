"""One image among 500 that ends every worker that decodes it: it is quarantined, and the other 499 are scored."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from segscale.storage.objects import ObjectStore
from segscale.storage.quarantine import lift, quarantined

pytestmark = pytest.mark.nightly(part="poison")

N_IMAGES, POISON = 500, "case0123"
PLANTED = """
# Found by every Python that has this folder on its path: decoding a PNG of 29x31 pixels does not end well, whichever
# library would do it.
import ctypes, importlib.abc, importlib.machinery, os, resource, sys, threading

act = os.environ["POISON"]
if act == "memory":
    # What the machine has, as far as Segscale and Dask know; the kernel does not heed it.
    resource.setrlimit(resource.RLIMIT_RSS, (3 * 1000**3, 3 * 1000**3))

def plant(module):
    decode = module._decode

    def poisoned(structure, *arguments):
        if (structure.width, structure.height) == (29, 31):
            if act == "segfault":
                ctypes.string_at(0)
            if act == "hang":
                threading.Event().wait()
            hoard = [bytearray(os.urandom(1) * 2**27) for _ in range(24)]
            threading.Event().wait(60)
        return decode(structure, *arguments)

    module._decode = poisoned

class Planter(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != "segscale.tasks.readers.png":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        execute = spec.loader.exec_module
        spec.loader.exec_module = lambda module: (execute(module), plant(module))
        return spec

sys.meta_path.insert(0, Planter())
"""
ENDINGS = [
    pytest.param("segfault", "WorkerDied", "0", id="segfault"),
    pytest.param("hang", "TimeLimit", "6", id="hang"),
    pytest.param("memory", "WorkerDied", "0", id="memory"),
]
WAYS = {"processes": "0", "a cluster": "2"}
"""By how many workers the configuration asks for."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, rng = tmp_path_factory.mktemp("poison"), np.random.default_rng(3)
    for role in ("images", "masks", "predictions"):
        (folder / role).mkdir()
    for number in range(N_IMAGES):
        name = f"case{number:04d}"
        size = (31, 29) if name == POISON else (32, 32)
        for role in ("images", "masks", "predictions"):
            pixels = rng.integers(0, 256 if role == "images" else 2, size, np.uint8)
            Image.fromarray(pixels).save(folder / role / f"{name}.png")
    return folder


def sections(data: Path, work: Path) -> dict[str, dict[str, str]]:
    return {
        "dataset": {"name": '"set"', "images": f'"{data}/images/*.png"', "references": f'"{data}/masks"'},
        "predictions": {"path": f'"{data}/predictions/*.png"'},
        "metrics": {"bootstrap": "0"},
        "store": {"path": f'"{work}/store"', "shard_images": "32"},
        "report": {"path": f'"{work}/reports"', "run_id": '"run"'},
    }


def images_of(work: Path) -> pd.DataFrame:
    images = pd.read_parquet(work / "reports/set/run/per_image.parquet").set_index(["image_id", "class_index"])
    # What an image adds to the gap depends on all the others.
    return images.drop(columns=[name for name in images if str(name).startswith("gap_contribution")])


@pytest.fixture(scope="module")
def undisturbed(segscale: Any, data: Path, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    work = tmp_path_factory.mktemp("undisturbed")
    config = work / "config.toml"
    config.write_text(
        "\n".join(
            f"[{name}]\n" + "\n".join(f"{key} = {value}" for key, value in keys.items())
            for name, keys in sections(data, work).items()
        )
    )
    outcome = segscale("run", config)
    assert outcome.code == 0, outcome.err
    return images_of(work)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("act", "ending", "seconds"), ENDINGS)
def test_a_poison_image_is_quarantined_and_the_others_are_scored(
    segscale: Any, data: Path, undisturbed: pd.DataFrame, tmp_path: Path, write_config: Callable[..., Path],
    act: str, ending: str, seconds: str, way: str,
) -> None:  # fmt: skip
    (tmp_path / "planted").mkdir()
    (tmp_path / "planted" / "sitecustomize.py").write_text(PLANTED)
    path = os.pathsep.join(filter(None, [str(tmp_path / "planted"), os.environ.get("PYTHONPATH")]))
    poisoned = segscale.with_environment(PYTHONPATH=path, POISON=act)
    config = write_config(**sections(data, tmp_path), cluster={"shard_seconds": seconds, "workers": WAYS[way]})
    outcome = poisoned("run", config)
    assert outcome.code == 1, outcome.err
    assert f"quarantined {POISON}" in outcome.err

    found = images_of(tmp_path)
    assert set(found.xs(POISON, level="image_id")["status"]) == {"failed"}
    sound = found.drop(index=POISON, level="image_id")
    assert sound.index.get_level_values("image_id").nunique() == N_IMAGES - 1
    pd.testing.assert_frame_equal(sound, undisturbed.drop(index=POISON, level="image_id"))
    failures = pd.read_parquet(tmp_path / "reports/set/run/failures.parquet")
    assert failures[["image_id", "error_type"]].to_numpy().tolist() == [[POISON, ending]]
    run = json.loads((tmp_path / "reports/set/run/run.json").read_text())
    assert (run["n_images"], run["n_failed"]) == (N_IMAGES, 1)

    # It is known from now on: no worker dies again.
    again = poisoned("run", config)
    assert again.code == 1, again.err
    assert "tried alone" not in again.err
    store = ObjectStore(str(tmp_path / "store"))
    assert [held.name for held in quarantined(store).values()] == [POISON]
    assert [held.name for held in lift(store)] == [POISON]
    # Let go, and harmless by now: nothing is left out.
    mended = segscale("run", config)
    assert mended.code == 0, mended.err
    pd.testing.assert_frame_equal(images_of(tmp_path), undisturbed)
