"""What the looks before a run and the checks in it cost: python benchmarks/checks.py --base DIR [--rounds 5]

Whole runs of an earlier version, whose checkout is DIR (git worktree add DIR 1b9a676), beside those of this one, in
turns: from nothing, and again with nothing changed. Drawn images with references, scored: label maps (PNG) and
probabilities of two channels (.npy), where nothing says what the values mean. One worker; a store for each version.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from start_up import Outcome, Version, commit_of, in_turns, made_version, nothing_changed, reports_of, show

from segscale.tasks.phantom import write_phantoms

ROOT = Path(__file__).resolve().parents[1]
SEED, MISSED_ROWS = 3, 40
KINDS = ("labels", "probabilities")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, required=True, metavar="DIR", help="the checkout of the earlier version")
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        measure(options.base.resolve(), Path(folder), options.images, options.rounds)


def measure(base: Path, folder: Path, images: int, rounds: int) -> None:
    """Print the figures of both versions."""
    draw(folder / "data", images)
    figures = []
    for kind in KINDS:
        old, new = (
            configured(made_version(name, checkout, ("-m", "segscale"), folder / f"{side}-{kind}"), kind)
            for side, name, checkout in (("old", commit_of(base), base), ("new", "now", ROOT))
        )
        figures.append(in_turns(f"{kind}, from nothing", 1.0, old, new, from_nothing, rounds))
        figures.append(in_turns(f"{kind}, nothing changed", 1.0, old, new, nothing_changed, rounds))
    print(f"{images} images, {rounds} rounds")
    show(figures, commit_of(base), "now")


def draw(folder: Path, images: int) -> None:
    """Phantoms, and the predictions of a method that misses what lies at the top, as labels and as probabilities."""
    write_phantoms(folder, images, SEED)
    for kind in KINDS:
        (folder / kind).mkdir()
    for path in sorted((folder / "masks").glob("*.png")):
        with Image.open(path) as mask:
            prediction = np.array(mask)
        prediction[:MISSED_ROWS] = 0
        Image.fromarray(prediction).save(folder / "labels" / path.name)
        foreground = np.where(prediction > 0, np.float32(0.75), np.float32(0.25))
        np.save(folder / "probabilities" / f"{path.stem}.npy", np.stack([1 - foreground, foreground], axis=-1))


def configured(version: Version, kind: str) -> Version:
    """The version with a configuration that leaves the meaning of values open."""
    (version.folder / "config.toml").write_text(
        '[dataset]\nname = "phantoms"\nimages = "../data/images/*.png"\nreferences = "../data/masks/*.png"\n'
        f'[predictions]\npath = "../data/{kind}/*"\n[store]\npath = "store"\n[report]\npath = "reports"\n'
        "[cluster]\nworkers = 1\n"
    )
    return version


def from_nothing(version: Version) -> Outcome:
    for name in ("store", "reports"):
        shutil.rmtree(version.folder / name, ignore_errors=True)
    outcome = version("run", "config.toml")
    if outcome.code or not reports_of(version):
        raise RuntimeError(f"{version.name}: segscale run, exit code {outcome.code}: {outcome.err[-3000:]}")
    return outcome


if __name__ == "__main__":
    main()
