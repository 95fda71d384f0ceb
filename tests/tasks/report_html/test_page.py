import base64
import hashlib
import re
from collections.abc import Callable
from html.parser import HTMLParser
from importlib.resources import files
from typing import Any

import pandas as pd
import pytest

from segscale.tasks.metrics.findings import Finding, Severity
from segscale.tasks.metrics.settings import ScoreSettings
from segscale.tasks.report_html.page import MAX_FAILURES, TABLES, render_report

MakeTables = Callable[..., dict[str, pd.DataFrame]]
MakeRun = Callable[..., dict[str, Any]]
VOID = {"meta", "link", "img", "br", "hr", "input"}
SCRIPT = "<script>alert('x')</script>\"'&"


def _finding(severity: Severity, text: str = "") -> Finding:
    return Finding("made-up", severity, text or "a cause", text or "some evidence", text or "a remedy")


def _without_scripts(text: str) -> str:
    """A page without the two scripts that are ours, which are the last of it."""
    body, end = text.split("</main>")
    return body + re.sub(r"<script>.*?</script>\n", "", end, flags=re.DOTALL)


class Page(HTMLParser):
    """The elements of a page: well nested, with their attributes and all text."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(page.decode())
        self.close()
        assert self._open == [], "elements left open"
        self.words = " ".join(self.text.split())
        self.together = "".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self._open):
            self.text += data

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.elements)

    def all(self, attribute: str) -> list[str]:
        return [str(attributes[attribute]) for _, attributes in self.elements if attribute in attributes]

    @property
    def n_plots(self) -> int:
        """Those that stand for themselves; dots beside numbers repeat them."""
        return sum(attributes.get("role") == "img" for tag, attributes in self.elements if tag == "svg")


@pytest.fixture(scope="module")
def page(make_tables: MakeTables, make_run: MakeRun) -> Page:
    """A usual run of two classes, one image failed."""
    return Page(render_report(make_tables(30, failed=(4,)), make_run(30, 1), [_finding("note"), _finding("error")]))


def test_the_page_stands_alone(page: Page) -> None:
    assert {"link", "iframe", "object", "form"} & {tag for tag, _ in page.elements} == set()
    assert page.all("src") == []
    assert [name for name in page.all("href") + page.all("xlink:href") if not name.startswith("#")] == []
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)


def test_what_runs_is_named_by_its_hash(make_tables: MakeTables, make_run: MakeRun) -> None:
    """The policy lets nothing else run, whatever a name may bring into the page."""
    text = render_report(make_tables(12), make_run(12)).decode()
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert len(scripts) == 2
    assert "<script" not in _without_scripts(text)
    assert scripts[0] == files("segscale.tasks.report_html").joinpath("datatables/dataTables.min.js").read_text("utf-8")
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    policy = " ".join(f"'sha256-{one}'" for one in hashes)
    assert f'script-src {policy}">' in text


def test_no_style_fetches_anything(make_tables: MakeTables, make_run: MakeRun) -> None:
    text = _without_scripts(render_report(make_tables(12), make_run(12)).decode())
    assert "@import" not in text
    assert [target for target in re.findall(r"url\(([^)]*)\)", text) if not target.startswith("#")] == []
    assert "default-src 'none'" in text


def test_ids_are_unique_and_labels_point_to_them(page: Page) -> None:
    ids = page.all("id")
    assert len(ids) == len(set(ids))
    assert set(page.all("aria-labelledby")) <= set(ids)


def test_the_page_is_accessible(page: Page) -> None:
    assert ("html", {"lang": "en"}) in page.elements
    assert "width=device-width, initial-scale=1" in page.all("content")
    assert page.count("h1") == 1
    assert all(attributes.get("aria-hidden") == "true" or (attributes["role"] == "img" and attributes["aria-label"])
               for tag, attributes in page.elements if tag == "svg")  # fmt: skip
    assert all("scope" in attributes for tag, attributes in page.elements if tag == "th")


def test_headline_gap_and_plots_are_there(page: Page) -> None:
    assert page.n_plots == 6
    expected = [
        "per-sample mean", "failed as 0", "batch 1", "batch 2", "pooled", "undefined images", "95 % intervals",
        "Pooled Dice of lesion is", "carried by the", "largest pooled", "pooled without it",
    ]  # fmt: skip
    assert [words for words in expected if words not in page.words] == []


def test_findings_come_worst_first(page: Page) -> None:
    assert page.words.index("Error: a cause some evidence a remedy") < page.words.index("Note: a cause")


def test_provenance_says_what_was_evaluated_and_not_where(page: Page) -> None:
    for words in ("0a1b2c", "c" * 64, "d" * 64, "2.4.6", "versions.device", "cpu:0", "tversky_alpha", "[metrics]"):
        assert words in page.words
    assert "place-of-work" not in page.words


def test_provenance_names_files_without_their_folders(make_tables: MakeTables, make_run: MakeRun) -> None:
    run = make_run(12)
    run["config"] |= {
        "dataset": {"images": "/home/me/scans/", "references": "s3://bucket/key/*.png", "manifest": "/home/me/all.csv"},
        "predictions": {"path": "/home/me/predicted/*.npy"},
        "model": {"path": "/home/me/net.keras"},
    }
    page = Page(render_report(make_tables(12), run))
    for name in ("scans", "*.png", "all.csv", "*.npy", "net.keras"):
        assert name in page.words
    assert not any(place in page.text for place in ("/home", "bucket", "key/", "predicted/"))


def test_missing_predictions_stand_beside_the_rest(make_tables: MakeTables, make_run: MakeRun) -> None:
    tables = make_tables(24, failed=(1,), missing=(2, 7, 11))
    page = Page(render_report(tables, make_run(24, 4, 3)))
    row = tables["per_sample"].query("class_name == 'lesion' and metric == 'dice'").iloc[0]
    pooled = tables["batch_summed"].query("class_name == 'lesion' and metric == 'dice' and pooled").iloc[0]
    for words in (
        "4 failed, 3 of them without a usable prediction", "missing as 0", "pooled, missing as missed",
        f"{row['mean_missing_as_zero']:.3f} [", f"{pooled['pooled_missing_as_missed']:.3f} [",
        "where one full of false positives vanishes, the pooled score may rise all the same",
    ):  # fmt: skip
        assert words in page.words, words


def test_without_missing_predictions_nothing_is_said_of_them(page: Page) -> None:
    assert "missing as" not in page.words
    assert "usable prediction" not in page.words


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"model": "run-7", "plan": None}, "phantoms, predictions run-7", id="predictions of others"),
        pytest.param({"model": "unet"}, "phantoms, model unet", id="a network"),
        pytest.param({"model": "", "plan": None}, "phantoms", id="no name"),
    ],
)
def test_the_title_says_what_was_evaluated(
    make_tables: MakeTables, make_run: MakeRun, changes: dict[str, Any], words: str
) -> None:
    text = render_report(make_tables(3), make_run(3, **changes)).decode()
    assert f"<h1>{words}</h1>" in text


def test_failures_stand_together_by_their_reason(make_tables: MakeTables, make_run: MakeRun) -> None:
    page = Page(render_report(make_tables(20, failed=(1, 2, 7)), make_run(20, 3)))
    assert "imagesstageerrorsuchasmessage3ingestValueErrorimage1damaged" in page.together


def test_images_that_score_0_are_named_the_largest_first(make_tables: MakeTables, make_run: MakeRun) -> None:
    tables = make_tables(30)
    lesion = (tables["per_image"]["class_index"] == 1).to_numpy()
    zeros = lesion & tables["per_image"]["image_id"].isin([f"image{k}" for k in range(4, 16)]).to_numpy()
    dice = tables["per_image"]["dice"].mask(zeros, 0.0)
    page = Page(render_report({**tables, "per_image": tables["per_image"].assign(dice=dice)}, make_run(30)))
    assert (
        "12 images with Dice 0 of lesion; those 10 with most pixels in reference and prediction together:" in page.words
    )


def test_strata_are_a_table_with_dots(make_tables: MakeTables, make_run: MakeRun) -> None:
    settings = ScoreSettings(bootstrap=20, batch_sizes=(1,), group_by=("site",))
    tables = make_tables(24, settings=settings, groups={"site": ["<n>", "s"] * 12})
    page = Page(render_report(tables, make_run(24)))
    row = tables["per_sample"].query("class_name == 'lesion' and metric == 'dice' and stratum == 'site=s'").iloc[0]
    assert f"site=slesion{row['mean']:.3f}[" in page.together
    circles = [float(str(attributes["cx"])) for tag, attributes in page.elements if tag == "circle"]
    assert any(abs(place - (4 + 112 * row["mean"])) < 0.01 for place in circles)
    assert "site=<n>lesion" in page.together


def test_volumes_have_a_plot_of_their_agreement(make_tables: MakeTables, make_run: MakeRun) -> None:
    tables = make_tables(12)
    known = tables["per_image"].assign(reference_volume_ml=2.0, prediction_volume_ml=[1.5, 2.0] * 12)
    page = Page(render_report({**tables, "per_image": known}, make_run(12)))
    assert page.n_plots == 7
    assert "12 images: predicted minus reference volume is 0.000 ml in the mean" in page.words


def test_every_image_has_a_row_that_can_be_read_without_scripts(make_tables: MakeTables, make_run: MakeRun) -> None:
    tables = make_tables(20, failed=(3,), missing=(5,))
    text = render_report(tables, make_run(20, 2, 1)).decode()
    table = text[text.index('<table id="image-table"') : text.index("</table>", text.index('<table id="image-table"'))]
    rows = re.findall(r'<tr><th scope="row" class="long">([^<]*)</th><td>([^<]*)</td><td>([^<]*)</td>', table)
    assert [row[0] for row in rows] == [f"image{place}" for place in range(20)]
    assert rows[3] == ("image3", "–", "failed")  # noqa: RUF001
    assert rows[5] == ("image5", "–", "no prediction")  # noqa: RUF001
    assert "Every image. A failed image has one row, others one for each class." in " ".join(text.split())


def test_failures_are_cut_and_the_rest_counted(make_tables: MakeTables, make_run: MakeRun) -> None:
    n_failed = MAX_FAILURES + 3
    tables = make_tables(n_failed + 12, failed=range(n_failed))
    page = Page(render_report(tables, make_run(n_failed + 12, n_failed)))
    assert f"image{MAX_FAILURES - 1}.png" in page.words
    assert f"image{MAX_FAILURES}.png" not in page.words
    assert "And 3 more, in failures.parquet." in page.words


def test_names_cannot_write_into_the_page(make_tables: MakeTables, make_run: MakeRun) -> None:
    """Dollar signs would be formulas to the plots, a lone surrogate stands for a byte of a path that is no text."""
    names = [f"{SCRIPT}$x_{place}$" for place in range(12)]
    tables = make_tables(12, classes=("background", SCRIPT), failed=(0,), heads=(SCRIPT,), image_ids=names,
                         message=SCRIPT)  # fmt: skip
    run = make_run(12, 1, dataset=SCRIPT, model=SCRIPT, versions={SCRIPT: SCRIPT}, plan={"heads": [SCRIPT]})
    run["config"]["dataset"] = {"images": f"{SCRIPT}\udc80"}
    run["config"]["metrics"]["cluster_by"] = SCRIPT
    data = render_report(tables, run, [_finding("error", SCRIPT)])
    page = Page(data)
    assert "<script" not in _without_scripts(data.decode())
    assert page.count("script") == 2
    assert page.text.count(SCRIPT) > 20
    assert page.n_plots == 6


def test_equal_tables_are_equal_bytes(make_tables: MakeTables, make_run: MakeRun) -> None:
    first, second = (render_report(make_tables(20, failed=(1,)), make_run(20, 1)) for _ in range(2))
    assert first == second


def test_label_maps_have_no_threshold_curve(make_tables: MakeTables, make_run: MakeRun) -> None:
    page = Page(render_report(make_tables(20, probabilities=False), make_run(20, weights_sha256=None, plan=None)))
    assert page.n_plots == 5
    assert "The predictions are label maps" in page.words


@pytest.mark.parametrize(
    ("n_images", "failed", "n_plots", "words"),
    [
        pytest.param(1, (), 4, "No image contributes", id="one image has no gap"),
        pytest.param(3, (0, 1, 2), 0, "there is no image to be scored", id="all failed"),
        pytest.param(3, (0, 1), 4, "2 failed", id="all but one failed"),
    ],
)
def test_what_cannot_be_drawn_is_said(
    make_tables: MakeTables, make_run: MakeRun, n_images: int, failed: tuple[int, ...], n_plots: int, words: str
) -> None:
    page = Page(render_report(make_tables(n_images, failed=failed), make_run(n_images, len(failed))))
    assert page.n_plots == n_plots
    assert words in page.words


def test_images_without_any_foreground_are_said(make_tables: MakeTables, make_run: MakeRun) -> None:
    tables = make_tables(12)
    nothing = tables["per_image"].assign(reference_sum=0)
    nothing["reference_sum"] = nothing["reference_sum"].astype("Int64")
    page = Page(render_report({**tables, "per_image": nothing}, make_run(12)))
    assert "No image has both a reference of this class and a score." in page.words


def test_several_classes_have_a_section_each(make_tables: MakeTables, make_run: MakeRun) -> None:
    classes = ("background", "liver", "kidney", "spleen", "tumour")
    page = Page(render_report(make_tables(15, classes=classes), make_run(15)))
    assert page.n_plots == 21
    assert "Pooled Dice of the mean over foreground classes" in page.words
    assert [f"Class {name}" in page.words for name in classes] == [False, True, True, True, True]
    assert "The class against the rest" in page.words


def test_of_many_classes_those_with_the_largest_gap_are_drawn(make_tables: MakeTables, make_run: MakeRun) -> None:
    classes = ("background", *(f"organ{index}" for index in range(1, 7)))
    tables = make_tables(15, classes=classes)
    gaps = tables["gap"].query("metric == 'dice' and class_index > 0").set_index("class_name")["gap"].abs()
    page = Page(render_report(tables, make_run(15)))
    drawn = {name for name in classes[1:] if f"Class {name}" in page.words}
    assert drawn == set(gaps.nlargest(4).index)
    assert "Plots are of the 4 classes with the largest gap of Dice; the numbers of all 6" in page.words


def test_plots_are_of_the_last_head(make_tables: MakeTables, make_run: MakeRun) -> None:
    page = Page(render_report(make_tables(12, heads=("head_1", "head_2")), make_run(12)))
    assert "plots are of head head_2" in page.words
    assert page.n_plots == 6


def test_subsets_of_points_are_said(
    make_tables: MakeTables, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segscale.tasks.report_html.plots.MAX_POINTS", 20)
    page = Page(render_report(make_tables(60), make_run(60)))
    assert "20 of them are drawn, evenly spaced by size; the medians are of all." in page.words
    assert "are drawn, both ends whole." in page.words


def test_a_policy_for_empty_images_moves_the_undefined_term(make_tables: MakeTables, make_run: MakeRun) -> None:
    settings = ScoreSettings(bootstrap=0, batch_sizes=(1,), empty="zero")
    page = Page(render_report(make_tables(12, settings=settings), make_run(12)))
    assert page.n_plots == 6


@pytest.mark.parametrize("classes", [("background", "lesion"), ("background", "lesion", "edge")])
def test_units_have_a_column_and_a_sentence(
    make_tables: MakeTables, make_run: MakeRun, classes: tuple[str, ...]
) -> None:
    settings = ScoreSettings(bootstrap=20, batch_sizes=(1,), unit="patient", folds="fold")
    groups = {"patient": [f"<p{place // 2}>" for place in range(12)], "fold": [place // 2 % 3 for place in range(12)]}
    run = make_run(12)
    run["config"]["metrics"] |= {"unit": "patient", "folds": "fold"}
    text = render_report(make_tables(12, classes=classes, settings=settings, groups=groups), run).decode()
    assert '<th scope="col">mean per patient</th>' in text
    assert '<th scope="col">mean of folds</th>' in text
    assert "<p>Per patient, with the counts of a unit summed, Dice is 0." in text
    without = render_report(make_tables(12, classes=classes), make_run(12)).decode()
    assert "patient" not in without
    assert "folds</th>" not in without


@pytest.mark.parametrize("missing", TABLES)
def test_a_missing_table_is_named(make_tables: MakeTables, make_run: MakeRun, missing: str) -> None:
    tables = make_tables(2)
    del tables[missing]
    with pytest.raises(ValueError, match=rf"tables: expected .*; add {missing}$"):
        render_report(tables, make_run(2))


def test_a_missing_key_of_the_run_is_named(make_tables: MakeTables, make_run: MakeRun) -> None:
    run = make_run(2)
    del run["plan"]
    with pytest.raises(ValueError, match=r"run: expected .*; add plan$"):
        render_report(make_tables(2), run)
