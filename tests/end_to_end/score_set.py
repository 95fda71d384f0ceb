"""The configuration of a run that scores the predictions of the phantom set."""

from __future__ import annotations

from pathlib import Path


def score_sections(data: Path, work: Path, **store: str) -> dict[str, dict[str, str]]:
    """Tables of keys whose values are TOML already; `store` adds keys to [store] or replaces them."""
    return {
        "dataset": {
            "name": '"phantom"',
            "images": f'"{data}/images/*.png"',
            "references": f'"{data}/masks"',
            "label_values": "[0, 255]",
        },
        "predictions": {"path": f'"{data}/predictions/*.png"'},
        "store": {"path": f'"{work}/store"', "shard_images": "8", **store},
        "report": {"path": f'"{work}/reports"'},
    }
