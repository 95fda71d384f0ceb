"""What a reduced precision costs: python benchmarks/precision.py MANIFEST [--split test] [--model nuclei] [--short]

`segscale run` over the images of a manifest (examples/nuclei/make_manifest.py writes that of the nuclei) twice, in
float32 and in the reduced precision, with one engine and one store. Printed are the Dice of both, per sample and
pooled, and how the Dice of each image differs: the distribution, and the images that change most. `--short` draws
phantoms and takes their model.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from segscale.tasks.phantom import write_phantoms

PRECISIONS = ("float32", "bfloat16")
QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
WORST = 3


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path, nargs="?")
    parser.add_argument("--split", default="test")
    parser.add_argument("--model", default="nuclei")
    parser.add_argument("--normalize", default="percentile", help="as the model was trained")
    parser.add_argument("--engine", default="openvino")
    parser.add_argument("--short", action="store_true", help="12 phantoms: shows that it runs")
    options = parser.parse_args(arguments)
    if not options.short and options.manifest is None:
        parser.error("expected a MANIFEST, or --short")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        manifest, split, model, normalize = options.manifest, options.split, options.model, options.normalize
        if options.short:
            write_phantoms(folder / "data", 12, seed=1)
            manifest, split, model, normalize = folder / "data" / "manifest.csv", "", "phantom", "unit"
        dataset = {"name": "set", "manifest": str(manifest.resolve()), "split": split, "normalize": normalize}
        tables = {}
        for precision in PRECISIONS:
            settings = {"path": model, "engine": options.engine, "precision": precision, "max_dice_change": 1.0}
            tables[precision] = evaluate(folder, precision, dataset, settings)
        show(tables)


def evaluate(folder: Path, precision: str, dataset: dict[str, Any], model: dict[str, Any]) -> Path:
    """Run the evaluation; returns the folder of its report."""
    sections = {
        "dataset": dataset,
        "model": model,
        "metrics": {"bootstrap": 0},
        "store": {"path": "store"},
        "report": {"path": f"reports-{precision}"},
    }
    config = folder / f"{precision}.toml"
    # JSON's strings, numbers and lists are TOML's.
    config.write_text(
        "".join(
            f"[{section}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())
            for section, keys in sections.items()
        )
    )
    executable = shutil.which("segscale", path=str(Path(sys.executable).parent)) or "segscale"
    environment = {**os.environ, "PREFECT_HOME": str(folder / "prefect")}
    answer = subprocess.run([executable, "run", str(config)], env=environment, capture_output=True, text=True)
    if answer.returncode:
        said = f"{answer.stderr[-2000:]}{answer.stdout[-1000:]}"
        raise RuntimeError(f"segscale run ended with {answer.returncode}: {said}")
    (report,) = (folder / f"reports-{precision}").glob("*/*/run.json")
    return report.parent


def show(reports: dict[str, Path]) -> None:
    """The scores of both, and the differences of each image's Dice."""
    images = {}
    for precision, report in reports.items():
        used = json.loads((report / "run.json").read_text())["engine"]["facts"]
        per_image = pd.read_parquet(report / "per_image.parquet")
        images[precision] = per_image[per_image["class_index"] == 1].set_index("image_id")
        scores = pd.read_parquet(report / "per_sample.parquet").query("metric == 'dice' and class_index == 1")
        sums = pd.read_parquet(report / "batch_summed.parquet").query(
            "metric == 'dice' and class_index == 1 and pooled"
        )
        print(
            f"{used['name']} {used['precision']}: Dice per sample {scores['mean'].iloc[0]:.6f}, "
            f"pooled {sums['mean'].iloc[0]:.6f}, {scores['n_defined'].iloc[0]} images"
        )
    full, reduced = (images[precision] for precision in PRECISIONS)
    change = (reduced["dice"] - full["dice"]).dropna()
    pixels = full["n_pixels"].astype(float)
    print(f"\nDice of an image, {PRECISIONS[1]} less {PRECISIONS[0]}, {len(change)} images")
    print(f"{'mean':<10}{change.mean():+.2e}\n{'mean size':<10}{change.abs().mean():.2e}")
    for quantile in QUANTILES:
        print(f"{f'{quantile:.0%}':<10}{np.quantile(change, quantile):+.2e}")
    print(f"unchanged: {(change == 0).sum()} images; undefined in one only: {undefined_in_one(full, reduced)}")
    print("\nlargest changes")
    for image_id in change.abs().sort_values(ascending=False).index[:WORST]:
        shares = full.loc[image_id, "reference_sum"] / pixels[image_id]
        print(f"{image_id}: {full['dice'][image_id]:.4f} to {reduced['dice'][image_id]:.4f}, foreground {shares:.2%}")


def undefined_in_one(full: pd.DataFrame, reduced: pd.DataFrame) -> int:
    return int((full["dice"].isna() != reduced["dice"].isna()).sum())


if __name__ == "__main__":
    main()
