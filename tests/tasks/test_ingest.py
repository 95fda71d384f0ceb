import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from segscale.errors import ArgumentError
from segscale.storage.catalog import COLUMNS, rows_by_shard
from segscale.storage.ledger import Ledger
from segscale.storage.shards import CHUNK_ROWS, ROWS, as_numpy, open_arrays, read_object
from segscale.storage.source_memory import MEMORY_COLUMNS
from segscale.tasks import ingest, shard_plan
from segscale.tasks.ingest import ingest_shard
from segscale.tasks.labels import IGNORED
from segscale.tasks.normalize import apply_recipe
from segscale.tasks.readers.orientation import turned
from segscale.tasks.scan import MINIMUM_SIDE, SourceFacts, inspect_files
from segscale.tasks.shard_plan import plan_shards

MakeSet = Callable[..., Any]
HEIGHT, WIDTH = 20, 24


def _grey(seed: int = 0, dtype: str = "uint8", shape: tuple[int, ...] = (HEIGHT, WIDTH)) -> NDArray[Any]:
    random = np.random.default_rng(seed)
    if dtype == "float32":
        return random.random(shape).astype(np.float32)
    limits = np.iinfo(np.dtype(dtype))
    return random.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)


def _mask(seed: int = 0, shape: tuple[int, ...] = (HEIGHT, WIDTH)) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 2, shape, dtype=np.uint8)


def _rows_bytes(data: Any) -> list[bytes]:
    return [read_object(data.store, entry, ROWS) for entry in data.entries()]


@pytest.mark.parametrize(
    ("name", "pixels", "scale"),
    [
        pytest.param("x.png", _grey(), 255, id="uint8"),
        pytest.param("x.png", _grey(dtype="uint16"), 65535, id="uint16"),
        pytest.param("x.png", _grey(shape=(HEIGHT, WIDTH, 3)), 255, id="RGB"),
        pytest.param("x.tif", _grey(dtype="float32"), 1, id="float32"),
        pytest.param("x.tif", _grey(dtype="uint16", shape=(5, HEIGHT, WIDTH)), 65535, id="pages of a TIFF: a volume"),
        pytest.param("x.npy", _grey(dtype="float32", shape=(3, HEIGHT, WIDTH)), 1, id="volume of floats"),
        pytest.param("x.npy", _grey(shape=(MINIMUM_SIDE, 100)), 255, id="a strip"),
    ],
)
def test_pixels_are_stored_without_loss(make_set: MakeSet, name: str, pixels: NDArray[Any], scale: int) -> None:
    coloured = name == "x.png" and pixels.ndim == 3
    volume = pixels if pixels.ndim == 3 and not coloured else pixels[np.newaxis]
    reference = _mask(shape=volume.shape[:3])
    data = make_set({name: pixels}, {"x.npy": reference[0] if len(reference) == 1 else reference})
    (done,) = data.ingest()
    assert (done.n_images, done.n_failed) == (1, 0)
    row = data.rows()["x"]
    images, references = data.stored("x")
    height, width = reference.shape[1:]
    assert (row.depth, row.height, row.width, row.coloured) == (len(reference), height, width, coloured)
    assert images.dtype == pixels.dtype
    np.testing.assert_array_equal(images[:, :height, :width], volume.reshape(*reference.shape, -1))
    np.testing.assert_array_equal(references[:, :height, :width], reference)
    assert (row.recipe.offset, row.recipe.scale) == (0.0, scale)


def test_padding_mirrors_the_image_and_ignores_the_reference(make_set: MakeSet) -> None:
    pixels = _grey(shape=(33, 40))
    data = make_set({"x.png": pixels}, {"x.png": _mask(shape=(33, 40))})
    data.ingest()
    images, references = data.stored("x")
    assert images.shape == (1, 64, 64, 1)
    np.testing.assert_array_equal(images[0, 33, :40, 0], pixels[31])
    np.testing.assert_array_equal(images[0, :33, 40, 0], pixels[:, 38])
    np.testing.assert_array_equal(images[0, :33, 63, 0], pixels[:, 15])
    assert (references[0, 33:] == IGNORED).all()
    assert (references[0, :, 40:] == IGNORED).all()


