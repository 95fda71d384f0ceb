"""docs/troubleshooting.md: each sentence is provoked, and what the page says against it helps."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from segscale.flows.cli.main import run
from tests.page_rows import DOCS, PageRows

PAGE: PageRows[[Callable[..., str]]] = PageRows("troubleshooting.md", "it says")
row = PAGE.row
IDS = [f"case{number:02}" for number in range(12)]
SIDE = 32
CONFIG = '[dataset]\nname = "a"\nreferences = "masks/*.png"\n[predictions]\npath = "out"\n[store]\npath = "store"\n'
NETWORK = """
[dataset]
name = "a"
images = "masks/*.png"
references = "masks/*.png"
same_files = true
[model]
path = "PATH"
[store]
path = "store"
"""


def disc(number: int, shift: int = 0) -> NDArray[np.uint8]:
    rows, columns = np.indices((SIDE, SIDE))
    inside = (rows - 12) ** 2 + (columns - 14 - shift) ** 2 <= (4 + number % 5) ** 2
    return np.where(inside, 255, 0).astype(np.uint8)


def save(path: Path, pixels: NDArray[Any]) -> None:
    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, pixels)
    else:
        Image.fromarray(pixels).save(path)


def save_volume(path: Path, labels: NDArray[np.uint8], spacing: float, shift: float = 0.0) -> None:
    """The qform lies `shift` mm beside the sform."""
    path.parent.mkdir(exist_ok=True)
    affine = np.diag([spacing, spacing, 2.0, 1.0])
    image = nibabel.Nifti1Image(labels, affine)
    image.set_sform(affine, 1)
    image.set_qform(affine + np.array([[0, 0, 0, shift], *[[0] * 4] * 3]), 1)
    nibabel.save(image, path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """References and predictions, and what people do to them."""
    made = tmp_path_factory.mktemp("troubles")
    for number, name in enumerate(IDS):
        mask, found = disc(number), disc(number, 1)
        save(made / "masks" / f"{name}.png", mask)
        save(made / "masks_edited" / f"{name}.png", disc(number + 1))
        save(made / "out" / f"{name}.png", found)
        save(made / "named" / f"x{name[4:]}y.png", found)
        save(made / "twice" / f"{name}.png", found)
        save(made / "twice" / f"{name}.tif", found)
        save(made / "all" / f"{name}_mask.png", mask)
        save(made / "all" / f"{name}_pred.png", found)
        save(
            made / "three_values" / f"{name}.png", np.where(np.indices(mask.shape)[0] > 28, 128, mask).astype(np.uint8)
        )
        save(made / "small" / f"{name}.png", found[::2, ::2])
        logits = found.astype(np.float32) / 64 - 2
        save(made / "logits" / f"{name}.npy", logits)
        save(made / "probabilities" / f"{name}.npy", 1 / (1 + np.exp(-logits)))
        save(made / "floats" / f"{name}.npy", found.astype(np.float32))
        save(made / "coloured" / f"{name}.png", np.dstack([found, found // 2, found // 3]))
        save(made / "jpeg" / f"{name}.jpg", found)
        if number != 4:
            save(made / "one_missing" / f"{name}.png", found)
    labels = np.zeros((12, 12, 6), np.uint8)
    labels[3:8, 3:8, 1:4] = 1
    save_volume(made / "volumes" / "v.nii.gz", labels, 1.0)
    save_volume(made / "coarse" / "v.nii.gz", np.ascontiguousarray(labels[::2, ::2]), 2.0)
    save_volume(made / "two_affines" / "v.nii.gz", labels, 1.0, shift=30.0)
    (made / "patients.csv").write_text("image_id,patient\n" + "".join(f"{one},p{one[:-1]}\n" for one in IDS))
    (made / "run.toml").write_text(CONFIG)
    (made / "misspelt.toml").write_text(CONFIG.replace("references", "reference"))
    for name, path in (("lost", "lost.keras"), ("bundled", "phantom")):
        (made / f"{name}.toml").write_text(NETWORK.replace("PATH", path))
    return made


Says = Callable[..., str]


@pytest.fixture
def says(folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Says:
    """What a command prints, once it ended with the code that is expected."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PREFECT_API_URL", "")

    def said(*arguments: str, code: int) -> str:
        found = run(list(arguments))
        captured = capfd.readouterr()
        text = captured.err + captured.out
        assert found == code, text
        return text

    return said


