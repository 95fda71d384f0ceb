"""What a model file holds, as one line of JSON: ``python -m segscale.tasks.inspection FILE SHA256 [--convert LEVEL]``.

A program of its own, so that a driver can check a model without TensorFlow in its own memory. What was found is kept in
the user's cache. The network that is loaded anyway can be converted for OpenVINO as well: the driver reads the line and
goes on, and the workers find the graph when they need it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from segscale.errors import ConfigError, DataError, SegscaleError
from segscale.tasks.conversion import convert_here
from segscale.tasks.engines.graph_cache import cache_folder
from segscale.tasks.engines.heads import Level
from segscale.tasks.loaded_network import add_reading, limit_memory, load_network, versions_of
from segscale.tasks.model_facts import AS_IT_IS, ModelReading

CODE_VERSION = 4
"""Raised with every change of what makes a model file usable."""


def known_facts(
    weights_sha256: str, folder: Path | None = None, *, reading: ModelReading = AS_IT_IS
) -> dict[str, Any] | None:
    """The facts of a model file with this hash, read like this, if it was found usable before; `ModelFacts` and its
    levels."""
    with suppress(OSError, ValueError):
        record = json.loads(_record_path(weights_sha256, reading, folder).read_text())
        if isinstance(record, dict) and record.get("identity") == _identity(weights_sha256, reading):
            facts: dict[str, Any] = record["facts"]
            return facts
    return None


def remember_facts(
    weights_sha256: str, facts: dict[str, Any], folder: Path | None = None, *, reading: ModelReading = AS_IT_IS
) -> None:
    """Keep the facts for `known_facts`; where the folder cannot be written to, the next run looks again."""
    path = _record_path(weights_sha256, reading, folder)
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".part", delete=False) as file:
            json.dump({"identity": _identity(weights_sha256, reading), "facts": facts}, file)
        Path(file.name).replace(path)


def _record_path(weights_sha256: str, reading: ModelReading, folder: Path | None) -> Path:
    said = json.dumps(reading.said(), sort_keys=True).encode()
    how = f"-{hashlib.sha256(said).hexdigest()[:12]}" if reading.said() else ""
    return (folder or cache_folder()) / "models" / f"{weights_sha256}{how}.json"


def _identity(weights_sha256: str, reading: ModelReading) -> dict[str, object]:
    versions = versions_of("keras", "tensorflow", "openvino")
    identity = {"weights": weights_sha256, "versions": versions, "code_version": CODE_VERSION}
    return {**identity, **({"reading": reading.said()} if reading.said() else {})}


def main() -> int:
    """Print the facts and exit 0, or print why the file cannot be used and exit 2."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    parser = argparse.ArgumentParser(prog="segscale.tasks.inspection")
    parser.add_argument("model", type=Path)
    parser.add_argument("sha256")
    parser.add_argument("--convert", type=lambda level: level if level == "all" else int(level), metavar="LEVEL")
    parser.add_argument("--ensemble", action="store_true")
    add_reading(parser)
    asked = parser.parse_args()
    limit_memory(asked.model)
    try:
        model = load_network(asked.model, asked.reading)
    except (DataError, ConfigError) as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return 2
    facts = {**asdict(model.facts), "levels": model.levels}
    remember_facts(asked.sha256, facts, reading=asked.reading)
    print(json.dumps(facts), flush=True)
    level: Level | None = asked.convert
    if level is not None:
        # What is wrong with it is said by the worker that needs the graph.
        with suppress(SegscaleError):
            convert_here(model, asked.sha256, level, asked.ensemble, asked.reading)
    return 0


if __name__ == "__main__":
    sys.exit(main())
