"""The real thing: the installed command in processes of its own, and a Prefect server where a test asks for one."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

import psutil
import pytest
from PIL import Image

from segscale.tasks.phantom import write_phantoms

if TYPE_CHECKING:
    from tests.storage.s3_server import S3Server

SEGSCALE = str(Path(sys.executable).with_name("segscale"))

# Prefect has a home that belongs to this run of the tests: neither somebody's profile nor another run changes anything.
if "PYTEST_XDIST_WORKER" not in os.environ:
    _PREFECT_HOME = tempfile.TemporaryDirectory(prefix="segscale-prefect-")
    os.environ["PREFECT_HOME"] = _PREFECT_HOME.name
    os.environ.update(PREFECT_SERVER_ANALYTICS_ENABLED="false", DO_NOT_TRACK="1", TF_CPP_MIN_LOG_LEVEL="3")
    os.environ.pop("PREFECT_API_URL", None)
    os.environ.pop("PREFECT_PROFILE", None)

# Not every environment that runs tests has Hypothesis (`make oracles`). Tests whose examples are costly set a number of
# their own.
if find_spec("hypothesis"):
    from hypothesis import settings

    settings.register_profile("gate", max_examples=15, deadline=None, derandomize=True)
    settings.register_profile("nightly", max_examples=200, deadline=None)
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "gate"))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first: begun last, one would keep one processor busy while the others have nothing."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Segscale:
    """Runs the command, in an environment that belongs to the tests."""

    environment: dict[str, str]

    def with_environment(self, **variables: str) -> Segscale:
        return Segscale({**self.environment, **variables})

    def start(self, *arguments: str | Path, cwd: Path | None = None) -> subprocess.Popen[str]:
        command = [SEGSCALE, *map(str, arguments)]
        return subprocess.Popen(
            command, env=self.environment, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def __call__(self, *arguments: str | Path) -> Outcome:
        process = self.start(*arguments)
        try:
            out, err = process.communicate(timeout=840)
        finally:
            process.kill()
        return Outcome(process.returncode, out, err)


@pytest.fixture(scope="session")
def segscale(tmp_path_factory: pytest.TempPathFactory) -> Segscale:
    """The command as users have it who run no Prefect server."""
    home = tmp_path_factory.mktemp("prefect")
    cache = _shared_folder(tmp_path_factory) / "cache"
    return Segscale({**os.environ, "PREFECT_HOME": str(home), "SEGSCALE_CACHE": str(cache)})


@pytest.fixture(scope="session")
def segscale_in_prefect(segscale: Segscale) -> Iterator[Segscale]:
    """The same where PREFECT_API_URL names a server, which is started for the tests."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shown = segscale.with_environment(PREFECT_API_URL=f"http://127.0.0.1:{port}/api")
    prefect = str(Path(sys.executable).with_name("prefect"))
    path = Path(shown.environment["PREFECT_HOME"]) / "server.log"
    with path.open("w") as log:
        server = subprocess.Popen(
            [prefect, "server", "start", "--host", "127.0.0.1", "--port", str(port)],
            env=shown.environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        await_server(server, f"{shown.environment['PREFECT_API_URL']}/health", path)
        yield shown
    finally:
        processes = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
        for process in processes:
            process.terminate()
        psutil.wait_procs(processes, timeout=20)


@pytest.fixture
def segscale_here(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Outcome]]:
    """The command in this process, for what it refuses: nothing was started by then, and a start takes seconds."""
    from segscale.flows.cli.main import run

    def command(*arguments: str | Path) -> Outcome:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return Outcome(code, said.out, said.err)

    # A command settles its environment for as long as its process lives.
    with mock.patch.dict(os.environ):
        yield command


@pytest.fixture(autouse=True)
def nobody_settled_what_is_logged() -> None:
    """A command settles it for as long as its process lives, here that of all tests after it."""
    logger = logging.getLogger("segscale")
    logger.handlers.clear()
    logger.setLevel(logging.NOTSET)
    logger.propagate = True


def _shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this run of the tests, the same one for all its processes: models are converted once."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


def await_server(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    for _ in range(600):
        if server.poll() is not None:
            break
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                if answer.status == 200:
                    return
        except OSError:
            pass
        try:
            # Waits for the server's end, which is not to come, for as long as the pause between two questions.
            server.wait(timeout=0.2)
        except subprocess.TimeoutExpired:
            continue
    raise AssertionError(f"the Prefect server did not come up:\n{log.read_text()[-2000:]}")


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """An S3 server of the tests, in a process of its own; each test makes a bucket of its own."""
    # Not every environment that runs tests has s3fs (`make oracles`).
    from tests.storage.s3_server import running_server

    with running_server() as server:
        yield server


@pytest.fixture(scope="session")
def rclone_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A second implementation of S3, which knows no conditional writes."""
    from tests.storage.s3_server import running_rclone

    with running_rclone(tmp_path_factory.mktemp("rclone")) as server:
        yield server


@pytest.fixture
def s3_bucket(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a fresh bucket that this process, and those that it starts, can reach."""
    with s3_server.reachable(monkeypatch):
        yield s3_server.new_bucket()


@pytest.fixture
def rclone_bucket(rclone_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The same on the server without conditional writes."""
    with rclone_server.reachable(monkeypatch):
        yield rclone_server.new_bucket()


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 phantoms with the predictions of a made-up method: the reference without its first 40 rows."""
    folder = tmp_path_factory.mktemp("phantoms")
    write_phantoms(folder, 48, seed=3)
    (folder / "predictions").mkdir()
    for mask in (folder / "masks").glob("*.png"):
        with Image.open(mask) as image:
            prediction = image.copy()
        prediction.paste(0, (0, 0, prediction.width, 40))
        prediction.save(folder / "predictions" / mask.name)
    return folder


@pytest.fixture
def write_config(tmp_path: Path) -> Callable[..., Path]:
    """Write a TOML file from tables of keys whose values are TOML already."""

    def write(name: str = "config.toml", **sections: dict[str, str]) -> Path:
        path = tmp_path / name
        path.write_text(
            "\n".join(
                f"[{section}]\n" + "\n".join(f"{key} = {value}" for key, value in keys.items())
                for section, keys in sections.items()
            )
        )
        return path

    return write


@pytest.fixture(scope="session")
def nuclei_folder() -> Path:
    """The real images, where they are: SEGSCALE_DATA, or shared/data beside the repository."""
    root = Path(__file__).parents[1]
    folder = Path(os.environ.get("SEGSCALE_DATA", root.parent / "shared" / "data")) / "nuclei"
    if not folder.is_dir():
        pytest.skip("the nuclei set is not here; set SEGSCALE_DATA")
    return folder