def evaluate(says: Says, predictions: str, references: str, *more: str, code: int = 0) -> str:
    name = re.sub(r"\W+", "-", "-".join((predictions, references, *more)))
    where = ("--predictions", predictions, "--references", references, "--output", f"reports/{name}")
    return says("evaluate", *where, *more, "--set", "metrics.bootstrap=0", code=code)


def report(text: str) -> str:
    return text.rstrip().splitlines()[-1].removeprefix("report: ")


def test_each_row_has_a_test_and_each_test_a_row() -> None:
    assert list(PAGE.checks) == PAGE.names


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGE.names)
def test_row(name: str, says: Says) -> None:
    PAGE.checks[name](says)


def assert_says(text: str, name: str) -> None:
    """The sentence of a row, whose `…` may be anything of one line."""
    assert re.search(re.escape(name).replace("…", ".+"), text), text


CURES: list[tuple[str, ...]] = []
"""Predictions, references and options, as the page has them against a sentence."""


def cured(name: str, broken: tuple[str, ...], *cures: tuple[str, ...], code: int = 2) -> None:
    """A row: predictions, references and options that provoke its sentence, and those that do not."""
    CURES.extend(cures)

    @row(name)
    def _(says: Says) -> None:
        assert_says(evaluate(says, *broken, code=code), name)


@row("expected --predictions DIR and --references DIR, got … without an option")
def _(says: Says) -> None:
    assert_says(says("evaluate", "out", "masks", code=2), PAGE.names[0])


cured("expected files, found none: there is no …", ("outt", "masks"), ("out", "masks"))
cured("expected two places, got … for both", ("all", "all"), ("all/{id}_pred.png", "all/{id}_mask.png"))
cured(
    "expected files with the stems of the references, found no common stem",
    ("named", "masks"),
    ("named/x{id}y.png", "masks/case{id}.png"),
)
cured("have the same stem …; rename one or use a manifest", ("twice", "masks"), ("twice/*.png", "masks"))
cured(
    "expected 0 and one other value for two classes, … found the values …",
    ("out", "three_values"),
    ("out", "three_values", "--set", "dataset.ignore_label=128"),
    ("out", "three_values", "--set", "dataset.foreground=any"),
    ("out", "three_values", "--classes", "background,rim,disc", "--set", "dataset.label_values=[0, 128, 255]"),
)


@row("unknown key; did you mean …?")
def _(says: Says) -> None:
    text = says("run", "misspelt.toml", code=2)
    assert_says(text, "unknown key; did you mean …?")
    assert "did you mean references?" in text


@row("expected a configuration file, found none; segscale init writes one")
def _(says: Says) -> None:
    assert_says(
        says("run", "lost_configuration.toml", code=2),
        "expected a configuration file, found none; segscale init writes one",
    )
    says("init", "all", "--output", "drafted.toml", code=0)
    says("run", "drafted.toml", code=0)


cured(
    "expected a column of the manifest or of --by, or a field of a pattern, got …; there is …",
    ("out", "masks", "--by", "patients.csv", "--unit", "patient_id"),
    ("out", "masks", "--by", "patients.csv", "--unit", "patient"),
)


@row("expected a .keras file, an .onnx file or a bundled model, got …, where no file is")
def _(says: Says) -> None:
    assert_says(
        says("run", "lost.toml", code=2),
        "expected a .keras file, an .onnx file or a bundled model, got …, where no file is",
    )


@row("predicting needs …, which are not installed: pip install …")
def _(says: Says) -> None:
    without = ("keras", "tensorflow", "openvino")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "segscale.flows.checks.extras.find_spec", lambda name: None if name in without else find_spec(name)
        )
        text = says("run", "bundled.toml", code=2)
    assert_says(text, "predicting needs …, which are not installed: pip install …")


