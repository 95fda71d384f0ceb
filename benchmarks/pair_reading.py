"""Label maps from bytes to counts, beside Pillow and numpy: python benchmarks/pair_reading.py [--short] [--repeats 9]

Drawn label maps of two classes as PNG files in memory, on one thread. Measured, all in turns: the reading of a file
(pixels, with all that is checked of a file), a pair from its bytes to its counts (both files hashed), and the counting
alone, in stacks and by a call for each image. Printed are the median, the lowest and the highest of the repeats, in
microseconds a file or pair and in Gpixel/s, of the time that the thread had a processor. With --folder, the PNG files
of a folder are read instead of drawn ones, each as its own prediction.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from made_images import Setting, made_images
from PIL import Image

from segscale.tasks.compiled import EFFORT
from segscale.tasks.labels import IGNORED, LabelRule
from segscale.tasks.metrics.overlap import count_overlap
from segscale.tasks.metrics.stacks import count_overlaps
from segscale.tasks.pair_counts import count_pairs
from segscale.tasks.prediction_file import Counting, read_prediction
from segscale.tasks.readers import read_label_map
from segscale.tasks.reference_file import read_reference

RULE = LabelRule(2)
COUNTING = Counting(0.5, RULE)
Works = dict[str, Callable[[], object]]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="few files, twice: shows that it runs")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--folder", type=Path, help="PNG label maps to read instead of drawn ones")
    options = parser.parse_args(arguments)
    repeats = 2 if options.short else options.repeats
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors, one thread, medians of {repeats}")
    if options.folder is not None:
        files = [path.read_bytes() for path in sorted(options.folder.glob("*.png"))]
        show(
            f"{len(files)} files of {options.folder.name}",
            [*reading(files).items(), *pairs(files).items()],
            len(files),
            repeats,
        )
        return
    for n_images, side in ((16, 64), (8, 256)) if options.short else ((1024, 64), (256, 256)):
        arrays = made_images(Setting("", n_images, n_images, (side, side)))
        files = [encoded(labels * np.uint8(255)) for labels in arrays.reference]
        title = f"{n_images} files of {side}x{side}"
        show(title, [*reading(files).items(), *pairs(files).items()], len(files), repeats)
        show(title, list(counting(arrays).items()), n_images, repeats, side * side)
    print(f"\nload {os.getloadavg()[0]:.1f} at the end")


def show(
    title: str, works: Sequence[tuple[str, Callable[[], object]]], n_files: int, repeats: int, n_pixels: int = 0
) -> None:
    """A line for each work, all of them in turns: microseconds a file, or Gpixel/s where `n_pixels` is given."""
    seconds: dict[str, list[float]] = {name: [] for name, _ in works}
    for repeat in range(repeats + 1):
        for name, work in works:
            started = time.thread_time()
            work()
            # Once to load and to warm up.
            seconds[name] += [time.thread_time() - started] if repeat else []
    print(f"\n{f'{title}, ' + ('Gpixel/s' if n_pixels else 'us each'):<44}  median   lowest  highest")
    for name, taken in seconds.items():
        figures = [n_files * n_pixels / one / 1e9 if n_pixels else one / n_files * 1e6 for one in taken]
        print(f"{name:<44}{statistics.median(figures):8.2f} {min(figures):8.2f} {max(figures):8.2f}", flush=True)


def encoded(labels: Any) -> bytes:
    sink = io.BytesIO()
    Image.fromarray(labels).save(sink, "PNG")
    return sink.getvalue()


def decoded_by_pillow(data: bytes) -> Any:
    return np.asarray(Image.open(io.BytesIO(data)))


def reading(files: Sequence[bytes]) -> Works:
    """Ways to the pixels of a file; those of others check less."""

    def read(worth_loading: int) -> None:
        EFFORT.worth_loading = worth_loading
        for data in files:
            read_label_map(data, "a.png")

    return {
        "read, by the compiled loop": lambda: read(0),
        "read, as before it is worth loading": lambda: read(2**62),
        "Pillow": lambda: [decoded_by_pillow(data) for data in files],
        "imagecodecs (libpng)": lambda: [imagecodecs.png_decode(data) for data in files],
    }


def pairs(files: Sequence[bytes]) -> Works:
    """From the bytes of two files to the counts of a pair."""
    EFFORT.worth_loading = 0

    def read_pairs() -> Any:
        EFFORT.worth_loading = 0
        for data in files:
            hashlib.sha256(data).hexdigest(), hashlib.sha256(data).hexdigest()
            reference = read_reference(data, "r.png", RULE)
            yield read_prediction(reference, data, "p.png", COUNTING).found

    def by_formula() -> None:
        for data in files:
            reference, prediction = decoded_by_pillow(data) > 0, decoded_by_pillow(data) > 0
            both = np.count_nonzero(reference & prediction)
            _ = 2 * both / (np.count_nonzero(reference) + np.count_nonzero(prediction) or 1)

    return {
        "pair, counted in stacks": lambda: count_pairs(read_pairs(), 2),
        "pair, a call for each": lambda: [one.count(2) for one in read_pairs()],
        "pair, Pillow and numpy (Dice alone)": by_formula,
    }


def counting(arrays: Any) -> Works:
    """Counting alone."""
    references, label_maps, codes = arrays.reference, arrays.prediction.view(np.uint8), arrays.codes
    # As small as they wait for each other in `count_pairs`, so that they stay in the cache.
    step = max(1, 2**20 // references[0].size)
    slices = [slice(start, start + step) for start in range(0, len(references), step)]

    def in_stacks(kind: str, predictions: Any, n_classes: int = 2) -> None:
        for part in slices:
            given = {kind: predictions[part], "n_classes": n_classes, "ignore_index": IGNORED}
            count_overlaps(references[part], **given)

    def one_by_one(kind: str, predictions: Any, n_classes: int = 2) -> None:
        for reference, prediction in zip(references, predictions, strict=True):
            count_overlap(reference, **{kind: prediction, "n_classes": n_classes, "ignore_index": IGNORED})

    return {
        "label maps of 2 classes, in stacks": lambda: in_stacks("label_maps", label_maps),
        "label maps of 2 classes, a call for each": lambda: one_by_one("label_map", label_maps),
        "label maps of 4 classes, in stacks": lambda: in_stacks("label_maps", label_maps, 4),
        "label maps of 20 classes, in stacks": lambda: in_stacks("label_maps", label_maps, 20),
        "label maps of 20 classes, a call for each": lambda: one_by_one("label_map", label_maps, 20),
        "codes of probabilities, in stacks": lambda: in_stacks("probabilities", codes),
        "codes of probabilities, a call for each": lambda: one_by_one("probabilities", codes),
    }


if __name__ == "__main__":
    main()
