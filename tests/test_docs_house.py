"""docs/architecture.md, docs/decisions.md and CONTRIBUTING.md: what they name is there, and examples run."""

from __future__ import annotations

import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from segscale.errors import ConfigError, UnreadableImage
from segscale.flows.config.cluster import Cluster
from segscale.tasks.metrics.count_columns import COUNTS, CountColumns
from segscale.tasks.metrics.settings import ScoreSettings
from segscale.tasks.phantom import write_phantoms
from segscale.tasks.readers import formats

ROOT = Path(__file__).parents[1]
ROOMS = ("segscale", "flows", "tasks", "storage")
PAGES = ("docs/architecture.md", "docs/decisions.md", "CONTRIBUTING.md", "README.md")
FOLDERS = ("flows", "tasks", "storage", "segscale", "tests", "docs", "benchmarks", "deploy", "examples")
MADE_UP = re.compile(r"NAME\.py$|/x\.py$|test_x\.py$|test_pgm\.py$|test_ssh\.py$")
"""Files that somebody who follows CONTRIBUTING.md makes."""
each_page = pytest.mark.parametrize("page", PAGES)


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def table_of_files() -> list[str]:
    """The patterns of the table of files; a name without a folder lies in that of the room named first in its row."""
    patterns = []
    for row in re.findall(r"^\| (`\S+\.py`.*?) \|", text_of("docs/architecture.md"), re.MULTILINE):
        first, *others = re.findall(r"`([^`]+)`", row)
        folder = first.rpartition("/")[0] if first.count("/") == 1 else first.split("/")[0]
        patterns += [first, *(f"{folder}/{name}" for name in others)]
    return patterns


def modules() -> list[str]:
    found = [path for room in ROOMS[1:] for path in (ROOT / room).rglob("*.py")] + list(ROOT.glob("segscale/*.py"))
    return sorted(path.relative_to(ROOT).as_posix() for path in found if path.read_text().strip())


def is_in(module: str, pattern: str) -> bool:
    """As a shell has it: a star stands for no slash."""
    return module.count("/") == pattern.count("/") and fnmatch(module, pattern)


def test_every_module_stands_in_the_table_of_files() -> None:
    patterns = table_of_files()
    of_packages = {f"{room}/__init__.py" for room in ROOMS} | {"segscale/__main__.py"}
    missing = [name for name in modules() if not any(is_in(name, one) for one in patterns)]
    assert [name for name in missing if name not in of_packages] == []


def test_every_pattern_of_the_table_stands_for_a_module() -> None:
    found = modules()
    assert [one for one in table_of_files() if not any(is_in(name, one) for name in found)] == []


@each_page
def test_files_that_a_page_names_are_there(page: str) -> None:
    named = re.findall(rf"`((?:{'|'.join(FOLDERS)})/[\w./*-]+)`", text_of(page))
    assert [path for path in named if not (MADE_UP.search(path) or list(ROOT.glob(path.rstrip("/"))))] == []


@each_page
def test_links_of_a_page_lead_somewhere(page: str) -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)", text_of(page)) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / page).parent.joinpath(link).exists()] == []


@each_page
def test_names_of_modules_on_a_page_are_there(page: str) -> None:
    for name in set(re.findall(r"\bsegscale(?:\.\w+)+", text_of(page))):
        parts = name.split(".")
        there = [n for n in range(1, len(parts) + 1) if module_file(parts[:n])]
        assert there, name
        held = module_file(parts[: there[-1]])
        assert held is not None
        attributes = parts[there[-1] :]
        assert len(attributes) <= 1, f"{name}: no such module"
        assert all(re.search(rf"\b{attribute}\b", held.read_text()) for attribute in attributes), f"{name} is not there"


def module_file(parts: list[str]) -> Path | None:
    path = ROOT.joinpath(*parts)
    return next((one for one in (path.with_suffix(".py"), path / "__init__.py") if one.exists()), None)


