"""What a command costs that has nothing to do: python benchmarks/start_up.py --base DIR [--rounds 5]

The commands of an earlier version, whose checkout is DIR (git worktree add DIR 0bb167e), beside those of this one, in
turns: a run in which nothing has changed, a wrong path in the configuration, --help, and the first again with a Prefect
server that runs already. 24 drawn images, scored, one worker; each version has a store of its own, filled before by a
run of its own. Printed are seconds by the clock until the command has ended, and of the processors, all processes of
the command together (the Prefect server in the last lines is none of them).
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from PIL import Image

from segscale.tasks.phantom import write_phantoms

ROOT = Path(__file__).resolve().parents[1]
OLD_MAIN = "from flows.cli import main; main()"
NEW_MAIN = "from segscale.flows.cli.main import main; main()"
N_IMAGES, SEED, MISSED_ROWS = 24, 3, 40
COMMAND_SECONDS, SERVER_SECONDS = 600, 120


@dataclass(frozen=True, slots=True)
class Version:
    """A version of the command, with a folder of its own for all that it keeps."""

    name: str
    start: tuple[str, ...]
    """What python is given before the arguments of the command."""
    folder: Path
    environment: Mapping[str, str]
    python: str = sys.executable

    def __call__(self, *arguments: str) -> Outcome:
        before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        answer = subprocess.run(
            [self.python, *self.start, *arguments],
            cwd=self.folder,
            env=dict(self.environment),
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
        )
        wall, after = time.monotonic() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
        processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return Outcome(wall, processor, answer.returncode, answer.stdout, answer.stderr)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended, and what it cost in seconds; of the processors, with all that it started and waited for."""

    wall: float
    processor: float
    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Figures:
    """What a case cost both versions, round by round."""

    case: str
    goal: float
    """The ratio of the medians, new to old, that is asked for."""
    old: list[Outcome] = field(default_factory=list)
    new: list[Outcome] = field(default_factory=list)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, required=True, metavar="DIR", help="the checkout of the earlier version")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        measure(options.base.resolve(), Path(folder), options.rounds)


def measure(base: Path, folder: Path, rounds: int) -> None:
    """Print the figures of both versions."""
    draw(folder / "data")
    has_door = (ROOT / "segscale" / "__main__.py").exists()
    old = made_version(commit_of(base), base, ("-c", OLD_MAIN), folder / "old")
    new = made_version("now", ROOT, ("-m", "segscale") if has_door else ("-c", NEW_MAIN), folder / "new")
    print(f"load {os.getloadavg()[0]:.1f}; {N_IMAGES} images, {rounds} rounds", flush=True)
    figures = [
        in_turns("nothing changed", 0.3, old, new, nothing_changed, rounds),
        in_turns("a wrong path", 0.15, old, new, wrong_path, rounds),
        in_turns("--help", 1.0, old, new, show_help, rounds),
    ]
    with prefect_server(folder / "server") as url:
        old, new = (replace(one, environment={**one.environment, "PREFECT_API_URL": url}) for one in (old, new))
        figures.append(in_turns("nothing changed, with a server", 1.0, old, new, nothing_changed, rounds))
    show(figures, old.name, new.name)
    print(f"load {os.getloadavg()[0]:.1f} at the end")


def draw(folder: Path) -> None:
    """Phantoms, and the predictions of a method that misses what lies at the top."""
    write_phantoms(folder, N_IMAGES, SEED)
    (folder / "predictions").mkdir()
    for path in sorted((folder / "masks").glob("*.png")):
        with Image.open(path) as mask:
            prediction = mask.copy()
        prediction.paste(0, (0, 0, prediction.width, MISSED_ROWS))
        prediction.save(folder / "predictions" / path.name)


