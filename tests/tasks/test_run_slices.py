from __future__ import annotations

import uuid
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

from segscale.errors import DamagedStoreError
from segscale.storage import parts
from segscale.storage.catalog import COLUMNS
from segscale.storage.ledger import Entry
from segscale.storage.objects import ObjectStore
from segscale.storage.shards import commit_shard
from segscale.storage.side_parts import SLICES
from segscale.tasks.metrics.overlap import OverlapCounts, count_overlap
from segscale.tasks.metrics.per_image import score_images
from segscale.tasks.metrics.settings import ScoreSettings
from segscale.tasks.run_counts import Layout
from segscale.tasks.run_slices import collect_slices, per_slice
from segscale.tasks.slice_counts import slice_rows

LAYOUT = Layout(("background", "lesion"), ("one", "two"), 0.5, 64)
SETTINGS = ScoreSettings(empty="one")


def _counts(seed: int) -> OverlapCounts:
    reference, label_map = np.random.default_rng(seed).integers(0, 2, (2, 5, 6))
    return count_overlap(reference * (seed % 2), n_classes=2, label_map=label_map)


def _commit(store: ObjectStore, images: Sequence[str], heads: Sequence[str] = LAYOUT.heads) -> Entry:
    rows = [
        row
        for image_id in images
        for place, head in enumerate(heads)
        for row in slice_rows(image_id, head, [_counts(ord(image_id[0]) + place + number) for number in range(3)])
    ]
    return commit_shard(
        store, "predict", uuid.uuid4().hex * 2, arrays={}, rows=b"", facts={}, beside={SLICES.name: SLICES.encode(rows)}
    )


@pytest.fixture
def store() -> ObjectStore:
    return ObjectStore(f"memory://{uuid.uuid4().hex}")


@pytest.fixture
def catalog() -> pd.DataFrame:
    frame = pd.DataFrame({name: [""] * 4 for name in COLUMNS}).assign(patient=list("ppqq"))
    return frame.assign(image_id=list("badc"), slice_axis=["d", "h", "w", ""])


def test_slices_come_in_the_order_of_the_catalog(store: ObjectStore, catalog: pd.DataFrame) -> None:
    entries = [_commit(store, names) for names in (["a", "c"], ["b"])]
    found = collect_slices(store, entries, catalog, LAYOUT)
    keys = ["image_id", "head", "slice_index", "class_index"]
    expected = [
        (image_id, head, number, index) for image_id in "bac" for head in LAYOUT.heads for number in range(3)
        for index in range(2)
    ]  # fmt: skip
    assert list(found[keys].itertuples(index=False, name=None)) == expected, "d failed and has none"
    again = collect_slices(store, entries[::-1], catalog, LAYOUT)
    pd.testing.assert_frame_equal(found, again)


def test_slices_are_scored_as_images_are(store: ObjectStore, catalog: pd.DataFrame) -> None:
    slices = collect_slices(store, [_commit(store, list("abcd"))], catalog, LAYOUT)
    table = per_slice(slices, catalog, LAYOUT, SETTINGS)
    assert table.columns.tolist() == [
        "image_id", "patient", "class_index", "class_name", "head", "slice_axis", "slice_index", *parts.COUNTS[:-1],
        *parts.SOFT_SUMS, "reference_sum", "dice", "iou", "tversky", "soft_dice", "soft_dice_squared", "soft_tversky",
        "sensitivity", "precision", "specificity", "f_beta", "volume_difference", "empty",
    ]  # fmt: skip
    axes = table.groupby("image_id")["slice_axis"].unique().map(list).to_dict()
    assert axes == {"a": ["h"], "b": ["d"], "c": [""], "d": ["w"]}
    alone = score_images(slices.assign(status="ok"), SETTINGS)
    pd.testing.assert_series_equal(table["dice"], alone["dice"])
    assert set(table["empty"]) >= {"no", "reference_empty"}


@pytest.mark.parametrize(
    ("images", "heads"),
    [pytest.param(["e"], ("one",), id="an unknown image"), pytest.param(["a"], ("three",), id="an unknown head")],
)
def test_foreign_slices_are_refused(
    store: ObjectStore, catalog: pd.DataFrame, images: list[str], heads: tuple[str, ...]
) -> None:
    with pytest.raises(DamagedStoreError, match=rf"slices: hold .*'{images[0]}'.* which this run does not know"):
        collect_slices(store, [_commit(store, images, heads)], catalog, LAYOUT)


def test_another_table_is_refused(store: ObjectStore) -> None:
    entry = commit_shard(
        store, "score", "ab" * 32, arrays={}, rows=b"", facts={}, beside={SLICES.name: parts.encode_part([])}
    )
    with pytest.raises(DamagedStoreError, match="slices score/abababababab: expected the columns"):
        SLICES.read(store, entry)


def test_no_slices_are_an_empty_table(store: ObjectStore, catalog: pd.DataFrame) -> None:
    slices = collect_slices(store, [], catalog, LAYOUT)
    assert per_slice(slices, catalog, LAYOUT, SETTINGS).empty