def example(name: str) -> dict[str, Any]:
    """The names that an example of CONTRIBUTING.md makes."""
    found = re.search(
        rf"^<!-- example: {name} -->\n```python\n(.*?)^```$", text_of("CONTRIBUTING.md"), re.MULTILINE | re.DOTALL
    )
    assert found, f"CONTRIBUTING.md: no example {name}"
    names: dict[str, Any] = {"__name__": f"example_{name}"}
    exec(compile(found[1], f"CONTRIBUTING.md, {name}", "exec"), names)
    return names


def test_the_reader_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = example("reader")["PgmReader"]()
    known = formats.readers()
    monkeypatch.setattr(formats, "readers", lambda _: (*known, reader))
    data = b"P5 3 2 255\n" + bytes([0, 1, 2, 3, 4, 255])
    picture = formats.read_picture(data, "a.pgm")
    assert formats.read_header(data, "a.pgm").shape == picture.pixels.shape == (1, 2, 3, 1)
    assert picture.pixels.ravel().tolist() == [0, 1, 2, 3, 4, 255]
    for damaged in (b"", b"P6 3 2 255\n", data[:-3], b"P5 3 2 65535\n" + bytes(12)):
        with pytest.raises(UnreadableImage):
            formats.read_picture(damaged, "a.pgm")


def test_the_score_scores() -> None:
    counts = CountColumns(**{name: np.array([2.0, 0.0]) for name in COUNTS})
    made = example("score")
    assert made["negative_predictive_value"](tn=8, fn=2) == 0.8
    assert made["NPV"].score(counts, ScoreSettings()).tolist() == pytest.approx([0.5, np.nan], nan_ok=True)


def test_the_engine_computes() -> None:
    engine = example("engine")["BrightnessEngine"]()
    recipe = np.array([[0, 255, 0, 255]], np.float32)
    found = engine.probabilities(np.array([[[[0], [51]], [[255], [102]]]], np.uint8), recipe)
    assert found.dtype == np.float32
    assert found.shape == (1, 1, 2, 2, 1)
    assert found.ravel().tolist() == pytest.approx([0, 0.2, 1, 0.4])


def test_the_cluster_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr("distributed.SSHCluster", lambda hosts, **options: asked.append((hosts, options)))
    made = example("cluster")
    made["ssh_cluster"](SimpleNamespace(hosts=("a", "b")))
    assert asked == [(["a", "b"], {"worker_options": {"nthreads": 1}})]
    made["find_spec"] = lambda _: None
    with pytest.raises(ConfigError, match="install the extra ssh"):
        made["check_ssh"](Cluster())


def test_the_finding_is_found() -> None:
    few_images = example("finding")["few_images"]
    keys = {"unit": "image", "stratum": "", "class_index": 1, "class_name": "lesion", "metric": "dice"}
    row = keys | {"n_defined": 3, "n_images": 4}
    found = few_images(pd.DataFrame([row]))
    assert found is not None
    assert found.evidence == "class lesion: Dice is defined for 3 of 4 images"
    assert few_images(pd.DataFrame([{**row, "n_defined": 10}])) is None


def test_a_run_is_debugged_in_its_own_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_phantoms(tmp_path, 4, seed=1)
    (tmp_path / "config.toml").write_text(
        '[dataset]\nname = "drawn"\nimages = "images/*.png"\nreferences = "masks/*.png"\nlabel_values = [0, 255]\n'
        "same_files = true\n"
        '[predictions]\npath = "masks/*.png"\n[store]\npath = "store"\n'
    )
    monkeypatch.chdir(tmp_path)
    run = example("debug")["run"]
    assert run.counted.stage == "score"
    assert len(list((tmp_path / "store" / "ledger" / "score").iterdir())) == len(run.counted.keys) > 0


def test_every_extra_that_is_asked_for_is_there() -> None:
    extras = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
    asked: set[str] = set()
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for names in re.findall(r"'(?:\.|segscale)\[([\w,-]+)\]'", path.read_text(encoding="utf-8")):
            asked |= set(names.split(","))
    assert asked == extras - {"dev", "docs", "oracles"}, "those three are for who works on Segscale"
