"""Score: predictions that something else made, read and counted against their references in one pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from segscale.storage import shards
from segscale.storage.objects import ObjectStore
from segscale.storage.parts import FailedImage
from segscale.storage.side_parts import SLICES
from segscale.tasks.alignment import Said, said_facts
from segscale.tasks.axes import by
from segscale.tasks.counting import encode_counted
from segscale.tasks.grids import to_text
from segscale.tasks.measured_images import MeasuredImages
from segscale.tasks.metrics.overlap import OverlapCounts
from segscale.tasks.pair_counts import count_pairs
from segscale.tasks.prediction_file import LabelPair
from segscale.tasks.scan import SourceFacts
from segscale.tasks.score_image import ReadImage, read_image, score_image
from segscale.tasks.scoring import STAGE, Content, ImageFiles, ScoreDone, ScoreJob, Scoring, shard_key
from segscale.tasks.slice_counts import slice_rows

_READ_TOGETHER = 2**20
"""Bytes of files that are read before the first of them is decoded."""


def score_shard(store: ObjectStore, job: ScoreJob, scoring: Scoring) -> ScoreDone:
    """Read, hash and count every image of a shard, and commit the part.

    An image with a missing or unusable file is a failed image with its reason, and so is one with a file that cannot be
    fetched, which the next run tries again. Raises OSError where files are no longer those of the job's key, or could
    be read before and cannot be read now.
    """
    facts: list[SourceFacts] = []
    contents: list[Content] = []
    sizes: list[str] = []
    places: list[str] = []
    said: Said = Counter()
    slices: list[dict[str, Any]] = []
    measured = MeasuredImages(scoring.measuring) if scoring.measuring and not job.only else None

    def found() -> Iterator[LabelPair | OverlapCounts | FailedImage]:
        for files, read in _in_memory(job, scoring):
            scored = score_image(files, read, scoring)
            facts.extend(read.facts)
            contents.append(read.content)
            sizes.append(by(scored.size))
            places.append(to_text(scored.grid) if scored.grid else "")
            said.update(scored.said)
            slices.extend(slice_rows(files.image_id, "", scored.slices))
            if measured is not None and scored.structures is not None:
                measured.add(files.image_id, scored.structures)
            yield scored.found

    counted: list[OverlapCounts | FailedImage] = count_pairs(
        found(), scoring.references.n_classes, scoring.counting.regions
    )
    n_failed = sum(isinstance(one, FailedImage) for one in counted)
    key = job.key
    if not job.only:
        key = shard_key(contents, scoring)
        if job.is_content and key != job.key:
            raise OSError(f"files of shard {job.key[:12]} changed while they were being read")
        about = {"n_images": len(contents), "n_failed": n_failed, "sizes": " ".join(sizes)}
        # Of pictures, as before there were volumes, nothing.
        about |= {"places": places} if any(places) else {}
        about |= said_facts(said)
        rows = encode_counted([one.image_id for one in contents], "", counted, scoring.counting.n_counted)
        beside = {SLICES.name: SLICES.encode(slices)} if scoring.slicing else {}
        if measured is not None:
            beside |= measured.encode()
        shards.commit_shard(store, STAGE, key, arrays={}, rows=rows, facts=about, beside=beside)
    columns = {name: [fact[place] for fact in facts] for place, name in enumerate(SourceFacts._fields)}
    return ScoreDone(key, len(contents), n_failed, tuple(contents), columns)


def _in_memory(job: ScoreJob, scoring: Scoring) -> Iterator[tuple[ImageFiles, ReadImage]]:
    """The images of a job with their files in memory.

    Of small files many are read, then as many decoded: both take a tenth longer where each in turn drives the other's
    code and data out of the caches of a processor.
    """
    waiting: list[tuple[ImageFiles, ReadImage]] = []
    n_bytes = 0
    for files in job.images:
        if job.only and files.image_id not in job.only:
            continue
        read = read_image(files, job, scoring.volumes.choice)
        waiting.append((files, read))
        n_bytes += sum(map(len, read.data.values()))
        if n_bytes >= _READ_TOGETHER:
            yield from waiting
            waiting, n_bytes = [], 0
    yield from waiting
