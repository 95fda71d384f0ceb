import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from segscale.errors import ArgumentError, StageError
from segscale.storage import parts, shards
from segscale.storage.ledger import Entry, Ledger
from segscale.tasks import inference, predict
from segscale.tasks.engines import EngineFacts, check_batch
from segscale.tasks.kept import Kept, quantize
from segscale.tasks.normalize import Recipe, apply_recipe
from segscale.tasks.predict import PredictJob, predict_key, predict_shard
from segscale.tasks.prediction import Prediction, batch_shape

MakeSet = Callable[..., Any]
BROKEN = 254
"""An image of which this is the first stored value makes the engine give NaN; one less, numbers beyond 1."""


class PointwiseEngine:
    """The brightness of a pixel is its probability; `heads` are powers of it."""

    def __init__(self, heads: Sequence[int] = (1,), n_classes: int = 2, channels: int = 3, stride: int = 16) -> None:
        outputs = 1 if n_classes == 2 else n_classes
        names = tuple(f"power {head}" for head in heads)
        self.facts = EngineFacts("fake", "cpu:0", "float32", "1", names, n_classes, outputs, channels, stride)
        self.powers = tuple(heads)
        self.shapes: list[tuple[int, ...]] = []

    def probabilities(self, pixels: NDArray[Any], recipe: NDArray[np.float32]) -> NDArray[np.float32]:
        check_batch(pixels, recipe, self.facts)
        self.shapes.append(pixels.shape)
        return np.stack([self._head(pixels, recipe, power) for power in self.powers])

    def _head(self, pixels: NDArray[Any], recipe: NDArray[np.float32], power: int) -> NDArray[np.float32]:
        return np.stack(
            [
                _probabilities(image, Recipe(*map(float, row)), self.facts.n_classes, power)
                for image, row in zip(pixels, recipe, strict=True)
            ]
        )


def _probabilities(image: NDArray[Any], recipe: Recipe, n_classes: int, power: int = 1) -> NDArray[np.float32]:
    bright = apply_recipe(image, recipe)[..., -1:] ** np.float32(power)
    if image.dtype == np.uint8 and image[0, 0, 0] == BROKEN:
        bright = bright * np.float32(np.nan)
    if image.dtype == np.uint8 and image[0, 0, 0] == BROKEN - 1:
        bright = bright + np.float32(1)
    if n_classes == 2:
        return bright
    others = (1 - bright) * np.linspace(0.9, 0.1, n_classes - 1, dtype=np.float32)
    return np.concatenate([others, bright], axis=-1)


def _prediction(engine: PointwiseEngine, **changes: Any) -> Prediction:
    basis = Prediction(
        weights_sha256="ff", engine="fake", precision="float32", versions={"fake": "1"}, heads=engine.facts.heads,
        level=4, ensemble=False, flips=False, n_classes=engine.facts.n_classes, batch_size=2, batch_pixels=524288,
        tile=1024, overlap=0.25, threshold=0.5, keep="labels",
    )  # fmt: skip
    return replace(basis, **changes)


def _predict(data: Any, engine: PointwiseEngine, **changes: Any) -> Entry:
    """Ingest, predict the only shard, and the commit of it."""
    data.ingest()
    (ingested,) = data.entries()
    prediction = _prediction(engine, **changes)
    job = PredictJob(predict_key(ingested.key, prediction), ingested.key)
    done = predict_shard(data.store, job, prediction, engine)
    entry = Ledger(data.store).read(predict.STAGE, job.key)
    assert (done.key, {"n_images": done.n_images, "n_failed": done.n_failed}) == (job.key, entry.facts)
    return entry


def _part(data: Any, entry: Entry) -> dict[tuple[str, str, int], dict[str, Any]]:
    rows = parts.read_part(data.store, entry).to_pylist()
    found = {(row["image_id"], row["head"], row["class_index"]): row for row in rows}
    assert len(found) == len(rows)
    return found


def _kept(data: Any, entry: Entry, image_id: str, name: str = "labels") -> NDArray[Any]:
    (array,) = shards.open_arrays(data.store, entry, name)
    crop: NDArray[Any] = data.rows()[image_id].crop(array)
    return crop


