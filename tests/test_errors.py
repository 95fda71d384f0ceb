"""The tree of errors: printed as it is, complete, used, and told apart by type where that decides something."""

from __future__ import annotations

import ast
import builtins
import inspect
import pickle
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from segscale import errors
from segscale.errors import (
    ClusterLostError,
    ConfigError,
    DamagedStoreError,
    DataError,
    EngineError,
    MissingFile,
    SegscaleError,
    StageError,
    UnreadableImage,
    WorkLostError,
)
from segscale.flows.cli import main

ROOT = Path(__file__).parents[1]
TREE = {name: kind for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, Exception)}
EXCEPTIONS = {name for name, kind in vars(builtins).items() if inspect.isclass(kind) and issubclass(kind, Exception)}
OF_ONE_FILE = {
    "QuarantinedError": "carries what a stage did so far, and is caught in the file that raises it",
    "_NoUseOfGpuError": "the worker's own way to the next engine",
}
PLAIN = {"storage/ledger.py": "caught a few lines below, with what json raises for the same bytes"}
"""Files below flows/ that may raise ValueError: elsewhere it would be taken for a defect."""


def printed_tree() -> list[tuple[int, str, str]]:
    """(depth, class, built-in base) of each line of the tree in the docstring."""
    lines = re.findall(r"^( *)(?:[+-] )?(\w+)(?: \((\w+)\))?(?:  .*)?$", (errors.__doc__ or "").split("\n\n")[1], re.M)
    return [((len(indent) + 2) // 4, name, base) for indent, name, base in lines]


def subclasses(kind: type[Exception], depth: int = 0) -> Iterator[tuple[int, str, str]]:
    base = next((base.__name__ for base in kind.__bases__ if not issubclass(base, SegscaleError)), "")
    yield depth, kind.__name__, "" if kind is SegscaleError else base
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from subclasses(child, depth + 1)


def test_the_tree_is_printed_as_it_is() -> None:
    assert printed_tree() == list(subclasses(SegscaleError))
    assert len(printed_tree()) == len(TREE)


@dataclass(frozen=True)
class Source:
    path: Path

    @property
    def name(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    @property
    def nodes(self) -> Iterator[ast.AST]:
        return ast.walk(ast.parse(self.path.read_text(encoding="utf-8")))


SOURCES = [Source(path) for room in ("flows", "tasks", "storage") for path in sorted((ROOT / room).rglob("*.py"))]


def raised(source: Source) -> set[str]:
    """The names of the classes that a file raises, or returns made for others to raise."""
    calls = {node.func for node in source.nodes if isinstance(node, ast.Call)}
    return {func.id for func in calls if isinstance(func, ast.Name)} & {*TREE, *EXCEPTIONS}


def test_every_error_derives_from_the_root() -> None:
    for source in SOURCES:
        for node in source.nodes:
            if isinstance(node, ast.ClassDef):
                bases = {base.id for base in node.bases if isinstance(base, ast.Name)}
                assert not bases & EXCEPTIONS, f"{source.name}: {node.name} belongs into segscale/errors.py"
                if bases & {*TREE, *OF_ONE_FILE}:
                    assert node.name in OF_ONE_FILE, f"{source.name}: {node.name} belongs into segscale/errors.py"


def test_every_error_is_raised_somewhere() -> None:
    found = set().union(*map(raised, SOURCES))
    leaves = {name for name, kind in TREE.items() if not kind.__subclasses__()}
    assert leaves <= found


def test_below_flows_nothing_raises_what_stands_for_a_defect() -> None:
    # In flows/ the sections of the configuration raise ValueError, which pydantic asks of them.
    of_defects = {"Exception", "ValueError", "RuntimeError", "KeyError", "TypeError"}
    for source in SOURCES:
        if not source.name.startswith("flows/") and source.name not in PLAIN:
            assert not raised(source) & of_defects, source.name


@pytest.mark.parametrize("kind", TREE.values())
def test_it_travels_from_a_worker(kind: type[Exception]) -> None:
    again = pickle.loads(pickle.dumps(kind("why")))
    assert (type(again), str(again)) == (kind, "why")


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        pytest.param(DataError, "ValueError", id="what stores have held for sizes, labels and pixels since ever"),
        pytest.param(UnreadableImage, "UnreadableImage", id="a word of its own"),
        pytest.param(MissingFile, "MissingFile", id="a word of its own, the same in ingest and in score"),
    ],
)
def test_the_words_of_error_type_stay(kind: type[DataError], word: str) -> None:
    assert kind.recorded_as == word


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        pytest.param(ConfigError("dataset: why"), 2, "segscale: dataset: why", id="a wrong configuration"),
        pytest.param(EngineError("model: why"), 2, "segscale: model: why", id="asked for what is not there"),
        pytest.param(ClusterLostError("why"), 3, "segscale: why (what", id="lost machinery needs no name of a type"),
        pytest.param(WorkLostError("why"), 3, "segscale: why (what", id="nor do unfinished shards"),
        pytest.param(DamagedStoreError("why"), 3, "segscale: DamagedStoreError: why (what", id="a damaged store"),
        pytest.param(StageError("why"), 3, "segscale: StageError: why (what", id="a step that broke down"),
        pytest.param(OSError("why"), 3, "segscale: OSError: why (what", id="a disk"),
        pytest.param(ValueError("why"), 3, "segscale: ValueError: why (what", id="a defect of ours"),
    ],
)
def test_the_exit_code_goes_by_type(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, code: int, said: str
) -> None:
    def command(**_: object) -> int:
        raise error

    monkeypatch.delenv("SEGSCALE_TRACEBACK", raising=False)
    monkeypatch.setattr(main.commands, "main", command)
    assert main.run(["run", "config.toml"]) == code
    assert capsys.readouterr().err.startswith(said)
