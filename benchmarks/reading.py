"""What a shard costs beside inference: python benchmarks/reading.py [--short] [--images 128] [--repeats 7]

A shard of made-up RGB images of 256x256 with their references lies in a temporary folder. Measured, in milliseconds per
image (median, lowest, highest): ways to decode it, among them the codec pipeline of the package `zarrs` where that is
installed, as it would be used here (from checked bytes in memory) and from the folder; and `predict_shard` with an
engine that answers at once, as a whole and part by part. The parts overlap in the whole, so they add up to more.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import zarr
from numcodecs.zstd import Zstd

from segscale.storage import parts, shards, tables
from segscale.storage.failures import to_columns
from segscale.storage.ledger import Entry
from segscale.storage.objects import ObjectStore
from segscale.tasks.counting import count_rows
from segscale.tasks.engines import EngineFacts
from segscale.tasks.inference import plan_pieces, read_batches
from segscale.tasks.kept import to_labels
from segscale.tasks.metrics.overlap import OverlapCounts, count_overlap
from segscale.tasks.predict import PredictJob, predict_shard
from segscale.tasks.prediction import Prediction, batch_shape
from segscale.tasks.shard_plan import STAGE
from segscale.tasks.shard_rows import ShardRow

SIDE, BATCH = 256, 8
KEY = "ab" * 32
ZARRS = "zarrs.ZarrsCodecPipeline"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="16 images, twice: shows that it runs")
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args(arguments)
    n_images, repeats = (16, 2) if options.short else (options.images, options.repeats)
    with tempfile.TemporaryDirectory() as folder:
        store = ObjectStore(folder)
        images, references = made_images(n_images)
        entry, rows = commit(store, images, references)
        print(f"{n_images} images of {SIDE}x{SIDE}x3, ms per image{'':<9}median   lowest  highest")
        works = {**reading(store, entry, images), **parts_of_a_shard(store, entry, rows, references)}
        for name, work in works.items():
            show(name, work, n_images, repeats)
        if importlib.util.find_spec("zarrs") is not None:
            with zarr.config.set({"codec_pipeline.path": ZARRS}):
                for name, work in reading_with_zarrs(store, entry).items():
                    show(name, work, n_images, repeats)
    print(f"load {os.getloadavg()[0]:.1f} at the end, {os.cpu_count()} processors")


def show(name: str, work: Callable[[], object], n_images: int, repeats: int) -> None:
    """Time the work, once more than counts, and print a line."""
    milliseconds = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        work()
        milliseconds.append((time.perf_counter() - started) / n_images * 1e3)
    counted = milliseconds[1:]
    print(f"{name:<41}{statistics.median(counted):9.3f}{min(counted):9.3f}{max(counted):9.3f}", flush=True)


def made_images(n_images: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Images (N, 256, 256, 3) of soft stripes in noise, and references that follow them."""
    generator = np.random.default_rng(0)
    y, x = np.mgrid[:SIDE, :SIDE]
    stripes = 127 + 60 * np.sin(x / 17) + 50 * np.cos(y / 23)
    noisy = [stripes[..., None] + generator.normal(0, 6, (SIDE, SIDE, 3)) for _ in range(n_images)]
    images = np.stack(noisy).clip(0, 255).astype(np.uint8)
    return images, (images[..., 0] > 127).astype(np.uint8)


def commit(
    store: ObjectStore, images: npt.NDArray[np.uint8], references: npt.NDArray[np.uint8]
) -> tuple[Entry, list[ShardRow]]:
    """An ingested shard."""
    facts = ("", "", -np.inf, np.inf, 0.0, 255.0, True, None)
    rows = [ShardRow(f"image-{number}", number, 1, SIDE, SIDE, *facts) for number in range(len(images))]
    table = tables.encode_frame(pd.DataFrame([{**asdict(row), **to_columns(row.failure)} for row in rows]))
    arrays = {"images": images, "references": references}
    return shards.commit_shard(store, STAGE, KEY, arrays=arrays, rows=table, facts={"n_images": len(rows)}), rows


def reading(store: ObjectStore, entry: Entry, expected: npt.NDArray[np.uint8]) -> dict[str, Callable[[], object]]:
    """Ways to decode all images."""
    (images,) = shards.open_arrays(store, entry, "images")
    name = next(name for name in entry.objects if "/images/c/" in name)
    data = shards.read_object(store, entry, name)
    assert np.array_equal(plain_zstd(data, len(expected)), expected)
    return {
        "fetch and check": lambda: shards.open_arrays(store, entry, "images", "references"),
        "decode image by image": lambda: decode(images, 1),
        f"decode {BATCH} images at a time": lambda: decode(images, BATCH),
        "decode all at once": lambda: decode(images, len(expected)),
        "decode by zstd alone, one thread": lambda: plain_zstd(data, len(expected)),
    }