def _grey(seed: int, shape: tuple[int, ...] = (20, 24), first: int = 0) -> NDArray[np.uint8]:
    pixels = np.random.default_rng(seed).integers(0, BROKEN - 1, shape, np.uint8)
    pixels[(..., 0, 0) if len(shape) < 3 or shape[-1] != 3 else (0, 0)] = first
    return pixels


def _mask(seed: int, shape: tuple[int, ...] = (20, 24), n_classes: int = 2) -> NDArray[np.uint8]:
    mask = np.random.default_rng(seed + 100).integers(0, n_classes, shape, np.uint8)
    mask[..., 3, :4] = 9  # ignored
    return mask


def _five(make_set: MakeSet, **changes: Any) -> Any:
    names = [f"{number}.png" for number in range(5)]
    images, masks = ({name: make(seed) for seed, name in enumerate(names)} for make in (_grey, _mask))
    return make_set(images, masks, ignore_label=9, **changes)


@pytest.mark.parametrize("n_classes", [2, 3, 5])
def test_counts_are_those_of_the_kept_labels(make_set: MakeSet, n_classes: int) -> None:
    names = [f"{number}.png" for number in range(5)]
    data = make_set(
        {name: _grey(seed, (20 + 5 * seed % 12, 24)) for seed, name in enumerate(names)},
        {name: _mask(seed, (20 + 5 * seed % 12, 24), n_classes) for seed, name in enumerate(names)},
        ignore_label=9,
        n_classes=n_classes,
        label_values=tuple(range(n_classes)),
    )
    entry = _predict(data, PointwiseEngine(n_classes=n_classes))
    part = _part(data, entry)
    for seed, name in enumerate(names):
        image_id = name[0]
        reference, labels = _mask(seed, (20 + 5 * seed % 12, 24), n_classes), _kept(data, entry, image_id)[0]
        counted = reference != 9
        for index in range(n_classes):
            row = part[image_id, "power 1", index]
            of_reference, of_prediction = reference[counted] == index, labels[counted] == index
            assert row["n_pixels"] == reference.size
            assert row["n_ignored"] == 4
            assert row["true_positive"] == np.count_nonzero(of_reference & of_prediction)
            assert row["false_positive"] == np.count_nonzero(~of_reference & of_prediction)
            assert row["false_negative"] == np.count_nonzero(of_reference & ~of_prediction)
            assert row["true_negative"] == np.count_nonzero(~of_reference & ~of_prediction)
            assert row["reference_sum"] == np.count_nonzero(of_reference)


@pytest.mark.parametrize("tile", [1024, 32])
def test_regions_are_counted_behind_the_classes(make_set: MakeSet, tile: int) -> None:
    names, shape, regions = [f"{number}.png" for number in range(3)], (40, 48), ((1, 2, 3), (2, 3))
    images = {name: _grey(seed, shape) for seed, name in enumerate(names)}
    images["2.png"][0, 0] = BROKEN
    data = make_set(
        images,
        {name: _mask(seed, shape, 4) for seed, name in enumerate(names)},
        ignore_label=9,
        n_classes=4,
        label_values=tuple(range(4)),
    )
    entry = _predict(data, PointwiseEngine(n_classes=4), regions=regions, tile=tile)
    part = _part(data, entry)
    for seed, name in enumerate(names):
        image_id, reference = name[0], _mask(seed, shape, 4)
        labels, counted = _kept(data, entry, image_id)[0], reference != 9
        for place, region in enumerate(regions):
            row, held = part[image_id, "power 1", 4 + place], np.isin(reference, region)[counted]
            assert row["reference_pixels"] == np.count_nonzero(held)
            if image_id == "2":
                assert row["status"] == "failed"
                continue
            found = np.isin(labels, region)[counted]
            assert row["true_positive"] == np.count_nonzero(held & found)
            assert row["false_positive"] == np.count_nonzero(~held & found)
            of_classes = sum(part[image_id, "power 1", index]["soft_prediction_sum"] for index in region)
            assert row["soft_prediction_sum"] == pytest.approx(of_classes, rel=1e-6)
            assert sum(row["histogram_foreground"]) == row["reference_sum"]


