"""Paths that lead nowhere: named by their key, before anything that takes time is loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from segscale.errors import ConfigError
from segscale.flows.checks.paths import check_apart, check_model_path, check_sources
from segscale.flows.config.evaluation import EvaluationConfig, parse_config


def config_of(folder: Path, dataset: dict[str, Any], **sections: Any) -> EvaluationConfig:
    return parse_config({"dataset": {"name": "d", **dataset}, **sections}, base=folder, source="test")


def check_all(config: EvaluationConfig) -> None:
    check_sources(config)
    check_model_path(config)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name in ("images", "masks", "odd[1]"):
        (tmp_path / name).mkdir()
    (tmp_path / "manifest.csv").touch()
    (tmp_path / "model.keras").touch()
    return tmp_path


GLOBS = {"images": "images/*.png", "references": "masks"}


@pytest.mark.parametrize(
    ("dataset", "sections"),
    [
        pytest.param(GLOBS, {}, id="folders are there; what is in them is looked at later"),
        pytest.param({"manifest": "manifest.csv"}, {"model": {"path": "model.keras"}}, id="a manifest, a model file"),
        pytest.param(GLOBS, {"model": {"path": "nuclei"}}, id="a bundled model"),
        pytest.param({"images": "odd[1]", "references": "masks"}, {}, id="a folder with letters of a pattern"),
        pytest.param({"images": "s3://no/bucket", "references": "memory://x"}, {}, id="a URL is asked later"),
        pytest.param({"images": "*/*.png", "references": "ima*/**/*.png"}, {}, id="a pattern of folders"),
    ],
)
def test_what_may_be_there_passes(data: Path, dataset: dict[str, Any], sections: dict[str, Any]) -> None:
    check_all(config_of(data, dataset, **sections))


@pytest.mark.parametrize(
    ("dataset", "sections", "words"),
    [
        pytest.param({**GLOBS, "images": "none/*.png"}, {}, r"dataset\.images: .*there is no .*none$", id="images"),
        pytest.param({**GLOBS, "references": "none"}, {}, r"dataset\.references: .*there is no .*none$", id="masks"),
        pytest.param(GLOBS, {"predictions": {"path": "none/a"}}, r"predictions\.path: .*none/a$", id="predictions"),
        pytest.param({"manifest": "none.csv"}, {}, r"dataset\.manifest: .*a manifest, found none", id="manifest"),
        pytest.param(GLOBS, {"model": {"path": "none.keras"}}, r"model\.path: .*where no file is", id="a model file"),
        pytest.param(GLOBS, {"model": {"path": "nucleus"}}, r"model\.path: .*no bundled model 'nucleus'", id="a name"),
    ],
)
def test_what_cannot_be_there_is_named(
    data: Path, dataset: dict[str, Any], sections: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        check_all(config_of(data, dataset, **sections))


def test_nothing_heavy_is_loaded_for_a_wrong_path(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[dataset]\nname = "d"\nimages = "none/*"\nreferences = "none/*"\n')
    heavy = ("pandas", "numba", "zarr", "pyarrow", "dask", "distributed", "prefect", "matplotlib")
    code = (
        "import sys; from segscale.flows.cli.main import run; "
        f"print(run(sys.argv[1:]), [name for name in {heavy} if name in sys.modules])"
    )
    command = [sys.executable, "-c", code, "run", str(tmp_path / "config.toml")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "2 []"


@pytest.mark.parametrize(
    ("command", "sources", "model"),
    [
        pytest.param("run", True, True, id="run: all of it"),
        pytest.param("ingest", True, False, id="ingest: no network yet"),
        pytest.param("train", True, False, id="train: the network is what comes of it"),
        pytest.param("predict", False, True, id="predict: the images are in the store"),
        pytest.param("score", False, False, id="score: so are the references"),
        pytest.param("report", False, False, id="report: so are the counts"),
    ],
)
def test_a_command_asks_for_what_it_needs(
    command: str, sources: bool, model: bool, tmp_path: Path, segscale_here: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reached(*_: object) -> None:
        raise ConfigError("the job was reached")

    monkeypatch.setattr("segscale.flows.cli.jobs.run_job", reached)
    dataset = '[dataset]\nname = "d"\nimages = "{}"\nreferences = "here"\n[model]\npath = "{}"\n'
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "a.png").touch()
    for images, network, is_asked in (("gone/*.png", "nuclei", sources), ("here", "gone.keras", model)):
        (tmp_path / "config.toml").write_text(dataset.format(images, network))
        outcome = segscale_here(command, tmp_path / "config.toml")
        assert (outcome.code, "the job was reached" in outcome.err) == (2, not is_asked), outcome.err


@pytest.mark.parametrize(
    ("images", "store", "refused"),
    [
        pytest.param("images", "images/work", True, id="below a folder that is listed whole"),
        pytest.param("images", "images", True, id="the folder itself"),
        pytest.param("images/**/*", "images/a/b/store", True, id="at any depth"),
        pytest.param("i*/*", "images", True, id="in a folder that a pattern names"),
        pytest.param("work/**", "work/a", True, id="with two stars at the end"),
        pytest.param("w*/**/*.json", "work", True, id="files of the ending of its own"),
        pytest.param("work/[/*", "work/a", False, id="a pattern that is none is another's affair"),
        pytest.param("images/*", "images/work", False, id="a folder that is not looked into"),
        pytest.param("**/*.png", "work", False, id="files that it does not write"),
        pytest.param("images", "images/.work", False, id="hidden folders are left out"),
        pytest.param("images", "images2", False, id="a name that begins alike"),
        pytest.param("images/a", "images", False, id="above"),
        pytest.param("images", "memory://x", False, id="elsewhere"),
    ],
)
@pytest.mark.parametrize("own", ["store", "report"])
def test_a_store_among_the_files_of_the_set_is_refused(
    tmp_path: Path, images: str, store: str, refused: bool, own: str
) -> None:
    sections = {"store": {"path": "apart/store"}, "report": {"path": "apart/reports"}, own: {"path": store}}
    config = config_of(tmp_path, {"images": "x/*.png", "references": images}, **sections)
    if refused:
        with pytest.raises(ConfigError, match=rf"^{own}\.path: .* lies in a folder that dataset\.references lists"):
            check_apart(config)
    else:
        check_apart(config)