def decode(array: shards.ZarrArray, step: int) -> None:
    """Decode so many images at a time and forget them."""
    for first in range(0, array.shape[0], step):
        shards.as_numpy(array, first, first + step)


def plain_zstd(data: bytes, n_images: int) -> npt.NDArray[np.uint8]:
    """The images, without zarr: the index at the end of a sharded object says where each lies."""
    index = np.frombuffer(data[-16 * n_images - 4 : -4], "<u8").reshape(n_images, 2)
    pixels, codec = np.empty((n_images, SIDE, SIDE, 3), np.uint8), Zstd()
    for image, (offset, size) in zip(pixels, index.tolist(), strict=True):
        codec.decode(memoryview(data)[offset : offset + size], out=image)
    return pixels


def reading_with_zarrs(store: ObjectStore, entry: Entry) -> dict[str, Callable[[], object]]:
    """The same where zarr is configured to use the codec pipeline of `zarrs`."""
    (in_memory,) = shards.open_arrays(store, entry, "images")
    in_folder = zarr.open_group(f"{store.url}/{entry.path}/{shards.ARRAYS}", mode="r")["images"]
    assert isinstance(in_folder, zarr.Array)
    # It knows folders and HTTP; bytes in memory are left to zarr's own pipeline, without a word.
    used = type(in_memory.async_array.codec_pipeline).__name__ == ZARRS.partition(".")[2]
    return {
        f"zarrs, in memory{'' if used else ' (not used)'}, {BATCH} at a time": lambda: decode(in_memory, BATCH),
        f"zarrs, in the folder, {BATCH} at a time": lambda: decode(in_folder, BATCH),
    }


class InstantEngine:
    """Answers at once, with probabilities of all sizes."""

    facts = EngineFacts("instant", "cpu:0", "float32", "1", ("head",), 2, 1, 3, 16)

    def __init__(self) -> None:
        noise = np.random.default_rng(1).normal(0.5, 0.5, (1, BATCH, SIDE, SIDE, 1))
        self.answer = noise.clip(0, 1).astype(np.float32)

    def probabilities(self, pixels: npt.NDArray[Any], recipe: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:  # noqa: ARG002 - the protocol's
        """(1, B, H, W, 1), always the same."""
        return self.answer


def parts_of_a_shard(
    store: ObjectStore, entry: Entry, rows: list[ShardRow], references: npt.NDArray[np.uint8]
) -> dict[str, Callable[[], object]]:
    """`predict_shard` without inference, and its parts."""
    engine = InstantEngine()
    prediction = Prediction(
        weights_sha256="", engine="instant", precision="float32", versions={}, heads=("head",), level=4, ensemble=False,
        flips=False, n_classes=2, batch_size=BATCH, batch_pixels=0, tile=1024, overlap=0.25, threshold=0.5,
        keep="labels",
    )  # fmt: skip
    shape, n_images = batch_shape(SIDE, SIDE, prediction), len(rows)
    images, _ = shards.open_arrays(store, entry, "images", "references")
    answers = [engine.answer[0, number % BATCH] for number in range(n_images)]

    def count() -> list[OverlapCounts]:
        return [
            count_overlap(reference, n_classes=2, probabilities=answer, ignore_index=255)
            for reference, answer in zip(references, answers, strict=True)
        ]

    counts = count()
    labels = np.stack([to_labels(answer, 2, 0.5) for answer in answers])
    part = [line for row, one in zip(rows, counts, strict=True) for line in count_rows(row.image_id, "head", one)]

    def predict(keep: str) -> object:
        kept = replace(prediction, keep=keep)
        return predict_shard(store, PredictJob(uuid.uuid4().hex * 2, KEY), kept, engine)

    def commit_labels() -> object:
        rows_of_part, key = parts.encode_part(part), uuid.uuid4().hex * 2
        return shards.commit_shard(store, "predict", key, arrays={"labels": labels}, rows=rows_of_part, facts={})

    return {
        "predict_shard beside inference": lambda: predict("labels"),
        "predict_shard, nothing kept": lambda: predict("none"),
        "  read, decode and pad": lambda: list(
            read_batches(images, plan_pieces(rows, shape, 0.25), shape, engine.facts)
        ),
        "  count": count,
        "  labels": lambda: [to_labels(answer, 2, 0.5) for answer in answers],
        "  encode and commit": commit_labels,
    }


if __name__ == "__main__":
    main()
