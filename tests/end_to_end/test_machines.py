"""docs/machines.md: runs where something is missing that most machines have, each as the page says."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.conftest import SEGSCALE
from tests.end_to_end.score_set import score_sections

DEAD = "http://127.0.0.1:9"
PROXIES = dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"), DEAD)
OTHER_USER = ("unshare", "--user", "--map-user=54321", "--map-group=54321")
"""Of no table of users, and without the rights of root."""
NO_HOME = "/proc/nobody"
NAMES = ["çığ_1", "çığ_2", "ILIK"]
"""No ASCII, or in Turkish others in small letters than elsewhere."""
ROOM = Path(__file__).parents[2] / "tasks"


@dataclass(frozen=True)
class Machine:
    """What of a machine is special, and how a run ends there."""

    before: tuple[str, ...] = ()
    """Put before the command."""
    environment: dict[str, str] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    """Variables that are not there."""
    code: int = 0
    says: str = ""
    prefect: bool = False
    workers: int = 0
    """Of a cluster that is asked for; 0: none is."""
    needs: str = "sh"
    """A program."""


def shell(*commands: str) -> tuple[str, ...]:
    return ("/bin/sh", "-c", "; ".join([*commands, 'exec "$0" "$@"']))


def mounted(*commands: str) -> tuple[str, ...]:
    return ("unshare", "--mount", *shell(*commands))


MACHINES = {
    "proxy": Machine(environment=PROXIES, prefect=True, says="prefect: shown at"),
    "no server": Machine(environment={"PREFECT_API_URL": f"{DEAD}/api"}, code=2, says="PREFECT_API_URL: expected a"),
    "no home": Machine(environment={"HOME": NO_HOME}),
    "user id": Machine(before=OTHER_USER, environment={"HOME": NO_HOME}, needs="unshare"),
    "user id and no HOME": Machine(before=OTHER_USER, without=("HOME", "PREFECT_HOME"), needs="unshare"),
    "package folder": Machine(before=mounted(f"mount --bind -o ro {ROOM} {ROOM}"), needs="unshare"),
    "no cache": Machine(
        before=mounted(f"mount --bind -o ro {ROOM} {ROOM}"), environment={"HOME": NO_HOME},
        says="numba: every process compiles anew", needs="unshare",
    ),
    "no /dev/shm": Machine(before=mounted("mount -t tmpfs -o ro none /dev/shm"), needs="unshare"),
    "no /dev/shm for a cluster": Machine(
        before=mounted("mount -t tmpfs -o ro none /dev/shm"), workers=2, code=2, says="need semaphores", needs="unshare"
    ),
    "ulimit -n 256": Machine(before=shell("ulimit -n 256")),
    "ports": Machine(),
    "TMPDIR": Machine(environment={"TMPDIR": "/proc/nowhere"}),
    "LC_ALL=C": Machine(environment={"LC_ALL": "C"}),
    "tr_TR": Machine(environment={"LC_ALL": "tr_TR.ISO-8859-9"}, needs="localedef"),
}  # fmt: skip


@pytest.fixture
def taken() -> Iterator[None]:
    """The ports that Prefect and Dask are known by are somebody else's; where one is already, the better."""
    with ExitStack() as opened:
        for port in (4200, 8786, 8787):
            listener = opened.enter_context(socket.socket())
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            listener.listen()
        yield


@pytest.mark.nightly(part="drivers")
@pytest.mark.usefixtures("taken")
@pytest.mark.parametrize("name", MACHINES)
def test_a_run_ends_as_the_page_says(
    request: pytest.FixtureRequest, phantoms: Path, tmp_path: Path, write_config: Callable[..., Path], name: str
) -> None:
    machine = MACHINES[name]
    segscale = request.getfixturevalue("segscale_in_prefect" if machine.prefect else "segscale")
    if shutil.which(machine.needs) is None:
        pytest.skip(f"{machine.needs} is not here")
    if machine.needs == "unshare" and subprocess.run([*machine.before, "true"], check=False).returncode:
        pytest.skip("this needs root, or namespaces of users")
    environment = {**segscale.environment, **machine.environment}
    if name == "tr_TR":
        folder = tmp_path / "locales"
        folder.mkdir()
        command = ["localedef", "-i", "tr_TR", "-f", "ISO-8859-9", str(folder / "tr_TR.ISO-8859-9")]
        if subprocess.run(command, check=False).returncode:
            pytest.skip("the sources of locales are not here")
        environment["LOCPATH"] = str(folder)
    for variable in machine.without:
        environment.pop(variable, None)
    sections = score_sections(few(phantoms, tmp_path), tmp_path)
    config = write_config(**sections, cluster={"workers": str(machine.workers)})
    done = run_at(machine.before, environment, config)
    assert (done.returncode, "Traceback" in done.stderr) == (machine.code, False), done.stderr
    assert machine.says in done.stderr
    if machine.code == 0:
        (report,) = (tmp_path / "reports" / "phantom").iterdir()
        # A locale with an encoding of its own reads names in it, as every program there does.
        seen = [name.encode().decode("iso-8859-9") for name in NAMES] if machine.needs == "localedef" else NAMES
        assert set(pd.read_parquet(report / "per_image.parquet")["image_id"]) == set(seen)


def few(phantoms: Path, work: Path) -> Path:
    """Three images of these names."""
    for folder in ("images", "masks", "predictions"):
        (work / "data" / folder).mkdir(parents=True)
        for number, stem in enumerate(NAMES):
            shutil.copy(phantoms / folder / f"phantom_000{number}.png", work / "data" / folder / f"{stem}.png")
    return work / "data"


def run_at(before: tuple[str, ...], environment: dict[str, str], config: Path) -> Any:
    return subprocess.run(
        [*before, SEGSCALE, "run", str(config)], env=environment, capture_output=True, text=True, check=False,
        # In a locale with an encoding of its own names are printed in that.
        errors="backslashreplace", timeout=600,
    )  # fmt: skip


def test_little_memory_is_one_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    from segscale.flows.cluster import machine
    from segscale.flows.config.cluster import Cluster

    monkeypatch.setattr(machine, "core_count", lambda: 16)
    for gigabytes, workers in ((2, 1), (5, 1), (7, 2), (600, 16)):
        monkeypatch.setattr(machine, "memory_bytes", lambda found=gigabytes * 1000**3: found)
        assert machine.local_workers(Cluster()) == workers


@pytest.mark.parametrize("given", ["", "intern.example", "127.0.0.1, intern.example", "*"])
def test_servers_on_this_machine_are_asked_without_a_proxy(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    import urllib.request

    from segscale.flows.cli.terminal import _pass_proxies

    for name, value in {**PROXIES, "no_proxy": given, "NO_PROXY": given}.items():
        monkeypatch.setenv(name, value)
    _pass_proxies()
    for host in ("localhost", "127.0.0.1", *filter(None, given.replace("*", "any.example").split(", "))):
        assert urllib.request.proxy_bypass(host)
    assert bool(urllib.request.proxy_bypass("elsewhere.example")) == (given == "*")


def test_the_cache_of_compiled_loops_gives_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from segscale.tasks import compiled

    (tmp_path / "file").touch()
    monkeypatch.setattr(compiled, "_FOLDER", tmp_path / "file" / "metrics")
    kept_in = compiled._kept_in.__wrapped__
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    found = kept_in("")
    assert found is not None
    assert found.parent == tmp_path / "home" / ".cache" / "segscale"
    monkeypatch.setenv("HOME", str(tmp_path / "file" / "home"))
    assert kept_in("") is None
    assert kept_in(str(tmp_path / "file" / "asked")) is None
