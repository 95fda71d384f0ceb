"""What a precision costs, recomputed from label maps by plain numpy and pandas; what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from segscale.errors import ConfigError, EngineError
from segscale.flows import precisions, price
from segscale.flows.config.evaluation import EvaluationConfig, parse_config
from segscale.flows.sampling import Sampling
from segscale.flows.shards.retry import Finished
from segscale.tasks import engine_rates
from segscale.tasks.engines import Engine, EngineFacts, Precision, check_batch
from tests.conftest import Outcome
from tests.drawn_pairs import IDS, SIZE, disc, save

DARK = IDS[3]
"""Of nothing: no reference, and a pixel that bfloat16 alone takes for something."""
SHIFT = np.float32(0.03)


class BrightnessEngine:
    """The brightness of a pixel is its probability; in bfloat16 everything is a little brighter."""

    def __init__(self, precision: Precision, heads: tuple[str, ...] = ("mask",)) -> None:
        self.facts = EngineFacts("keras", "cpu:0", precision, "fake 1", heads, 2, 1, 1, 8)

    def probabilities(self, pixels: NDArray[Any], recipe: NDArray[np.float32]) -> NDArray[np.float32]:
        check_batch(pixels, recipe, self.facts)
        low, high, offset, scale = recipe.T[:, :, None, None, None]
        seen = (np.clip(pixels, low, high) - offset) / scale
        brighter = np.minimum(seen + (SHIFT if self.facts.precision == "bfloat16" else 0), 1).astype(np.float32)
        return np.stack([brighter] * len(self.facts.heads))


class Here:
    """Workers that are this process."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __enter__(self) -> Here:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def stream(self, work: Callable[..., Any], jobs: Iterable[Any], *given: Any, **_: Any) -> Iterator[Any]:
        return (Finished(job.key, work(job, *given), 1) for job in jobs)


