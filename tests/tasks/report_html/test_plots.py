import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from segscale.tasks.report_html import plots
from segscale.tasks.report_html.curves import BatchCurve, ImageScores, ThresholdCurve, largest

ALT = "Dice of <b> & others"


def _images(n: int) -> ImageScores:
    generator = np.random.default_rng(1)
    size = generator.integers(0, 1000, n)
    return ImageScores(
        image_id=np.array([f"i{place}" for place in range(n)], object),
        reference_pixels=size,
        dice=generator.random(n),
        true_positive=size // 2,
        weight=2 * size,
        contribution=generator.normal(size=n) / n,
    )


def _size(n: int, name: str = "p") -> str:
    return plots.draw_dice_against_size(_images(n), 0.5, 0.6, name, ALT)


def _thresholds() -> str:
    middle = np.linspace(0.1, 0.9, 9)
    return plots.draw_thresholds(ThresholdCurve(middle, middle**2, middle**3, 4), 0.5, "p", ALT)


def _batches() -> str:
    means = np.array([0.5, 0.6, 0.62])
    return plots.draw_batch_sizes(BatchCurve(np.array([1, 8, 134]), means, means, 0 * means), 0.5, 0.62, "p", ALT)


def _contributions(n: int) -> str:
    contribution = _images(n).contribution
    contribution[n // 2] = np.nan
    return plots.draw_contributions(contribution, largest(contribution, 5), "p", ALT)


def _element(svg: str) -> ElementTree.Element:
    """Parsed as XML, with the name space that HTML gives by itself."""
    return ElementTree.fromstring(svg.replace("<svg ", '<svg xmlns:xlink="http://www.w3.org/1999/xlink" ', 1))


@pytest.mark.parametrize(
    "svg",
    [
        pytest.param(_size(200), id="size"),
        pytest.param(_size(3), id="size, three images"),
        pytest.param(_thresholds(), id="thresholds"),
        pytest.param(_batches(), id="batches"),
        pytest.param(_contributions(40), id="contributions"),
        pytest.param(_contributions(5000), id="contributions, some thousand"),
    ],
)
def test_a_plot_is_one_accessible_element_with_ids_of_its_own(svg: str) -> None:
    element = _element(svg)
    assert element.get("role") == "img"
    assert element.get("aria-label") == ALT
    ids = re.findall(r'\bid="([^"]*)"', svg)
    assert len(ids) == len(set(ids))
    assert all(name.startswith("p-") for name in ids)
    referred = re.findall(r'url\(#([^)]*)\)|href="#([^"]*)"', svg)
    assert {one or other for one, other in referred} <= set(ids)
    assert "$" not in svg


def test_two_plots_do_not_share_an_id() -> None:
    first, second = (set(re.findall(r'\bid="([^"]*)"', _size(50, name))) for name in ("a", "b"))
    assert not first & second


def test_equal_numbers_are_equal_bytes_whatever_the_reader_has_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib

    before = _size(50), _contributions(50)
    monkeypatch.setitem(matplotlib.rcParams, "font.size", 20)
    monkeypatch.setitem(matplotlib.rcParams, "svg.fonttype", "path")
    assert (_size(50), _contributions(50)) == before
    assert matplotlib.rcParams["font.size"] == 20


@pytest.mark.parametrize("n", [plots.MAX_POINTS, 4 * plots.MAX_POINTS])
def test_points_are_limited(n: int) -> None:
    images = _images(n)
    images.reference_pixels[:] = np.arange(1, n + 1)
    svg = plots.draw_dice_against_size(images, 0.5, 0.6, "p", ALT)
    collection = svg[svg.index("PathCollection_1") : svg.index("FillBetween")]
    assert collection.count("<use ") == plots.MAX_POINTS


def test_sizes_too_close_for_their_labels_keep_the_larger() -> None:
    means = np.full(4, 0.5)
    curve = BatchCurve(np.array([1, 8, 128, 134]), means, means, 0 * means)
    texts = {element.text for element in _element(plots.draw_batch_sizes(curve, 0.5, 0.5, "p", ALT)).iter("text")}
    assert {"1", "8", "134"} <= texts
    assert "128" not in texts


def test_the_longest_bars_are_numbered() -> None:
    texts = [element.text for element in _element(_contributions(60)).iter("text")]
    assert {"1", "2", "3", "4", "5"} <= set(texts)
