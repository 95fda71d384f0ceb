"""The package as users get it: built, installed into an empty environment, used beside packages of their own."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.end_to_end.own_packages import make_own_packages
from tests.end_to_end.score_set import score_sections
from tests.test_docs_why import assert_same_page

pytestmark = pytest.mark.nightly(part="wheel")

ROOT = Path(__file__).parents[2]
ROOMS = ("flows", "tasks", "storage")
NOT_IN_BASE = ("tensorflow", "keras", "grain", "h5py", "openvino")


def run(*command: str | Path, cwd: Path, code: int = 0) -> str:
    """What a program says, in an environment that knows nothing of this repository."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    said = done.stdout + done.stderr
    assert done.returncode == code, f"{' '.join(map(str, command))}: exit {done.returncode}\n{said[-4000:]}"
    return said


def new_environment(folder: Path, *arguments: str | Path) -> Path:
    """A virtual environment into which pip has installed that; returns the folder of its programs."""
    run(sys.executable, "-m", "venv", folder, cwd=ROOT)
    run(folder / "bin" / "python", "-m", "pip", "install", "--quiet", *arguments, cwd=folder)
    return folder / "bin"


@dataclass(frozen=True)
class Built:
    """What was built from the sources."""

    wheel: Path
    sdist: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("built")
    builder = new_environment(folder / "builder", "hatchling>=1.27")
    run(builder / "python", "-m", "hatchling", "build", "-t", "sdist", "-t", "wheel", "-d", folder / "dist", cwd=ROOT)
    (wheel,), (sdist,) = (folder / "dist").glob("*.whl"), (folder / "dist").glob("*.tar.gz")
    return Built(wheel, sdist)


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if not name.endswith("/")}


def test_the_wheel_holds_the_package_and_nothing_beside_it(built: Built) -> None:
    names = names_in(built.wheel)
    package, info = sorted({name.partition("/")[0] for name in names})
    assert (package, info) == ("segscale", "segscale-0.1.0.dist-info")
    tracked = run("git", "ls-files", *ROOMS, "segscale", cwd=ROOT).split()
    # The rooms stand beside the package, which holds links to them and a few files of its own.
    own = {name for name in tracked if name.startswith("segscale/") and not (ROOT / name).is_symlink()}
    expected = own | {f"segscale/{name}" for name in tracked if not name.startswith("segscale/")}
    assert {name for name in names if name.startswith("segscale/")} == expected


def test_a_wheel_made_of_the_source_distribution_is_the_same(built: Built, tmp_path: Path) -> None:
    with tarfile.open(built.sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (sources,) = tmp_path.iterdir()
    builder = built.wheel.parents[1] / "builder" / "bin" / "python"
    run(builder, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path / "dist", cwd=sources)
    (again,) = (tmp_path / "dist").glob("*.whl")
    assert names_in(again) == names_in(built.wheel)


@pytest.fixture(scope="module")
def installed(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The programs of an environment that holds the wheel with an extra, or alone (""), and nothing else."""

    @cache
    def install(extra: str) -> Path:
        folder = tmp_path_factory.mktemp(extra or "base") / "venv"
        wheel = f"{built.wheel}[{extra}]" if extra else str(built.wheel)
        return new_environment(folder, "-c", ROOT / "constraints.txt", wheel)

    return install


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a user, in which all commands are given."""
    return make_own_packages(tmp_path_factory.mktemp("project"))


def write(path: Path, sections: dict[str, dict[str, str]]) -> Path:
    path.write_text(
        "\n".join(
            f"[{name}]\n" + "\n".join(f"{key} = {value}" for key, value in keys.items())
            for name, keys in sections.items()
        )
    )
    return path


def trains(phantoms: Path, project: Path) -> dict[str, dict[str, str]]:
    return {
        "dataset": {
            "name": '"phantom"', "manifest": f'"{phantoms}/manifest.csv"', "label_values": "[0, 255]", "channels": "1",
        },
        "store": {"path": f'"{project}/trained"'},
        "train": {
            "output": f'"{project}/model.keras"', "epochs": "1", "filters": "[2, 4, 4]", "patch": "32",
            "batch_size": "4", "split_by": '"site"', "validation": '["north"]',
        },
    }  # fmt: skip


def test_the_base_scores_on_workers_and_reads_reports(
    installed: Callable[[str], Path], project: Path, phantoms: Path
) -> None:
    programs = installed("")
    found = run(
        programs / "python", "-c",
        "import segscale, importlib.util as util, sys;"
        "print(segscale.__file__, [name for name in sys.argv[1:] if util.find_spec(name)])",
        *NOT_IN_BASE, cwd=project,
    )  # fmt: skip
    assert found.split() == [str(next(programs.parent.glob("lib/*/site-packages/segscale/__init__.py"))), "[]"]
    config = write(project / "scored.toml", score_sections(phantoms, project / "scored"))
    report = run(programs / "segscale", "run", config, "--workers", "2", cwd=project).split("report: ")[-1].split()[0]
    for command in (["rescore", report], ["compare", report, report], ["diagnose", report], ["verify", config]):
        run(programs / "segscale", *command, cwd=project)


def test_the_quickstart_is_what_the_base_says(
    installed: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a new user types it, who has the wheel and the page, and no clone."""
    monkeypatch.delenv("PYTHONPATH", raising=False)
    steps = runpy.run_path(str(ROOT / "docs" / "scripts" / "first_steps.py"))
    said = steps["page_text"]("quickstart.md", tmp_path, (str(installed("") / "segscale"),))
    assert_same_page(said, (ROOT / "docs" / "quickstart.md").read_text(encoding="utf-8"))


NO_NETWORK = (
    "model.path: predicting needs TensorFlow and Keras, which are not installed: pip install 'segscale[predict]'"
)
NO_TRAINING = (
    "train: training needs TensorFlow, Keras, Grain and h5py, which are not installed: pip install 'segscale[train]'"
)


@pytest.mark.parametrize(("command", "said"), [("run", NO_NETWORK), ("predict", NO_NETWORK), ("train", NO_TRAINING)])
def test_the_base_names_the_extra_that_is_missing(
    installed: Callable[[str], Path], project: Path, phantoms: Path, command: str, said: str
) -> None:
    sections = trains(phantoms, project)
    sections["model"] = {"path": '"phantom"'}
    config = write(project / "missing.toml", sections)
    *before, last = run(installed("") / "segscale", command, config, cwd=project, code=2).splitlines()
    assert last == f"segscale: {said}"
    # What is evaluated is said first, and nothing else.
    assert all(line.startswith((f"{command}: data set phantom, store ", "images: ")) for line in before)
    assert not (project / "trained").exists()


def test_with_predict_the_demo_runs(installed: Callable[[str], Path], project: Path) -> None:
    said = run(installed("predict") / "segscale", "demo", "--output", "demo", "--images", "24", cwd=project)
    assert "24 images, 0 failed" in said
    assert "predict: openvino" in said


def test_with_train_a_network_is_trained_and_its_history_diagnosed(
    installed: Callable[[str], Path], project: Path, phantoms: Path
) -> None:
    config = write(project / "train.toml", trains(phantoms, project))
    run(installed("train") / "segscale", "train", config, cwd=project)
    assert (project / "model.keras").is_file()
    # Whoever reads the history needs no network: the base will do.
    run(installed("") / "segscale", "diagnose", project / "model.training", cwd=project)