def test_the_recipe_is_of_the_true_pixels(make_set: MakeSet) -> None:
    pixels = _grey(shape=(33, 40), dtype="uint16")
    data = make_set({"x.png": pixels}, {"x.png": _mask(shape=(33, 40))}, normalize="zscore")
    data.ingest()
    recipe = data.rows()["x"].recipe
    assert recipe.offset == pytest.approx(pixels.mean(), rel=1e-12)
    assert recipe.scale == pytest.approx(pixels.std(), rel=1e-12)
    normalised = apply_recipe(pixels, recipe)
    assert normalised.mean() == pytest.approx(0, abs=1e-4)


def test_label_values_become_class_indices(make_set: MakeSet) -> None:
    labels = np.tile(np.array([10, 20, 30, 99], np.uint8), (HEIGHT, 6))
    data = make_set({"x.png": _grey()}, {"x.png": labels}, n_classes=3, label_values=(30, 10, 20), ignore_label=99)
    data.ingest()
    _, references = data.stored("x")
    assert references[0, 0, :4].tolist() == [1, 2, 0, IGNORED]


def test_equal_channels_are_no_colour(make_set: MakeSet) -> None:
    grey = np.repeat(_grey()[..., np.newaxis], 3, axis=-1)
    one_pixel = grey.copy()
    one_pixel[5, 5, 1] ^= 1
    masks = {"grey.png": _mask(), "pixel.png": _mask()}
    data = make_set({"grey.png": grey, "pixel.png": one_pixel}, masks)
    data.ingest()
    assert {name: row.coloured for name, row in data.rows().items()} == {"grey": False, "pixel": True}


_NAN = _grey(dtype="float32")
_NAN[3, 4] = np.nan
_SEVENS = _mask()
_SEVENS[0, :3] = 7
_TRANSPARENT = np.full((HEIGHT, WIDTH, 4), 128, np.uint8)


def _png(pixels: NDArray[Any]) -> bytes:
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, format="PNG")
    return sink.getvalue()


