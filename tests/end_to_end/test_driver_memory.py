"""The short form of benchmarks/driver_memory.py: while shards stream, the driver's memory stands still."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from PIL import Image

pytestmark = pytest.mark.nightly(part="drivers")

# What a garbage collector that has not run yet may hold; a record per image would be seen at once in a longer run.
NOISE_BYTES = 12_000_000


def load_benchmark() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / "driver_memory.py"
    spec = importlib.util.spec_from_file_location("driver_memory", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["driver_memory"] = module
    spec.loader.exec_module(module)
    return module


def test_copies_are_the_same_image_in_other_bytes(phantoms: Path) -> None:
    benchmark = load_benchmark()
    original = phantoms / "images" / "phantom_0000.png"
    copies = [benchmark.copy_distinct(original.read_bytes(), number) for number in (1, 2)]
    assert copies[0] != copies[1]
    other = phantoms / "copy.png"
    other.write_bytes(copies[0])
    with Image.open(original) as first, Image.open(other) as second:
        assert first.tobytes() == second.tobytes()


def test_memory_stands_still_while_shards_stream(
    segscale: Any, phantoms: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "PREFECT_HOME", segscale.environment["PREFECT_HOME"])
    found = load_benchmark().measure(phantoms, copies=8, shard_images=8)
    assert found.images == 384
    assert found.shards >= 48
    assert set(found.stages) == {"score"}
    for stage, memory in found.stages.items():
        assert memory.peak - memory.first_commit < NOISE_BYTES, stage
