from __future__ import annotations

from pathlib import Path

import pytest

from segscale.tasks.engines.heads import HeadChoice
from segscale.tasks.engines.openvino_graph import OpenVinoGraph, read_graph, write_graph

GRAPH = OpenVinoGraph(
    topology=b"<net/>",
    weights=bytes(range(256)) * 8,
    heads=HeadChoice(("head_1", "head_2"), ("head_1", "head_2", "ensemble")),
    outputs=1,
    channels=3,
    stride=4,
    made_with="openvino 1, keras 2",
    rescales="'scale' (Rescaling) multiplies its input by 0.00392",
    whole_image=("'norm' (GroupNormalization)",),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_graph(GRAPH, tmp_path / "graph.zip")
    return tmp_path / "graph.zip"


def test_a_graph_comes_back_as_it_was(path: Path) -> None:
    assert read_graph(path) == GRAPH


def test_a_missing_file_is_told_from_a_damaged_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_graph(tmp_path / "none.zip")


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda _: b"", id="empty"),
        pytest.param(lambda data: data[: len(data) // 2], id="cut in the middle"),
        pytest.param(lambda data: data[:-1], id="last byte missing"),
        pytest.param(lambda data: data.replace(b"\x80\x81\x82", b"\x80\xff\x82", 1), id="a weight changed"),
        pytest.param(lambda data: data.replace(b"<net/>", b"<not/>"), id="the topology changed"),
        pytest.param(lambda data: data.replace(b'"stride": 4', b'"stride": 2'), id="a fact changed"),
        pytest.param(lambda data: data.replace(b"graph.bin", b"graph.bim"), id="a part renamed"),
        pytest.param(lambda data: bytes(len(data)), id="zeros, as after a crash of the machine"),
    ],
)
def test_damage_is_noticed(path: Path, damage: object) -> None:
    assert callable(damage)
    data = path.read_bytes()
    path.write_bytes(damage(data))
    assert path.read_bytes() != data
    with pytest.raises(ValueError, match=r"graph\.zip is no OpenVINO graph of segscale, or is damaged"):
        read_graph(path)


def test_no_byte_of_a_file_can_change_what_is_read(path: Path) -> None:
    data = path.read_bytes()
    for place in range(len(data)):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :])
        try:
            found = read_graph(path)
        except ValueError:
            continue
        # Times of day and the like in the headers of the archive.
        assert found == GRAPH
