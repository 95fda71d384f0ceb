"""nnU-Net's evaluation of a folder, written down anew: python benchmarks/nnunet_formula.py REFERENCES PREDICTIONS OUT

For machines without the package: what its documentation says `compute_metrics_on_folder` does, in the plainest code
that does it, and with fewer imports than the package has. Both files of each pair are read by Pillow in a pool of
processes, the foreground is turned into two masks, which are counted by numpy, and OUT gets the counts, Dice and IoU of
each case, and their means. Two classes: what is not 0 is foreground.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SCORES = ("Dice", "IoU", "TP", "FP", "FN", "TN", "n_pred", "n_ref")


def measure(folders: tuple[str, str], name: str) -> dict[str, Any]:
    """The metrics of one case."""
    (references, predictions) = (np.asarray(Image.open(Path(folder) / name)) for folder in folders)
    reference, prediction = references != 0, predictions != 0
    tp = int((reference & prediction).sum())
    fp = int((~reference & prediction).sum())
    fn = int((reference & ~prediction).sum())
    tn = int((~reference & ~prediction).sum())
    union = tp + fp + fn
    dice, iou = (2 * tp / (union + tp), tp / union) if union else (float("nan"), float("nan"))
    values = (dice, iou, tp, fp, fn, tn, tp + fp, tp + fn)
    return {"case": name, "metrics": {"1": dict(zip(SCORES, values, strict=True))}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("references")
    parser.add_argument("predictions")
    parser.add_argument("out", type=Path)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    names = sorted(path.name for path in Path(options.references).glob("*.png"))
    with multiprocessing.Pool(options.processes) as pool:
        cases = pool.map(partial(measure, (options.references, options.predictions)), names)
    means = {score: float(np.nanmean([case["metrics"]["1"][score] for case in cases])) for score in SCORES}
    options.out.write_text(json.dumps({"metric_per_case": cases, "mean": {"1": means}, "foreground_mean": means}))


if __name__ == "__main__":
    main()
