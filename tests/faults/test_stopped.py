"""Ctrl-C, SIGTERM and SIGHUP in a terminal, at every stage: the end in time, with nothing left, and a run that resumes.

`STAGES` says by what a stage is known to be under way; the signal is sent at that moment.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import SEGSCALE
from tests.end_to_end.score_set import score_sections
from tests.faults.terminal import Terminal, in_terminal

# Ten are promised; on a machine that does other things at the same time a Python process alone may take some to go.
SECONDS = 20
CODES = {"ctrl-c": 130, "SIGINT": 130, "SIGTERM": 143, "SIGHUP": 129, "hangup": 129}
SAID = {130: "segscale: interrupted", 143: "segscale: ended by SIGTERM", 129: "segscale: ended by SIGHUP"}
PLANT = Path(__file__).with_name("imported")


@dataclass(frozen=True)
class Stage:
    """Where a command is when the signal comes."""

    command: str
    begun: Callable[[str, Path], object]
    """Of what is shown, and of the working folder."""
    model: bool = False
    cluster: bool = False
    """Whether one is asked for; else existing predictions are scored by processes that the driver starts."""
    imports: str = ""
    """Known by a module that is imported."""


def in_ledger(stage: str) -> Callable[[str, Path], object]:
    return lambda _, work: any((work / "store" / "ledger" / stage).glob("*.json"))


def imported(_: str, work: Path) -> object:
    return (work / "imported").exists()


STAGES = {
    "start": Stage("run", imported, imports="pydantic"),
    "processes": Stage("run", imported, imports="segscale.tasks.pair_counts"),
    "cluster": Stage("run", imported, cluster=True, imports="distributed.nanny"),
    "scan": Stage("run", lambda shown, _: "files to look at" in shown, model=True),
    "ingest": Stage("run", in_ledger("ingest"), model=True),
    "plan": Stage("run", lambda shown, _: "ingest: " in shown, model=True),
    "predict": Stage("run", lambda shown, _: "predict: " in shown, model=True),
    "score": Stage("run", in_ledger("score")),
    "score on a cluster": Stage("run", in_ledger("score"), cluster=True),
    "report": Stage("run", imported, imports="matplotlib"),
    "train": Stage("train", lambda _, work: (work / "model.training").exists()),
}
WAYS: dict[str, tuple[str, ...]] = {"direct": (), "own server": ("--prefect",), "configured server": ()}
HOWS = ("ctrl-c", "SIGINT", "SIGTERM", "group:SIGTERM", "SIGHUP", "group:SIGHUP", "hangup")
GATE = [
    ("score", "ctrl-c", "direct"),
    ("score on a cluster", "group:SIGTERM", "direct"),
    ("cluster", "ctrl-c", "direct"),
]


def matrix() -> list[Any]:
    """Every stage in each way, with signals that change from one to the next, and all signals where it is cheap."""
    hows = list(HOWS)
    cases = [(stage, hows[(at + shift) % len(hows)], way)
             for shift, way in ((0, "direct"), (2, "own server"), (4, "configured server"))
             for at, stage in enumerate(STAGES)]  # fmt: skip
    cases += [("score", how, "direct") for how in hows if ("score", how, "direct") not in cases]
    nightly = pytest.mark.nightly(part="drivers")
    rest = [pytest.param(*case, marks=nightly) for case in cases if case not in GATE]
    return [*(pytest.param(*case, marks=pytest.mark.slow) for case in GATE), *rest]


def environment_of(segscale: Any, work: Path, stage: Stage) -> dict[str, str]:
    path = os.pathsep.join([str(PLANT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**segscale.environment, "PYTHONPATH": path, "IMPORTED_MODULE": stage.imports,
            "IMPORTED_FILE": str(work / "imported")}  # fmt: skip


def write_run(write_config: Callable[..., Path], phantoms: Path, work: Path, stage: Stage) -> Path:
    sections = score_sections(phantoms, work, shard_images="4")
    if stage.model:
        sections["predictions"], sections["model"] = {}, {"path": '"phantom"', "precision": '"float32"'}
    if stage.cluster:
        sections["cluster"] = {"workers": "2"}
    sections["train"] = {"output": f'"{work}/model.keras"', "epochs": "100"}
    return write_config(**sections)


@pytest.mark.parametrize(("name", "how", "way"), matrix())
def test_it_ends_in_time_in_one_line_and_leaves_nothing(
    request: pytest.FixtureRequest, phantoms: Path, tmp_path: Path, write_config: Callable[..., Path],
    name: str, how: str, way: str,
) -> None:  # fmt: skip
    stage = STAGES[name]
    segscale = request.getfixturevalue("segscale_in_prefect" if way == "configured server" else "segscale")
    config = write_run(write_config, phantoms, tmp_path, stage)
    environment = environment_of(segscale, tmp_path, stage)
    command: tuple[str | Path, ...] = (SEGSCALE, stage.command, config, *WAYS[way])
    with in_terminal(*command, environment=environment, cwd=tmp_path) as terminal:
        terminal.await_event(lambda shown: stage.begun(shown, tmp_path))
        code = CODES[how.removeprefix("group:")]
        check_end(terminal, how, code)
    if (name, how, way) in GATE:
        done = segscale("run", config)
        assert done.code == 0, done.err
        (report,) = (tmp_path / "reports" / "phantom").iterdir()
        assert json.loads((report / "run.json").read_text())["n_images"] == 48


def check_end(terminal: Terminal, how: str, code: int) -> None:
    terminal.send(how)
    assert terminal.await_end(SECONDS) == code
    if not terminal.hung_up:
        shown = terminal.shown.decode(errors="replace")
        assert "Traceback" not in shown, shown
        assert (
            shown.strip().splitlines()[-1].endswith(f"{SAID[code]}; what was committed stays, run again to resume")
        ), shown
        assert shown.count("segscale: ") == 1, shown


LOCKED = "import ctypes; ctypes.PyDLL(None).sleep(600)"


@pytest.mark.slow
def test_workers_that_hold_pythons_lock_end_with_a_killed_driver(tmp_path: Path) -> None:
    program = (
        "from segscale.flows.config.cluster import Cluster\n"
        "from segscale.flows.workers import Workers\n"
        "if __name__ == '__main__':\n"
        "    with Workers(Cluster(workers=1)) as workers:\n"
        f"        future = workers.client.submit(exec, \"open('begun', 'w').close(); {LOCKED}\")\n"
        "        future.result()\n"
    )
    (tmp_path / "driver.py").write_text(program)
    command = (sys.executable, tmp_path / "driver.py")
    environment = {**os.environ, "DASK_TEMPORARY_DIRECTORY": str(tmp_path)}
    with in_terminal(*command, environment=environment, cwd=tmp_path) as terminal:
        terminal.await_event(lambda _: any(tmp_path.rglob("begun")))
        assert len(terminal.family()) > 1
        terminal.send("SIGKILL")
        assert terminal.await_end(SECONDS) == -9


@pytest.mark.nightly(part="drivers")
def test_the_server_of_a_run_ends_with_a_killed_driver(
    segscale: Any, phantoms: Path, tmp_path: Path, write_config: Callable[..., Path]
) -> None:
    config = write_run(write_config, phantoms, tmp_path, STAGES["score"])
    command = (SEGSCALE, "run", config, "--prefect")
    with in_terminal(*command, environment=segscale.environment, cwd=tmp_path) as terminal:
        terminal.await_event(lambda shown: in_ledger("score")(shown, tmp_path))
        assert any("uvicorn" in process.cmdline() for process in terminal.family())
        terminal.send("SIGKILL")
        assert terminal.await_end(SECONDS) == -9
