from __future__ import annotations

import logging
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from segscale.tasks.engines.graph_cache import cache_folder, cached_graph
from segscale.tasks.engines.heads import HeadChoice
from segscale.tasks.engines.openvino_graph import OpenVinoGraph, read_graph, write_graph

GRAPH = OpenVinoGraph(b"<net/>", b"weights", HeadChoice(("a",), ("a",)), 1, 1, 1, "openvino 1")


class Maker:
    """Makes the same graph every time it is asked, slowly, and counts."""

    def __init__(self, graph: OpenVinoGraph = GRAPH, seconds: float = 0) -> None:
        self.graph, self.seconds, self.made = graph, seconds, 0

    def __call__(self, path: Path) -> None:
        self.made += 1
        time.sleep(self.seconds)
        write_graph(self.graph, path)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        pytest.param({"SEGSCALE_CACHE": "/c", "XDG_CACHE_HOME": "/x"}, Path("/c"), id="ours first"),
        pytest.param({"XDG_CACHE_HOME": "/x"}, Path("/x/segscale"), id="then the desktop's"),
        pytest.param(
            {"SEGSCALE_CACHE": "", "XDG_CACHE_HOME": ""}, Path.home() / ".cache/segscale", id="empty is unset"
        ),
        pytest.param({}, Path.home() / ".cache/segscale", id="then the home"),
    ],
)
def test_folder(environment: dict[str, str], expected: Path) -> None:
    assert cache_folder(environment) == expected


def test_a_graph_is_made_once(tmp_path: Path) -> None:
    maker = Maker()
    assert [cached_graph({"weights": "a", "level": 4}, maker, tmp_path) for _ in range(3)] == [GRAPH] * 3
    assert maker.made == 1


def test_another_identity_is_another_graph(tmp_path: Path) -> None:
    first, second = Maker(), Maker(replace(GRAPH, stride=2))
    assert cached_graph({"level": 4}, first, tmp_path) == first.graph
    assert cached_graph({"level": "all"}, second, tmp_path) == second.graph
    assert cached_graph({"level": 4}, second, tmp_path) == first.graph


def test_a_damaged_graph_is_made_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    maker = Maker()
    cached_graph({}, maker, tmp_path)
    (kept,) = tmp_path.rglob("*.zip")
    kept.write_bytes(kept.read_bytes()[:-9])
    with caplog.at_level(logging.WARNING):
        assert cached_graph({}, maker, tmp_path) == GRAPH
    assert "damaged" in caplog.text
    assert maker.made == 2
    assert read_graph(kept) == GRAPH


def test_a_folder_that_cannot_be_written_to_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    maker = Maker()
    with caplog.at_level(logging.WARNING):
        assert cached_graph({}, maker, tmp_path / "file" / "cache") == GRAPH
        assert cached_graph({}, maker, tmp_path / "file" / "cache") == GRAPH
    assert maker.made == 2
    assert "cannot be written" in caplog.text


def test_those_who_come_at_once_wait_for_the_first(tmp_path: Path) -> None:
    maker, found = Maker(seconds=0.3), []
    threads = [
        threading.Thread(target=lambda: found.append(cached_graph({}, maker, tmp_path)), daemon=True) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == [GRAPH] * 4
    assert maker.made == 1


def test_nothing_is_left_of_what_failed(tmp_path: Path) -> None:
    def fail(path: Path) -> None:
        path.write_bytes(b"half")
        raise ValueError("no such layer")

    with pytest.raises(ValueError, match="no such layer"):
        cached_graph({}, fail, tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".lock"] == []
    assert cached_graph({}, Maker(), tmp_path) == GRAPH
