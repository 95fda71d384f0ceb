"""Existing predictions through the whole job: `segscale run` without a model."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import signal
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import psutil
import pytest
from distributed import LocalCluster
from PIL import Image

from segscale.storage.catalog import pack
from tests.end_to_end.clusters_page import commands_of
from tests.end_to_end.score_set import score_sections

pytestmark = pytest.mark.slow

TABLES = ("per_image", "per_sample", "batch_summed", "intervals", "gap", "failures")


def copy_set(phantoms: Path, target: Path) -> Path:
    shutil.copytree(phantoms, target)
    return target


def report_folder(out: str) -> Path:
    return Path(out.strip().splitlines()[-1].removeprefix("report: "))


def read_labels(path: Path) -> npt.NDArray[np.bool_]:
    with Image.open(path) as image:
        return np.asarray(image) > 0


@pytest.fixture(scope="module")
def finished(segscale: Any, phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A finished run: (data, config, report)."""
    work = tmp_path_factory.mktemp("finished")
    data = copy_set(phantoms, work / "data")
    config = work / "config.toml"
    sections = score_sections(data, work)
    config.write_text(
        "\n".join(f"[{name}]\n" + "\n".join(f"{k} = {v}" for k, v in keys.items()) for name, keys in sections.items())
    )
    ((program, *arguments),) = commands_of("local", **{"config.toml": str(config)})
    assert program == "segscale"
    outcome = segscale(*arguments)
    assert outcome.code == 0, outcome.err
    return data, config, report_folder(outcome.out)


def test_every_count_equals_plain_numpy(finished: tuple[Path, Path, Path]) -> None:
    data, _, report = finished
    per_image = pd.read_parquet(report / "per_image.parquet")
    assert len(per_image) == 2 * 48
    for row in per_image[per_image["class_name"] == "lesion"].itertuples():
        reference = read_labels(data / "masks" / f"{row.image_id}.png")
        prediction = read_labels(data / "predictions" / f"{row.image_id}.png")
        assert (row.height, row.width) == reference.shape
        assert row.true_positive == np.sum(reference & prediction)
        assert row.false_positive == np.sum(~reference & prediction)
        assert row.false_negative == np.sum(reference & ~prediction)
        assert row.true_negative == np.sum(~reference & ~prediction)
        assert row.n_pixels == reference.size


def test_aggregates_are_the_two_means(finished: tuple[Path, Path, Path]) -> None:
    _, _, report = finished
    lesion = pd.read_parquet(report / "per_image.parquet").query("class_name == 'lesion'")
    per_sample = pd.read_parquet(report / "per_sample.parquet").query("class_name == 'lesion' and metric == 'dice'")
    batches = pd.read_parquet(report / "batch_summed.parquet").query("class_name == 'lesion' and metric == 'dice'")
    tp, fp, fn = (lesion[name].to_numpy(float) for name in ("true_positive", "false_positive", "false_negative"))
    with np.errstate(invalid="ignore"):
        scores = 2 * tp / (2 * tp + fp + fn)
    assert per_sample["mean"].item() == pytest.approx(np.nanmean(scores), abs=1e-12)
    pooled = 2 * tp.sum() / (2 * tp.sum() + fp.sum() + fn.sum())
    assert batches.query("pooled")["mean"].item() == pytest.approx(pooled, abs=1e-12)
    assert batches.query("batch_size == 1")["mean"].item() == per_sample["mean"].item()


def test_label_maps_write_no_thresholds(finished: tuple[Path, Path, Path]) -> None:
    _, _, report = finished
    assert sorted(path.stem for path in report.glob("*.parquet")) == sorted(TABLES)


