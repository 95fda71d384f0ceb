"""What must hold of a store and a report whatever happened on the way."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from segscale.flows.checks.model import find_model
from segscale.flows.config.evaluation import load_config
from segscale.flows.dataset import is_scored, require_catalog
from segscale.flows.plan import find_plan
from segscale.flows.predict import plan_predict
from segscale.storage.ledger import Ledger
from segscale.storage.objects import ObjectStore

# What may be left of whoever was cut short: a write of which a part is there, objects that no record names, or a look
# whether the store can be written.
KNOWN_LITTER = re.compile(
    r"(.*/)?\.[^/]+\.[0-9a-f]{32}\.partial|shards/\w+/[0-9a-f]{2}/[0-9a-f]{64}/[0-9a-f]{16}/.+|\.probe-[0-9a-f]{32}"
)


@dataclass(frozen=True)
class Undisturbed:
    """The tables of a run that nothing happened to."""

    run_id: str
    tables: dict[str, bytes]


def report_in(work: Path) -> Path:
    (report,) = [path for path in work.glob("reports/*/*") if path.is_dir()]
    return report


def undisturbed_in(work: Path) -> Undisturbed:
    report = report_in(work)
    return Undisturbed(report.name, {path.name: path.read_bytes() for path in sorted(report.glob("*.parquet"))})


def check_ledger(config_path: Path) -> None:
    """Every planned key is committed once, no other is, and every object is the one that was committed."""
    config = load_config(str(config_path))
    store = ObjectStore(config.store.path)
    scored = is_scored(config)
    catalog, ledger = require_catalog(config, store, scored=scored), Ledger(store)
    planned = {"score" if scored else "ingest": set(catalog["shard"])}
    if not scored:
        plan = find_plan(config, find_model(config), store)
        assert plan is not None, "no plan record"
        planned["predict"] = set(plan_predict(catalog, plan.prediction))
    for stage, keys in planned.items():
        done = ledger.done(stage)
        assert done == keys, f"{stage}: planned and not done {keys - done}, done and not planned {done - keys}"
        for entry in (ledger.read(stage, key) for key in sorted(keys)):
            for name, digest in entry.objects.items():
                store.read_checked(f"{entry.path}/{name}", digest)


def check_report(work: Path, undisturbed: Undisturbed) -> None:
    """Every image once, ok or failed; and every table byte for byte that of the undisturbed run."""
    report = report_in(work)
    assert report.name == undisturbed.run_id, f"run {report.name}, undisturbed {undisturbed.run_id}"
    rows = pd.read_parquet(report / "per_image.parquet")
    expected = pd.read_parquet(io.BytesIO(undisturbed.tables["per_image.parquet"]))
    keys = ["image_id", "head", "class_index"]
    assert not rows.duplicated(keys).any(), "an image stands twice in the report"
    assert set(rows["image_id"]) == set(expected["image_id"]), "images are missing in the report"
    assert set(rows["status"]) <= {"ok", "failed"}
    found = {path.name: path.read_bytes() for path in sorted(report.glob("*.parquet"))}
    assert found.keys() == undisturbed.tables.keys(), sorted(found)
    different = [name for name, data in found.items() if data != undisturbed.tables[name]]
    assert not different, f"tables differ from the undisturbed run's: {different}"


def unnamed(config_path: Path) -> Iterator[str]:
    """The files of a store that neither a record nor the catalog names."""
    config = load_config(str(config_path))
    store, root = ObjectStore(config.store.path), Path(config.store.path)
    ledger = Ledger(store)
    named = set()
    for stage in (path.name for path in (root / "ledger").iterdir()):
        for key in ledger.done(stage):
            entry = ledger.read(stage, key)
            named |= {f"ledger/{stage}/{key}.json"} | {f"{entry.path}/{name}" for name in entry.objects}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_file() and name not in named and not re.fullmatch(r"catalog/(?!.*\.partial$)[^.].*", name):
            yield name