@pytest.mark.parametrize(
    ("image", "reference", "changes", "error_type", "words"),
    [
        pytest.param(
            ("bad.png", _grey()), None, {}, "MissingFile", "reference: expected a file for image bad", id="no reference"
        ),
        pytest.param(("bad.png", b""), _mask(), {}, "UnreadableImage", "0 bytes", id="zero-byte image"),
        pytest.param(("bad.png", _grey()), b"", {}, "UnreadableImage", "0 bytes", id="zero-byte reference"),
        pytest.param(("bad.png", b"GIF89a and more"), _mask(), {}, "UnreadableImage", "not", id="another format"),
        pytest.param(("bad.xyz", b"what"), _mask(), {}, "UnreadableImage", "no reader", id="unknown ending"),
        pytest.param(("bad.png", _png(_grey())[:-30]), _mask(), {}, "UnreadableImage", "bad.png", id="torn off"),
        pytest.param(("bad.png", _grey(shape=(1, 1))), _mask(), {}, "UnreadableImage", "1x1", id="one pixel"),
        pytest.param(("bad.png", _TRANSPARENT), _mask(), {}, "UnreadableImage", "opaque", id="half transparent"),
        pytest.param(
            ("bad.png", _grey()),
            _mask(shape=(HEIGHT, WIDTH - 1)),
            {},
            "ValueError",
            "bad.png: expected the size of its image 20x24, got 20x23",
            id="reference of another size",
        ),
        pytest.param(
            ("bad.png", _grey()), _mask(shape=(WIDTH, HEIGHT)), {}, "ValueError", "got 24x20", id="turned reference"
        ),
        pytest.param(
            ("bad.tif", _grey(shape=(3, HEIGHT, WIDTH))),
            _mask(),
            {},
            "ValueError",
            "3x20x24, got 20x24",
            id="flat reference of a volume",
        ),
        pytest.param(
            ("bad.png", _grey()), _SEVENS, {"label_values": (0, 1)}, "ValueError", "7 (3 pixels)", id="unlisted label"
        ),
        pytest.param(
            ("bad.png", _grey()),
            np.stack([_mask(), 1 - _mask(), _mask()], axis=-1),
            {},
            "UnreadableImage",
            "coloured",
            id="coloured reference",
        ),
        pytest.param(("bad.tif", _NAN), _mask(), {}, "ValueError", "1 of 480 pixel values are NaN", id="NaN"),
        pytest.param(("bad.tif", _NAN * 3), _mask(), {"normalize": "window"}, "ValueError", "NaN", id="NaN, windowed"),
        pytest.param(
            ("bad.tif", _grey(dtype="float32") * 255), _mask(), {}, "ValueError", "floats from 0 to 1", id="percentages"
        ),
        pytest.param(("bad.tif", _grey(dtype="int16")), _mask(), {}, "ValueError", "no negative", id="Hounsfield"),
    ],
)
def test_a_bad_image_fails_alone_and_says_why(
    make_set: MakeSet,
    tmp_path: Path,
    image: tuple[str, Any],
    reference: Any,
    changes: dict[str, Any],
    error_type: str,
    words: str,
) -> None:
    masks = {"good.png": _mask()} | ({} if reference is None else {"bad.png": reference})
    data = make_set({"good.png": _grey(1), image[0]: image[1]}, masks, **changes)
    done = data.ingest()
    assert sum(shard.n_images for shard in done) == 2
    assert sum(shard.n_failed for shard in done) == 1
    good, bad = data.rows()["good"], data.rows()["bad"]
    assert good.is_sound
    np.testing.assert_array_equal(data.stored("good")[0][0, :HEIGHT, :WIDTH, 0], _grey(1))
    assert (bad.failure.stage, bad.failure.error_type) == ("ingest", error_type)
    assert words in bad.failure.error
    assert str(tmp_path) not in bad.failure.error, "a message that changes with the folder"
    assert "\n" not in bad.failure.error


@pytest.mark.parametrize(
    ("place", "bug"),
    [
        pytest.param("find_recipe", ValueError("a bug"), id="a plain ValueError"),
        pytest.param("Slices", ArgumentError("a bug"), id="a function of ours called wrongly"),
        pytest.param("write_class_indices", IndexError("a bug"), id="in the labels"),
    ],
)
def test_a_defect_fails_no_image_but_the_attempt(
    make_set: MakeSet, monkeypatch: pytest.MonkeyPatch, place: str, bug: Exception
) -> None:
    data = make_set({"a.png": _grey()}, {"a.png": _mask()})

    def broken(*_: object, **__: object) -> None:
        raise bug

    monkeypatch.setattr(ingest, place, broken)
    with pytest.raises(type(bug), match="a bug"):
        data.ingest()
    assert not Ledger(data.store).done(shard_plan.STAGE)


def test_a_failed_volume_keeps_its_place_empty(make_set: MakeSet) -> None:
    volumes = {f"{name}.tif": _grey(seed, shape=(3, HEIGHT, WIDTH)) for seed, name in enumerate("abc")}
    masks = {name: _mask(shape=(3, HEIGHT, WIDTH)) for name in volumes} | {"b.tif": _mask(shape=(2, HEIGHT, WIDTH))}
    data = make_set(volumes, masks)
    data.ingest()
    rows = data.rows()
    starts = sorted((row.start, row.stop) for row in rows.values())
    assert starts == [(0, 3), (3, 6), (6, 9)]
    pixels, reference = data.stored("b")
    assert not pixels.any()
    assert (reference == IGNORED).all()
    for name in "ac":
        np.testing.assert_array_equal(data.stored(name)[0][:, :HEIGHT, :WIDTH, 0], volumes[f"{name}.tif"])