@row("expected a Prefect server at …, got: …")
def _(says: Says) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
        assert_says(says("run", "run.toml", code=2), "expected a Prefect server at …, got: …")
    says("run", "run.toml", code=0)


@row("prediction: expected a file for image …, none could be read")
def _(says: Says) -> None:
    text = evaluate(says, "one_missing", "masks", code=1)
    assert_says(text, "prediction: expected a file for image …, none could be read")
    assert "mean_missing_as_zero" in text


cured("expected the size of its reference …, got …", ("small", "masks"), code=1)
cured(
    "expected probabilities from 0 to 1: apply the sigmoid or softmax before saving",
    ("logits", "masks"),
    ("probabilities", "masks"),
    ("floats", "masks", "--set", "predictions.kind=labels"),
    code=1,
)
cured(
    "label values … are no class; expected …",
    ("out", "masks", "--classes", "background,disc,other"),
    ("out", "masks", "--classes", "background,disc", "--set", "dataset.label_values=[0, 255]"),
    code=1,
)
cured("a coloured image, … expected one label value per pixel", ("coloured", "masks"), code=1)
cured("JPEG does not keep label values", ("jpeg", "masks"), code=1)
cured(
    "lies on another grid than its reference: …",
    ("coarse", "volumes"),
    ("coarse", "volumes", "--set", "dataset.resample=true"),
    code=1,
)
cured(
    "its two affines disagree.",
    ("two_affines", "volumes"),
    ("two_affines", "volumes", "--set", "dataset.affine=sform"),
    code=1,
)


@row("expected a report, found no run.json")
def _(says: Says) -> None:
    assert_says(says("diagnose", "reports", code=2), "expected a report, found no run.json")


@row("keeps no thresholds, its predictions are label maps")
def _(says: Says) -> None:
    of_labels = report(evaluate(says, "out", "masks"))
    assert_says(
        says("rescore", of_labels, "--threshold", "0.25", code=2),
        "keeps no thresholds, its predictions are label maps",
    )
    says("rescore", report(evaluate(says, "probabilities", "masks")), "--threshold", "0.25", code=0)


@row("expected a group column of this report, got …")
def _(says: Says) -> None:
    without = report(evaluate(says, "out", "masks"))
    assert_says(says("rescore", without, "--by", "patient", code=2), "expected a group column of this report, got …")
    says("rescore", report(evaluate(says, "out", "masks", "--by", "patients.csv")), "--by", "patient", code=0)


@row("the runs are over different references")
def _(says: Says) -> None:
    before, after = (report(evaluate(says, "out", references)) for references in ("masks", "masks_edited"))
    assert_says(says("compare", before, after, code=2), "the runs are over different references")


@row("is damaged: committed …, found …")
def _(says: Says) -> None:
    whole = evaluate(says, "out", "masks", "--set", "dataset.name=damaged")
    table = Path(report(whole)) / "per_image.parquet"
    data = bytearray(table.read_bytes())
    data[200] ^= 255
    table.write_bytes(data)
    assert_says(says("diagnose", report(whole), code=2), "is damaged: committed …, found …")
    again = evaluate(says, "out", "masks", "--set", "dataset.name=damaged")
    says("diagnose", report(again), "--json", code=0)
    assert json.loads((Path(report(again)) / "run.json").read_text())["n_images"] == len(IDS)


@pytest.mark.nightly(part="docs")
@pytest.mark.parametrize("cure", CURES, ids=" ".join)
def test_cure(cure: tuple[str, ...], says: Says) -> None:
    assert ", 0 failed" in evaluate(says, *cure)


def test_every_setting_that_the_page_has_against_a_sentence_is_tried() -> None:
    text = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
    asked = set(re.findall(r"`--set '?([\w.]+=(?:\[.*?\]|\w+))'?`", text))
    assert len(asked) >= 6
    assert asked <= {option for cure in CURES for option in cure}
