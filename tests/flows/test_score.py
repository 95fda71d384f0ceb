"""Existing predictions scored directly: what is read, what is read again, and what a catalog says of it."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image

from segscale.errors import ConfigError, WorkLostError
from segscale.flows import page
from segscale.flows import report as reports
from segscale.flows import score as flow
from segscale.flows.config.evaluation import EvaluationConfig, parse_config
from segscale.flows.report import RunResult, content_of, write_tables
from segscale.flows.run import Run
from segscale.flows.score import score_files
from segscale.flows.shards.retry import Finished, Limits, Lost
from segscale.flows.stage import StageSummary
from segscale.storage.catalog import read_catalog
from segscale.storage.ledger import Ledger
from segscale.storage.listing import list_files
from segscale.storage.quarantine import lift
from segscale.storage.reports import open_runs
from segscale.storage.source_memory import SourceMemory
from segscale.storage.sources import read_file
from segscale.tasks import scan, score_image
from segscale.tasks.readers import read_labels

N_IMAGES, SIDE = 12, 8
FOLDERS = {"image": "images", "reference": "masks", "prediction": "ours"}


class WorkerDies(BaseException):
    """What `Bench` takes for the death of a worker."""


class Bench:
    """Workers that work in this process, one shard after the other."""

    def __init__(self) -> None:
        self.until: int | None = None
        """After so many shards the driver ends."""
        self.has_ended = False

    def stream(self, work: Callable[..., Any], jobs: Iterable[Any], *given: Any, limits: Limits) -> Iterator[Any]:
        for place, job in enumerate(jobs):
            if place == self.until:
                self.has_ended = True
                raise KeyboardInterrupt
            yield self.try_alone(work, job, *given, seconds=limits.seconds)

    def try_alone(self, work: Callable[..., Any], job: Any, *given: Any, seconds: Any) -> Finished | Lost:
        assert seconds(job.key) > 0
        try:
            return Finished(job.key, work(job, *given), 1)
        except WorkerDies:
            return Lost(job.key, "WorkerDied: it died", 1, deadly="WorkerDied")
        except OSError as error:
            return Lost(job.key, str(error), 1)


def draw(folder: Path, number: int, **pixels: int) -> None:
    """The three files of an image, a square on each; `pixels` of a role are the side of its square."""
    for role, name in FOLDERS.items():
        (folder / name).mkdir(exist_ok=True)
        drawn = np.zeros((SIDE, SIDE), np.uint8)
        drawn[: pixels.get(role, 2 + number % 4), : 3 + (role == "prediction")] = 255
        Image.fromarray(drawn).save(folder / name / f"case{number:02d}.png")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(N_IMAGES):
        draw(tmp_path, number)
    return tmp_path


def configure(folder: Path, *, images: bool = True, **dataset: Any) -> EvaluationConfig:
    named = {"images": "images/*.png"} if images else {}
    document = {
        "dataset": {"name": "set", **named, "references": "masks/*.png", **dataset},
        "predictions": {"path": "ours/*.png"},
        "metrics": {"bootstrap": 20},
        "store": {"path": "store", "shard_images": 3},
        # Of what is shown, files are read again.
        "report": {"path": "reports", "overlays": "none"},
    }
    return parse_config(document, base=folder, source="test")


@pytest.fixture(autouse=True)
def _without_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is drawn takes most of the time of a small run."""
    monkeypatch.setattr(page, "render", lambda *_: b"")


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that workers have read, role/name."""
    found: list[str] = []
    true = read_file

    def reading(url: str) -> bytes:
        found.append("/".join(url.split("/")[-2:]))
        return true(url)

    monkeypatch.setattr(score_image, "read_source", reading)
    return found


@dataclass(frozen=True)
class Scored:
    """What a run came to, without its tables: those take most of the time of a small run."""

    content: str
    """Of its report."""
    n_images: int
    n_failed: int


def done(config: EvaluationConfig, bench: Any) -> tuple[StageSummary, Scored]:
    run, ledger = Run(config, workers=bench), Ledger(config.store.open())
    summary = score_files(run)
    assert run.counted is not None
    facts = [ledger.read("score", key).facts for key in run.counted.keys]
    n_images, n_failed = (sum(one[name] for one in facts) for name in ("n_images", "n_failed"))
    return summary, Scored(content_of(run, run.counted), n_images, n_failed)


def reported(config: EvaluationConfig, bench: Any) -> RunResult:
    run = Run(config, workers=bench)
    return write_tables(run, [score_files(run)])


def catalog_of(config: EvaluationConfig) -> pd.DataFrame:
    found = read_catalog(config.store.open(), Run(config).catalog_name)
    assert found is not None
    return found.set_index("image_id")


def shard_of(config: EvaluationConfig, image_id: str) -> set[str]:
    catalog = catalog_of(config)
    return set(catalog.index[catalog["shard"] == catalog.loc[image_id, "shard"]])


NOBODY: Any = None
"""Workers of a run that has nothing for them to do."""


@pytest.mark.parametrize("images", [True, False], ids=["with images", "without"])
def test_every_file_is_read_once_and_nothing_lies_in_zarr(
    folder: Path, bench: Bench, read: list[str], images: bool
) -> None:
    config = configure(folder, images=images)
    summary, _ = done(config, bench)
    names = [name for role, name in FOLDERS.items() if images or role != "image"]
    assert sorted(read) == sorted(f"{name}/case{n:02d}.png" for name in names for n in range(N_IMAGES))
    assert (summary.stage, summary.images, summary.failed, summary.reused) == ("score", N_IMAGES, 0, 0)
    assert summary.shards == summary.attempts > 1
    result = reported(config, NOBODY)
    assert (result.n_images, result.n_failed) == (N_IMAGES, 0)
    paths = [item.path for item in config.store.open().listing()]
    assert {path.split("/")[1] for path in paths if path.startswith("ledger/")} == {"score"}
    assert not any("zarr" in path for path in paths)
    per_image = open_runs(result.path, "per_image").query("class_index == 1").set_index("image_id")
    assert per_image.loc["case00", "true_positive"] == 2 * 3
    assert (per_image[["height", "width"]].to_numpy() == SIDE).all()
    assert per_image["image_sha256"].isna().all() == (not images)
    assert (catalog_of(config)["image_sha256"] == "").all() == (not images)


def test_counts_do_not_hang_on_images(folder: Path, bench: Bench) -> None:
    results = [reported(configure(folder, images=images, name=f"{images}"), bench) for images in (True, False)]
    with_images, without = (open_runs(one.path, "per_sample").drop(columns=["run_id", "dataset"]) for one in results)
    pd.testing.assert_frame_equal(with_images, without)


def test_nothing_changed_reads_no_file_and_asks_no_worker(folder: Path, bench: Bench, read: list[str]) -> None:
    config = configure(folder)
    first = reported(config, bench)
    read.clear()
    again = reported(config, NOBODY)
    summary, _ = done(config, NOBODY)
    assert read == []
    assert (summary.reused, summary.attempts) == (summary.shards, 0)
    assert again.reused
    assert again.path == first.path


@pytest.mark.parametrize("is_killed", [False, True], ids=["Ctrl-C", "killed"])
def test_after_an_end_in_the_middle_few_files_are_read_again(
    folder: Path, bench: Bench, read: list[str], monkeypatch: pytest.MonkeyPatch, is_killed: bool
) -> None:
    """What files told is kept from time to time; of one that was killed the last of it alone is lost."""
    config, true = configure(folder), flow._Sources.remember
    kept: list[list[str]] = []

    def remember(sources: Any) -> None:
        if not (is_killed and bench.has_ended):
            true(sources)
            kept.append(list(read))

    if is_killed:
        monkeypatch.setattr(flow, "REMEMBER_SECONDS", -1.0)
    monkeypatch.setattr(flow._Sources, "remember", remember)
    bench.until = 3
    with pytest.raises(KeyboardInterrupt):
        done(config, bench)
    bench.until = None
    before = set(kept[-1])
    assert 0 < len(before) < 3 * N_IMAGES
    assert len(Ledger(config.store.open()).done("score")) == 3
    read.clear()
    summary, result = done(config, bench)
    assert before.isdisjoint(read)
    assert len(before) + len(read) == 3 * N_IMAGES
    assert (summary.reused, result.n_failed) == (3, 0)
    undisturbed = config.model_copy(update={
        "store": config.store.model_copy(update={"path": f"{folder}/other"}),
        "report": config.report.model_copy(update={"path": f"{folder}/others"}),
    })  # fmt: skip
    assert tables_of(reported(undisturbed, bench)) == tables_of(reported(config, NOBODY))


def test_slices_are_a_table_beside_the_others(folder: Path, bench: Bench) -> None:
    plain = configure(folder)
    sliced = plain.model_copy(update={"metrics": plain.metrics.model_copy(update={"slices": True})})
    bench.until = 2
    with pytest.raises(KeyboardInterrupt):
        done(sliced, bench)
    bench.until = None
    before, result = reported(plain, bench), reported(sliced, bench)
    tables, others = tables_of(result), tables_of(before)
    assert tables.keys() - others.keys() == {"per_slice.parquet"}
    assert before.run_id != result.run_id, "another report, whose numbers are those of the one without"
    frames = (open_runs(one.path, "per_image").drop(columns="run_id") for one in (before, result))
    pd.testing.assert_frame_equal(next(frames), next(frames))
    slices = open_runs(result.path, "per_slice")
    # Pictures are one slice each.
    assert (slices["slice_index"] == 0).all()
    per_image = open_runs(result.path, "per_image")
    for name in ("image_id", "class_index", "true_positive", "false_negative", "dice"):
        pd.testing.assert_series_equal(slices[name], per_image[name], check_dtype=False)
    again = reported(sliced, NOBODY)
    assert again.reused
    undisturbed = sliced.model_copy(update={
        "store": plain.store.model_copy(update={"path": f"{folder}/other"}),
        "report": plain.report.model_copy(update={"path": f"{folder}/others"}),
    })  # fmt: skip
    assert tables_of(reported(undisturbed, bench)) == tables


def tables_of(result: RunResult) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(Path(result.path).glob("*.parquet"))}


@pytest.mark.parametrize("role", FOLDERS)
def test_a_changed_file_costs_its_shard(folder: Path, bench: Bench, read: list[str], role: str) -> None:
    config = configure(folder)
    first = done(config, bench)[1]
    members = shard_of(config, "case05")
    read.clear()
    draw(folder, 5, **{role: 7})
    summary, second = done(config, bench)
    assert set(read) == {f"{name}/{case}.png" for name in FOLDERS.values() for case in members}
    assert summary.shards - summary.reused == 1
    assert second.content != first.content
    assert shard_of(config, "case05") == members


def test_an_image_more_or_less_costs_its_shard(folder: Path, bench: Bench, read: list[str]) -> None:
    config = configure(folder)
    done(config, bench)
    others = shard_of(config, "case05") - {"case05"}
    for name in FOLDERS.values():
        (folder / name / "case05.png").unlink()
    read.clear()
    summary, result = done(config, bench)
    assert result.n_images == N_IMAGES - 1
    assert set(read) == {f"{name}/{case}.png" for name in FOLDERS.values() for case in others}
    assert summary.shards - summary.reused == 1
    draw(folder, 5)
    summary, result = done(config, bench)
    assert (result.n_images, summary.images) == (N_IMAGES, len(others) + 1)


def test_rescan_reads_every_file_and_counts_none_again(folder: Path, bench: Bench, read: list[str]) -> None:
    config = configure(folder)
    first = done(config, bench)[1]
    committed = Ledger(config.store.open()).done("score")
    read.clear()
    second = done(configure(folder, rescan=True), bench)[1]
    assert len(read) == 3 * N_IMAGES
    assert Ledger(config.store.open()).done("score") == committed
    assert (second.n_images, second.n_failed) == (first.n_images, first.n_failed)


def test_rescan_finds_other_bytes_under_the_times_of_before(
    folder: Path, bench: Bench, read: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As some file systems and copies keep them: a run does not see it, `rescan` does, and from then on every run."""
    config = configure(folder)
    monkeypatch.setattr("segscale.storage.role_files.list_files", _without_times)
    before = catalog_of_run(config, bench)
    draw(folder, 5, prediction=7)
    assert catalog_of_run(config, bench).equals(before)
    with caplog.at_level(logging.WARNING, "segscale"):
        rescanned = catalog_of_run(configure(folder, rescan=True), bench)
    assert "1 file with other bytes, though of equal size and times: case05.png" in caplog.text
    changed = rescanned["prediction_sha256"] != before["prediction_sha256"]
    assert changed[changed].index.to_list() == ["case05"]
    read.clear()
    assert catalog_of_run(config, bench).equals(rescanned)
    assert read == []
    assert len(Ledger(config.store.open()).done("score")) == before["shard"].nunique() + 1


