"""The faults of the campaign, each with the reason why it could hurt."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from tests.faults.rig import Armed
from tests.faults.scene import Fault, Scene, await_true, fill, forget, small_disk

MOMENTS = {
    "before-write": ("before-write", "/shards/{stage}/", "an attempt has a folder and nothing in it"),
    "mid-write": ("mid-write", "/shards/{stage}/", "half of an object is on disk"),
    "after-write": (
        "after-write",
        r"/shards/{stage}/.*rows\.parquet",
        "all objects are there and no record names them",
    ),
    "before-commit": ("before-commit", "/ledger/{stage}/", "the work is done and may not be counted twice"),
    "mid-commit": ("mid-commit", "/ledger/{stage}/", "half of a record is on disk and must be no record"),
    "after-commit": ("after-commit", "/ledger/{stage}/", "committed, and nobody was told"),
}
DRIVER_PLACES = {
    "sources": (r"/catalog/sources-", "what is known of the files"),
    "catalog": (r"/catalog/[^/]+\.parquet", "the catalog"),
    "first table": (r"/reports/.*batch_summed\.parquet", "a folder with some tables and no run.json is no report"),
    "last table": (r"/reports/.*thresholds?\.parquet|/reports/.*report\.html", "all tables are there, run.json is not"),
    "run.json": (r"/reports/.*run\.json", "run.json makes the folder a report"),
}


def place(stage: str, moment: str) -> tuple[str, str]:
    found, pattern, _ = MOMENTS[moment]
    return found, pattern.format(stage=stage)


def killed(stage: str, moment: str, victim: str, nth: int = 3) -> Callable[[Scene], None]:
    """A process is killed when a worker is at a failpoint for the nth time."""
    # Without its nanny a worker ends by itself, and may take a finished result along that nobody fetched.
    expected = {"self": {0}, "nanny": {0, 3}, "driver": {-signal.SIGKILL}, "scheduler": {3}}[victim]

    def play(scene: Scene) -> None:
        code = scene.run_with(Armed(*place(stage, moment), f"kill:{victim}", nth=nth))
        assert code in expected, f"exit {code}, expected {expected}: {scene.said}"
        if victim == "driver":
            # What its workers had begun is finished by them, or not: both must be right.
            time.sleep(0.3)

    return play


def driver_killed(what: str, moment: str) -> Callable[[Scene], None]:
    def play(scene: Scene) -> None:
        code = scene.run_with(Armed(moment, DRIVER_PLACES[what][0], "kill:self", role="driver"))
        assert code == -signal.SIGKILL

    return play


def kills(stage: str, *, engine: bool = False) -> Iterator[Fault]:
    few = ("mid-write", "before-commit", "after-commit")
    chosen = {"self": tuple(MOMENTS), "driver": tuple(MOMENTS), "scheduler": few, "nanny": few}
    for victim, moments in chosen.items():
        for moment in moments:
            name = f"{stage}: {victim.replace('self', 'worker')} killed, {moment}"
            nth = 2 if engine else 3
            yield Fault(name, MOMENTS[moment][2], killed(stage, moment, victim, nth), f"kill {stage}", engine)


def kills_alone() -> Iterator[Fault]:
    """The same where the workers are processes of the driver, which end with it and with the one that forks them."""
    chosen = {"self": tuple(MOMENTS), "driver": ("mid-write", "before-commit"), "nanny": ("mid-write", "after-commit")}
    names = {"self": "worker", "driver": "driver", "nanny": "forking process"}
    for victim, moments in chosen.items():
        for moment in moments:
            name = f"score without a cluster: {names[victim]} killed, {moment}"
            play = killed("score", moment, victim)
            yield Fault(name, MOMENTS[moment][2], play, "kill processes", alone=True)


def others_alone() -> Iterator[Fault]:
    where, at = "score without a cluster", place("score", "before-commit")

    def stopped(scene: Scene) -> None:
        assert scene.run_with(Armed(*at, "stop:self", nth=3)) == 0

    def clocked(scene: Scene) -> None:
        assert scene.run_with(Armed(*at, "clock:86400")) == 0

    for name, reason, play in (
        ("worker stopped, before-commit", "its driver ends it at its time limit", stopped),
        ("EIO once, mid-commit", "another attempt must succeed", raised("score", "mid-commit", "EIO", 1)),
        ("ENOSPC always, mid-write", "the run must end, and resume", raised("score", "mid-write", "ENOSPC", 99)),
        ("two drivers at once", "both do the same work; one commit of each wins", two_drivers(0)),
        ("two drivers, one killed at commit 6", "its workers end with it", two_drivers(6)),
        ("clock of the worker jumps by +24 h", "no decision may hang on the clock", clocked),
    ):
        yield Fault(f"{where}: {name}", reason, play, "processes", alone=True)


def driver_kills() -> Iterator[Fault]:
    for what, (_, reason) in DRIVER_PLACES.items():
        for moment in ("before-write", "mid-write", "after-write"):
            room = "catalog" if what in ("sources", "catalog") else "report"
            yield Fault(
                f"{room}: driver killed, {moment.replace('-', ' ')} of {what}",
                reason,
                driver_killed(what, moment),
                room,
            )


def plan_kills() -> Iterator[Fault]:
    for moment in ("before-commit", "mid-commit", "after-commit"):

        def play(scene: Scene, moment: str = moment) -> None:
            code = scene.run_with(Armed(moment, "/ledger/plan/", "kill:self", role="driver"))
            assert code == -signal.SIGKILL

        reason = "the plan record is part of every key: what was resolved first must stand"
        yield Fault(f"plan: driver killed, {moment}", reason, play, "plan", engine=True)


def stopped_worker(stage: str, moment: str) -> Callable[[Scene], None]:
    """A worker is stopped until it is taken for dead and another has done its work; then it goes on."""

    def play(scene: Scene) -> None:
        before = scene.rig.workers()
        assert scene.run_with(Armed(*place(stage, moment), "stop:self", nth=3)) == 0
        stopped = [worker for worker in before if worker.is_running() and worker.status() == psutil.STATUS_STOPPED]
        # Its nanny may have ended it already, which is another end of the same fault.
        for worker in stopped:
            worker.resume()
        psutil.wait_procs(stopped, timeout=10)

    return play


def stopped_driver(scene: Scene) -> None:
    scene.rig.arm(Armed(*place("score", "before-commit"), "stop:driver", nth=3))
    first = scene.start()
    await_true(lambda: bool(scene.rig.fired()), 60, "the first driver to be stopped")
    scene.rig.arm()
    assert scene.run() == 0
    os.kill(first.pid, signal.SIGCONT)
    assert scene.wait(first) in (0, 3)


def stopped_scheduler(scene: Scene) -> None:
    scene.rig.arm(Armed(*place("score", "before-commit"), "stop:scheduler", nth=4))
    driver = scene.start()
    await_true(lambda: bool(scene.rig.fired()), 60, "the scheduler to be stopped")
    scheduler = scene.rig.scheduler_pid()
    # Longer than its own limit for workers that say nothing.
    time.sleep(8)
    os.kill(scheduler, signal.SIGCONT)
    assert scene.wait(driver) in (0, 3)


def raised(stage: str, moment: str, error: str, times: int) -> Callable[[Scene], None]:
    """An error of the operating system: once (another attempt of the same run succeeds) or again and again."""

    def play(scene: Scene) -> None:
        code = scene.run_with(Armed(*place(stage, moment), f"raise:{error}", nth=3, times=times))
        assert code == (0 if times < 3 else 3), f"exit {code}: {scene.said}"

    return play


def raised_in_driver(what: str, moment: str, error: str) -> Callable[[Scene], None]:
    def play(scene: Scene) -> None:
        code = scene.run_with(Armed(moment, DRIVER_PLACES[what][0], f"raise:{error}", role="driver"))
        assert code == 3, f"exit {code}: {scene.said}"
        assert scene.said[-1].startswith("segscale: "), scene.said

    return play


def full_disk(folder: str, spare_bytes: int, without: tuple[str, ...]) -> Callable[[Scene], None]:
    """A real disk runs full; then there is room again, and the same store goes on."""

    def play(scene: Scene) -> None:
        disk = scene.work / folder
        disk.mkdir(exist_ok=True)
        with small_disk(disk):
            if without:
                scene.copy_finished(without=without)
            ballast = fill(disk, spare_bytes)
            code = scene.run()
            assert code == 3, f"exit {code}: {scene.said}"
            assert "No space left" in scene.said[-1], scene.said
            ballast.unlink()
            assert scene.run() == 0
            # The rest of the checks looks at the folder once the disk is gone.
            scene.keep(folder)

    return play


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


DAMAGES: dict[str, Callable[[Path], None]] = {
    "bit flipped": flip, "truncated": truncate, "emptied": empty, "deleted": Path.unlink,
}  # fmt: skip
UNSCORED = ("store/ledger/score", "store/shards/score", "reports")
UNPREDICTED = ("store/ledger/predict", "store/shards/predict", "reports")
# What, a glob that finds it, what was not done yet, and the damages that a run finds by itself and mends: a table of a
# report is written again, a record that is not there is work that was not done.
INGESTED = {
    "pixels of references": ("store/shards/ingest/*/*/*/arrays.zarr/references/c/0/0/0", UNPREDICTED, ()),
    "table of a shard's rows": ("store/shards/ingest/*/*/*/rows.parquet", UNPREDICTED, ()),
    "record of an ingested shard": ("store/ledger/ingest/*.json", UNPREDICTED, ("deleted",)),
}
DAMAGED = {
    **INGESTED,
    "Parquet part": ("store/shards/score/*/*/*/rows.parquet", ("reports",), ()),
    "record of a scored shard": ("store/ledger/score/*.json", ("reports",), ("deleted",)),
    "catalog": ("store/catalog/*.parquet", (), tuple(DAMAGES)),
    "how files are read": ("store/catalog/*.json", (), tuple(DAMAGES)),
    "what is known of files": ("store/catalog/sources-*/*.parquet", (), tuple(DAMAGES)),
    "report table": ("reports/*/*/per_image.parquet", (), tuple(DAMAGES)),
    "run.json": ("reports/*/*/run.json", (), tuple(DAMAGES)),
}


def damaged(
    pattern: str, without: tuple[str, ...], harm: Callable[[Path], None], mends: bool
) -> Callable[[Scene], None]:
    """An object of a finished run is damaged: found and named, or made again; never numbers."""

    def play(scene: Scene) -> None:
        scene.copy_finished(without=without)
        target = sorted(scene.work.glob(pattern))[0]
        harm(target)
        code = scene.run()
        if mends:
            assert code == 0, scene.said
            return
        assert code == 3, f"exit {code}: damage was not found"
        parts = target.relative_to(scene.work).parts
        named = parts[4] if parts[1] == "shards" else target.stem
        assert named[:12] in scene.said[-1], f"{scene.said} do not name {named[:12]}"
        assert not list(scene.work.glob("reports/*/*/run.json")) or not without, "a report was made of damaged data"
        forget(scene, target)

    return play


def damages() -> Iterator[Fault]:
    for what, (pattern, without, mends) in DAMAGED.items():
        for harm, function in DAMAGES.items():
            reason = "made again by the run" if harm in mends else "must be found and named, never turned into numbers"
            play = damaged(pattern, without, function, harm in mends)
            # Of what something else predicted nothing is ingested.
            yield Fault(f"{what}: {harm}", reason, play, "damage", engine=what in INGESTED)


def two_drivers(victim_nth: int) -> Callable[[Scene], None]:
    """Two drivers at once; with `victim_nth` the later one is killed when some worker commits for the nth time."""

    def play(scene: Scene) -> None:
        scene.rig.arm(*([Armed(*place("score", "after-commit"), "kill:driver", nth=victim_nth)] if victim_nth else []))
        drivers = [scene.start(), scene.start()]
        codes = [scene.wait(driver) for driver in drivers]
        assert sorted(codes) == ([-signal.SIGKILL, 0] if victim_nth else [0, 0]), f"{codes}: {scene.said}"

    return play


def clock(role: str, seconds: int) -> Callable[[Scene], None]:
    def play(scene: Scene) -> None:
        at = place("score", "before-commit") if role == "worker" else ("before-write", "/catalog/")
        assert scene.run_with(Armed(*at, f"clock:{seconds}", role=role)) == 0

    return play


def dated(seconds: float) -> Callable[[Scene], None]:
    def play(scene: Scene) -> None:
        scene.copy_finished(without=UNSCORED)
        for path in (scene.work / "store").rglob("*"):
            os.utime(path, (seconds, seconds))
        assert scene.run() == 0

    return play


def touched(scene: Scene) -> None:
    scene.copy_finished()
    images = sorted((scene.rig.folder / "data" / "images").glob("*.png"))
    before = {path: path.stat().st_mtime_ns for path in images}
    try:
        for path in images:
            os.utime(path, (0, 0))
        assert scene.run() == 0
    finally:
        for path, nanoseconds in before.items():
            os.utime(path, ns=(nanoseconds, nanoseconds))


def killed_while_reading(victim: str) -> Callable[[Scene], None]:
    """A process is killed when a worker is about to read a file in the middle of the set."""
    expected = {"self": 0, "driver": -signal.SIGKILL}[victim]

    def play(scene: Scene) -> None:
        code = scene.run_with(Armed("before-read", r"/(images|masks|predictions)/", f"kill:{victim}", nth=100))
        assert code == expected, f"exit {code}, expected {expected}: {scene.said}"

    return play


def replaced(scene: Scene) -> None:
    """A file that was read before, under whose bytes its shard is to be counted, is another when that is done."""
    scene.copy_finished(without=UNSCORED)
    target = scene.rig.folder / "data" / "masks" / "image_020.png"
    before, times = target.read_bytes(), target.stat()
    try:
        code = scene.run_with(Armed("before-read", r"/masks/image_020\.png", "append"))
        assert code == 3, f"exit {code}: {scene.said}"
        assert "changed while they were being read" in scene.said[-1], scene.said
    finally:
        target.write_bytes(before)
        os.utime(target, ns=(times.st_atime_ns, times.st_mtime_ns))


def readings() -> Iterator[Fault]:
    """What reading and counting in one pass brings."""
    reason = "what was read and not counted is read again, and nothing else"
    for victim in ("self", "driver"):
        name = f"score: {victim.replace('self', 'worker')} killed, before a file is read"
        yield Fault(name, reason, killed_while_reading(victim), "kill score")
    reason = "no other bytes may be counted under the key of those before"
    yield Fault("score: a known file is replaced while it is read", reason, replaced, "damage")


def others() -> Iterator[Fault]:
    away = "taken for dead, it comes back and does what another has done since"
    for moment in ("before-commit", "mid-write", "after-write"):
        yield Fault(f"score: worker stopped, {moment}", away, stopped_worker("score", moment), "stop")
    yield Fault("score: driver stopped while another finishes", away, stopped_driver, "stop")
    yield Fault("score: scheduler stopped for 8 s", "all workers seem to be silent", stopped_scheduler, "stop")
    for stage, error, times in (
        ("score", "EDQUOT", 1), ("score", "ENOSPC", 1), ("score", "EIO", 1),
        ("score", "EACCES", 99), ("score", "ENOSPC", 99),
    ):  # fmt: skip
        often = "once" if times == 1 else "always"
        reason = "another attempt must succeed" if times == 1 else "the run must end, and resume"
        yield Fault(f"{stage}: {error} {often}, mid-write", reason, raised(stage, "mid-write", error, times), "error")
        if times == 1:
            name = f"{stage}: {error} {often}, mid-commit"
            yield Fault(name, reason, raised(stage, "mid-commit", error, times), "error")
    for what, error in (("catalog", "EIO"), ("first table", "ENOSPC"), ("run.json", "EACCES")):
        room = "catalog" if what == "catalog" else "report"
        play = raised_in_driver(what, "mid-write", error)
        yield Fault(f"{room}: {error} mid write of {what}", "the driver has nobody who tries again", play, "error")
    room = "a disk that is really full fails wherever it likes"
    yield Fault("disk full: from the start", room, full_disk("store", 0, ()), "disk")
    yield Fault("disk full: while shards are scored", room, full_disk("store", 100_000, ()), "disk")
    yield Fault("disk full: while known files are scored", room, full_disk("store", 40_000, UNSCORED), "disk")
    yield Fault("disk full: while the report is written", room, full_disk("reports", 60_000, UNSCORED), "disk")
    yield Fault("two drivers at once", "both do the same work; one commit of each wins", two_drivers(0), "drivers")
    for nth in (1, 6):
        name = f"two drivers, one killed at commit {nth}"
        yield Fault(name, "its workers' work goes on beside the other's", two_drivers(nth), "drivers")
    for role in ("worker", "driver"):
        for seconds in (86_400, -86_400):
            name = f"clock of the {role} jumps by {seconds / 3600:+.0f} h"
            yield Fault(name, "no decision may hang on the clock", clock(role, seconds), "clock")
    yield Fault("store dated 1970", "no decision may hang on the age of an object", dated(0.0), "clock")
    yield Fault("store dated 2040", "likewise", dated(2_208_988_800.0), "clock")
    yield Fault("all sources dated anew", "same bytes: looked at again, and nothing is done twice", touched, "clock")


def faults() -> list[Fault]:
    """All of them."""
    made = [
        *kills("ingest", engine=True), *kills("score"), *readings(), *driver_kills(), *others(), *damages(),
        *kills("predict", engine=True), *plan_kills(), *kills_alone(), *others_alone(),
    ]  # fmt: skip
    names = [fault.name for fault in made]
    assert len(set(names)) == len(names)
    return made
