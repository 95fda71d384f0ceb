"""The page of a report in a real browser: Debian's Chromium, without a network."""

from __future__ import annotations

import runpy
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segscale.tasks.metrics.settings import ScoreSettings
from segscale.tasks.overlays.shown import SIDE
from tests.end_to_end.score_set import score_sections

pytestmark = pytest.mark.nightly(part="page")
ROOT = Path(__file__).parents[2]
OPEN_SECONDS = 3.0
PAGES = ("pictures", "pixels", "classes", "volumes", "million")


class Pages:
    """The pages of runs by name, each made when it is first asked for."""

    def __init__(self, segscale: Any, phantoms: Path, folder: Path) -> None:
        self._segscale, self._phantoms, self._folder = segscale, phantoms, folder
        self._made: dict[str, Path] = {}

    def __getitem__(self, name: str) -> Path:
        if name not in self._made:
            self._made[name] = getattr(self, f"_{name}")()
        return self._made[name]

    def _pictures(self) -> Path:
        return self._of_phantoms("pictures", "labels")

    def _pixels(self) -> Path:
        return self._of_phantoms("pixels", "image")

    def _of_phantoms(self, name: str, asked: str) -> Path:
        sections: dict[str, dict[str, str]] = score_sections(self._phantoms, self._folder / name)
        sections["report"]["overlays"] = f'"{asked}"'
        lines = (f"[{name}]\n" + "\n".join(f"{k} = {v}" for k, v in keys.items()) for name, keys in sections.items())
        config = self._folder / f"{name}.toml"
        config.write_text("\n".join(lines))
        return self._reported("run", config)

    def _classes(self) -> Path:
        """Of many classes, with units, strata, surfaces and lesions."""
        write = self._program("made_report")["write_made_report"]
        settings = ScoreSettings(bootstrap=50, group_by=("site",), unit="patient_id")
        write(self._folder / "classes", 300, n_classes=6, settings=settings, failed_every=40, measures=True)
        return self._of_tables("classes")

    def _million(self) -> Path:
        self._program("report_page")["write_large_report"](self._folder / "million", 1_000_000)
        return self._of_tables("million")

    def _of_tables(self, name: str) -> Path:
        target = self._folder / f"{name}.html"
        target.write_bytes(self._program("report_page")["page_of"](self._folder / name))
        return target

    def _volumes(self) -> Path:
        """Of boxes in volumes whose spacing is known."""
        import nibabel

        folder = self._folder / "volumes"
        for number in range(4):
            for name, shift in (("references", 0), ("predictions", number)):
                (folder / name).mkdir(parents=True, exist_ok=True)
                labels = np.zeros((20, 24, 10), np.uint8)
                labels[4 + shift : 12 + shift, 5:15, 2:8] = 1
                image = nibabel.Nifti1Image(labels, np.diag([1.0, 1.0, 3.0, 1.0]))
                image.to_filename(folder / name / f"v{number}.nii.gz")
        sides = [f"--{name}={folder / name}" for name in ("predictions", "references")]
        return self._reported("evaluate", *sides, "--output", folder / "out")

    def _reported(self, *arguments: Any) -> Path:
        outcome = self._segscale(*arguments)
        assert outcome.code == 0, outcome.err
        return Path(outcome.out.strip().splitlines()[-1].removeprefix("report: ")) / "report.html"

    def _program(self, name: str) -> dict[str, Any]:
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(str(ROOT / "benchmarks"))
            return runpy.run_path(str(ROOT / "benchmarks" / f"{name}.py"))


