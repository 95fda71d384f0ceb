"""The counts of slices: of networks and of existing predictions, beside those of their volumes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from segscale.storage import parts
from segscale.storage.ledger import Entry, Ledger
from segscale.storage.shards import ROWS, decode_all, read_object
from segscale.storage.side_parts import SLICES
from segscale.storage.store_paths import judge
from segscale.tasks import predict
from segscale.tasks.labels import LabelRule
from segscale.tasks.metrics.overlap import count_overlap
from segscale.tasks.predict import PredictJob, predict_key, predict_shard
from segscale.tasks.prediction_file import Counting
from segscale.tasks.scoring import Scoring, shard_key
from segscale.tasks.slice_axis import Asked
from segscale.tasks.slice_counts import Slicing
from tests.tasks.geometries import TURNS
from tests.tasks.test_predict import BROKEN, PointwiseEngine, _grey, _mask, _prediction
from tests.tasks.volumes import GEOMETRY, PREDICTION, REFERENCE, RULE, SIZE, Scored, labels, nifti, npz, turned

MakeSet = Callable[..., Any]
NUMBERS = [name for name in parts.COUNTS if name not in ("n_pixels", "n_ignored")]
AXES = {"d": 0, "h": 1, "w": 2}


def _predicted(data: Any, engine: PointwiseEngine, slices: bool, **changes: Any) -> Entry:
    (ingested,) = data.entries()
    prediction = _prediction(engine, **changes)
    job = PredictJob(predict_key(ingested.key, prediction, slices), ingested.key, slices=slices)
    predict_shard(data.store, job, prediction, engine)
    return Ledger(data.store).read(predict.STAGE, job.key)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="whole slices"),
        pytest.param({"tile": 32, "overlap": 0.25}, id="tiles"),
        pytest.param({"batch_size": 3}, id="batches over the ends of volumes"),
    ],
)
@pytest.mark.parametrize("n_classes", [2, 4])
def test_slices_of_a_network_sum_to_their_volume(make_set: MakeSet, changes: dict[str, Any], n_classes: int) -> None:
    shapes = {"a.npy": (5, 40, 24), "b.npy": (20, 24), "c.npy": (3, 40, 24)}
    images = {name: _grey(seed, shape) for seed, (name, shape) in enumerate(shapes.items())}
    masks = {name: _mask(seed, shape, n_classes) for seed, (name, shape) in enumerate(shapes.items())}
    images.pop("b.npy"), masks.pop("b.npy")  # of another size, and so of another shard
    data = make_set(images, masks, n_classes=n_classes, ignore_label=9)
    data.ingest()
    engine = PointwiseEngine(heads=(1, 2), n_classes=n_classes, channels=1)
    plain, sliced = (_predicted(data, engine, asked, **changes) for asked in (False, True))
    assert read_object(data.store, plain, ROWS) == read_object(data.store, sliced, ROWS), "volumes are as without"
    assert SLICES.name not in plain.objects
    rows = pd.DataFrame(parts.read_part(data.store, sliced).to_pylist()).set_index(["image_id", "head", "class_index"])
    slices = SLICES.read(data.store, sliced).to_pandas()
    assert slices.groupby(["image_id", "head", "class_index"]).size().to_dict() == {
        key: shapes[f"{key[0]}.npy"][0] for key in rows.index
    }
    sums = slices.groupby(["image_id", "head", "class_index"])[[*parts.COUNTS, *parts.SOFT_SUMS]].sum()
    assert (sums[list(parts.COUNTS)] == rows.loc[sums.index, list(parts.COUNTS)]).all(axis=None)
    np.testing.assert_allclose(sums[list(parts.SOFT_SUMS)], rows.loc[sums.index, list(parts.SOFT_SUMS)], rtol=1e-12)
    # Each slice by itself, as a picture.
    names = {f"{name[0]}{number}.npy": (name, number) for name in images for number in range(len(images[name]))}
    alone = make_set(
        {file: images[name][number] for file, (name, number) in names.items()},
        {file: masks[name][number] for file, (name, number) in names.items()},
        n_classes=n_classes, ignore_label=9, folder="alone",
    )  # fmt: skip
    alone.ingest()
    entry = _predicted(alone, engine, False, **changes)
    pictures = pd.DataFrame(parts.read_part(alone.store, entry).to_pylist())
    slices["image_id"] += slices["slice_index"].astype(str)
    keys = ["image_id", "head", "class_index"]
    of_slices, of_pictures = (frame.set_index(keys).sort_index() for frame in (slices, pictures))
    columns = [*parts.COUNTS, *parts.SOFT_SUMS]
    assert of_slices.index.tolist() == of_pictures.index.tolist()
    np.testing.assert_array_equal(of_slices[columns], of_pictures[columns])


def test_a_volume_that_fails_has_no_slices(make_set: MakeSet) -> None:
    images = {"a.npy": _grey(0, (3, 20, 24)), "b.npy": _grey(1, (3, 20, 24))}
    images["b.npy"][1, 0, 0] = BROKEN  # in its second slice
    data = make_set(images, {name: _mask(2, (3, 20, 24)) for name in images}, ignore_label=9)
    data.ingest()
    entry = _predicted(data, PointwiseEngine(channels=1), True)
    assert set(SLICES.read(data.store, entry).column("image_id").to_pylist()) == {"a"}
    contents = {name: read_object(data.store, entry, name) for name in entry.objects}
    decode_all(contents)
    assert {judge(f"{entry.path}/{name}").kind for name in contents} == {"attempt"}
    again = _predicted(data, PointwiseEngine(channels=1), True)
    assert again.objects == entry.objects


class _Slices(Scored):
    """The slices of one image that was scored."""

    def __init__(self, folder: Path, scoring: Scoring, **files: tuple[str, bytes]) -> None:
        super().__init__(folder, scoring, **files)
        self.slices = pd.DataFrame()
        if SLICES.name in self.entry.objects:
            self.slices = SLICES.read(self.store, self.entry).to_pandas()


def _alone(reference: NDArray[Any], axis: str, **prediction: NDArray[Any]) -> list[list[int]]:
    """By slice and class, as the kernel counts each slice as a picture."""
    ((kind, values),) = prediction.items()
    found = []
    for number in range(reference.shape[AXES[axis]]):
        one, other = (np.take(array, number, AXES[axis]) for array in (reference, values))
        counts = count_overlap(one, n_classes=3, **{kind: other})
        found += np.stack([getattr(counts, name) for name in NUMBERS], axis=1).tolist()
    return found


@pytest.mark.parametrize(
    ("asked", "axis"),
    [
        pytest.param("auto", "d", id="the coarsest"),
        pytest.param("h", "h", id="along H"),
        pytest.param("w", "w", id="along W"),
    ],
)
@pytest.mark.parametrize("kind", ["labels", "turned labels", "probabilities"])
def test_slices_of_predictions_are_counted_as_pictures(tmp_path: Path, asked: Asked, axis: str, kind: str) -> None:
    scoring = Scoring(RULE, Counting(0.5, RULE), has_images=False, slicing=Slicing(asked, None))
    prediction = PREDICTION
    raw = np.random.default_rng(3).random((*SIZE, 3)).astype(np.float32)
    probabilities = (raw / raw.sum(axis=-1, keepdims=True)).astype(np.float32)
    file = {
        "labels": ("p.nii", nifti(prediction, GEOMETRY)),
        "turned labels": ("p.nii", turned(TURNS[21], PREDICTION)),
        "probabilities": ("p.npz", npz(probabilities)),
    }[kind]
    reference = "r.nii", nifti(REFERENCE, GEOMETRY)
    for name in ("plain", "sliced"):
        (tmp_path / name).mkdir()
    plain = _Slices(tmp_path / "plain", replace(scoring, slicing=None), reference=reference, prediction=file)
    sliced = _Slices(tmp_path / "sliced", scoring, reference=reference, prediction=file)
    assert plain.slices.empty
    rows = (read_object(one.store, one.entry, ROWS) for one in (plain, sliced))
    assert next(rows) == next(rows), "volumes are as without"
    slices = sliced.slices
    given = {"probabilities": probabilities} if kind == "probabilities" else {"label_map": prediction}
    assert slices[NUMBERS].to_numpy().tolist() == _alone(REFERENCE, axis, **given)
    assert slices["slice_index"].tolist() == np.repeat(np.arange(SIZE[AXES[axis]]), 3).tolist()
    for row in sliced.rows:
        of_class = slices[slices["class_index"] == row["class_index"]]
        for name in parts.COUNTS:
            assert of_class[name].sum() == row[name], name
        for name in parts.SOFT_SUMS:
            np.testing.assert_allclose(of_class[name].sum(skipna=False), row[name], rtol=1e-12)


def test_pictures_have_one_slice(tmp_path: Path) -> None:
    rule = LabelRule(2)
    scoring = Scoring(rule, Counting(0.5, rule), has_images=False, slicing=Slicing("w", None))
    flat = (labels(0) > 0).astype(np.uint8)[:1]
    found = _Slices(
        tmp_path, scoring, reference=("r.nii", nifti(flat, GEOMETRY)), prediction=("p.nii", nifti(flat, GEOMETRY))
    )
    assert found.slices["slice_index"].tolist() == [0, 0]


def test_keys_change_with_slices_alone() -> None:
    prediction = _prediction(PointwiseEngine())
    assert predict_key("aa", prediction) == predict_key("aa", prediction, slices=False)
    assert predict_key("aa", prediction) != predict_key("aa", prediction, slices=True)
    scoring = Scoring(RULE, Counting(0.5, RULE), has_images=False)
    ways = [None, Slicing("auto", None), Slicing("h", None), Slicing("auto", (1.0, 1.0, 2.0))]
    assert len({shard_key([], replace(scoring, slicing=way)) for way in ways}) == len(ways)
    assert "slicing" not in scoring.as_key()