def pixels_of(number: int) -> NDArray[np.uint8]:
    noise = np.random.default_rng(number).integers(0, 130, SIZE)
    return (noise + disc(number) // 2).astype(np.uint8)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dozen images with two sites, and a machine whose engine is the one above, without float16."""
    rows = []
    for number, name in enumerate(IDS):
        image, reference = pixels_of(number), disc(number)
        if name == DARK:
            image, reference = np.full(SIZE, 20, np.uint8), np.zeros(SIZE, np.uint8)
            image[5, 5] = 125
        save(tmp_path / "images" / f"{name}.png", image)
        save(tmp_path / "masks" / f"{name}.png", reference)
        rows.append({
            "image_id": name, "image": f"images/{name}.png", "reference": f"masks/{name}.png",
            "site": "ab"[number % 2], "split": "test" if number < 8 else "train",
        })  # fmt: skip
    pd.DataFrame(rows).to_csv(tmp_path / "manifest.csv", index=False)

    def build(_model: Any, _asked: Any, _neighbours: int, _engine: str, precision: Precision) -> Engine:
        if precision == "float16":
            raise EngineError("precision float16 is not there: use float32")
        return BrightnessEngine(precision)

    monkeypatch.setattr(precisions, "build_engine", build)
    monkeypatch.setattr(price, "check_model", lambda _: None)
    monkeypatch.setattr(price, "Workers", Here)
    monkeypatch.setattr(engine_rates, "SECONDS", 0.0)
    return tmp_path


def config_of(folder: Path, **changes: dict[str, Any]) -> EvaluationConfig:
    sections: dict[str, dict[str, Any]] = {
        "dataset": {"name": "discs", "manifest": "manifest.csv"},
        "model": {"path": "phantom", "engine": "keras", "batch_size": 4},
        "metrics": {"bootstrap": 20},
        "store": {"path": "store", "shard_images": 5},
        "report": {"path": "reports"},
    }
    document = {name: {**keys, **changes.get(name, {})} for name, keys in sections.items()}
    return parse_config(document, base=folder, source="test")


def labels_of(folder: Path, name: str) -> tuple[NDArray[np.bool_], ...]:
    """The reference, and the labels of float32 and bfloat16."""
    from PIL import Image

    with Image.open(folder / "images" / f"{name}.png") as image, Image.open(folder / "masks" / f"{name}.png") as mask:
        seen, reference = np.asarray(image) / np.float32(255), np.asarray(mask) > 0
    return reference, seen >= 0.5, seen + SHIFT >= 0.5


def dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    n_pixels = int(a.sum() + b.sum())
    return 2 * int((a & b).sum()) / n_pixels if n_pixels else float("nan")


def recomputed(folder: Path, names: Iterable[str]) -> tuple[pd.DataFrame, dict[str, float]]:
    """The rows of images, and what is said of all of them, from label maps alone."""
    rows, sums = [], np.zeros((2, 3), np.int64)
    for name in names:
        reference, full, reduced = labels_of(folder, name)
        found = {"image_id": name, "dice_full": dice(reference, full), "dice": dice(reference, reduced)}
        rows.append({**found, "labels_dice": dice(full, reduced), "n_flipped": int((full != reduced).sum())})
        for place, labels in enumerate((full, reduced)):
            sums[place] += [2 * (reference & labels).sum(), reference.sum() + labels.sum(), 0]
    table = pd.DataFrame(rows)
    table["change"] = table["dice"] - table["dice_full"]
    table["size"] = table["change"].abs().mask(table["dice"].isna() != table["dice_full"].isna(), 1.0)
    both = table.dropna(subset=["change"])
    pooled = sums[:, 0] / sums[:, 1]
    return table, {
        "per_sample": both["dice"].mean() - both["dice_full"].mean(),
        "pooled": pooled[1] - pooled[0],
        "image_mean": table["size"].mean(),
        "image_95": float(np.quantile(table["size"].dropna(), 0.95)),
        "image_worst": table["size"].max(),
        "labels_dice": table["labels_dice"].mean(),
        "flipped": table["n_flipped"].sum() / (len(table) * SIZE[0] * SIZE[1]),
    }


def test_every_number_is_that_of_the_label_maps(folder: Path) -> None:
    tables = price.price(config_of(folder))
    expected, numbers = recomputed(folder, IDS)
    images = tables["images"].set_index("image_id").loc[list(IDS)]
    for column in ("dice_full", "dice", "change", "size", "labels_dice"):
        np.testing.assert_allclose(images[column], expected[column], atol=1e-12, err_msg=column)
    found = tables["price"].set_index("measure")
    for measure, number in numbers.items():
        column = "value" if measure in ("labels_dice", "flipped") else "change"
        assert found.loc[measure, column] == pytest.approx(number, abs=1e-12), measure
    assert set(tables["price"]["precision"]) == {"bfloat16"}
    worst = found.loc["image_worst"]
    assert (worst["image_id"], worst["change"]) == (DARK, 1.0)
    assert found.loc["per_sample", "n_images"] == len(IDS) - 1


def test_the_clock_tells_of_each_precision_or_why_not(folder: Path) -> None:
    table: Any = price.price(config_of(folder))["precisions"].set_index("precision")
    assert list(table.index) == ["float32", "bfloat16", "float16"]
    assert table["reason"].to_list() == ["", "", "precision float16 is not there: use float32"]
    for name in ("float32", "bfloat16"):
        row = table.loc[name]
        assert 0 < row["images_per_second_low"] <= row["images_per_second"] <= row["images_per_second_high"]
        assert (row["batch_images"], row["n_images"], row["n_failed"]) == (4, 12, 0)
    assert table.loc["float32", ["times_full_low", "times_full_high"]].to_list() == [1, 1]
    assert np.isnan(table.loc["float16", "images_per_second"])


def test_nothing_is_committed(folder: Path) -> None:
    before = sorted(folder.rglob("*"))
    price.price(config_of(folder))
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize(
    ("sampling", "names"),
    [
        pytest.param(Sampling(100), set(IDS), id="more than there are: all"),
        pytest.param(Sampling(where={"site": "a"}), set(IDS[::2]), id="of a site"),
        pytest.param(Sampling(where={"site": "a", "split": "test"}), set(IDS[:8:2]), id="both hold"),
    ],
)
def test_which_images_are_drawn(folder: Path, sampling: Sampling, names: set[str]) -> None:
    found = price.price_precisions(config_of(folder), sampling)
    assert set(found.tables["images"]["image_id"]) == names
    assert found.facts["n_listed"] == len(names)


def test_a_draw_is_that_of_its_seed(folder: Path) -> None:
    drawn = [
        tuple(price.price_precisions(config_of(folder), Sampling(5, seed)).tables["images"]["image_id"])
        for seed in (0, 0, 1)
    ]
    assert drawn[0] == drawn[1] != drawn[2]
    assert [len(set(one)) for one in drawn] == [5, 5, 5]


def test_only_what_is_asked_is_priced(folder: Path) -> None:
    tables = price.price(config_of(folder), precisions=("float32",))
    assert tables["precisions"]["precision"].to_list() == ["float32"]
    assert len(tables["price"]) == len(tables["images"]) == 0


def test_of_several_heads_the_price_is_that_of_the_last(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precisions, "build_engine", lambda *given: BrightnessEngine(given[-1], ("first", "second")))
    tables = price.price(config_of(folder), precisions=("bfloat16",))
    assert len(tables["images"]) == len(IDS)
    assert tables["precisions"]["n_images"].to_list() == [12, 12]


def test_an_image_that_cannot_be_read_is_counted(folder: Path) -> None:
    (folder / "images" / f"{IDS[0]}.png").write_bytes(b"no image")
    tables = price.price(config_of(folder), precisions=("bfloat16",))
    assert tables["precisions"]["n_failed"].to_list() == [1, 1]
    assert IDS[0] not in set(tables["images"]["image_id"])


@pytest.mark.parametrize(
    ("sections", "asked", "message"),
    [
        pytest.param({}, {"precisions": ("int4",)}, "precision: expected some of float32, .* got 'int4'", id="unknown"),
        pytest.param({}, {"images": 0}, "images: expected 1 or more, got 0", id="no images asked"),
        pytest.param({}, {"seed": -1}, "seed: expected 0 or more", id="no seed"),
        pytest.param(
            {}, {"where": {"clinic": "a"}}, "where: expected a column of the data set, got 'clinic'; there are .*site",
            id="no such column",
        ),
        pytest.param({}, {"where": {"site": "c"}}, "where: no image has site = 'c'; there are a, b", id="no images"),
        pytest.param(
            {"model": {"path": ""}}, {}, "model.path: expected a network, for a price is that of a precision",
            id="no network",
        ),
        pytest.param({"model": {"path": "gone.keras"}}, {}, "model.path: .*gone.keras", id="a network that is missing"),
        pytest.param({"dataset": {"split": "other"}}, {}, "split", id="no images of that split"),
    ],
)  # fmt: skip
def test_what_is_refused(folder: Path, sections: dict[str, Any], asked: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        price.price(config_of(folder, **sections), **asked)


def test_without_references_there_is_no_price(folder: Path) -> None:
    manifest = pd.read_csv(folder / "manifest.csv").drop(columns="reference")
    manifest.to_csv(folder / "manifest.csv", index=False)
    with pytest.raises(ConfigError, match="reference"):
        price.price(config_of(folder))


def test_the_command_writes_what_it_prints(folder: Path, segscale_here: Callable[..., Outcome]) -> None:
    (folder / "set.toml").write_text(
        '[dataset]\nname = "discs"\nmanifest = "manifest.csv"\n[model]\npath = "phantom"\nengine = "keras"\n'
        '[metrics]\nbootstrap = 50\n[report]\npath = "reports"\n'
    )
    said = segscale_here("price", folder / "set.toml", "--split", "test", "--where", "site=b", "--json")
    assert said.code == 0, said.err
    told = json.loads(said.out)
    written = Path(told["folder"])
    assert written.parent == folder / "reports" / "discs"
    for name in ("precisions", "price", "images"):
        table = pd.read_parquet(written / f"{name}.parquet")
        assert list(table) == list(told[name][0])
        assert len(table) == len(told[name])
    record = json.loads((written / "price.json").read_text())
    assert (record["split"], record["where"], record["n_images"]) == ("test", {"site": "b"}, 4)
    assert {row["image_id"] for row in told["images"]} == set(IDS[1:8:2])
    shown = segscale_here("price", folder / "set.toml", "--split", "test", "--where", "site=b")
    assert shown.code == 0, shown.err
    assert "phantom on 4 of 4 images of discs (seed 0), keras on cpu:0; changes are against float32" in shown.out
    assert "float16 is not priced: precision float16 is not there" in shown.out
    assert f"the same, worst image ({DARK})" in shown.out
    assert "no interval: 4 units to be measured, fewer than 10" in shown.out
    # Numbers are those of the same call before, in the same place.
    assert shown.out.endswith(f"tables: {written}\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["--where", "site"], "expected COLUMN=VALUE, as in site=Leipzig, got 'site'", id="no pair"),
        pytest.param(["--images", "0"], "--images", id="no images"),
        pytest.param(["--precision", "int4"], "precision: expected some of float32", id="unknown"),
    ],
)
def test_what_the_command_refuses(
    folder: Path, segscale_here: Callable[..., Outcome], arguments: list[str], message: str
) -> None:
    (folder / "set.toml").write_text(
        '[dataset]\nname = "discs"\nmanifest = "manifest.csv"\n[model]\npath = "phantom"\n'
    )
    ended = segscale_here("price", folder / "set.toml", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert message in ended.err