@pytest.fixture(scope="module")
def pages(segscale: Any, phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Pages:
    return Pages(segscale, phantoms, tmp_path_factory.mktemp("pages"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    program = shutil.which("chromium")
    assert program, "chromium is not on the path; .ci/services installs it"
    with playwright.sync_playwright() as driver:
        # As root a browser has no sandbox; these pages are ours.
        started = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield started
        started.close()


class Opened:
    """A page in a tab of its own."""

    def __init__(self, browser: Any, path: Path, **settings: Any) -> None:
        self.troubles: list[str] = []
        self.tab = browser.new_page(**settings)
        self.tab.on("console", lambda message: self.troubles.append(f"{message.type}: {message.text}"))
        self.tab.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.tab.on("request", lambda request: self._asked(request.url))
        start = time.monotonic()
        self.tab.goto(path.as_uri())
        self.tab.wait_for_selector(".dt-info")
        self.seconds = time.monotonic() - start

    def _asked(self, url: str) -> None:
        if not url.startswith(("file:", "data:")):
            self.troubles.append(f"asked for {url}")

    def cells(self, column: int) -> list[str]:
        found: list[str] = self.tab.locator(f"#image-table tbody tr > :nth-child({column + 1})").all_inner_texts()
        return found

    def column(self, name: str) -> int:
        names = [text.strip() for text in self.tab.locator("#image-table thead th").all_inner_texts()]
        return next(place for place, text in enumerate(names) if text.startswith(name))

    def sort(self, column: int, direction: str) -> None:
        """Press a header, and wait until the rows are sorted."""
        header = self.tab.locator("#image-table thead th").nth(column)
        header.locator("[role=button]").click()
        header.and_(self.tab.locator(f"[aria-sort={direction}]")).wait_for()

    def shows(self, words: str) -> None:
        """Wait until the line below the table says so."""
        self.tab.locator(".dt-info", has_text=words).wait_for()

    @property
    def info(self) -> str:
        return str(self.tab.locator(".dt-info").inner_text())


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("width", [1280, 390], ids=["desktop", "phone"])
def test_a_page_opens_soon_without_a_complaint(browser: Any, pages: Pages, name: str, width: int) -> None:
    opened = Opened(browser, pages[name], viewport={"width": width, "height": 900})
    assert opened.troubles == []
    assert opened.seconds < OPEN_SECONDS
    assert opened.tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    opened.tab.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing_serious(browser: Any, pages: Pages, name: str, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    # The policy of the page lets nothing else run; axe is no part of the page.
    opened = Opened(browser, pages[name], color_scheme=scheme, bypass_csp=True)
    opened.tab.evaluate("document.querySelectorAll('details').forEach((folded) => { folded.open = true; })")
    found = axe.Axe().run(opened.tab).response["violations"]
    serious = [
        (one["id"], one["nodes"][0]["html"][:200], one["nodes"][0]["failureSummary"])
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
    assert serious == []
    opened.tab.close()


def test_the_table_sorts_filters_searches_and_pages(browser: Any, pages: Pages) -> None:
    opened = Opened(browser, pages["million"])
    dice = opened.column("Dice")
    assert opened.info == "1 to 25 of 3,000 rows"
    opened.sort(dice, "ascending")
    assert all(text in ("0.000", "\N{EN DASH}") for text in opened.cells(dice))
    opened.sort(dice, "descending")
    best = [float(text) for text in opened.cells(dice)]
    assert best == sorted(best, reverse=True)
    assert min(best) > 0.9
    opened.tab.select_option("#filters select", label="failed")
    opened.shows("filtered")
    assert set(opened.cells(opened.column("result"))) == {"failed"}
    opened.tab.select_option("#filters select", label="all")
    opened.tab.fill(".dt-search input", "north")
    opened.shows("filtered")
    assert set(opened.cells(opened.column("site"))) == {"north"}
    opened.tab.fill(".dt-search input", "")
    opened.shows("1 to 25 of 3,000 rows")
    first = opened.cells(0)
    opened.tab.locator(".dt-paging button", has_text="2").first.click()
    opened.shows("26 to 50 of 3,000 rows")
    assert not set(first) & set(opened.cells(0))
    assert opened.troubles == []
    opened.tab.close()


def test_the_table_is_used_with_keys_alone(browser: Any, pages: Pages) -> None:
    opened = Opened(browser, pages["classes"])
    dice = opened.column("Dice")
    header = opened.tab.locator("#image-table thead th").nth(dice)
    header.locator("[role=button]").focus()
    assert opened.tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    opened.tab.keyboard.press("Enter")
    header.and_(opened.tab.locator("[aria-sort=ascending]")).wait_for()
    opened.tab.locator(".dt-search input").focus()
    opened.tab.keyboard.type("i0000001")
    opened.shows("filtered")
    assert set(opened.cells(0)) == {"i0000001"}
    opened.tab.locator("summary").last.focus()
    opened.tab.keyboard.press("Enter")
    assert opened.tab.locator("details").last.get_attribute("open") is not None
    opened.tab.close()


def test_dark_is_dark(browser: Any, pages: Pages) -> None:
    def brightness(scheme: str) -> float:
        opened = Opened(browser, pages["classes"], color_scheme=scheme)
        data = opened.tab.locator("figure svg").first.screenshot()
        target = pages["classes"].with_name(f"{scheme}.png")
        target.write_bytes(data)
        opened.tab.close()
        with Image.open(target) as image:
            return float(np.asarray(image.convert("L")).mean())

    assert brightness("dark") < 80 < 200 < brightness("light")


def test_a_printed_page_has_what_is_folded_and_no_controls(browser: Any, pages: Pages) -> None:
    opened = Opened(browser, pages["pictures"])
    opened.tab.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    opened.tab.emulate_media(media="print")
    assert opened.tab.locator("details:not([open])").count() == 0
    assert not opened.tab.locator(".dt-search").is_visible()
    assert not opened.tab.locator(".dt-paging").is_visible()
    assert opened.tab.pdf(format="A4").startswith(b"%PDF")
    opened.tab.close()


def test_without_scripts_every_row_is_there(browser: Any, pages: Pages) -> None:
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(pages["million"].as_uri())
    assert tab.locator("#image-table tbody tr").count() == 3000
    assert not tab.locator("#filters").is_visible()
    context.close()


@pytest.mark.parametrize("name", ["pictures", "pixels", "volumes"])
def test_pictures_are_shown_in_their_size(browser: Any, pages: Pages, name: str) -> None:
    opened = Opened(browser, pages[name])
    sizes = opened.tab.eval_on_selector_all(
        ".cases img", "all => all.map((one) => Math.max(one.naturalWidth, one.naturalHeight))"
    )
    assert len(sizes) == (4 if name == "volumes" else 24)
    assert all(SIDE // 2 < size <= SIDE for size in sizes)
    if name == "volumes":
        assert "slice 2 of 10" in opened.tab.locator(".cases").first.inner_text()
    opened.tab.close()
