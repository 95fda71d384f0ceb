"""Damage planted in a store of a real run: each is found, repaired, and leaves the final tables as they were."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from distributed import LocalCluster
from PIL import Image

from segscale.errors import ConfigError, WorkLostError
from segscale.flows.checks.model import find_model
from segscale.flows.config.evaluation import EvaluationConfig, parse_config
from segscale.flows.ingest import ingest_images
from segscale.flows.maintenance.clean import clean_store
from segscale.flows.maintenance.clean import describe as describe_cleaning
from segscale.flows.maintenance.repair import describe as describe_repair
from segscale.flows.maintenance.repair import repair_store
from segscale.flows.maintenance.verify import as_json, describe, in_threads, inspect, kept_run
from segscale.flows.plan import PLAN, find_plan, plan_key
from segscale.flows.predict import plan_predict
from segscale.flows.report import write_tables
from segscale.flows.run import Run
from segscale.flows.score import score_files
from segscale.flows.workers import Workers
from segscale.storage import parts, shards, tables
from segscale.storage.catalog import catalog_path, read_catalog, rows_by_shard
from segscale.storage.failures import Failure
from segscale.storage.ledger import Ledger, encode_record, fresh_attempt, record_path
from segscale.storage.objects import ObjectStore
from segscale.storage.quarantine import Held, quarantine
from segscale.storage.source_memory import SourceMemory
from segscale.tasks import predict, scan
from segscale.tasks.counting import failed_rows
from segscale.tasks.engine_plan import EnginePlan
from segscale.tasks.engines import EngineFacts
from segscale.tasks.phantom import write_phantoms
from segscale.tasks.prediction import Prediction

pytestmark = pytest.mark.slow

N_IMAGES = 12


@dataclass(frozen=True)
class Finished:
    """A finished run in a folder of its own."""

    folder: Path
    config: EvaluationConfig
    workers: Workers

    @property
    def store(self) -> ObjectStore:
        return ObjectStore(self.config.store.path)

    @property
    def report(self) -> Path:
        (report,) = (Path(self.config.report.path) / "phantom").iterdir()
        return report

    def tables(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted(self.report.glob("*.parquet"))}

    @property
    def catalog_name(self) -> str:
        return kept_run(self.config).catalog_name

    def entry(self, stage: str, place: int = 0) -> Any:
        """The first commit of a stage, or another."""
        ledger = Ledger(self.store)
        return ledger.read(stage, sorted(ledger.done(stage))[place])


def config_in(folder: Path, **sections: Any) -> EvaluationConfig:
    document = {
        "dataset": {
            "name": "phantom", "images": "data/images/*.png", "references": "data/masks", "label_values": [0, 255],
        },
        "predictions": {"path": "data/predictions/*.png"},
        "store": {"path": "store", "shard_images": 3},
        "metrics": {"bootstrap": 20},
        "report": {"path": "reports"},
        **sections,
    }  # fmt: skip
    return parse_config(document, base=folder, source="test")


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    # In this process, so that it sees stores in memory; over TCP, for a configuration takes no other address.
    options = {"processes": False, "protocol": "tcp", "host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
    with LocalCluster(n_workers=1, threads_per_worker=1, **options) as cluster:
        section = config_in(Path("/"), cluster={"kind": "address", "address": cluster.scheduler_address}).cluster
        with Workers(section) as workers:
            yield workers


def evaluate(config: EvaluationConfig, workers: Workers) -> None:
    run = Run(config, workers=workers)
    score_files(run)
    write_tables(run, ())


@pytest.fixture(scope="module")
def finished(workers: Workers, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A run that ended well. Its sources stay where they are in all copies."""
    folder = tmp_path_factory.mktemp("finished")
    write_phantoms(folder / "data", N_IMAGES, seed=3)
    (folder / "data" / "predictions").mkdir()
    for mask in (folder / "data" / "masks").glob("*.png"):
        with Image.open(mask) as image:
            prediction = image.copy()
        prediction.paste(0, (0, 0, prediction.width, 40))
        prediction.save(folder / "data" / "predictions" / mask.name)
    run = Finished(folder, config_in(folder), workers)
    evaluate(run.config, workers)
    return run