def catalog_of_run(config: EvaluationConfig, bench: Bench) -> pd.DataFrame:
    done(config, bench)
    return catalog_of(config)


def _without_times(pattern: str) -> Any:
    found = list_files(pattern)
    return replace(found, files=found.files.assign(version="v"))


@pytest.mark.parametrize("role", FOLDERS)
def test_a_file_that_cannot_be_read_fails_its_image_and_is_tried_again(
    folder: Path, bench: Bench, read: list[str], monkeypatch: pytest.MonkeyPatch, role: str
) -> None:
    config = configure(folder)
    refused = f"{FOLDERS[role]}/case05.png"
    true: Callable[[str], bytes] = vars(score_image)["read_source"]

    def refusing(url: str) -> bytes:
        data = true(url)
        if url.endswith(refused):
            raise PermissionError(13, "Permission denied", url)
        return data

    for _ in range(2):
        read.clear()
        with monkeypatch.context() as patched:
            patched.setattr(score_image, "read_source", refusing)
            result = done(config, bench)[1]
        assert result.n_failed == 1
        assert refused in read
    assert len(read) <= 9, "of what could be read nothing is read again but its own shard"
    read.clear()
    _, result = done(config, bench)
    assert result.n_failed == 0
    assert refused in read
    assert len(read) <= 9
    assert done(config, NOBODY)[1] == result


