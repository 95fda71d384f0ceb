"""The demo: a drawn data set, of images or of volumes, the bundled model, the real pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segscale.flows.config.evaluation import EvaluationConfig, parse_config
from segscale.tasks.phantom import write_phantoms
from segscale.tasks.phantom_volume import DATASET, write_phantom_volumes

# Not the seed that the bundled model was trained with.
SEED = 7
IMAGES, VOLUMES = 240, 24
"""So many are drawn where nobody says."""


def draw_demo(output: Path, images: int) -> None:
    """Draw the phantom set under `output`, unless it is there as asked."""
    manifest = _data(output) / "manifest.csv"
    if not manifest.exists() or len(manifest.read_text().splitlines()) != images + 1:
        write_phantoms(manifest.parent, images, SEED)


def draw_volumes(output: Path, volumes: int) -> None:
    """Draw volumes as an nnU-Net raw data set under `output`, unless they are there as asked."""
    labels = list((_data(output) / DATASET / "labelsTr").glob("*.nii.gz"))
    if len(labels) != volumes or not (_data(output) / DATASET / "dataset.json").exists():
        for path in (*labels, *(_data(output) / DATASET / "imagesTr").glob("*.nii.gz")):
            path.unlink()
        write_phantom_volumes(_data(output), volumes, SEED)


def demo_config(output: Path) -> EvaluationConfig:
    """The configuration that evaluates the phantom set."""
    manifest = _data(output) / "manifest.csv"
    of_images = {"name": "phantom", "manifest": str(manifest), "label_values": [0, 255]}
    return _config(output, of_images, {"group_by": ["site"]})


def volumes_config(output: Path) -> EvaluationConfig:
    """The configuration that evaluates the drawn volumes, slice by slice."""
    of_volumes = {"name": "phantom-volumes", "layout": "nnunet", "references": str(_data(output) / DATASET)}
    return _config(output, of_volumes, {"slices": True})


def _config(output: Path, dataset: dict[str, Any], metrics: dict[str, Any]) -> EvaluationConfig:
    document = {
        "dataset": dataset,
        "model": {"path": "phantom", "precision": "float32"},
        "metrics": metrics,
        "store": {"path": "store", "shard_images": 32},
        "report": {"path": "reports"},
    }
    return parse_config(document, base=output.resolve(), source="demo")


def _data(output: Path) -> Path:
    return output.resolve() / "data"