@pytest.fixture(scope="module")
def predicted(finished: Finished, workers: Workers, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The same set ingested, and counted as if a network had predicted it and failed at every image."""
    folder = tmp_path_factory.mktemp("predicted")
    config = config_in(folder, predictions={}, model={"path": "phantom"})
    config = config.model_copy(update={"dataset": finished.config.dataset})
    ingest_images(Run(config, workers=workers))
    store, model = ObjectStore(config.store.path), find_model(config)
    catalog = read_catalog(store, kept_run(config).catalog_name)
    assert catalog is not None
    prediction = Prediction(
        weights_sha256=model.sha256, engine="openvino", precision="float32", versions={"openvino": "1"},
        heads=("head_4",), level=4, ensemble=False, flips=False, n_classes=2, batch_size=0, batch_pixels=77,
        tile=1024, overlap=0.25, threshold=0.5, keep="none",
    )  # fmt: skip
    resolved = EngineFacts("openvino", "cpu", "float32", "openvino 1", ("head_4",), 2, 1, 1, 16)
    Ledger(store).record(
        PLAN, plan_key(config, model), EnginePlan(prediction, resolved, "it was there", None, None).record()
    )
    members = rows_by_shard(catalog)
    for key, job in plan_predict(catalog, prediction).items():
        ids = catalog["image_id"].iloc[members[job.ingest_key]]
        rows = [line for name in ids for line in failed_rows(name, "head_4", 2, Failure("predict", "Made", "up"))]
        shards.commit_shard(store, predict.STAGE, key, arrays={}, rows=parts.encode_part(rows), facts={})
    write_tables(Run(config), ())
    return Finished(folder, config, workers)


def _copy(of: Finished, folder: Path) -> Finished:
    """A copy that may be damaged. Its configuration still names the first one's sources."""
    shutil.copytree(of.folder, folder, dirs_exist_ok=True)
    own = config_in(folder)
    update = {"store": own.store, "report": own.report}
    return Finished(folder, of.config.model_copy(update=update), of.workers)


@pytest.fixture
def run(finished: Finished, tmp_path: Path) -> Finished:
    """A scored run."""
    return _copy(finished, tmp_path)


@pytest.fixture
def ingested(predicted: Finished, tmp_path: Path) -> Finished:
    """A run with ingested shards."""
    return _copy(predicted, tmp_path)


def change(store: ObjectStore, path: str, change: Callable[[bytes], bytes]) -> None:
    before = store.read(path)
    after = change(before)
    assert after != before
    store.write(path, after)


def halved(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 4]) + data[middle + 1 :]


def record(stage: str, how: Callable[[bytes], bytes], place: int = 0) -> Callable[[Finished], None]:
    return lambda run: change(run.store, record_path(stage, run.entry(stage, place).key), how)


def some_object(stage: str, name: str, how: Callable[[bytes], bytes] | None) -> Callable[[Finished], None]:
    def plant(run: Finished) -> None:
        entry = run.entry(stage)
        path = next(f"{entry.path}/{known}" for known in sorted(entry.objects) if name in known)
        change(run.store, path, how) if how else run.store.remove(path)

    return plant


def of_another_key(stage: str) -> Callable[[Finished], None]:
    def plant(run: Finished) -> None:
        one, other = sorted(Ledger(run.store).done(stage))[:2]
        run.store.write(record_path(stage, one), run.store.read(record_path(stage, other)))

    return plant


def whole_attempt(stage: str) -> Callable[[Finished], None]:
    return lambda run: run.store.remove(run.entry(stage).path)


def garbage_committed(run: Finished) -> None:
    entry = run.entry("score")
    digest = run.store.write(f"{entry.path}/rows.parquet", b"no parquet at all")
    forged = type(entry)(entry.stage, entry.key, entry.path, {"rows.parquet": digest}, entry.facts)
    run.store.write(record_path("score", entry.key), encode_record(forged))