def test_images_that_cannot_be_read_share_a_shard_without_arrays(make_set: MakeSet) -> None:
    data = make_set({"a.png": b"", "b.png": b"no"}, {"a.png": _mask(), "b.png": _mask()})
    (done,) = data.ingest()
    assert (done.n_images, done.n_failed) == (2, 2)
    assert list(data.entries()[0].objects) == [ROWS]
    assert {row.depth for row in data.rows().values()} == {1}


@pytest.mark.parametrize("role", ["image", "reference"])
def test_a_source_that_changed_since_it_was_catalogued_is_no_failure_of_the_image(
    make_set: MakeSet, tmp_path: Path, role: str
) -> None:
    data = make_set({"x.png": _grey()}, {"x.png": _mask()})
    file = tmp_path / "set" / role / "x.png"
    content = file.read_bytes()
    file.write_bytes(_png(_mask(9)))
    with pytest.raises(OSError, match="changed while it was being read"):
        data.ingest()
    file.unlink()
    with pytest.raises(FileNotFoundError):
        data.ingest()
    assert Ledger(data.store).done(shard_plan.STAGE) == frozenset()
    file.write_bytes(content)
    assert [shard.n_failed for shard in data.ingest()] == [0]


def test_a_second_ingest_commits_the_same(make_set: MakeSet) -> None:
    data = make_set({"x.png": _grey()}, {"x.png": _mask()})
    first = data.ingest(), data.entries()
    assert (data.ingest(), data.entries()) == first
    assert first[1][0].facts == {"n_images": 1, "n_failed": 0}


def test_keys_and_bytes_know_content_and_no_paths(make_set: MakeSet) -> None:
    images = {"a.png": _grey(1), "b.png": _grey(2), "c.tif": _NAN, "d.png": b""}
    masks = {"a.png": _mask(1), "b.png": _mask(2), "c.png": _mask(3), "d.png": _mask(4)}
    here, there = (make_set(images, masks, folder=folder) for folder in ("here", "quite/another/place"))
    assert list(here.catalog["shard"]) == list(there.catalog["shard"])
    here.ingest()
    there.ingest()
    assert [entry.objects for entry in here.entries()] == [entry.objects for entry in there.entries()]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"images": {"a.png": _grey(2)}}, id="pixels"),
        pytest.param({"references": {"a.png": _mask(2)}}, id="reference"),
        pytest.param({"images": {"b.png": _grey(1)}, "references": {"b.png": _mask(1)}}, id="image id"),
        pytest.param({"normalize": "zscore"}, id="normalisation"),
        pytest.param({"ignore_label": 1}, id="ignored label"),
        pytest.param({"label_values": (1, 0)}, id="label values"),
        pytest.param({"instances": True}, id="numbers kept"),
    ],
)
def test_whatever_changes_the_bytes_changes_the_key(make_set: MakeSet, changes: dict[str, Any]) -> None:
    basis = {"images": {"a.png": _grey(1)}, "references": {"a.png": _mask(1)}}
    first, second = make_set(**basis), make_set(**(basis | changes), folder="other")
    assert first.catalog["shard"][0] != second.catalog["shard"][0]


@pytest.mark.parametrize(
    ("height", "is_cut"),
    [pytest.param(CHUNK_ROWS, False, id="not cut"), pytest.param(CHUNK_ROWS + 1, True, id="cut into bands")],
)
def test_the_cut_into_bands_is_in_the_keys_of_large_images_only(
    make_set: MakeSet, monkeypatch: pytest.MonkeyPatch, height: int, is_cut: bool
) -> None:
    images, masks = {"a.png": _grey(shape=(height, 24))}, {"a.png": _mask(shape=(height, 24))}
    first = make_set(images, masks)
    monkeypatch.setattr(shard_plan, "CHUNK_ROWS", CHUNK_ROWS + 7 * (height == CHUNK_ROWS) - (height > CHUNK_ROWS))
    second = make_set(images, masks, folder="other")
    assert (first.catalog["shard"][0] != second.catalog["shard"][0]) == is_cut
    first.ingest()
    pixels, reference = first.stored("a")
    np.testing.assert_array_equal(pixels[0, :height, :24, 0], images["a.png"])
    np.testing.assert_array_equal(reference[0, :height, :24], masks["a.png"])


