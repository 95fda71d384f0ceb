"""Surfaces and lesions, where a worker and then the driver are killed: what is kept of them stands beside counts."""

from __future__ import annotations

import io
import signal
from pathlib import Path

import pandas as pd
import pytest

from segscale.storage.ledger import Ledger
from segscale.storage.objects import ObjectStore
from tests.conftest import Segscale
from tests.faults import invariants
from tests.faults.rig import Armed, Rig, new_rig, write_config

pytestmark = pytest.mark.slow
KILLED = (
    # Its shard is measured again in the same run.
    Armed("mid-write", r"/shards/score/.*/surfaces\.parquet", "kill:self", nth=2),
    # Everything of a shard is there, and no record names it.
    Armed("after-write", r"/shards/score/.*/lesions\.parquet", "kill:driver", nth=5),
)
TABLES = ("surface", "lesions", "lesion_counts")


def config_of(rig: Rig, name: str) -> Path:
    work = rig.folder / name
    work.mkdir()
    return write_config(work / "config.toml", rig.folder / "data", work, "", engine=False, measured=True)


def test_what_is_measured_outlives_a_killed_worker_and_a_killed_driver(segscale: Segscale, tmp_path: Path) -> None:
    # What is compiled already, so that no worker is near its time limit.
    options = {"SEGSCALE_CACHE": segscale.environment["SEGSCALE_CACHE"]}
    with new_rig(tmp_path, options) as rig:
        undisturbed, killed = config_of(rig, "undisturbed"), config_of(rig, "killed")
        rig.arm()
        assert rig.start("run", str(undisturbed), "--quiet").wait() == 0
        expected = invariants.undisturbed_in(undisturbed.parent)
        tables = {name: pd.read_parquet(io.BytesIO(expected.tables[f"{name}.parquet"])) for name in TABLES}
        assert all(len(table) for table in tables.values())
        assert set(tables["surface"]["status"]) == {"ok", "failed"}

        rig.arm(*KILLED)
        assert rig.start("run", str(killed), "--quiet").wait() == -signal.SIGKILL
        assert len(rig.fired()) == len(KILLED)
        ledger = Ledger(ObjectStore(str(killed.parent / "store")))
        before = ledger.done("score")
        rig.arm()
        assert rig.start("run", str(killed), "--quiet").wait() == 0
        assert 0 < len(before) < len(ledger.done("score"))
        invariants.check_ledger(killed)
        invariants.check_report(killed.parent, expected)
