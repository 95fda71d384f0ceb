"""What a model file holds, as one line of JSON: ``python -m segscale.tasks.inspection FILE SHA256 [--convert LEVEL]``.

A program of its own, so that a driver can check a model without TensorFlow in its own memory. What was found is kept in
the user's cache. The network that is loaded anyway can be converted for OpenVINO as well: the driver reads the line and
goes on, and the workers find the graph when they need it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from segscale.errors import DataError, SegscaleError
from segscale.tasks.conversion import convert_here
from segscale.tasks.engines.graph_cache import cache_folder
from segscale.tasks.engines.heads import Level

CODE_VERSION = 4
"""Raised with every change of what makes a model file usable."""


def known_facts(weights_sha256: str, folder: Path | None = None) -> dict[str, Any] | None:
    """The facts of a `.keras` file with this hash, if it was found usable before; `ModelFacts` and its levels."""
    with suppress(OSError, ValueError):
        record = json.loads(_record_path(weights_sha256, folder).read_text())
        if isinstance(record, dict) and record.get("identity") == _identity(weights_sha256):
            facts: dict[str, Any] = record["facts"]
            return facts
    return None


def remember_facts(weights_sha256: str, facts: dict[str, Any], folder: Path | None = None) -> None:
    """Keep the facts for `known_facts`; where the folder cannot be written to, the next run looks again."""
    path = _record_path(weights_sha256, folder)
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".part", delete=False) as file:
            json.dump({"identity": _identity(weights_sha256), "facts": facts}, file)
        Path(file.name).replace(path)


def _record_path(weights_sha256: str, folder: Path | None) -> Path:
    return (folder or cache_folder()) / "models" / f"{weights_sha256}.json"


def _identity(weights_sha256: str) -> dict[str, object]:
    versions = {name: version(name) for name in ("keras", "tensorflow")}
    return {"weights": weights_sha256, "versions": versions, "code_version": CODE_VERSION}


def main() -> int:
    """Print the facts and exit 0, or print why the file cannot be used and exit 2."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    parser = argparse.ArgumentParser(prog="segscale.tasks.inspection")
    parser.add_argument("model", type=Path)
    parser.add_argument("sha256")
    parser.add_argument("--convert", type=lambda level: level if level == "all" else int(level), metavar="LEVEL")
    parser.add_argument("--ensemble", action="store_true")
    asked = parser.parse_args()
    from segscale.tasks.models.model_file import inspect_model, load_model
    from segscale.tasks.models.unet_plus_plus import supervised_levels

    try:
        model = load_model(asked.model)
    except DataError as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return 2
    facts = {**asdict(inspect_model(model)), "levels": supervised_levels(model)}
    remember_facts(asked.sha256, facts)
    print(json.dumps(facts), flush=True)
    level: Level | None = asked.convert
    if level is not None:
        # What is wrong with it is said by the worker that needs the graph.
        with suppress(SegscaleError):
            convert_here(model, asked.sha256, level, asked.ensemble)
    return 0


if __name__ == "__main__":
    sys.exit(main())
