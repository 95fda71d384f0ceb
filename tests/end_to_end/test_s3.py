"""Everything in a bucket: images, store and reports on s3://, and the same tables as on a disk; on two servers."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from s3fs import S3FileSystem

from segscale.storage.objects import ObjectInfo, ObjectStore
from tests.storage.s3_server import SECRET, TOKEN, S3Server

pytestmark = pytest.mark.slow

N_IMAGES = 24


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("s3_server", id="moto"),
        pytest.param("rclone_server", id="rclone", marks=pytest.mark.nightly(part="stores")),
    ],
)
def server(request: pytest.FixtureRequest) -> S3Server:
    """Each implementation of S3 that there is here."""
    found: S3Server = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="module")
def in_bucket(server: S3Server) -> Iterator[str]:
    """A bucket that the processes of this module can reach."""
    with pytest.MonkeyPatch.context() as monkeypatch, server.reachable(monkeypatch):
        yield server.new_bucket()


@pytest.fixture(scope="module")
def data(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first phantoms with their masks, predictions and a manifest."""
    folder = tmp_path_factory.mktemp("s3") / "data"
    manifest = pd.read_csv(phantoms / "manifest.csv").head(N_IMAGES)
    names = [Path(path).name for path in manifest["image"]]
    for kind in ("images", "masks", "predictions"):
        (folder / kind).mkdir(parents=True)
        for name in names:
            (folder / kind / name).write_bytes((phantoms / kind / name).read_bytes())
    manifest.to_csv(folder / "manifest.csv", index=False)
    return folder


@dataclass(frozen=True)
class Job:
    """One configuration with its data, store and reports below one place."""

    config: Path
    place: str

    def report(self) -> ObjectStore:
        (run,) = [item.path for item in ObjectStore(self.place).listing("reports") if item.path.endswith("run.json")]
        return ObjectStore(f"{self.place}/{run.removesuffix('/run.json')}")

    def tables(self) -> dict[str, bytes]:
        report = self.report()
        return {name: report.read(name) for name in report.names("") if name.endswith(".parquet")}


def write_job(folder: Path, place: str, data: str, single_driver: bool = False) -> Job:
    config = folder / f"{place.partition(':')[0].strip('/').rpartition('/')[2]}.toml"
    config.write_text(
        f"""
        [dataset]
        name = "phantom"
        label_values = [0, 255]
        images = "{data}/images/*.png"
        references = "{data}/masks"
        [predictions]
        path = "{data}/predictions"
        [metrics]
        bootstrap = 100
        [store]
        path = "{place}/store"
        shard_images = 4
        single_driver = {str(single_driver).lower()}
        [report]
        path = "{place}/reports"
        [cluster]
        workers = 2
        """
    )
    return Job(config, place)


@pytest.fixture(scope="module")
def command(segscale: Any, in_bucket: str, server: S3Server) -> Any:
    """The command with the credentials in its environment."""
    assert in_bucket.startswith("s3://")
    return replace(segscale, environment={**segscale.environment, **server.environment()})


@pytest.fixture(scope="module")
def uploaded(in_bucket: str, data: Path) -> str:
    S3FileSystem().put(str(data), f"{in_bucket}/data", recursive=True)
    return f"{in_bucket}/data"


@pytest.fixture(scope="module")
def finished(
    segscale: Any, command: Any, data: Path, uploaded: str, in_bucket: str, server: S3Server,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Job, Job, str]:  # fmt: skip
    """The same job on a disk and in the bucket, both done, and what the second one said."""
    folder = tmp_path_factory.mktemp("job")
    near = write_job(folder, f"{folder}/work", str(data))
    outcome = segscale("run", near.config)
    assert outcome.code == 0, outcome.err
    far = write_job(folder, f"{in_bucket}/job", uploaded, not server.conditional)
    outcome = command("run", far.config)
    assert outcome.code == 0, outcome.err
    return near, far, outcome.out + outcome.err


def test_the_tables_are_those_of_a_local_run(finished: tuple[Job, Job, str]) -> None:
    near, far, _ = finished
    expected = near.tables()
    assert len(expected) >= 6
    assert far.report().url.rpartition("/")[2] == near.report().url.rpartition("/")[2]
    assert far.tables() == expected
    assert len(pd.read_parquet(io.BytesIO(expected["per_image.parquet"]))["image_id"].unique()) == N_IMAGES