def test_soft_sums_and_histograms_are_those_of_the_probabilities(make_set: MakeSet) -> None:
    data = make_set({"x.png": _grey(0)}, {"x.png": _mask(0)}, ignore_label=9)
    row = _part(data, _predict(data, PointwiseEngine()))["x", "power 1", 1]
    counted = _mask(0) != 9
    values, foreground = (_grey(0) / np.float32(255))[counted], _mask(0)[counted] == 1
    assert row["soft_prediction_sum"] == pytest.approx(values.sum(dtype=np.float64), rel=1e-12)
    assert row["soft_intersection"] == pytest.approx(values[foreground].sum(dtype=np.float64), rel=1e-12)
    bins = np.bincount(quantize(values)[foreground], minlength=256)
    assert row["histogram_foreground"] == bins.tolist()


def test_every_head_is_counted_and_the_last_one_kept(make_set: MakeSet) -> None:
    data = _five(make_set)
    entry = _predict(data, PointwiseEngine(heads=(1, 3)))
    part = _part(data, entry)
    assert {head for _, head, _ in part} == {"power 1", "power 3"}
    bright = (_grey(2) / np.float32(255)) ** np.float32(3) >= 0.5
    np.testing.assert_array_equal(_kept(data, entry, "2")[0], bright)
    assert part["2", "power 1", 1]["true_positive"] > part["2", "power 3", 1]["true_positive"]


def test_the_last_batch_is_filled_up(make_set: MakeSet) -> None:
    engine = PointwiseEngine()
    data = _five(make_set)
    entry = _predict(data, engine, batch_size=2)
    assert engine.shapes == [(2, 32, 32, 1)] * 3
    assert entry.facts == {"n_images": 5, "n_failed": 0}


@pytest.mark.parametrize("batch_size", [0, 1, 3, 5, 64])
def test_the_batch_size_changes_no_byte(make_set: MakeSet, batch_size: int) -> None:
    data = _five(make_set)
    first, other = (_predict(data, PointwiseEngine(heads=(1, 2)), batch_size=size) for size in (2, batch_size))
    assert other.key != first.key
    assert other.objects == first.objects


def test_a_volume_counts_as_the_sum_of_its_slices(make_set: MakeSet) -> None:
    pixels, mask = _grey(1, (5, 20, 24)), _mask(1, (5, 20, 24))
    volume = make_set({"v.tif": pixels}, {"v.tif": mask}, ignore_label=9)
    slices = make_set(
        {f"{z}.png": pixels[z] for z in range(5)},
        {f"{z}.png": mask[z] for z in range(5)},
        ignore_label=9,
        folder="slices",
    )
    whole_entry, entry = _predict(volume, PointwiseEngine()), _predict(slices, PointwiseEngine())
    whole, of_slices = _part(volume, whole_entry), _part(slices, entry)
    for index in range(2):
        for name in parts.COUNTS:
            total = sum(of_slices[str(z), "power 1", index][name] for z in range(5))
            assert whole["v", "power 1", index][name] == total
    for z in range(5):
        np.testing.assert_array_equal(_kept(volume, whole_entry, "v")[z], _kept(slices, entry, str(z))[0])


@pytest.mark.parametrize(
    ("shape", "overlap"),
    [
        pytest.param((70, 100), 0.25, id="both sides"),
        pytest.param((70, 100), 0.0, id="tiles side by side"),
        pytest.param((33, 20), 0.6, id="a side just over, one under"),
        pytest.param((20, 90), 0.25, id="one side"),
        pytest.param((65, 65), 0.6, id="one pixel over"),
    ],
)
def test_tiles_of_a_pointwise_network_are_the_whole_image(
    make_set: MakeSet, shape: tuple[int, int], overlap: float
) -> None:
    images = {f"{seed}.png": _grey(seed, shape) for seed in range(2)}
    data = make_set(images, {f"{seed}.png": _mask(seed, shape) for seed in range(2)}, ignore_label=9)
    engine = PointwiseEngine(heads=(1, 2))
    whole = _predict(data, PointwiseEngine(heads=(1, 2)), keep="probabilities")
    tiled = _predict(data, engine, tile=32, overlap=overlap, batch_size=3, keep="probabilities")
    assert set(engine.shapes) == {(3, 32, 32, 1)}
    _assert_same(data, tiled, whole)