def test_equal_keys_are_equal_bytes_whatever_the_reference_is_called(make_set: MakeSet) -> None:
    small = _mask(shape=(5, 5))
    sets = [make_set({"a.png": _grey()}, {"a.png": small}, folder="png")]
    sets.append(make_set({"a.png": _grey()}, {"a.PNG": _png(small)}, folder="PNG"))
    assert sets[0].catalog["reference_sha256"][0] == sets[1].catalog["reference_sha256"][0]
    for data in sets:
        data.ingest()
    same_key = sets[0].catalog["shard"][0] == sets[1].catalog["shard"][0]
    assert same_key == (_rows_bytes(sets[0]) == _rows_bytes(sets[1]))


def test_the_catalog_is_in_the_order_of_the_listing(make_set: MakeSet) -> None:
    names = [f"{number:02d}" for number in range(12)]
    data = make_set(
        {f"{name}.png": _grey(int(name), shape=(HEIGHT + 20 * (int(name) % 2), WIDTH)) for name in names},
        {f"{name}.png": _mask() for name in names},
        groups={"site": [name[-1] for name in names]},
        shard_images=4,
    )
    catalog = data.catalog
    assert list(catalog.columns) == [*COLUMNS, "site"]
    assert list(catalog["image_id"]) == names
    assert list(catalog["site"]) == [name[-1] for name in names]
    assert catalog.groupby("shard").size().max() <= 4
    assert catalog.groupby("shard")["padded_height"].nunique().eq(1).all(), "two buckets in a shard"
    for _, rows in catalog.groupby("shard"):
        assert sorted(rows["row"]) == list(range(len(rows)))


def test_volumes_lie_one_after_the_other(make_set: MakeSet) -> None:
    depths = {"a": 2, "b": 7, "c": 1, "d": 3}
    volumes = {f"{name}.npy": _grey(shape=(depth, HEIGHT, WIDTH)) for name, depth in depths.items()}
    masks = {f"{name}.npy": _mask(shape=(depth, HEIGHT, WIDTH)) for name, depth in depths.items()}
    catalog = make_set(volumes, masks, shard_images=6).catalog.set_index("image_id")
    assert catalog["depth"].to_dict() == depths
    for _, rows in catalog.groupby("shard"):
        ordered = rows.sort_values("row")
        assert list(ordered["row"]) == list(np.cumsum([0, *ordered["depth"]])[:-1])
        assert len(rows) == 1 or ordered["depth"].sum() <= 6
    assert (catalog["shard"] == catalog.loc["b", "shard"]).sum() == 1


def test_jobs_follow_the_rows(make_set: MakeSet) -> None:
    names = [f"{number}.png" for number in range(9)]
    data = make_set(dict.fromkeys(names, _grey()), dict.fromkeys(names, _mask()), shard_images=4)
    for job, (key, rows) in zip(data.jobs(), rows_by_shard(data.catalog).items(), strict=True):
        assert job.key == key
        assert [row.image_id for row in job.rows] == list(data.catalog["image_id"].iloc[rows])
    data.ingest()
    assert list(data.rows()) == [row.image_id for job in data.jobs() for row in job.rows]


