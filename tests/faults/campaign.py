"""The fault campaign: python -m tests.faults.campaign [--only TEXT] [--group NAME] [--record FILE] [--write FILE]

Plays every fault of the table on real processes, runs to the end, and checks the invariants. Needs root for the faults
with a full disk (a small tmpfs is mounted). Ends with 1 where a fault broke an invariant.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.faults.invariants import Undisturbed, undisturbed_in
from tests.faults.rig import Rig, new_rig, write_config
from tests.faults.scene import HAS_STORE_COMMANDS, Fault, perform
from tests.faults.table import faults

# So that a worker that says nothing is taken for dead while the campaign still waits.
QUICK_TO_GIVE_UP = {"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "4s"}


@dataclass(frozen=True)
class Played:
    """What became of one fault."""

    name: str
    reason: str
    group: str
    engine: bool
    alone: bool
    held: bool
    seen: str
    seconds: float


def prepare(rig: Rig, *, engine: bool) -> tuple[Path, Undisturbed]:
    """The undisturbed run that everything is compared with."""
    work = rig.folder / ("undisturbed-engine" if engine else "undisturbed")
    work.mkdir()
    config = write_config(work / "config.toml", rig.folder / "data", work, rig.address, engine=engine)
    rig.ready()
    rig.arm()
    driver = rig.start("run", str(config), "--quiet")
    code = driver.wait()
    assert code == 0, driver.err.read_text()[-3000:]
    return work, undisturbed_in(work)


def play_all(chosen: Sequence[Fault], folder: Path) -> Iterator[Played]:
    """Play faults that share a rig, one after the other."""
    for quick in (False, True):
        for engine in (False, True):
            some = [fault for fault in chosen if fault.engine == engine and (fault.group == "stop") == quick]
            if not some:
                continue
            options = QUICK_TO_GIVE_UP if quick else {}
            with new_rig(folder / f"rig-{quick:d}{engine:d}", options, phantoms=engine) as rig:
                finished, undisturbed = prepare(rig, engine=engine)
                yield from (play(fault, rig, finished, undisturbed) for fault in some)


def play(fault: Fault, rig: Rig, finished: Path, undisturbed: Undisturbed) -> Played:
    start = time.monotonic()
    try:
        held, seen = True, perform(fault, rig, finished, undisturbed)
    except Exception as error:  # noqa: BLE001  # the campaign goes on, and says so
        held, seen = False, f"{type(error).__name__}: {error}"
        traceback.print_exc()
        rig.stop_cluster()
    seconds = time.monotonic() - start
    print(f"{'held  ' if held else 'BROKEN'} {seconds:6.1f} s  {fault.name}: {seen}", flush=True)
    return Played(fault.name, fault.reason, fault.group, fault.engine, fault.alone, held, seen, seconds)


PAGE = """# Faults

Made by `python -m tests.faults.campaign --write docs/faults.md` (as root, for the full disks); not edited by hand.

Of {all} faults {count} were played, {engine} of them while a network predicts; {broken} broke an invariant. That took
{minutes:.0f} minutes on {cores} cores that had other work as well. What was not played says so in the table.

Each was played on processes of their own: a Dask scheduler, two workers with nannies, drivers; or, where the table says
"processes", a driver with the workers that it starts without a cluster. A driver is the command
line as users run it without a Prefect server. The places at which they are killed, stopped or made to fail are planted
into them from outside (`tests/faults/planted`); Segscale itself holds none. After the fault the run was
started again until it ended with 0. After that, always:

- the ledger is the plan: every planned key is committed once, no other is, and every object is what was committed;
- every image is in the report exactly once, as `ok` or `failed`;
- every Parquet table is byte for byte that of a run that nothing happened to;
- what lies in the store and among the reports beside that is unfinished writes and attempts without a record, nothing
  else{clean}.

`seen` gives the exit codes, of the disturbed run first, a negative one being a signal, and how many files were left. A
killed worker costs its shard an attempt, a killed driver or scheduler a second run. Damage of committed data ends a run
with 3 and names the object; the shard is then {repair}.

| fault | why | with | held | seen | s |
|---|---|---|---|---|---|
"""
BY_HAND = "done again once its record and its attempt were removed by hand"


def describe(played: Sequence[Played], seconds: float) -> str:
    """The page docs/faults.md."""
    known = {one.name: one for one in played}
    head = PAGE.format(
        all=len(faults()),
        count=len(played),
        engine=sum(one.engine for one in played),
        broken=sum(not one.held for one in played),
        minutes=seconds / 60,
        cores=os.cpu_count(),
        clean=", and `segscale clean --older-than 0` removes it" if HAS_STORE_COMMANDS else "",
        repair="done again by `segscale repair`" if HAS_STORE_COMMANDS else BY_HAND,
    )
    return head + "".join(_row(fault, known.get(fault.name)) for fault in faults())


def _row(fault: Fault, played: Played | None) -> str:
    work = "network" if fault.engine else f"label maps{', processes' * fault.alone}"
    if played is None:
        return f"| {fault.name} | {fault.reason} | {work} | not played | | |\n"
    seen = " ".join(played.seen.split()).replace("|", "/")[:160]
    held = "yes" if played.held else "NO"
    return f"| {fault.name} | {fault.reason} | {work} | {held} | {seen} | {played.seconds:.1f} |\n"


def main() -> int:
    """Play what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="faults with this text in their name")
    parser.add_argument("--group", default="", help="faults whose group begins so; several with commas")
    parser.add_argument(
        "--record", type=Path, help="add the results to this file of JSON lines, and describe all in it"
    )
    parser.add_argument("--missing", action="store_true", help="only faults that are not in that file as held")
    parser.add_argument("--write", type=Path, help="write the page")
    parser.add_argument("--list", action="store_true", help="say which faults there are, and play none")
    options = parser.parse_args()
    # Whoever ends the campaign shall not leave a cluster behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    groups = tuple(options.group.split(","))
    chosen = [fault for fault in faults() if options.only in fault.name and fault.group.startswith(groups)]
    if options.missing and options.record.exists():
        lines = map(json.loads, options.record.read_text().splitlines())
        held = {one["name"] for one in lines if one["held"]}
        chosen = [fault for fault in chosen if fault.name not in held]
    if options.list:
        print("\n".join(f"{fault.group:14} {fault.name}" for fault in chosen), f"\n{len(chosen)} faults")
        return 0
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        played = []
        for one in play_all(chosen, Path(folder)):
            played.append(one)
            if options.record:
                with options.record.open("a") as file:
                    file.write(json.dumps(asdict(one)) + "\n")
    if options.record:
        latest = {one["name"]: Played(**one) for one in map(json.loads, options.record.read_text().splitlines())}
        played = [latest[fault.name] for fault in faults() if fault.name in latest]
    if options.write:
        options.write.write_text(describe(played, sum(one.seconds for one in played)))
    broken = [one.name for one in played if not one.held]
    print(f"{len(played)} faults, {len(broken)} broken {broken}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