def test_whoever_may_have_a_single_driver_only_is_warned(server: S3Server, finished: tuple[Job, Job, str]) -> None:
    _, _, said = finished
    assert ("there must be no other driver on this store" in said) == (not server.conditional)


def test_a_server_without_conditional_writes_is_refused(
    segscale: Any, rclone_server: S3Server, rclone_bucket: str, data: Path, tmp_path: Path
) -> None:
    command = replace(segscale, environment={**segscale.environment, **rclone_server.environment()})
    outcome = command("run", write_job(tmp_path, rclone_bucket, str(data)).config)
    assert outcome.code == 2
    assert "ignores If-None-Match" in outcome.err
    assert "single_driver" in outcome.err
    assert ObjectStore(rclone_bucket).listing() == []


def test_a_second_run_reuses_all(command: Any, finished: tuple[Job, Job, str]) -> None:
    _, far, _ = finished
    before = finished_work(far)
    outcome = command("run", far.config)
    assert outcome.code == 0, outcome.err
    assert "no file was read" in outcome.err
    assert outcome.err.count("nothing to do") == 1
    assert "report: unchanged" in outcome.err
    assert finished_work(far) == before


def finished_work(job: Job) -> set[ObjectInfo]:
    """What nobody may touch again, with the times at which it was written; the catalog is written by every run."""
    folders = ("store/ledger", "store/shards", "reports")
    return {item for folder in folders for item in ObjectStore(job.place).listing(folder)}


def test_a_report_in_a_bucket_is_read_by_the_other_commands(command: Any, finished: tuple[Job, Job, str]) -> None:
    near, far, _ = finished
    there, here = command("rescore", far.report().url, "--json"), command("rescore", near.report().url, "--json")
    assert there.code == here.code == 0, there.err
    assert json.loads(there.out) == json.loads(here.out)


def test_secrets_are_nowhere(command: Any, finished: tuple[Job, Job, str], segscale_in_prefect: Any) -> None:
    _, far, said = finished
    shown = command.with_environment(PREFECT_API_URL=segscale_in_prefect.environment["PREFECT_API_URL"])
    outcome = shown("run", far.config)
    assert outcome.code == 0, outcome.err
    said += outcome.out + outcome.err
    store = ObjectStore(far.place)
    kept = {item.path: store.read(item.path) for item in store.listing()}
    kept["what was said"] = said.encode()
    for name, data in list(kept.items()):
        if name.endswith(".parquet"):
            kept[f"{name} in plain"] = pd.read_parquet(io.BytesIO(data)).to_csv().encode()
    # The database and the log of the Prefect server: parameters, artifacts, logs, results.
    for path in Path(command.environment["PREFECT_HOME"]).rglob("*"):
        if path.is_file():
            kept[str(path)] = path.read_bytes()
    for secret in (SECRET, TOKEN):
        assert [name for name, data in kept.items() if secret.encode() in data] == []
    # The search would find what is there.
    bucket = far.place.split("/")[2].encode()
    found = [name for name, data in kept.items() if bucket in data]
    assert any(name.endswith("run.json") for name in found)
    assert any("prefect" in name for name in found)


@pytest.mark.parametrize(
    ("key", "url"),
    [
        ("store.path", f"s3://AKIAPLANTED:{SECRET}@bucket/work"),
        ("dataset.images", "s3://user:plantedSecretOfAUrl@bucket/images/*.png"),
        ("report.path", "s3://bucket/reports?token=plantedSecretOfAUrl"),
        ("predictions.path", "https://host/predictions/a.png?x=1&X-Amz-Signature=plantedSecretOfAUrl"),
    ],
)
def test_a_secret_in_a_url_is_refused_and_not_repeated(segscale_here: Any, tmp_path: Path, key: str, url: str) -> None:
    lines = write_job(tmp_path, f"{tmp_path}/work", str(tmp_path)).config.read_text()
    section, name = key.split(".")
    before, mark, after = lines.partition(f"[{section}]")
    config = tmp_path / "secret.toml"
    old = next(line for line in after.splitlines() if line.strip().startswith(f"{name} ="))
    config.write_text(before + mark + after.replace(old, f'{name} = "{url}"', 1))
    outcome = segscale_here("run", config)
    assert outcome.code == 2
    assert key in outcome.err
    assert "***" in outcome.err
    assert "planted" not in (outcome.out + outcome.err).lower()
