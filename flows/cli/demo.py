"""The demo: a drawn data set, the bundled model, the real pipeline."""

from __future__ import annotations

from pathlib import Path

from segscale.flows.config.evaluation import EvaluationConfig, parse_config
from segscale.tasks.phantom import write_phantoms

# Not the seed that the bundled model was trained with.
SEED = 7


def draw_demo(output: Path, images: int) -> None:
    """Draw the phantom set under `output`, unless it is there as asked."""
    manifest = _data(output) / "manifest.csv"
    if not manifest.exists() or len(manifest.read_text().splitlines()) != images + 1:
        write_phantoms(manifest.parent, images, SEED)


def demo_config(output: Path) -> EvaluationConfig:
    """The configuration that evaluates the phantom set."""
    folder = output.resolve()
    manifest = _data(output) / "manifest.csv"
    document = {
        "dataset": {"name": "phantom", "manifest": str(manifest), "label_values": [0, 255]},
        "model": {"path": "phantom"},
        "metrics": {"group_by": ["site"]},
        "store": {"path": "store", "shard_images": 32},
        "report": {"path": "reports"},
    }
    return parse_config(document, base=folder, source="demo")


def _data(output: Path) -> Path:
    return output.resolve() / "data"