def commit_of(checkout: Path) -> str:
    """The short hash of what is checked out, or the name of the folder."""
    answer = subprocess.run(["git", "-C", checkout, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return answer.stdout.strip() or checkout.name


def made_version(name: str, checkout: Path, start: tuple[str, ...], folder: Path) -> Version:
    """A version with its configurations; nothing that Prefect or Python is told elsewhere reaches it."""
    folder.mkdir()
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PREFECT_", "PYTHON"))}
    version = Version(
        name, start, folder,
        {
            **environment,
            "PYTHONPATH": str(checkout),
            "PREFECT_HOME": str(folder / "prefect"),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            "SEGSCALE_CACHE": str(folder / "cache"),
        },
    )  # fmt: skip
    for config, images in (("config.toml", "images"), ("wrong.toml", "nowhere")):
        (folder / config).write_text(
            f'[dataset]\nname = "phantoms"\nimages = "../data/{images}/*.png"\nreferences = "../data/masks/*.png"\n'
            'label_values = [0, 255]\n[predictions]\npath = "../data/predictions/*.png"\n'
            '[store]\npath = "store"\n[report]\npath = "reports"\n[cluster]\nworkers = 1\n'
        )
    return version


def in_turns(
    case: str, goal: float, old: Version, new: Version, work: Callable[[Version], Outcome], rounds: int
) -> Figures:
    """Both versions, round by round; before, each once unmeasured: it fills its store, and Python compiles it."""
    figures = Figures(case, goal)
    work(old), work(new)
    for _ in range(rounds):
        figures.old.append(work(old))
        figures.new.append(work(new))
    return figures


def nothing_changed(version: Version) -> Outcome:
    before = reports_of(version)
    outcome = version("run", "config.toml")
    if outcome.code or (before and reports_of(version) != before):
        raise RuntimeError(f"{version.name}: segscale run, exit code {outcome.code}: {outcome.err[-3000:]}")
    return outcome


def reports_of(version: Version) -> dict[str, bytes]:
    """The records of its reports, which hold times: one that was written anew differs."""
    return {str(path): path.read_bytes() for path in (version.folder / "reports").glob("*/*/run.json")}


def wrong_path(version: Version) -> Outcome:
    outcome = version("run", "wrong.toml")
    line = (outcome.err.splitlines() or [""])[-1]
    if outcome.code != 2 or not line.startswith("segscale: ") or "nowhere" not in line:
        raise RuntimeError(f"{version.name}: a wrong path, exit code {outcome.code}: {outcome.err[-3000:]}")
    return outcome


def show_help(version: Version) -> Outcome:
    outcome = version("--help")
    if outcome.code or "Usage: segscale" not in outcome.out:
        raise RuntimeError(f"{version.name}: --help, exit code {outcome.code}: {outcome.err[-3000:]}")
    return outcome


@contextmanager
def prefect_server(home: Path) -> Iterator[str]:
    """The address of a Prefect server with a database of its own, until the end."""
    home.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}/api"
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")},
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with (home / "server.log").open("w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            await_answer(server, f"{url}/health", home / "server.log")
            yield url
        finally:
            end_session(server)


def await_answer(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    end = time.monotonic() + SERVER_SECONDS
    while time.monotonic() < end and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"the Prefect server did not come up: {log.read_text()[-3000:]}")


def end_session(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started in its session."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(timeout=20)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def show(figures: Sequence[Figures], old: str, new: str) -> None:
    """Medians, lowest and highest, and the ratio of the medians."""
    print(f"\n{'seconds':<47}{old:>9}   lowest  highest{new:>9}   lowest  highest    ratio   goal")
    for one in figures:
        sides = (one.old, one.new)
        show_line(f"{one.case}, clock", [[outcome.wall for outcome in side] for side in sides], one.goal)
        show_line(f"{one.case}, processors", [[outcome.processor for outcome in side] for side in sides], one.goal)


def show_line(name: str, sides: Sequence[Sequence[float]], goal: float) -> None:
    old, new = (statistics.median(side) for side in sides)
    columns = "".join(f"{statistics.median(side):9.2f}{min(side):9.2f}{max(side):9.2f}" for side in sides)
    print(f"{name:<47}{columns}{new / old:9.2f}{goal:7.2f}")


if __name__ == "__main__":
    main()
