from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from segscale.storage.failures import Failure
from segscale.storage.shards import open_arrays
from segscale.tasks import ingest
from segscale.tasks.normalize import Recipe
from segscale.tasks.shard_rows import ShardRow, read_shard_rows, sound

MakeSet = Callable[..., Any]
PIXELS = {name: np.random.default_rng(seed).integers(0, 256, (3, 9, 7), np.uint8) for seed, name in enumerate("ab")}


@pytest.fixture
def data(make_set: MakeSet) -> Any:
    """Two volumes of three slices, of which b has a reference of two, and a flat image."""
    mask = np.zeros((3, 9, 7), np.uint8)
    images = {f"{name}.tif": pixels for name, pixels in PIXELS.items()} | {"c.png": PIXELS["a"][1]}
    made = make_set(images, {"a.tif": mask, "b.tif": mask[:2], "c.png": mask[0]})
    made.ingest()
    return made


def test_rows_are_in_the_order_of_the_shard(data: Any) -> None:
    (entry,) = data.entries()
    rows = read_shard_rows(data.store, entry)
    (job,) = data.jobs()
    assert [row.image_id for row in rows] == [row.image_id for row in job.rows]
    assert rows[0].start == 0
    assert [row.start for row in rows[1:]] == [row.stop for row in rows[:-1]]
    assert [row.image_id for row in sound(rows)] == [row.image_id for row in rows if row.image_id != "b"]


def test_a_row_holds_plain_values(data: Any) -> None:
    for row in data.rows().values():
        for field in fields(ShardRow):
            value = getattr(row, field.name)
            assert type(value) in (str, int, float, bool, Failure, type(None)), f"{field.name} is {type(value)}"


def test_a_crop_is_the_image(data: Any) -> None:
    (entry,) = data.entries()
    images, references = open_arrays(data.store, entry, ingest.IMAGES, ingest.REFERENCES)
    rows = data.rows()
    np.testing.assert_array_equal(rows["a"].crop(images)[..., 0], PIXELS["a"])
    np.testing.assert_array_equal(rows["c"].crop(images)[..., 0], PIXELS["a"][1:2])
    assert rows["a"].crop(references).shape == (3, 9, 7)
    assert not rows["a"].crop(references).any()


def test_the_recipe_and_the_failure_are_read_back(data: Any) -> None:
    rows = data.rows()
    assert rows["a"].recipe == Recipe(-np.inf, np.inf, 0.0, 255.0)
    assert rows["a"].is_sound
    assert not rows["b"].is_sound
    assert rows["b"].failure == Failure(
        "ingest", "ValueError", "b.tif: expected the size of its image 3x9x7, got 2x9x7"
    )
    assert len(rows["b"].image_sha256) == len(rows["b"].reference_sha256) == 64


def test_a_damaged_table_of_rows_is_noticed(data: Any) -> None:
    (entry,) = data.entries()
    path = f"{entry.path}/rows.parquet"
    data.store.write(path, data.store.read(path)[:-1])
    with pytest.raises(ValueError, match=r"rows\.parquet is damaged"):
        read_shard_rows(data.store, entry)
