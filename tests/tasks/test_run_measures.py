"""Surfaces of all shards as the table of a report: in the order of the catalog, the histograms beside the numbers."""

from __future__ import annotations

import uuid
from typing import Any

import numpy as np
import pandas as pd
import pytest

from segscale.errors import DamagedStoreError
from segscale.storage.catalog import COLUMNS
from segscale.storage.ledger import Entry
from segscale.storage.objects import ObjectStore
from segscale.storage.reports import encode_report_table
from segscale.storage.shards import commit_shard
from segscale.storage.side_parts import HISTOGRAMS
from segscale.storage.tables import decode_frame
from segscale.tasks.measuring import Measured, Measuring, Structures
from segscale.tasks.metrics.per_image import PREDICTION_MISSING
from segscale.tasks.metrics.settings import ScoreSettings
from segscale.tasks.run_counts import Layout
from segscale.tasks.run_measures import collect_measures

LAYOUT = Layout(("background", "lesion"), ("",), 0.5, 64)
MEASURING = Measuring((1.0, 2.5), None)
CATALOG = pd.DataFrame({name: [""] * 5 for name in COLUMNS}).assign(image_id=list("badce"))
"""Of the last one nothing is known."""


def structures(name: str) -> Structures:
    generator = np.random.default_rng(ord(name))
    reference, prediction = generator.integers(0, 2, (2, 1, 6, 7)).astype(np.uint8)
    return Structures.of(reference, None if name == "d" else prediction, 2)


@pytest.fixture
def store() -> ObjectStore:
    return ObjectStore(f"memory://{uuid.uuid4().hex}")


def commit(store: ObjectStore, names: str) -> Entry:
    beside = Measured.joined(Measured.of(name, {"": structures(name)}, MEASURING) for name in names).encode(MEASURING)
    return commit_shard(store, "score", uuid.uuid4().hex * 2, arrays={}, rows=b"", facts={}, beside=beside)


def per_image_of(names: list[str]) -> pd.DataFrame:
    status = ["ok" if name in "abc" else "failed" for name in names]
    rows = pd.DataFrame({"image_id": names, "class_name": "lesion", "head": "", "status": status})
    rows.insert(1, "class_index", 1)
    return rows.assign(**{PREDICTION_MISSING: pd.array([name == "d" for name in names], dtype="boolean")})


def written(store: ObjectStore, entries: list[Entry]) -> pd.DataFrame:
    found = collect_measures(store, entries, CATALOG, LAYOUT, MEASURING)
    tables = found.tables(per_image_of(list("badce")), CATALOG, LAYOUT, ScoreSettings())
    assert not set(HISTOGRAMS) & set(tables.frames["surface"]), "lists as objects of a data frame"
    return decode_frame(encode_report_table(tables.frames["surface"], tables.lists["surface"]))


def test_rows_and_their_histograms_stay_together_whatever_the_shards(store: ObjectStore) -> None:
    found = written(store, [commit(store, names) for names in ("ad", "c", "b")])
    assert found["image_id"].tolist() == list("badce")
    assert list(found)[-4:] == list(HISTOGRAMS)
    for row in found.to_dict("records"):
        name: Any = row["image_id"]
        if name in "de":
            assert all(row[column] is None for column in HISTOGRAMS)
            assert np.isnan(row["nsd_1"])
            continue
        (expected,) = Measured.of(name, {"": structures(name)}, MEASURING).surfaces
        assert [row["nsd_1"], row["nsd_2.5"]] == expected["nsd"]
        assert row["hd95"] == expected["hd95"]
        assert [row[column].tolist() for column in HISTOGRAMS] == [expected[column] for column in HISTOGRAMS]
    assert written(store, [commit(store, names) for names in ("badc",)]).to_json() == found.to_json()


@pytest.mark.parametrize("shards", [(), ("d",)], ids=["no shard", "missing predictions alone"])
def test_without_a_distance_there_is_a_table(store: ObjectStore, shards: tuple[str, ...]) -> None:
    found = written(store, [commit(store, names) for names in shards])
    assert found["image_id"].tolist() == list("badce")
    assert found[list(HISTOGRAMS)].isna().all(axis=None)


def test_an_image_that_the_run_does_not_know_is_damage(store: ObjectStore) -> None:
    with pytest.raises(DamagedStoreError, match=r"surfaces: hold .*'z'"):
        written(store, [commit(store, "az")])