def every_shard(stage: str) -> Callable[[Finished], None]:
    def plant(run: Finished) -> None:
        for key in Ledger(run.store).done(stage):
            change(run.store, record_path(stage, key), halved)

    return plant


def catalog(how: Callable[[bytes], bytes] | None) -> Callable[[Finished], None]:
    def plant(run: Finished) -> None:
        path = catalog_path(run.catalog_name)
        change(run.store, path, how) if how else run.store.remove(path)

    return plant


def reading(run: Finished) -> None:
    change(run.store, f"catalog/{run.catalog_name}.json", flipped)


def memory(run: Finished) -> None:
    (path,) = (item.path for item in run.store.listing(f"catalog/sources-{scan.CODE_VERSION}"))
    change(run.store, path, flipped)


def report_file(name: str, how: Callable[[bytes], bytes] | None) -> Callable[[Finished], None]:
    def plant(run: Finished) -> None:
        path = run.report / name
        path.write_bytes(how(path.read_bytes())) if how else path.unlink()

    return plant


def gone(stage: str) -> Callable[[Finished], None]:
    return lambda run: run.store.remove(record_path(stage, run.entry(stage).key))


IMAGES, ROWS = "arrays.zarr/images/c", "rows.parquet"
BOTH, FULL = (False, True), (True,)
Damages = dict[str, tuple[Callable[[Finished], None], str, tuple[bool, ...], dict[str, int]]]


def damages_of(stage: str, run: str) -> Damages:
    """Those that the shards of any stage can suffer, and the files beside them.

    reason: (damage, kind of the finding, found by verify / verify --full, shards done again)
    """
    one = {stage: 1}
    made: Damages = {
        "a torn record": (record(stage, halved), "damaged record", BOTH, one),
        "an empty record": (record(stage, lambda _: b""), "damaged record", BOTH, one),
        "a record that is no JSON": (record(stage, lambda _: b"<html>"), "damaged record", BOTH, one),
        "a record that is JSON of something else": (record(stage, lambda _: b"[]"), "damaged record", BOTH, one),
        "the record of another key": (of_another_key(stage), "damaged record", BOTH, one),
        "a digit of a record's facts": (
            record(stage, lambda data: data.replace(b'"n_failed": 0', b'"n_failed": 1')), "damaged record", BOTH, one,
        ),
        "a record that somebody formatted": (
            record(stage, lambda data: json.dumps(json.loads(data)).encode()), "damaged record", BOTH, one,
        ),
        "a truncated table": (some_object(stage, ROWS, halved), "damaged object", BOTH, one),
        "an empty table": (some_object(stage, ROWS, lambda _: b""), "damaged object", BOTH, one),
        "a flipped bit in a table": (some_object(stage, ROWS, flipped), "damaged object", FULL, one),
        "a missing table": (some_object(stage, ROWS, None), "missing object", BOTH, one),
        "a missing attempt": (whole_attempt(stage), "missing object", BOTH, one),
        "a removed record of what the report was made of": (gone(stage), "missing record", BOTH, one),
        "every record torn": (every_shard(stage), "damaged record", BOTH, {stage: -1}),
        "a torn catalog": (catalog(halved), "damaged catalog", BOTH, {}),
        "a catalog of other columns": (
            catalog(lambda _: tables.encode_frame(pd.DataFrame({"a": [1]}))), "damaged catalog", BOTH, {},
        ),
        "a missing catalog": (catalog(None), "missing catalog", BOTH, {}),
        "a flipped bit in how files are read": (reading, "damaged reading", BOTH, {}),
        "a flipped bit in what is known of sources": (memory, "damaged source memory", FULL, {}),
        "a flipped bit in a report table": (report_file("gap.parquet", flipped), "damaged report", BOTH, {}),
        "a missing report table": (report_file("per_image.parquet", None), "damaged report", BOTH, {}),
        "a run.json that is no JSON": (report_file("run.json", halved), "damaged report", BOTH, {}),
    }  # fmt: skip
    return {f"{run}: {reason}": damage for reason, damage in made.items()}