def test_one_more_image_leaves_other_shards_alone(make_set: MakeSet) -> None:
    names = [f"{number:02d}.png" for number in range(20)]
    before = make_set(dict.fromkeys(names, _grey()), dict.fromkeys(names, _mask()), shard_images=4)
    more = [*names, "new.png"]
    after = make_set(dict.fromkeys(more, _grey()), dict.fromkeys(more, _mask()), shard_images=4)
    assert len(set(before.catalog["shard"]) - set(after.catalog["shard"])) <= 1


def test_buckets_keep_types_and_channels_apart(make_set: MakeSet) -> None:
    images = {
        "a.png": _grey(), "b.png": _grey(dtype="uint16"), "c.png": _grey(shape=(HEIGHT, WIDTH, 3)),
        "d.tif": _grey(dtype="float32"), "e.png": _grey(5),
    }  # fmt: skip
    catalog = make_set(images, {f"{name[0]}.png": _mask() for name in images}).catalog.set_index("image_id")
    assert catalog["shard"].nunique() == 4
    assert catalog.loc["a", "shard"] == catalog.loc["e", "shard"]
    assert list(catalog["dtype"]) == ["uint8", "uint16", "uint8", "float32", "uint8"]


def test_a_group_may_be_called_a_version(make_set: MakeSet) -> None:
    data = make_set({"a.png": _grey()}, {"a.png": _mask()}, groups={"scanner_version": ["VB17"]})
    assert list(data.catalog["scanner_version"]) == ["VB17"]


@pytest.mark.parametrize("roles", [("image", "reference"), ("reference", "image")], ids=" first, then ".join)
def test_one_file_may_be_image_and_reference(make_set: MakeSet, roles: tuple[str, str]) -> None:
    # A mask evaluated against itself is the first thing to try with a new evaluation.
    data = make_set({"a.png": _mask() * 255}, {"a.png": _mask()})
    url, version = data.listing["image"][0], data.listing["image_version"][0]
    files = pd.DataFrame([inspect_files(role, [(url, version)])[0] for role in roles], columns=list(MEMORY_COLUMNS))
    planned = plan_shards(data.listing.assign(reference=url, reference_version=version), files, data.preparation, 8)
    found = planned[["height", "width", "dtype", "error"]].to_dict("records")
    assert found == [{"height": HEIGHT, "width": WIDTH, "dtype": "uint8", "error": ""}]


