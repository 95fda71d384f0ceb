from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segscale.storage import parts
from segscale.tasks.counting import count_rows
from segscale.tasks.metrics.overlap import count_overlap
from segscale.tasks.run_counts import Counted, collect
from tests.tasks.made_counts import (
    Rows,
    catalog_of,
    commit_parts,
    layout_of,
    made_probabilities,
    made_reference,
    memory_store,
    rows_of,
    rows_of_failed,
)


@pytest.mark.parametrize("seed", range(4))
def test_rows_are_put_where_the_catalog_wants_them(seed: int) -> None:
    heads, store = ("first", "last"), memory_store()
    rows = [row for image in range(7) for row in rows_of(image, heads=heads)]
    shuffled = [rows[place] for place in np.random.default_rng(seed).permutation(len(rows))]
    entries = commit_parts(store, *(shuffled[start : start + 5] for start in range(0, len(shuffled), 5)))
    counted = collect(store, entries, catalog_of(7), layout_of(heads))
    expected = [(row["image_id"], row["head"], row["class_index"]) for row in rows]
    frame = counted.frame
    assert list(zip(frame["image_id"], frame["head"], frame["class_index"], strict=True)) == expected
    for name in parts.COUNTS:
        assert frame[name].tolist() == [row[name] for row in rows]
    for name in parts.SOFT_SUMS:
        assert frame[name].tolist() == [row[name] for row in rows]
    assert counted.has_histogram.tolist() == [row["class_index"] == 1 for row in rows]


@pytest.mark.parametrize(
    ("shards", "words"),
    [
        pytest.param([rows_of(0)], "image i1: expected in one part, found 0 times", id="a part is missing"),
        pytest.param([rows_of(0), rows_of(1), rows_of(0)], "image i0: .* found 2 times", id="an image twice"),
        pytest.param([rows_of(0) + rows_of(0) + rows_of(1)], "image i0: .* found 2 times", id="twice in a part"),
        pytest.param([rows_of(0), rows_of(1)[:1]], "image i1: .* found 0 times", id="a class is missing"),
        pytest.param([rows_of(0), rows_of(1), rows_of(2)], "does not know", id="an unknown image"),
        pytest.param([rows_of(0), rows_of(1, heads=["other"])], "does not know", id="an unknown head"),
        pytest.param([], "image i0: .* found 0 times", id="no parts"),
    ],
)
def test_every_image_is_in_one_part(shards: list[Rows], words: str) -> None:
    store = memory_store()
    with pytest.raises(ValueError, match=words):
        collect(store, commit_parts(store, *shards), catalog_of(2), layout_of())


@given(data=st.data(), kind=st.sampled_from(["two classes", "three classes", "label maps"]))
def test_any_batching_order_and_sharding_gives_equal_counts_to_the_last_bit(data: st.DataObject, kind: str) -> None:
    """Images are counted one by one, as views into batches of any size, and committed in shards of any size."""
    n_images, n_classes = data.draw(st.integers(1, 9)), 3 if kind == "three classes" else 2
    layout = layout_of(classes=("background", "liver", "tumour")[:n_classes])
    references = np.stack([made_reference(seed, n_classes) for seed in range(n_images)])
    probabilities = np.stack([made_probabilities(seed, n_classes) for seed in range(n_images)])
    predictions = probabilities >= 0.5 if kind == "label maps" else probabilities
    argument = "label_map" if kind == "label maps" else "probabilities"
    failed = data.draw(st.sets(st.integers(0, n_images - 1), max_size=2))

    def counted(order: Sequence[int], cuts: Sequence[int], shards: Sequence[int]) -> Counted:
        rows: list[Rows] = []
        for batch in np.split(np.array(order, int), cuts):
            in_batch = references[batch], predictions[batch]
            for place, reference, prediction in zip(batch, *in_batch, strict=True):
                kinds: dict[str, Any] = {argument: prediction}
                counts = count_overlap(reference, n_classes=n_classes, **kinds)
                rows.append(
                    rows_of_failed(place, n_classes) if place in failed else count_rows(f"i{place}", "last", counts)
                )
        cut = [[row for image in rows[start:end] for row in image] for start, end in pairwise([0, *shards, n_images])]
        store = memory_store()
        return collect(store, commit_parts(store, *filter(None, cut)), catalog_of(n_images), layout)

    def cuts() -> list[int]:
        return sorted(data.draw(st.lists(st.integers(0, n_images), max_size=4)))

    one_by_one = counted(range(n_images), range(1, n_images), [])
    found = counted(data.draw(st.permutations(range(n_images))), cuts(), cuts())
    pd.testing.assert_frame_equal(found.frame, one_by_one.frame, check_exact=True)
    for name in ("true_positive", "predicted", "has_histogram"):
        np.testing.assert_array_equal(getattr(found, name), getattr(one_by_one, name))
    sums = [one.frame[list(parts.SOFT_SUMS)].to_numpy().tobytes() for one in (found, one_by_one)]
    assert sums[0] == sums[1]