def test_a_second_run_reads_no_file_and_says_so(
    segscale_here: Any, finished: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, config, report = finished
    before = {path.name: path.read_bytes() for path in report.iterdir()}

    def never(*_: object) -> None:
        raise AssertionError("a source file was read")

    monkeypatch.setattr("segscale.storage.sources.read_whole", never)
    # Nor by a worker, for none is started.
    monkeypatch.setattr("segscale.flows.workers.Workers.client", property(never))
    outcome = segscale_here("run", config)
    assert outcome.code == 0, outcome.err
    assert "no file was read" in outcome.err
    assert outcome.err.count("nothing to do") == 1
    assert "report: unchanged" in outcome.err
    assert {path.name: path.read_bytes() for path in report.iterdir()} == before


def test_only_shards_that_hold_a_changed_image_are_redone(
    segscale: Any, phantoms: Path, tmp_path: Path, write_config: Callable[..., Path]
) -> None:
    data = copy_set(phantoms, tmp_path / "data")
    later = [path.stem for path in sorted((data / "images").glob("*.png"))[-10:]]
    for folder in ("images", "masks", "predictions"):
        (tmp_path / "later" / folder).mkdir(parents=True)
        for stem in later:
            shutil.move(data / folder / f"{stem}.png", tmp_path / "later" / folder / f"{stem}.png")
    config = write_config(**score_sections(data, tmp_path))
    first = segscale("run", config)
    assert first.code == 0, first.err
    store = tmp_path / "store"
    shards_before = shard_members(store)

    changed, removed = "phantom_0002", "phantom_0005"
    with Image.open(data / "images" / f"{changed}.png") as image:
        pixels = np.asarray(image).copy()
    pixels[0, 0] ^= 1
    Image.fromarray(pixels).save(data / "images" / f"{changed}.png")
    for folder in ("images", "masks", "predictions"):
        (data / folder / f"{removed}.png").unlink()
        for stem in later:
            shutil.move(tmp_path / "later" / folder / f"{stem}.png", data / folder / f"{stem}.png")
    second = segscale("run", config)
    assert second.code == 0, second.err

    # The keys that must be new: those of the shards that `pack` gives to sets of images that were in no shard before,
    # and those whose set is the same and holds the changed image.
    shards_after = shard_members(store)
    expected_sets = expected_shards(data)
    old_sets = {frozenset(members) for members in shards_before.values()}
    current = {key: frozenset(shards_after[key]) for key in catalog_shards(store)}
    assert set(current.values()) == expected_sets
    new = {key for key in current if key not in shards_before}
    assert {current[key] for key in new} == {
        members for members in expected_sets if members not in old_sets or changed in members
    }
    untouched = {key for key, members in shards_before.items() if not members & {changed, removed}} & set(current)
    assert untouched == set(current) - new
    assert untouched
    done = json.loads((report_folder(second.out) / "run.json").read_text())["stages"]["score"]
    assert done["shards"] - done["reused"] == done["attempts"] == len(new)


def expected_shards(data: Path) -> set[frozenset[str]]:
    """The sets of images that share a shard, from `pack` and the names of the files alone."""
    names = sorted(path.stem for path in (data / "images").glob("*.png"))
    return {frozenset(names[position] for position in leaf) for leaf in pack(names, [1] * len(names), 8)}


def shard_members(store: Path) -> dict[str, set[str]]:
    members = {}
    for path in (store / "ledger" / "score").glob("*.json"):
        rows = pd.read_parquet(store / json.loads(path.read_text())["path"] / "rows.parquet")
        members[path.stem] = set(rows["image_id"])
    return members


def catalog_shards(store: Path) -> set[str]:
    (catalog,) = (store / "catalog").glob("phantom-*.parquet")
    return set(pd.read_parquet(catalog)["shard"])


def test_bad_images_fail_with_their_reason_and_the_others_are_scored(
    segscale: Any, phantoms: Path, tmp_path: Path, write_config: Callable[..., Path]
) -> None:
    data = copy_set(phantoms, tmp_path / "data")
    stems = [path.stem for path in sorted((data / "images").glob("*.png"))]
    (data / "masks" / f"{stems[0]}.png").unlink()
    (data / "images" / f"{stems[1]}.png").write_bytes(b"")
    (data / "images" / f"{stems[2]}.png").write_text("this is no image")
    Image.new("L", (50, 60)).save(data / "masks" / f"{stems[4]}.png")
    strange = read_labels(data / "masks" / f"{stems[5]}.png").astype(np.uint8) * 255
    strange[3, 4] = 17
    Image.fromarray(strange).save(data / "masks" / f"{stems[5]}.png")
    for folder in ("images", "masks", "predictions"):
        Image.new("L", (1, 1)).save(data / folder / f"{stems[6]}.png")
    (data / "predictions" / f"{stems[8]}.png").unlink()
    Image.new("L", (9, 9)).save(data / "predictions" / f"{stems[9]}.png")
    expected = {
        stems[0]: ("score", "reference"),
        stems[1]: ("score", "empty"),
        stems[2]: ("score", f"{stems[2]}.png"),
        stems[4]: ("score", "60x50"),
        stems[5]: ("score", "17"),
        stems[6]: ("score", "1x1"),
        stems[8]: ("score", "prediction"),
        stems[9]: ("score", "expected"),
    }
    outcome = segscale("run", write_config(**score_sections(data, tmp_path)))
    assert outcome.code == 1, outcome.err
    report = report_folder(outcome.out)
    failures = pd.read_parquet(report / "failures.parquet")
    found = {row["image_id"]: (row["stage"], str(row["message"])) for row in failures.to_dict("records")}
    assert set(found) == set(expected)
    for stem, (stage, words) in expected.items():
        assert found[stem][0] == stage, stem
        assert words in found[stem][1]
        assert str(tmp_path) not in found[stem][1]
    per_image = pd.read_parquet(report / "per_image.parquet")
    failed = per_image[per_image["status"] == "failed"]
    assert set(failed["image_id"]) == set(expected)
    assert failed["true_positive"].isna().all()
    assert failed["dice"].isna().all()
    assert (per_image["status"] == "ok").sum() == 2 * (48 - len(expected))
    summary = pd.read_parquet(report / "per_sample.parquet").query("class_name == 'lesion' and metric == 'dice'")
    assert summary["n_failed"].item() == len(expected)
    assert summary["mean_failed_as_zero"].item() < summary["mean"].item()
    assert "failed as 0" in outcome.out


WRONG = {
    "unknown key": ({"metrics": {"treshold": "0.5"}}, "metrics.treshold: unknown key"),
    "wrong type": ({"metrics": {"threshold": '"half"'}}, "metrics.threshold"),
    "unlisted choice": ({"metrics": {"empty": '"skip"'}}, "metrics.empty"),
    "empty folder": ({"dataset": {"images": '"{tmp}/nothing/*.png"'}}, "expected files, found none"),
    "duplicate stems": ({"dataset": {"images": '"{tmp}/twice/**/*.png"'}}, "no common stem"),
    "no common stem": ({"dataset": {"references": '"{tmp}/other"'}}, "no common stem"),
    "layout of nothing": ({"dataset": {"layout": '"nnunet"'}}, "needs a dataset.json"),
    "jobs without a number": ({"cluster": {"kind": '"slurm"'}}, "cluster.workers: expected how many at most"),
    "a precision that the engine lacks": (
        {"predictions": {"path": '""'},
         "model": {"path": '"phantom"', "engine": '"openvino"', "precision": '"float16"'}}, "model: ",
    ),
    "no GPU": ({"cluster": {"kind": '"gpus"'}}, "visible GPUs for a worker each, found 0"),
    "no such bundled model": ({"predictions": {"path": '""'}, "model": {"path": '"liver"'}}, "no bundled model"),
    "corrupt model file": ({"predictions": {"path": '""'}, "model": {"path": '"{tmp}/corrupt.keras"'}}, "damaged"),
    "other class count": (
        {"predictions": {"path": '""'}, "model": {"path": '"phantom"'},
         "dataset": {"classes": '["a", "b", "c"]', "label_values": "[0, 1, 2]"}},
        "expected a model of 3 classes",
    ),
    "level too high": ({"predictions": {"path": '""'}, "model": {"path": '"phantom"', "level": "7"}}, "model.level"),
    "predictions of other images": ({"predictions": {"path": '"{tmp}/other"'}}, "no common stem"),
    "a store that is a file": ({"store": {"path": '"{tmp}/corrupt.keras"'}}, "store.path"),
    "a store of one process": ({"store": {"path": '"memory://x"'}}, "store.path"),
    "a store of no known kind": ({"store": {"path": '"nope://x"'}}, "store.path"),
    "reports into a file": ({"report": {"path": '"{tmp}/corrupt.keras"'}}, "report.path"),
    "images of no known kind": ({"dataset": {"images": '"nope://x/*.png"'}}, "dataset"),
    "true is no threshold": ({"metrics": {"threshold": "true"}}, "metrics.threshold"),
    "no scheduler's address": ({"cluster": {"kind": '"address"', "address": '"nonsense"'}}, "cluster.address"),
    "neither model nor predictions": ({"predictions": {"path": '""'}}, "model.path"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_configuration_starts_nothing_and_says_why_in_one_line(
    segscale_here: Any, phantoms: Path, tmp_path: Path, write_config: Callable[..., Path], name: str
) -> None:
    refuses(segscale_here, phantoms, tmp_path, write_config, name)


@pytest.mark.parametrize("name", ["unknown key", "no such bundled model"])
def test_the_installed_command_says_it_likewise(
    segscale: Any, phantoms: Path, tmp_path: Path, write_config: Callable[..., Path], name: str
) -> None:
    refuses(segscale, phantoms, tmp_path, write_config, name)


def refuses(command: Any, phantoms: Path, tmp_path: Path, write_config: Callable[..., Path], name: str) -> None:
    changes, words = WRONG[name]
    for folder in ("nothing", "twice/a", "twice/b", "other"):
        (tmp_path / folder).mkdir(parents=True)
    for folder in ("twice/a", "twice/b"):
        Image.new("L", (8, 8)).save(tmp_path / folder / "same.png")
    Image.new("L", (8, 8)).save(tmp_path / "other" / "stranger.png")
    (tmp_path / "corrupt.keras").write_bytes(b"PK\x03\x04 not a model")
    sections = score_sections(phantoms, tmp_path)
    for section, keys in changes.items():
        replaced = {key: value.replace("{tmp}", str(tmp_path)) for key, value in keys.items()}
        sections.setdefault(section, {}).update(replaced)
    outcome = command("run", write_config(**sections))
    assert outcome.code == 2, outcome.err
    assert outcome.out == ""
    assert words in outcome.err
    *begun, wrong = outcome.err.strip().splitlines()
    assert wrong.startswith("segscale: ")
    # Whatever can be said before is no more than what was asked for and what was listed.
    assert all(line.startswith(("run: data set", "images: ", "references: ")) for line in begun), outcome.err
    assert not (tmp_path / "store").is_dir() or not list((tmp_path / "store").iterdir())
    assert not (tmp_path / "reports").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run"], "CONFIG"),
        (["run", "missing.toml"], "expected a configuration file"),
        (["rum"], "No such command"),
        (["rescore", "somewhere"], "expected a report"),
        (["serve", "--file", "missing.yaml"], "expected a file with Prefect deployments"),
        (["clean", "missing.toml"], "older-than"),
        (["verify", "missing.toml"], "expected a configuration file"),
        (["run", "missing.toml", "--workers", "0"], "workers"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else None,
)
def test_a_wrong_command_exits_2(segscale_here: Any, arguments: list[str], words: str) -> None:
    outcome = segscale_here(*arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert words in outcome.err
    assert len(outcome.err.strip().splitlines()) == 1


def test_each_flow_runs_alone_and_prefect_shows_its_artifacts(
    segscale_in_prefect: Any,
    phantoms: Path,
    tmp_path: Path,
    write_config: Callable[..., Path],
    finished: tuple[Path, Path, Path],
) -> None:
    segscale = segscale_in_prefect
    config = write_config(**score_sections(phantoms, tmp_path))
    too_early = segscale("report", config)
    assert too_early.code == 2
    assert "run score first" in too_early.err
    # What is ingested beside, for a training, is no part of it.
    for command in ("ingest", "score"):
        outcome = segscale(command, config)
        assert outcome.code == 0, outcome.err
    outcome = segscale("report", config, "--run-id", "by-hand")
    assert outcome.code == 0, outcome.err
    report = report_folder(outcome.out)
    assert report.name == "by-hand"
    # The same tables as the run in one go, but for the name of the run.
    for table in TABLES:
        alone, together = (pd.read_parquet(folder / f"{table}.parquet") for folder in (report, finished[2]))
        pd.testing.assert_frame_equal(alone.drop(columns="run_id"), together.drop(columns="run_id"))

    api = segscale.environment["PREFECT_API_URL"]
    flow_runs = {run["name"]: run for run in ask(f"{api}/flows/filter")}
    assert {"ingest-dataset", "score-dataset", "report-dataset"} <= set(flow_runs)
    artifacts = {artifact["key"]: artifact for artifact in ask(f"{api}/artifacts/latest/filter")}
    for stage in ("ingest", "score"):
        assert artifacts[f"segscale-phantom-{stage}"]["type"] == "progress"
        assert artifacts[f"segscale-phantom-{stage}"]["data"] == 100.0
    table = json.loads(artifacts["segscale-phantom"]["data"])
    assert {"per-sample", "batch 1", "batch 8", "batch 32", "pooled"} <= set(table[0])


def test_a_run_with_failed_images_is_failed_in_prefect_and_no_pixel_goes_there(
    segscale_in_prefect: Any, phantoms: Path, tmp_path: Path, write_config: Callable[..., Path]
) -> None:
    # Nights of a schedule on a team's server: test_scheduled_nights.py.
    data = copy_set(phantoms, tmp_path / "data")
    for path in sorted((data / "predictions").iterdir())[:3]:
        path.write_bytes(b"no image")
    sections = score_sections(data, tmp_path)
    sections["dataset"]["name"] = '"broken"'
    outcome = segscale_in_prefect("run", write_config(**sections))
    assert outcome.code == 1, outcome.err
    assert "48 images, 3 failed" in outcome.out
    report = report_folder(outcome.out)

    api = segscale_in_prefect.environment["PREFECT_API_URL"]
    (run,) = [one for one in ask(f"{api}/flow_runs/filter") if one["name"].startswith("broken ")]
    assert run["state_type"] == "FAILED"
    said = run["state"]["message"]
    assert said.startswith("48 images, 3 failed")
    assert "3 in score, UnreadableImage: e.g. phantom_0000: " in said
    assert said.endswith(f"report: {report}")
    logs = ask(f"{api}/logs/filter", logs={"flow_run_id": {"any_": [run["id"]]}})
    assert any(one["name"] == "segscale" and "images in" in one["message"] for one in logs)
    shown = {one["key"]: one["data"] for one in ask(f"{api}/artifacts/latest/filter")}
    assert len(json.loads(shown["segscale-broken-failures"])) == 3
    assert shown["segscale-broken-page"].strip() == f"{report}/report.html"
    # What is drawn there is lines and letters: pixels would be an element `image`, or another kind of data.
    drawings = re.findall(r"data:([^)\"]*)", json.dumps(shown))
    assert len(drawings) >= 1
    for kind, _, content in (one.partition(";base64,") for one in drawings):
        assert kind == "image/svg+xml"
        assert b"<image" not in base64.b64decode(content)


def ask(url: str, **question: Any) -> list[dict[str, Any]]:
    asked = json.dumps({"limit": 200, **question}).encode()
    request = urllib.request.Request(url, data=asked, headers={"Content-Type": "application/json"}, method="POST")
    with urllib.request.urlopen(request, timeout=30) as answer:
        found: list[dict[str, Any]] = json.loads(answer.read())
        return found


NETWORK_LIBRARIES = ("tensorflow", "keras", "grain", "h5py", "openvino", "jax")


def test_scoring_needs_none_of_the_libraries_of_networks(
    segscale: Any, phantoms: Path, tmp_path: Path, write_config: Callable[..., Path]
) -> None:
    # None of them can be imported by the driver and its workers, as where `segscale` is installed without its extras.
    planted = tmp_path / "planted"
    planted.mkdir()
    (planted / "sitecustomize.py").write_text(f"import sys\nsys.modules.update(dict.fromkeys({NETWORK_LIBRARIES}))\n")
    poor = segscale.with_environment(PYTHONPATH=f"{planted}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    outcome = poor("run", write_config(**score_sections(phantoms, tmp_path)))
    assert outcome.code == 0, outcome.err
    # It works: in the same environment a network is refused, with the name of the extra.
    sections = score_sections(phantoms, tmp_path)
    sections["predictions"], sections["model"] = {}, {"path": '"phantom"'}
    refused = poor("run", write_config(**sections))
    assert refused.code == 2
    assert refused.err.splitlines()[-1] == (
        "segscale: model.path: predicting needs TensorFlow and Keras, which are not installed: "
        "pip install 'segscale[predict]'"
    )


@pytest.mark.nightly(part="scores")
def test_a_run_id_given_twice_is_the_later_run(
    segscale: Any, phantoms: Path, tmp_path: Path, write_config: Callable[..., Path]
) -> None:
    sections = score_sections(phantoms, tmp_path)
    first = segscale("run", write_config(**sections), "--run-id", "fixed")
    stray = report_folder(first.out) / "thresholds.parquet"
    stray.write_bytes(b"of a run before")
    sections["metrics"] = {"smooth": "100.0"}
    second = segscale("run", write_config(**sections), "--run-id", "fixed")
    assert (first.code, second.code) == (0, 0), second.err
    assert "report: unchanged" not in second.err
    assert first.out != second.out
    assert not stray.exists()
    third = segscale("run", write_config(**sections), "--run-id", "fixed")
    assert "report: unchanged" in third.err


@pytest.mark.nightly(part="scores")
def test_a_mended_data_set_gets_a_new_report(
    segscale: Any, phantoms: Path, tmp_path: Path, write_config: Callable[..., Path]
) -> None:
    data = copy_set(phantoms, tmp_path / "data")
    wrong = data / "masks" / "phantom_0003.png"
    with Image.open(wrong) as image:
        image.save(tmp_path / "mask.tif")
    wrong.unlink()
    shutil.copy(tmp_path / "mask.tif", wrong)
    config = write_config(**score_sections(data, tmp_path))
    before = segscale("run", config)
    assert before.code == 1, before.err
    wrong.rename(wrong.with_suffix(".tif"))
    after = segscale("run", config)
    assert after.code == 0, after.err
    assert report_folder(before.out) != report_folder(after.out)


def test_an_unreachable_scheduler_ends_in_one_line(
    segscale: Any, phantoms: Path, tmp_path: Path, write_config: Callable[..., Path]
) -> None:
    outcome = segscale("run", write_config(**score_sections(phantoms, tmp_path)), "--scheduler", "tcp://127.0.0.1:9")
    assert outcome.code == 3
    assert outcome.err.strip().splitlines()[-1].startswith("segscale: cluster.address: expected a Dask scheduler")
    assert "Traceback" not in outcome.err


def test_an_interrupted_run_says_so(
    segscale: Any, phantoms: Path, tmp_path: Path, write_config: Callable[..., Path]
) -> None:
    process = segscale.start("run", write_config(**score_sections(phantoms, tmp_path)))
    ledger = tmp_path / "store" / "ledger" / "score"
    while not ledger.is_dir():
        assert process.poll() is None, process.communicate()[1]
        os.sched_yield()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert err.strip().splitlines()[-1] == "segscale: interrupted; what was committed stays, run again to resume"


def committed(work: Path, stage: str) -> int:
    return len(list((work / "store" / "ledger" / stage).glob("*.json")))


def test_a_killed_driver_takes_its_workers_along_and_the_next_run_does_what_is_missing(
    segscale: Any, phantoms: Path, tmp_path: Path, write_config: Callable[..., Path], finished: tuple[Path, Path, Path]
) -> None:
    config = write_config(**score_sections(phantoms, tmp_path))
    process = segscale.start("run", config)
    while committed(tmp_path, "score") < 1:
        assert process.poll() is None, process.communicate()[1]
        os.sched_yield()
    workers = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate()
    assert workers
    assert psutil.wait_procs(workers, timeout=60)[1] == [], "workers outlived their driver"
    assert not list(tmp_path.glob("reports/*/*/run.json"))
    before = committed(tmp_path, "score")

    outcome = segscale("run", config)
    assert outcome.code == 0, outcome.err
    report = report_folder(outcome.out)
    done = json.loads((report / "run.json").read_text())["stages"]["score"]
    assert 0 < before < done["shards"]
    # Killed so early, it had not kept yet what files told: they are read again, and committed once all the same.
    assert done["reused"] + done["attempts"] == done["shards"] == committed(tmp_path, "score")
    for table in TABLES:
        assert (report / f"{table}.parquet").read_bytes() == (finished[2] / f"{table}.parquet").read_bytes(), table


def test_two_drivers_on_one_scheduler_do_not_meet(
    segscale: Any, phantoms: Path, tmp_path: Path, write_config: Callable[..., Path], finished: tuple[Path, Path, Path]
) -> None:
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster:
        drivers = []
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            config = write_config(f"{name}.toml", **score_sections(phantoms, tmp_path / name))
            drivers.append(segscale.start("run", config, "--scheduler", cluster.scheduler_address))
        outcomes = [driver.communicate(timeout=250) for driver in drivers]
    for driver, (out, err) in zip(drivers, outcomes, strict=True):
        assert driver.returncode == 0, err
        for table in TABLES:
            found = report_folder(out) / f"{table}.parquet"
            assert found.read_bytes() == (finished[2] / f"{table}.parquet").read_bytes(), table