def test_inspecting_files(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(_png(_grey(shape=(HEIGHT, WIDTH, 3))))
    (tmp_path / "b.png").write_bytes(b"torn")
    files = [(str(tmp_path / name), "1") for name in ("a.png", "b.png")]
    good, bad = inspect_files("image", files)
    assert good == SourceFacts("image", files[0][0], "1", good.sha256, 1, HEIGHT, WIDTH, 3, "uint8")
    assert len(good.sha256) == 64
    assert (bad.error_type, bad.height) == ("UnreadableImage", 0)
    assert bad.error.startswith("b.png: ")
    assert [facts.error for facts in inspect_files("reference", files)] == ["", ""]
    with pytest.raises(FileNotFoundError):
        inspect_files("image", [(str(tmp_path / "none.png"), "1")])


@pytest.mark.parametrize("side", [(1, 100), (100, 1)], ids=["row", "column"])
def test_a_line_is_no_image(tmp_path: Path, side: tuple[int, int]) -> None:
    (tmp_path / "a.png").write_bytes(_png(_grey(shape=side)))
    (facts,) = inspect_files("image", [(str(tmp_path / "a.png"), "1")])
    assert f"expected at least 2 pixels a side, got {side[0]}x{side[1]}" in facts.error


def test_a_job_whose_header_lied_fails_alone(make_set: MakeSet) -> None:
    # The size in the catalog and the pixels disagree: a format whose header is not what it decodes to.
    data = make_set({"a.png": _grey()}, {"a.png": _mask()})
    data.catalog.loc[0, "height"] = HEIGHT - 1
    (job,) = data.jobs()
    assert ingest_shard(data.store, job, data.preparation).n_failed == 1
    assert "its header says" in data.rows()["a"].failure.error


def _tiff(pixels: NDArray[Any], *tags: tuple[int, int], **options: Any) -> bytes:
    sink = io.BytesIO()
    extra = [(tag, 3, 1, value, True) for tag, value in tags]
    tifffile.imwrite(sink, pixels, extratags=extra, **({"photometric": "minisblack"} | options))
    return sink.getvalue()


def _dark(seed: int, largest: int = 1023) -> NDArray[np.uint16]:
    return np.random.default_rng(seed).integers(0, largest + 1, (HEIGHT, WIDTH)).astype(np.uint16)


def test_every_role_tells_its_orientation_and_fails_nowhere(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(_tiff(_mask(), (274, 8)))
    (tmp_path / "b.png").write_bytes(b"torn")
    (tmp_path / "c.txt").write_bytes(b"no format of ours")
    files = [(str(tmp_path / name), "1") for name in ("a.tif", "b.png", "c.txt")]
    for role in ("reference", "prediction"):
        facts = inspect_files(role, files)
        assert [(one.orientation, one.error, one.height) for one in facts] == [(8, "", 0), (0, "", 0), (0, "", 0)]
    turned = inspect_files("image", files[:1])[0]
    assert (turned.orientation, turned.height, turned.width) == (8, WIDTH, HEIGHT)


@pytest.mark.parametrize("orientation", [2, 3, 5, 6, 7, 8])
def test_images_and_references_are_turned_alike(make_set: MakeSet, orientation: int) -> None:
    pixels, mask = _grey(), _mask()
    data = make_set(
        {"a.tif": _tiff(pixels, (274, orientation)), "b.tif": _tiff(pixels)},
        {"a.tif": _tiff(mask, (274, orientation), compression="zlib"), "b.tif": _tiff(mask)},
    )
    assert [done.n_failed for done in data.ingest()] == [0] * len(data.jobs())
    rows = data.rows()
    for image_id, shown in (("a", orientation), ("b", 1)):
        stored, reference = data.stored(image_id)
        height, width = rows[image_id].height, rows[image_id].width
        for found, original in ((stored[:, :height, :width, 0], pixels), (reference[:, :height, :width], mask)):
            assert np.array_equal(found, turned(original[None], shown))


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        pytest.param([1023, 1023, 1023], 1023.0, id="all say 10 bits"),
        pytest.param([1023, 1023, 0], 65535.0, id="one says nothing"),
        pytest.param([1023, 4095, 1023], 65535.0, id="they differ"),
    ],
)
def test_the_full_scale_is_what_all_files_state(make_set: MakeSet, tags: list[int], expected: float) -> None:
    images = {f"{n}.tif": _tiff(_dark(n), *([(281, tag)] if tag else [])) for n, tag in enumerate(tags)}
    data = make_set(images, {f"{n}.png": _mask() for n in range(3)})
    data.ingest()
    assert {row.scale for row in data.rows().values()} == {expected}


def test_the_configured_full_scale_is_that_of_every_image(make_set: MakeSet) -> None:
    images = {"a.tif": _tiff(_dark(0), (281, 1023)), "b.npy": _dark(1).astype(np.int16), "c.png": _grey()}
    data = make_set(images, {f"{name}.png": _mask() for name in "abc"}, full_scale=2000.0)
    data.ingest()
    assert {row.scale for row in data.rows().values()} == {2000.0}


def test_without_unit_no_file_is_asked_for_its_full_scale(make_set: MakeSet) -> None:
    images = {"a.tif": _tiff(_dark(0), (281, 1023))}
    assert make_set(images, {"a.png": _mask()}, normalize="zscore").catalog["full_scale"].tolist() == [0]
    assert make_set(images, {"a.png": _mask()}).catalog["full_scale"].tolist() == [1023]