DAMAGES: Damages = {
    **damages_of("score", "run"),
    **damages_of("ingest", "ingested"),
    "run: committed, and cannot be decoded": (garbage_committed, "damaged object", FULL, {"score": 1}),
    "ingested: a truncated object": (some_object("ingest", IMAGES, halved), "damaged object", BOTH, {"ingest": 1}),
    "ingested: a flipped bit among the pixels": (
        some_object("ingest", IMAGES, flipped), "damaged object", FULL, {"ingest": 1},
    ),
    "ingested: a flipped bit in the metadata": (
        some_object("ingest", "images/zarr.json", flipped), "damaged object", FULL, {"ingest": 1},
    ),
    "ingested: zeros instead of pixels": (
        some_object("ingest", IMAGES, lambda data: bytes(len(data))), "damaged object", FULL, {"ingest": 1},
    ),
    "ingested: a missing object": (some_object("ingest", IMAGES, None), "missing object", BOTH, {"ingest": 1}),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_found_and_repaired_and_changes_no_table(request: pytest.FixtureRequest, name: str) -> None:
    run: Finished = request.getfixturevalue(name.partition(":")[0])
    plant, kind, found_by, redone = DAMAGES[name]
    before, sound = run.tables(), set(snapshot(run.folder))
    done = Ledger(run.store).done("score") or Ledger(run.store).done("ingest")
    plant(run)
    for full in (False, True):
        kinds = {finding.kind for finding in inspect(run.config, full=full).findings}
        assert kinds == ({kind} if full in found_by else set()), full
    repaired = repair_store(Run(run.config, workers=run.workers))
    assert repaired.remaining == (), describe_repair(repaired)
    # Of a scored set a catalog is made again by the stage itself, which finds everything done.
    again = {stage.stage: stage.shards - stage.reused for stage in repaired.stages}
    assert {stage: count for stage, count in again.items() if count} == {
        stage: len(done) if count < 0 else count for stage, count in redone.items()
    }
    assert (Ledger(run.store).done("score") or Ledger(run.store).done("ingest")) == done
    assert run.tables() == before
    cleaning = clean_store(run.config, 0)
    assert (cleaning.kept, cleaning.foreign, cleaning.n_young) == ((), (), 0), describe_cleaning(cleaning)
    after = inspect(run.config, full=True)
    assert (after.findings, after.notes) == ([], []), describe(after)
    # As many files as before: nothing was left over, and nothing sound went. Sources wait for the next run.
    assert len(sound) - len(snapshot(run.folder)) == int(kind in {"damaged source memory", "damaged reading"})
    assert not (run.folder / "store" / "set-aside").exists() or not list((run.folder / "store" / "set-aside").iterdir())


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_verify_writes_nothing(ingested: Finished, monkeypatch: pytest.MonkeyPatch) -> None:
    run = ingested
    some_object("ingest", IMAGES, flipped)(run)
    run.store.write(f"{fresh_attempt('ingest', 'ab' * 32)}/rows.parquet", b"left over")
    before = snapshot(run.folder)
    folders = {path: path.stat().st_mtime_ns for path in run.folder.rglob("*") if path.is_dir()}

    def refuse(*_: object) -> None:
        raise AssertionError("verify wrote to the store")

    for method in ("write", "create_exclusive", "remove"):
        monkeypatch.setattr(ObjectStore, method, refuse)
    for folder in folders:
        folder.chmod(0o555)
    try:
        found = inspect(run.config, full=True)
    finally:
        for folder in folders:
            folder.chmod(0o755)
    assert [finding.kind for finding in found.findings] == ["damaged object"]
    assert [note.kind for note in found.notes] == ["attempt"]
    assert snapshot(run.folder) == before
    assert {path: path.stat().st_mtime_ns for path in folders} == folders


def test_what_is_said_names_what_where_expected_found_and_what_to_do(run: Finished) -> None:
    some_object("score", ROWS, halved)(run)
    found = inspect(run.config, full=False)
    (line, count) = describe(found).splitlines()
    entry = run.entry("score")
    size = entry.objects[ROWS].size_bytes
    assert line.startswith(f"damaged object: {entry.path}/{ROWS}: expected {size} bytes with sha256 ")
    assert f"found {size // 2} bytes; segscale repair" in line
    assert count.startswith("1 finding; looked at ")
    document = json.loads(as_json(found))
    assert set(document) == {"findings", "notes", "checked"}
    assert document["findings"][0]["key"] == entry.key
    n_records = {row["what"]: row["count"] for row in document["checked"]}["records"]
    assert n_records == len(Ledger(run.store).done("score")) > 1


def test_foreign_files_are_named_and_left_where_they_are(ingested: Finished) -> None:
    run = ingested
    entry = run.entry("ingest")
    # The last two have names such as shards have, and stand in no record.
    places = [
        "notes.txt", "ledger/ingest/readme.md", f"{entry.path}/mine.txt", "old/data.partial",
        f"{entry.path}/arrays.zarr/mine/zarr.json", f"{entry.path}/arrays.zarr/mine/c/0/0",
    ]  # fmt: skip
    for place in places:
        run.store.write(place, b"mine")
    found = inspect(run.config, full=False).findings
    assert sorted(finding.place for finding in found) == sorted(places)
    assert {finding.kind for finding in found} == {"foreign file"}
    repaired = repair_store(Run(run.config, workers=run.workers))
    assert [finding.kind for finding in repaired.remaining] == ["foreign file"] * len(places)
    cleaning = clean_store(run.config, 0)
    assert cleaning.removed == ()
    assert sorted(cleaning.foreign) == sorted(places)
    assert sorted(clean_store(run.config, 1000).foreign) == sorted(places), "whatever their age"
    assert all(run.store.read(place) == b"mine" for place in places)


def test_reports_inside_the_store_are_not_foreign(finished: Finished, tmp_path: Path) -> None:
    copy = _copy(finished, tmp_path)
    shutil.move(tmp_path / "reports", tmp_path / "store" / "reports")
    report = copy.config.report.model_copy(update={"path": f"{tmp_path}/store/reports"})
    config = copy.config.model_copy(update={"report": report})
    assert inspect(config, full=False).findings == []
    assert clean_store(config, 0).foreign == ()
    assert (tmp_path / "store" / "reports" / "phantom").is_dir()


def test_sources_are_hashed_again_and_only_their_owner_can_mend_them(run: Finished) -> None:
    data = shutil.copytree(Path(run.config.dataset.references).parent, run.folder / "own")
    frame = read_catalog(run.store, run.catalog_name)
    assert frame is not None
    for role, folder in (("image", "images"), ("reference", "masks"), ("prediction", "predictions")):
        frame[role] = [f"{data}/{folder}/{Path(url).name}" for url in frame[role]]
    run.store.write(catalog_path(run.catalog_name), tables.encode_frame(frame))
    assert inspect(run.config, full=True).findings == []
    changed, missing = Path(frame["image"].iloc[0]), Path(frame["prediction"].iloc[1])
    changed.write_bytes(flipped(changed.read_bytes()))
    missing.unlink()
    assert inspect(run.config, full=False).findings == []
    found = {finding.place: finding.kind for finding in inspect(run.config, full=True).findings}
    assert found == {str(changed): "changed source", str(missing): "missing source"}
    memory = SourceMemory(run.store, scan.CODE_VERSION)
    memory.remember(memory.recall().iloc[:2].assign(url=[str(changed), str(missing)]))
    n_known = len(memory.recall())
    repaired = repair_store(Run(run.config, workers=run.workers))
    assert {item.kind for item in repaired.remaining} == set(found.values())
    assert "run CONFIG --rescan" in describe_repair(repaired)
    assert "1 changed source file: the next run takes them as they are now" in describe_repair(repaired)
    known = memory.recall()["url"].to_list()
    assert str(changed) not in known
    assert len(known) == n_known - 1, "of the others nothing is forgotten"
    # The shard that holds the changed image cannot be made again: it is said, and nothing is lost by trying.
    key = str(frame["shard"].iloc[0])
    before = run.tables()
    change(run.store, record_path("score", key), halved)
    with pytest.raises(WorkLostError, match=r"changed while they were being read|No such file"):
        repair_store(Run(run.config, workers=run.workers))
    assert run.tables() == before
    shutil.copy(Path(run.config.dataset.references).parent / "images" / changed.name, changed)
    shutil.copy(Path(run.config.dataset.references).parent / "predictions" / missing.name, missing)
    # The repair that was cut short is taken up: the shard is known by what was set aside.
    assert [stage.shards for stage in repair_store(Run(run.config, workers=run.workers)).stages] == [1]
    assert inspect(run.config, full=True).findings == []


def test_quarantines_end_the_damaged_one_too(run: Finished) -> None:
    for name in ("one", "two"):
        quarantine(run.store, Held(name, ("hash",), "ingest", "WorkerDied"))
    torn = run.store.listing("ledger/quarantine")[0].path
    change(run.store, torn, halved)
    assert [finding.place for finding in inspect(run.config, full=False).findings] == [torn]
    repaired = repair_store(Run(run.config, workers=run.workers))
    assert (len(repaired.lifted), repaired.elsewhere, repaired.remaining) == (1, 0, ())
    assert run.store.names("ledger/quarantine") == []


def test_shards_of_others_are_set_aside_and_left_to_their_own_run(run: Finished) -> None:
    key = "cd" * 32
    rows = tables.encode_frame(pd.DataFrame({"image_id": ["a"]}))
    entry = shards.commit_shard(run.store, "ingest", key, arrays={}, rows=rows, facts={})
    assert inspect(run.config, full=True).findings == []
    change(run.store, f"{entry.path}/rows.parquet", halved)
    repaired = repair_store(Run(run.config, workers=run.workers))
    assert (repaired.stages, repaired.elsewhere, repaired.remaining) == ((), 1, ())
    assert "run their configurations" in describe_repair(repaired)


def test_a_run_that_is_not_finished_is_no_finding(run: Finished) -> None:
    shutil.rmtree(run.report)
    gone("score")(run)
    found = inspect(run.config, full=False)
    assert found.findings == []
    assert {note.kind for note in found.notes} == {"attempt", "not done yet", "no report"}
    repaired = repair_store(Run(run.config, workers=run.workers))
    assert (repaired.stages, repaired.report) == ((), "")


def test_a_store_that_holds_nothing_is_refused(run: Finished, tmp_path: Path) -> None:
    empty = run.config.model_copy(update={"store": run.config.store.model_copy(update={"path": f"{tmp_path}/none"})})
    with pytest.raises(ConfigError, match="run score first"):
        inspect(empty, full=False)
    with pytest.raises(ConfigError, match="expected a store"):
        clean_store(empty, 0)
    assert not (tmp_path / "none").exists()


def test_a_store_in_memory_is_verified_repaired_and_cleaned_alike(run: Finished) -> None:
    memory = ObjectStore(f"memory://{uuid.uuid4().hex}")
    for item in run.store.listing():
        memory.write(item.path, run.store.read(item.path))
    moved = run.config.model_copy(update={"store": run.config.store.model_copy(update={"path": memory.url})})
    copy = Finished(run.folder, moved, run.workers)
    before = run.tables()
    some_object("score", ROWS, flipped)(copy)
    record("score", halved, 1)(copy)
    memory.write(f"{fresh_attempt('score', 'ab' * 32)}/rows.parquet", b"left over")
    assert {finding.kind for finding in inspect(moved, full=True).findings} == {"damaged object", "damaged record"}
    assert repair_store(Run(moved, workers=run.workers)).remaining == ()
    assert clean_store(moved, 1).removed == ()
    assert len(clean_store(moved, 0).removed) == 2
    after = inspect(moved, full=True)
    assert (after.findings, after.notes) == ([], [])
    assert copy.tables() == before


def test_a_dry_run_removes_nothing_and_says_what_it_would(run: Finished) -> None:
    dead = fresh_attempt("ingest", "ab" * 32)
    run.store.write(f"{dead}/rows.parquet", b"12345")
    partial = Path(run.store.url) / "ledger" / "score" / f".{'ab' * 32}.json.{'1' * 32}.partial"
    partial.write_bytes(b"123")
    before = snapshot(run.folder)
    said = describe_cleaning(clean_store(run.config, 0, dry_run=True))
    assert f"would remove {dead}: 1 file, 5 bytes" in said
    assert "would remove 2 leftovers of 8 bytes" in said
    assert snapshot(run.folder) == before
    assert "removed 2 leftovers of 8 bytes" in describe_cleaning(clean_store(run.config, 0))
    assert set(before) - set(snapshot(run.folder)) == {
        f"store/{dead}/rows.parquet", str(partial.relative_to(run.folder)),
    }  # fmt: skip


def test_cleaning_beside_a_run_takes_nothing_from_it(run: Finished) -> None:
    before = run.tables()
    every_shard("score")(run)
    run.store.remove("ledger/score")
    shutil.rmtree(run.report)
    ended = threading.Event()
    removed: list[object] = []

    def keep_cleaning() -> None:
        while not ended.is_set():
            removed.extend(clean_store(run.config, 1).removed)

    cleaner = threading.Thread(target=keep_cleaning)
    cleaner.start()
    try:
        score_files(Run(run.config, workers=run.workers))
    finally:
        ended.set()
        cleaner.join()
    write_tables(Run(run.config), ())
    assert removed == []
    assert run.tables() == before
    assert inspect(run.config, full=True).findings == []


def test_a_lost_plan_record_is_restored_from_the_report(ingested: Finished) -> None:
    """Resolved anew it might be another plan, and every shard would have to be predicted again."""
    config, store = ingested.config, ingested.store
    model = find_model(config)
    path, planned = record_path(PLAN, plan_key(config, model)), find_plan(config, model, store)
    sound = store.read(path)
    change(store, path, lambda data: data.replace(b'"batch_pixels": 77', b'"batch_pixels": 78'))
    assert [finding.kind for finding in inspect(config, full=False).findings] == ["damaged record"]
    repaired = repair_store(Run(config, workers=ingested.workers))
    assert (repaired.remaining, repaired.stages) == ((), ())
    assert store.read(path) == sound
    found = find_plan(config, model, store)
    assert found is not None
    assert planned is not None
    assert found.prediction == planned.prediction


def test_the_backup_of_the_page_is_a_whole_store(run: Finished) -> None:
    page = (Path(__file__).parents[3] / "docs" / "store.md").read_text()
    (command,) = (line.strip() for line in page.splitlines() if line.startswith("    mkdir -p backup"))
    subprocess.run(["bash", "-c", command], cwd=run.folder, check=True)
    moved = run.config.store.model_copy(update={"path": f"{run.folder}/backup"})
    copy = run.config.model_copy(update={"store": moved})
    found = inspect(copy, full=True)
    assert (found.findings, found.notes) == ([], [])
    assert found.checked == inspect(run.config, full=True).checked


def test_threads_keep_the_order_and_hold_little_ahead() -> None:
    drawn = []

    def items() -> Iterator[int]:
        for number in range(1000):
            drawn.append(number)
            yield number

    results = in_threads(lambda number: number * 2, items())
    assert [next(results) for _ in range(3)] == [0, 2, 4]
    assert len(drawn) < 50
    assert list(results) == [2 * number for number in range(3, 1000)]
    with pytest.raises(ZeroDivisionError):
        list(in_threads(lambda number: 1 // number, [1, 0]))