def _assert_same(data: Any, entry: Entry, other: Entry) -> None:
    """Equal arrays, and equal counts but for the order in which soft sums were added."""
    arrays, others = (
        {name: one.objects[name] for name in one.objects if name != shards.ROWS} for one in (entry, other)
    )
    assert arrays == others
    part, other_part = _part(data, entry), _part(data, other)
    assert part.keys() == other_part.keys()
    for place, row in part.items():
        soft = {name: row.pop(name) for name in parts.SOFT_SUMS}
        other_soft = {name: other_part[place].pop(name) for name in parts.SOFT_SUMS}
        assert row == other_part[place]
        assert soft == pytest.approx(other_soft, rel=1e-12)


def test_a_tiled_volume(make_set: MakeSet) -> None:
    shape = (3, 40, 50)
    data = make_set({"v.tif": _grey(0, shape)}, {"v.tif": _mask(0, shape)}, ignore_label=9)
    whole, tiled = (_predict(data, PointwiseEngine(), tile=tile) for tile in (1024, 32))
    _assert_same(data, tiled, whole)


@pytest.mark.parametrize("batch_size", [1, 2, 5, 100])
def test_batches_of_tiles_go_over_images_and_change_no_byte(make_set: MakeSet, batch_size: int) -> None:
    shape = (90, 70)
    images = {f"{seed}.png": _grey(seed, shape) for seed in range(3)}
    data = make_set(images, {name: _mask(seed, shape) for seed, name in enumerate(images)}, ignore_label=9)
    engine = PointwiseEngine(heads=(1, 2))
    first = _predict(data, PointwiseEngine(heads=(1, 2)), tile=32, batch_size=3)
    other = _predict(data, engine, tile=32, batch_size=batch_size)
    assert other.objects == first.objects
    # Four rows of three tiles for each image, and no batch but the last that is not full.
    assert len(engine.shapes) == -(-3 * 4 * 3 // batch_size)


def test_images_cut_into_bands_are_predicted_like_others(make_set: MakeSet, monkeypatch: pytest.MonkeyPatch) -> None:
    shape = (100, 50)
    images = {f"{seed}.png": _grey(seed, shape) for seed in range(2)}
    masks = {name: _mask(seed, shape) for seed, name in enumerate(images)}
    uncut = make_set(images, masks, ignore_label=9, folder="uncut")
    whole, tiled = _predict(uncut, PointwiseEngine()), _predict(uncut, PointwiseEngine(), tile=32)
    monkeypatch.setattr(shards, "CHUNK_ROWS", 48)
    cut = make_set(images, masks, ignore_label=9, folder="cut")
    for tile, known in ((1024, whole), (32, tiled)):
        entry = _predict(cut, PointwiseEngine(), tile=tile)
        assert entry.objects[shards.ROWS] == known.objects[shards.ROWS]
        for image_id in "01":
            np.testing.assert_array_equal(_kept(cut, entry, image_id), _kept(uncut, known, image_id))


@pytest.mark.parametrize("shape", [(40, 50), (3, 40, 50)], ids=["image", "volume"])
def test_a_late_band_that_is_no_probability_undoes_those_before(make_set: MakeSet, shape: tuple[int, ...]) -> None:
    class LateEngine(PointwiseEngine):
        """Breaks down in the last rows of the last slice, when all before them were counted."""

        def probabilities(self, pixels: NDArray[Any], recipe: NDArray[np.float32]) -> NDArray[np.float32]:
            found = super().probabilities(pixels, recipe)
            found[:, pixels[..., 0] == BROKEN] = np.nan
            return found

    suffix = "png" if len(shape) == 2 else "tif"
    images = {f"{seed}.{suffix}": _grey(seed, shape) for seed in range(3)}
    images[f"1.{suffix}"][(-1, 39, 45)[-len(shape) :]] = BROKEN
    data = make_set(images, {name: _mask(seed, shape) for seed, name in enumerate(images)}, ignore_label=9)
    sound = _part(data, _predict(data, PointwiseEngine(), tile=32, batch_size=1))
    entry = _predict(data, LateEngine(), tile=32, batch_size=1, weights_sha256="00")
    part = _part(data, entry)
    assert entry.facts["n_failed"] == 1
    for index in range(2):
        row = part["1", "power 1", index]
        assert (row["status"], row["error_type"], row["n_pixels"]) == ("failed", "BadProbabilities", None)
        assert row["error"].startswith("image 1: rows 8 to 39: probabilities: expected finite values")
        for image_id in "02":
            assert part[image_id, "power 1", index] == sound[image_id, "power 1", index]
    assert not _kept(data, entry, "1").any()
    assert _kept(data, entry, "2").any()


@pytest.mark.parametrize(("first", "words"), [(BROKEN, "NaN"), (BROKEN - 1, "from 0 to 1")], ids=["NaN", "beyond 1"])
@pytest.mark.parametrize("tile", [1024, 32], ids=["whole", "tiled"])
def test_what_is_no_probability_fails_alone(make_set: MakeSet, first: int, words: str, tile: int) -> None:
    shape = (40, 50)
    images = {f"{seed}.png": _grey(seed, shape, first if seed == 1 else 0) for seed in range(4)}
    data = make_set(images, {name: _mask(seed, shape) for seed, name in enumerate(images)}, ignore_label=9)
    entry = _predict(data, PointwiseEngine(heads=(1, 2)), tile=tile, batch_size=4)
    part = _part(data, entry)
    assert entry.facts["n_failed"] == 1
    for (image_id, _, _), row in part.items():
        assert row["status"] == ("failed" if image_id == "1" else "ok")
        assert (row["n_pixels"] is None) == (image_id == "1")
    failed = part["1", "power 2", 1]
    assert (failed["stage"], failed["error_type"]) == ("predict", "BadProbabilities")
    # Its reference is sound, and known, pixels that are ignored left out.
    for index in range(2):
        pixels = np.count_nonzero(_mask(1, shape) == index)
        assert [part["1", head, index]["reference_pixels"] for head in ("power 1", "power 2")] == [pixels] * 2
    assert failed["error"].startswith("image 1: ")
    assert words in failed["error"]
    assert not _kept(data, entry, "1").any()


def test_one_broken_slice_fails_its_volume(make_set: MakeSet) -> None:
    volumes = {f"{name}.tif": _grey(seed, (4, 20, 24)) for seed, name in enumerate("ab")}
    volumes["a.tif"][2, 0, 0] = BROKEN
    data = make_set(volumes, {name: _mask(0, (4, 20, 24)) for name in volumes}, ignore_label=9)
    entry = _predict(data, PointwiseEngine(), batch_size=3)
    part = _part(data, entry)
    assert part["a", "power 1", 1]["status"] == "failed"
    assert part["a", "power 1", 1]["true_positive"] is None
    assert part["b", "power 1", 1]["n_pixels"] == 4 * 20 * 24


def test_colours_fail_where_the_network_takes_one_channel(make_set: MakeSet) -> None:
    grey = np.repeat(_grey(1)[..., np.newaxis], 3, axis=-1)
    images = {"colour.png": _grey(0, (20, 24, 3)), "grey.png": grey}
    data = make_set(images, {name: _mask(1) for name in images}, ignore_label=9)
    entry = _predict(data, PointwiseEngine(channels=1))
    part = _part(data, entry)
    failed = part["colour", "power 1", 1]
    assert (failed["status"], failed["stage"], failed["error_type"]) == ("failed", "predict", "ColourImage")
    assert "image colour: the network takes 1 channel" in failed["error"]
    assert part["grey", "power 1", 1]["status"] == "ok"
    np.testing.assert_array_equal(_kept(data, entry, "grey")[0], _grey(1) >= 128)


def test_colours_are_fine_where_the_network_takes_three(make_set: MakeSet) -> None:
    data = make_set({"x.png": _grey(0, (20, 24, 3))}, {"x.png": _mask(0)}, ignore_label=9)
    entry = _predict(data, PointwiseEngine(channels=3))
    np.testing.assert_array_equal(_kept(data, entry, "x")[0], _grey(0, (20, 24, 3))[..., 2] >= 128)


@pytest.mark.parametrize("dtype", ["uint16", "int32", "float16", "float32"])
def test_any_stored_type_is_predicted(make_set: MakeSet, dtype: str) -> None:
    pixels = (_grey(0) // 2).astype(dtype)
    data = make_set({"x.npy": pixels}, {"x.png": _mask(0)}, ignore_label=9, normalize="window", window=(0.0, 127.0))
    entry = _predict(data, PointwiseEngine())
    assert _part(data, entry)["x", "power 1", 1]["status"] == "ok"
    np.testing.assert_array_equal(_kept(data, entry, "x")[0], _grey(0) // 2 >= 64)


@pytest.mark.parametrize("keep", ["labels", "probabilities", "none"])
def test_what_is_kept(make_set: MakeSet, keep: str) -> None:
    data = _five(make_set)
    entry = _predict(data, PointwiseEngine(), keep=keep)
    kept = {name.split("/")[1] for name in entry.objects if "/c/" in name}
    assert kept == ({keep} - {"none"})
    if keep == "probabilities":
        expected = np.minimum(np.floor(_grey(3) / np.float32(255) * 256), 255)
        np.testing.assert_array_equal(_kept(data, entry, "3", keep)[0, ..., 0], expected)


def test_failures_of_ingest_stay_failures_of_ingest(make_set: MakeSet) -> None:
    data = make_set({"a.png": _grey(0), "b.png": _grey(1)}, {"a.png": _mask(0), "b.png": _mask(1, (20, 23))})
    part = _part(data, _predict(data, PointwiseEngine()))
    failed = part["b", "power 1", 0]
    assert (failed["stage"], failed["error_type"]) == ("ingest", "ValueError")
    assert failed["error"] == data.rows()["b"].failure.error
    assert failed["reference_pixels"] is None
    assert part["a", "power 1", 0]["status"] == "ok"


def test_a_shard_without_arrays_needs_no_engine(make_set: MakeSet) -> None:
    engine = PointwiseEngine(heads=(1, 2))
    data = make_set({"a.png": b"", "b.png": b""}, {"a.png": _mask(0), "b.png": _mask(1)})
    entry = _predict(data, engine)
    assert engine.shapes == []
    assert len(_part(data, entry)) == 2 * 2 * 2
    assert entry.facts == {"n_images": 2, "n_failed": 2}


def _broken(*_: object, **__: object) -> Any:
    raise OverflowError("out of memory")


@pytest.mark.parametrize(
    ("place", "message"),
    [
        pytest.param((PointwiseEngine, "probabilities"), "inference, images 4, 3: ", id="in the engine"),
        pytest.param((inference, "fill_padded"), "reading, images 4, 3: ", id="in reading"),
        pytest.param((predict, "count_overlap"), "counting, images 4, 3: ", id="in counting"),
        pytest.param((Kept, "put"), "counting, images 4, 3: ", id="in keeping"),
    ],
)
def test_what_breaks_down_says_where_and_commits_nothing(
    make_set: MakeSet, monkeypatch: pytest.MonkeyPatch, place: tuple[Any, str], message: str
) -> None:
    data = _five(make_set)
    monkeypatch.setattr(*place, _broken)
    threads = set(threading.enumerate())
    with pytest.raises(StageError, match=f"^{message}OverflowError: out of memory$"):
        _predict(data, PointwiseEngine())
    assert {
        one.name for one in set(threading.enumerate()) - threads if one.name.startswith(("ahead", "behind"))
    } == set()
    assert Ledger(data.store).done(predict.STAGE) == frozenset()


@pytest.mark.parametrize("kind", [ValueError, ArgumentError, AssertionError])
def test_a_defect_in_counting_is_no_bad_probability(
    make_set: MakeSet, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise kind("a bug")

    data = _five(make_set)
    monkeypatch.setattr(predict, "count_overlap", broken)
    with pytest.raises(StageError, match=f"^counting, .*: {kind.__name__}: a bug$"):
        _predict(data, PointwiseEngine())
    assert not Ledger(data.store).done(predict.STAGE)


def test_counting_goes_on_beside_the_engine(make_set: MakeSet) -> None:
    counted = threading.Event()

    class WaitingEngine(PointwiseEngine):
        """Its last batch waits until the first one is counted: for ever, were it counted after the engine only."""

        def probabilities(self, pixels: NDArray[Any], recipe: NDArray[np.float32]) -> NDArray[np.float32]:
            if len(self.shapes) == 2:
                assert counted.wait(30), "nothing was counted while the engine worked"
            return super().probabilities(pixels, recipe)

    class NotingKept(Kept):
        def put(self, position: int, top: int, probabilities: NDArray[np.float32]) -> None:
            super().put(position, top, probabilities)
            counted.set()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(predict, "Kept", NotingKept)
        entry = _predict(_five(make_set), WaitingEngine(), batch_size=2)
    assert entry.facts == {"n_images": 5, "n_failed": 0}


def test_a_damaged_shard_is_not_counted(make_set: MakeSet) -> None:
    data = _five(make_set)
    data.ingest()
    (entry,) = data.entries()
    (name,) = (name for name in entry.objects if "/images/c/" in name)
    data.store.write(f"{entry.path}/{name}", b"torn")
    prediction = _prediction(PointwiseEngine())
    with pytest.raises(ValueError, match="is damaged"):
        predict_shard(data.store, PredictJob("k", entry.key), prediction, PointwiseEngine())
    assert Ledger(data.store).done(predict.STAGE) == frozenset()


def test_a_stride_larger_than_the_bucket(make_set: MakeSet) -> None:
    engine = PointwiseEngine(stride=64)
    data = _five(make_set)
    entry, plain = _predict(data, engine), _predict(data, PointwiseEngine(), batch_size=1)
    assert set(engine.shapes) == {(2, 64, 64, 1)}
    assert entry.objects == plain.objects


@pytest.mark.parametrize(
    "changes",
    [
        {"weights_sha256": "00"}, {"engine": "other"}, {"precision": "bfloat16"}, {"versions": {"fake": "2"}},
        {"heads": ("other",)}, {"level": 3}, {"ensemble": True}, {"n_classes": 3}, {"batch_size": 3}, {"tile": 64},
        {"overlap": 0.5}, {"threshold": 0.4}, {"keep": "none"}, {"whole_image": True}, {"regions": ((1,),)},
    ],
    ids=lambda changes: next(iter(changes)),
)  # fmt: skip
def test_whatever_a_run_predicts_with_is_in_the_key(changes: dict[str, Any]) -> None:
    basis = _prediction(PointwiseEngine())
    assert predict_key("aa", replace(basis, **changes)) != predict_key("aa", basis)
    assert predict_key("bb", basis) != predict_key("aa", basis) == predict_key("aa", replace(basis))


@pytest.mark.parametrize(
    ("height", "width", "changes", "shape"),
    [
        pytest.param(256, 256, {"batch_size": 0}, (8, 256, 256), id="eight images of 256"),
        pytest.param(32, 32, {"batch_size": 0}, (16, 32, 32), id="many small ones"),
        pytest.param(1024, 1024, {"batch_size": 0}, (1, 1024, 1024), id="never none"),
        pytest.param(2048, 96, {"batch_size": 0, "tile": 256}, (16, 256, 96), id="a long strip in tiles"),
        pytest.param(64, 64, {"batch_size": 5}, (5, 64, 64), id="as configured"),
    ],
)
def test_batch_shape(height: int, width: int, changes: dict[str, int], shape: tuple[int, int, int]) -> None:
    assert batch_shape(height, width, _prediction(PointwiseEngine(), **changes)) == shape