@pytest.mark.parametrize(
    ("image", "full_scale", "message"),
    [
        pytest.param(_tiff(_dark(0, 1100), (281, 1023)), 0.0, "to 1023, the full scale: set dataset", id="as stated"),
        pytest.param(_tiff(_dark(0)), 500.0, "numbers to 500, the full scale: set dataset.full_scale", id="as set"),
        pytest.param(_tiff(_dark(0).astype("f4")), 0.0, "floats from 0 to 1, the full scale: set", id="floats"),
        pytest.param(_tiff(_dark(0).astype("i2") - 9), 4095.0, "no negative values", id="negative values"),
    ],
)
def test_values_beyond_the_full_scale_are_refused_by_name(
    make_set: MakeSet, image: bytes, full_scale: float, message: str
) -> None:
    data = make_set({"a.tif": image}, {"a.png": _mask()}, full_scale=full_scale)
    data.ingest()
    failure = data.rows()["a"].failure
    assert failure is not None
    assert failure.error.startswith("a.tif: pixel values from ")
    assert re.search(message, failure.error)


def test_signed_numbers_run_to_the_largest_of_their_type(make_set: MakeSet) -> None:
    data = make_set({"a.npy": _dark(0).astype(np.int16)}, {"a.png": _mask()})
    data.ingest()
    assert data.rows()["a"].scale == 32767.0


@pytest.mark.parametrize("change", [{"full_scale": 4095.0}, {"full_scale": 255.0}])
def test_the_full_scale_is_part_of_the_key(make_set: MakeSet, change: dict[str, Any]) -> None:
    plain = make_set({"a.png": _grey()}, {"a.png": _mask()})
    other = make_set({"a.png": _grey()}, {"a.png": _mask()}, **change)
    assert plain.catalog["shard"][0] != other.catalog["shard"][0]


NUMBERS = np.zeros((20, 24), np.uint32)
NUMBERS[2:6, 3:9], NUMBERS[6:8, 3:9], NUMBERS[10, 2] = 7, 70_000, 2**32 - 1


@pytest.mark.parametrize(
    ("dtype", "highest"),
    # Floats are labels up to 32 bits with a sign.
    [("u4", 2**32 - 1), ("u8", 2**32 - 1), ("i8", 2**32 - 1), ("f8", 2**31 - 1), ("u2", 2**16 - 1)],
)
def test_the_numbers_of_references_are_kept_where_they_are_lesions(make_set: MakeSet, dtype: str, highest: int) -> None:
    numbers = np.minimum(NUMBERS, highest).astype(dtype)
    if dtype[0] != "u":
        numbers[-1, -1] = -1
    grey = np.arange(480, dtype=np.uint8).reshape(20, 24)
    images, references = {"a.npy": grey, "b.npy": grey}, {"a.npy": numbers, "b.npy": numbers[:, :9]}
    plain = make_set(images, references)
    data = make_set(images, references, folder="with", instances=True)
    assert [one.n_failed for one in data.ingest()] == [1]
    assert not {job.key for job in data.jobs()} & {job.key for job in plain.jobs()}
    (entry,) = data.entries()
    (kept,) = open_arrays(data.store, entry, ingest.INSTANCES)
    sound, failed = (data.rows()[name] for name in "ab")
    assert kept.dtype == np.uint32
    assert np.array_equal(sound.crop(kept)[0], np.maximum(numbers, 0))
    assert not as_numpy(kept, sound.start, sound.stop)[:, 20:].any()
    assert not as_numpy(kept, failed.start, failed.stop).any()
    plain.ingest()
    assert ingest.INSTANCES not in str(plain.entries()[0].objects)


def test_numbers_that_are_too_large_are_refused(make_set: MakeSet) -> None:
    grey = np.zeros((20, 24), np.uint8)
    data = make_set({"a.npy": grey}, {"a.npy": NUMBERS.astype(np.uint64) * 2}, instances=True)
    data.ingest()
    failure = data.rows()["a"].failure
    assert failure is not None
    assert "a.npy: instances up to 8589934590; expected numbers up to 4294967295: number them anew" in failure.error
