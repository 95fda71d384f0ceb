"""Networks measured: the label maps of images from their bands, as those that are kept and scored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from segscale.storage.ledger import Entry, Ledger
from segscale.storage.shards import ROWS, decode_all, read_object
from segscale.storage.side_parts import LESIONS, SURFACES, SidePart
from segscale.tasks import predict
from segscale.tasks.labels import LabelRule
from segscale.tasks.measuring import LesionRule, Measuring, stacks_of_images
from segscale.tasks.predict import PredictJob, predict_key, predict_shard
from segscale.tasks.prediction_file import Counting
from segscale.tasks.scoring import Scoring, shard_key
from tests.tasks.test_predict import BROKEN, PointwiseEngine, _grey, _kept, _mask, _prediction
from tests.tasks.volumes import Scored, npy

MakeSet = Callable[..., Any]
MEASURING = Measuring((1.0, 3.0), LesionRule())


def _predicted(data: Any, engine: PointwiseEngine, measuring: Measuring | None, **changes: Any) -> Entry:
    (ingested,) = data.entries()
    prediction = _prediction(engine, **changes)
    key = predict_key(ingested.key, prediction, measuring=measuring)
    job = PredictJob(key, ingested.key, measuring=measuring, stacks=stacks_of_images(data.catalog))
    predict_shard(data.store, job, prediction, engine)
    return Ledger(data.store).read(predict.STAGE, job.key)


def _rows(store: Any, entry: Entry, part: SidePart) -> pd.DataFrame:
    frame: pd.DataFrame = part.read(store, entry).to_pandas()
    return frame


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="whole slices"),
        pytest.param({"tile": 32, "overlap": 0.25}, id="tiles"),
        pytest.param({"batch_size": 3, "keep": "none"}, id="batches over the ends of volumes, nothing kept"),
    ],
)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_network_is_measured_as_its_label_maps_are(
    make_set: MakeSet, tmp_path: Path, changes: dict[str, Any], n_classes: int
) -> None:
    shapes = {"a.npy": (5, 40, 24), "c.npy": (3, 40, 24)}
    images = {name: _grey(seed, shape) for seed, (name, shape) in enumerate(shapes.items())}
    masks = {name: _mask(seed, shape, n_classes) for seed, (name, shape) in enumerate(shapes.items())}
    data = make_set(images, masks, n_classes=n_classes, ignore_label=9)
    data.ingest()
    engine = PointwiseEngine(heads=(1, 2), n_classes=n_classes, channels=1)
    plain, measured = (_predicted(data, engine, asked, **changes) for asked in (None, MEASURING))
    assert read_object(data.store, plain, ROWS) == read_object(data.store, measured, ROWS), "counts are as without"
    assert not {SURFACES.name, LESIONS.name} & plain.objects.keys()
    with_labels = _predicted(data, engine, MEASURING, **{**changes, "keep": "labels"})
    rule = LabelRule(n_classes, ignored=9)
    for image_id in ("a", "c"):
        folder = tmp_path / image_id
        folder.mkdir()
        label_map = npy(_kept(data, with_labels, image_id))
        scored = Scored(
            folder,
            Scoring(rule, Counting(0.5, LabelRule(n_classes)), has_images=False, measuring=MEASURING),
            reference=("m.npy", npy(masks[f"{image_id}.npy"])),
            prediction=("p.npy", label_map),
        )
        for part in (SURFACES, LESIONS):
            of_network = _rows(data.store, measured, part).query("image_id == @image_id and head == 'power 2'")
            of_files = _rows(scored.store, scored.entry, part)
            assert len(of_files)
            keys = ["image_id", "head"]
            pd.testing.assert_frame_equal(
                of_network.drop(columns=keys).reset_index(drop=True), of_files.drop(columns=keys)
            )


INSTANCES = Measuring(None, LesionRule(instances="references"))


def numbered(seed: int, shape: tuple[int, ...]) -> NDArray[Any]:
    """Instances that touch, of many numbers."""
    blocks = np.indices(shape) // np.array([2, 8, 6]).reshape(3, 1, 1, 1)
    numbers = np.where(_mask(seed, shape) > 0, 1 + 7 * blocks.sum(axis=0) + 60_000 * (blocks[1] % 2), 0)
    return numbers.astype(np.uint32)


@pytest.mark.parametrize("slice_axis", ["d", "w"])
def test_lesions_that_references_number_are_found_by_a_network(
    make_set: MakeSet, tmp_path: Path, slice_axis: str
) -> None:
    shapes = {"a.npy": (5, 24, 24), "c.npy": (5, 24, 24)}
    images = {name: _grey(seed, shape) for seed, (name, shape) in enumerate(shapes.items())}
    references = {name: numbered(seed, shape) for seed, (name, shape) in enumerate(shapes.items())}
    images["c.npy"][1, 0, 0] = BROKEN
    data = make_set(images, references, ignore_label=None, slice_axis=slice_axis, instances=True)
    data.ingest()
    entry = _predicted(data, PointwiseEngine(channels=1), INSTANCES, keep="labels")
    lesions = _rows(data.store, entry, LESIONS).set_index("image_id")
    for image_id in shapes:
        values = references[image_id]
        of_reference = lesions.loc[image_id.removesuffix(".npy")].query("side == 'reference'")
        numbers, sizes = np.unique(values[values > 0], return_counts=True)
        assert of_reference["label"].tolist() == numbers.tolist()
        assert of_reference["voxels"].tolist() == sizes.tolist()
    # As of the label map that is kept.
    found = np.moveaxis(_kept(data, entry, "a"), 0, "dhw".index(slice_axis))
    scored = Scored(
        tmp_path,
        Scoring(LabelRule(2), Counting(0.5, LabelRule(2)), has_images=False, measuring=INSTANCES),
        reference=("m.npy", npy(references["a.npy"])),
        prediction=("p.npy", npy(found)),
    )
    of_files = _rows(scored.store, scored.entry, LESIONS)
    assert {"reference", "prediction"} == set(of_files["side"])
    pd.testing.assert_frame_equal(
        lesions.loc[["a"]].drop(columns="head").reset_index(drop=True), of_files.drop(columns=["image_id", "head"])
    )


def test_a_network_that_fails_leaves_the_reference(make_set: MakeSet) -> None:
    images = {"a.npy": _grey(0, (3, 20, 24)), "b.npy": _grey(1, (3, 20, 24))}
    images["b.npy"][1, 0, 0] = BROKEN  # in its second slice
    data = make_set(images, {name: _mask(2, (3, 20, 24)) for name in images}, ignore_label=9)
    data.ingest()
    entry = _predicted(data, PointwiseEngine(channels=1), MEASURING)
    surfaces = _rows(data.store, entry, SURFACES).set_index("image_id")
    assert surfaces["worst_distance"].loc["a"] == surfaces["worst_distance"].loc["b"]
    assert surfaces["reference_border"].isna().to_dict() == {"a": False, "b": True}
    lesions = _rows(data.store, entry, LESIONS)
    assert set(lesions.loc[lesions["image_id"] == "b", "side"]) == {"reference"}
    of_reference = lesions[lesions["side"] == "reference"][["image_id", "label", "voxels", "centroid_h"]]
    sides = {name: rows.drop(columns="image_id") for name, rows in of_reference.groupby("image_id")}
    pd.testing.assert_frame_equal(sides["a"].reset_index(drop=True), sides["b"].reset_index(drop=True))
    decode_all({name: read_object(data.store, entry, name) for name in entry.objects})


def test_what_is_measured_stands_in_the_keys() -> None:
    prediction = _prediction(PointwiseEngine())
    other_rule = LesionRule(rule="iou", threshold=0.3)
    asked = [None, MEASURING, Measuring((1.0,), None), Measuring(None, LesionRule()), Measuring(None, other_rule)]
    asked.append(Measuring(None, LesionRule(), (1.0, 1.0, 1.0)))
    assert len({predict_key("aa", prediction, measuring=one) for one in asked}) == len(asked)
    assert predict_key("aa", prediction) == predict_key("aa", prediction, measuring=None)
    rule = LabelRule(2)
    plain = Scoring(rule, Counting(0.5, rule), has_images=False)
    keys = {shard_key([], Scoring(rule, Counting(0.5, rule), has_images=False, measuring=one)) for one in asked}
    assert len(keys) == len(asked)
    assert "measuring" not in plain.as_key()