def dying_at(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Workers die where they decode the references of these images."""
    true = read_labels

    def deadly(data: bytes, name: str, *given: Any, **named: Any) -> Any:
        if name in names:
            raise WorkerDies
        return true(data, name, *given, **named)

    monkeypatch.setattr(score_image, "read_labels", deadly)


def test_an_image_that_ends_workers_is_left_out_until_its_files_change(
    folder: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configure(folder)
    with monkeypatch.context() as patched:
        dying_at(patched, "case05.png")
        summary, result = done(config, bench)
        assert (result.n_images, result.n_failed) == (N_IMAGES, 1)
        assert summary.failed == 1
        row = catalog_of(config).loc["case05"]
        assert row["error_type"] == "WorkerDied"
        assert row["error"].startswith("case05: a worker died at it in score, twice")
        assert done(config, NOBODY)[1] == result
        # Another file of its shard changes: it is still left out, and nobody dies of it.
        other = min(shard_of(config, "case05") - {"case05"})
        draw(folder, int(other[4:]), prediction=7)
        assert done(config, bench)[1].n_failed == 1
        assert catalog_of(config).loc["case05", "error_type"] == "WorkerDied"
    draw(folder, 5, prediction=7)
    assert done(config, bench)[1].n_failed == 0


def test_what_was_left_out_is_tried_again_once_it_is_let(
    folder: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configure(folder)
    with monkeypatch.context() as patched:
        dying_at(patched, "case05.png", "case09.png")
        assert done(config, bench)[1].n_failed == 2
    assert {held.name for held in lift(config.store.open())} == {"case05", "case09"}
    assert done(config, bench)[1].n_failed == 0


def test_a_known_file_that_changed_before_it_was_read_again_ends_the_run(
    folder: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its shard has a key of other bytes, and nothing may be committed under it; the next run takes it as it is."""
    config = configure(folder)
    done(config, bench)
    store = config.store.open()
    for key in Ledger(store).done("score"):
        store.remove(f"ledger/score/{key}.json")
    listing = Run(config).listing()
    monkeypatch.setattr(Run, "listing", lambda _: listing)
    monkeypatch.setattr(Run, "told_listing", lambda _: listing)
    draw(folder, 5, prediction=7)
    with pytest.raises(WorkLostError, match=r"1 of .* shards were not finished, .* changed while they were being read"):
        done(config, bench)
    monkeypatch.undo()
    assert done(config, bench)[1].n_failed == 0


def test_a_file_that_changes_while_a_set_is_read_is_read_again_by_the_next_run(
    folder: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read is what is counted; the next listing shows another version."""
    config = configure(folder)
    true: Callable[[str], bytes] = vars(score_image)["read_source"]

    def changing(url: str) -> bytes:
        if url.endswith("ours/case05.png"):
            draw(folder, 5, prediction=7)
            os.utime(folder / "ours" / "case05.png", (1, 1))
        return true(url)

    with monkeypatch.context() as patched:
        patched.setattr(score_image, "read_source", changing)
        first = done(config, bench)[1]
    assert done(config, bench)[1] == first
    second = reported(config, NOBODY)
    per_image = open_runs(second.path, "per_image").query("class_index == 1").set_index("image_id")
    assert per_image.loc["case05", "true_positive"] == 3 * 3


def test_what_was_kept_of_the_files_as_a_whole_is_found_again_without_reading_them(
    folder: Path, bench: Bench, read: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """A repair sets it aside where it is damaged; what it warned of is said again."""
    (folder / "masks" / "case05.png").unlink()
    drawn = np.zeros((SIDE, SIDE), np.uint8)
    drawn[:3, :3] = 255
    extra = [(274, 3, 1, 3, True)]
    tifffile.imwrite(folder / "masks" / "case05.tif", drawn, photometric="minisblack", extratags=extra)
    config = configure(folder, references="masks")
    done(config, bench)
    (kept,) = [name for name in config.store.open().names("catalog") if name.endswith(".json")]
    before = config.store.open().read(f"catalog/{kept}")
    config.store.open().remove(f"catalog/{kept}")
    read.clear()
    for _ in range(2):
        caplog.clear()
        with caplog.at_level(logging.WARNING, "segscale"):
            done(config, NOBODY)
        assert "0 of 12 images, 1 of 12 references" in caplog.text
        assert config.store.open().read(f"catalog/{kept}") == before
    assert read == []


def test_a_file_that_stands_for_several_images_is_remembered_once(folder: Path, bench: Bench) -> None:
    rows = "".join(f"c{n},masks/case00.png,ours/case{n:02d}.png\n" for n in range(N_IMAGES))
    (folder / "set.csv").write_text(f"image_id,reference,prediction\n{rows}")
    config = configure(folder, images=False)
    dataset = config.dataset.changed(manifest=str(folder / "set.csv"), references="", same_files=True)
    predictions = config.predictions.model_copy(update={"path": ""})
    config = config.model_copy(update={"dataset": dataset, "predictions": predictions})
    done(config, bench)
    known = SourceMemory(config.store.open(), scan.CODE_VERSION).recall()
    assert not known.duplicated(["role", "url", "version"]).any()
    assert len(known) == 1 + N_IMAGES


def test_a_report_alone_is_of_what_was_scored(folder: Path, bench: Bench, read: list[str]) -> None:
    config = configure(folder)
    with pytest.raises(ConfigError, match="holds no catalog of 'set'; run score first"):
        reports.run(config)
    score_files(Run(config, workers=bench))  # type: ignore[arg-type]
    read.clear()
    result = reports.run(config)
    assert result.n_failed == 0
    assert reported(config, NOBODY).path == result.path
    assert read == []
    draw(folder, 5, prediction=7)
    with pytest.raises(ConfigError, match=r"have changed since the last score; segscale score takes them in"):
        reports.run(config)


def test_predictions_of_no_image_are_refused(folder: Path, bench: Bench) -> None:
    rows = "".join(f"c{number},masks/case{number:02d}.png,\n" for number in range(3))
    (folder / "set.csv").write_text(f"image_id,reference,prediction\n{rows}")
    config = configure(folder, images=False)
    dataset = config.dataset.changed(manifest=str(folder / "set.csv"), references="")
    manifest = config.model_copy(
        update={"dataset": dataset, "predictions": config.predictions.model_copy(update={"path": ""})}
    )
    with pytest.raises(ConfigError, match="expected predictions of the images of this data set, found none for any"):
        done(manifest, bench)
