"""Who imports whom: flows -> tasks -> storage, never back; and the proofs of it can fail."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("flows", "tasks", "storage")
PACKAGES = tuple(f"segscale.{room}" for room in ROOMS)
FLOWS, TASKS, STORAGE = PACKAGES
ERRORS = "segscale.errors"
OUTSIDE = (ERRORS, "segscale", "segscale.__main__")
"""Below and above all that is drawn: the errors, the public names, the command."""
"""Below all: whoever raises or catches may import it. It is not drawn, for everything leads to it."""
ORCHESTRATORS = ("prefect", "dask", "distributed")
NETWORK_LIBRARIES = ("tensorflow", "keras")
PARTS = ("segscale.tasks.readers", "segscale.tasks.models", "segscale.tasks.engines", "segscale.tasks.metrics")
FORMULAS = ("segscale.tasks.metrics.scores", "segscale.tasks.metrics.settings")
"""What a score is: a network is trained and watched with the formulas that it is judged by."""
FORMS = ("segscale.storage.bundles", "segscale.storage.source_names")
"""How several files are one run of bytes, and what is called a part of one: the form that an image may have, not where
it lies."""
SEES_STORAGE = (
    "segscale.tasks.engine_plan",
    "segscale.tasks.engine_sample",
    "segscale.tasks.int8",
    "segscale.tasks.kept_graph",
    "segscale.tasks.ingest",
    "segscale.tasks.label_changes",
    "segscale.tasks.network_input",
    "segscale.tasks.listed_facts",
    "segscale.tasks.predict",
    "segscale.tasks.prediction",
    "segscale.tasks.score",
    "segscale.tasks.report",
    "segscale.tasks.run_counts",
    "segscale.tasks.run_measures",
    "segscale.tasks.run_sides",
    "segscale.tasks.run_slices",
    "segscale.tasks.measuring",
    "segscale.tasks.slice_axis",
    "segscale.tasks.slice_counts",
    "segscale.tasks.train",
    "segscale.tasks.samples",
    "segscale.tasks.counting",
    "segscale.tasks.shard_rows",
    "segscale.tasks.scan",
    "segscale.tasks.score_image",
    "segscale.tasks.score_plan",
    "segscale.tasks.scoring",
    "segscale.tasks.shard_plan",
    "segscale.tasks.blocks",
    "segscale.tasks.place_columns",
    "segscale.tasks.source_files",
    "segscale.tasks.shown_files",
    "segscale.tasks.shown_shards",
    "segscale.tasks.inference",
)
BUILDS_NETWORKS = (
    "segscale.tasks.engines.keras",
    "segscale.tasks.engines.openvino_conversion",
    "segscale.tasks.models",
    "segscale.tasks.networks",
    "segscale.tasks.train",
    "segscale.tasks.training.history",
    "segscale.tasks.training.loop",
    "segscale.tasks.training.network",
)
LIGHT = ("segscale.tasks.models", "segscale.tasks.models.bundled")

Imports = dict[str, frozenset[str]]


def is_within(module: str, packages: tuple[str, ...]) -> bool:
    """Whether a module is one of the packages or lies in one."""
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def read_imports(root: Path) -> Imports:
    """Every module below `root` with all that it imports, also inside functions and for types only."""
    package = root / "segscale"
    found = [*package.glob("*.py"), *(path for room in ROOMS for path in (package / room).rglob("*.py"))]
    paths = {name_of(path.relative_to(root)): path for path in sorted(found)}
    return {module: frozenset(_imported(path, paths.keys())) for module, path in paths.items()}


def name_of(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imported(path: Path, known: Container[str]) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: expected an absolute import"
            assert node.module is not None
            full = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in known else node.module for name in full}
    return found


@dataclass(frozen=True, slots=True)
class Rule:
    """Modules of `importers` must not import `forbidden`, those of `exceptions` may, and all may import `allowed`."""

    importers: tuple[str, ...]
    forbidden: tuple[str, ...]
    exceptions: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()

    def broken(self, imports: Imports) -> list[str]:
        """A line for each import that breaks the rule."""
        return [
            f"{module} imports {name}"
            for module, names in sorted(imports.items())
            if is_within(module, self.importers) and not is_within(module, self.exceptions)
            for name in sorted(names)
            if is_within(name, self.forbidden) and not is_within(name, self.allowed)
        ]


each_rule = pytest.mark.parametrize(
    "rule",
    [
        pytest.param(Rule((STORAGE,), (TASKS, FLOWS)), id="storage knows neither tasks nor flows"),
        pytest.param(Rule((TASKS,), (FLOWS,)), id="tasks know no flows"),
        pytest.param(Rule((TASKS, STORAGE), ORCHESTRATORS), id="orchestrators are for flows"),
        pytest.param(Rule((TASKS,), (STORAGE,), SEES_STORAGE, FORMS), id="only units of work see storage"),
        *(
            pytest.param(
                Rule(
                    (part,),
                    (STORAGE, *(other for other in PARTS if other != part)),
                    allowed={"segscale.tasks.models": FORMULAS, "segscale.tasks.readers": FORMS}.get(part, ()),
                ),
                id=f"{part} stands alone",
            )
            for part in PARTS
        ),
        pytest.param(
            Rule(PACKAGES, NETWORK_LIBRARIES, BUILDS_NETWORKS),
            id="networks are built in few places",
        ),
    ],
)


@each_rule
def test_rule_holds(rule: Rule) -> None:
    assert rule.broken(read_imports(ROOT)) == []


@each_rule
def test_a_broken_rule_is_reported(rule: Rule, tmp_path: Path) -> None:
    offender = tmp_path.joinpath(*rule.importers[0].split("."), "offender.py")
    offender.parent.mkdir(parents=True)
    offender.write_text(f"def hidden():\n    from {rule.forbidden[0]}.inner import thing\n    return thing\n")
    assert rule.broken(read_imports(tmp_path)) == [f"{rule.importers[0]}.offender imports {rule.forbidden[0]}.inner"]


ERRORS_STAND_ALONE = Rule((ERRORS,), ("segscale",))


def test_errors_know_nothing_of_the_project() -> None:
    assert ERRORS in read_imports(ROOT)
    assert ERRORS_STAND_ALONE.broken(read_imports(ROOT)) == []


def test_errors_that_know_something_are_reported(tmp_path: Path) -> None:
    (tmp_path / "segscale").mkdir()
    (tmp_path / "segscale" / "errors.py").write_text("from segscale.storage.ledger import Entry\n")
    assert ERRORS_STAND_ALONE.broken(read_imports(tmp_path)) == [f"{ERRORS} imports segscale.storage.ledger"]


PROBE = """
import importlib, json, sys
modules, forbidden = json.loads(sys.argv[1])
brought = {}
for module in modules:
    importlib.import_module(module)
    for name in forbidden:
        if name in sys.modules:
            brought.setdefault(name, module)
print(json.dumps(brought))
"""


def brought_in(modules: list[str], forbidden: tuple[str, ...], folder: Path) -> dict[str, str]:
    """Import modules one by one in a process of their own: each forbidden package that is loaded then, and by whom."""
    command = [sys.executable, "-c", PROBE, json.dumps([modules, forbidden])]
    answer = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    found: dict[str, str] = json.loads(answer.stdout)
    return found


def modules_of(room: str, besides: tuple[str, ...] = ()) -> list[str]:
    return [name for name in read_imports(ROOT) if is_within(name, (room,)) and not is_within(name, besides)]


def test_importing_storage_loads_nothing_above_it() -> None:
    forbidden = (*ORCHESTRATORS, *NETWORK_LIBRARIES, TASKS, FLOWS)
    assert brought_in(modules_of(STORAGE), forbidden, ROOT) == {}


def test_importing_tasks_loads_no_orchestrator_and_no_network_library() -> None:
    modules = [*modules_of(TASKS, besides=BUILDS_NETWORKS), *LIGHT]
    units = {f"{TASKS}.{name}" for name in ("ingest", "predict", "score", "report", "readers", "engines", "metrics")}
    assert units | {TASKS, "segscale.tasks.metrics.overlap"} <= set(modules)
    assert brought_in(modules, (*ORCHESTRATORS, *NETWORK_LIBRARIES, FLOWS), ROOT) == {}


def test_importing_flows_loads_no_network_library() -> None:
    assert brought_in(modules_of(FLOWS), NETWORK_LIBRARIES, ROOT) == {}


@pytest.mark.parametrize("forbidden", [*ORCHESTRATORS, *NETWORK_LIBRARIES])
def test_a_forbidden_package_is_reported_however_deep(forbidden: str, tmp_path: Path) -> None:
    (tmp_path / "innocent.py").write_text("import json\n")
    (tmp_path / "leaky").mkdir()
    (tmp_path / "leaky" / "__init__.py").write_text("from leaky import inner\n")
    (tmp_path / "leaky" / "inner.py").write_text(f"import {forbidden}\n")
    (tmp_path / f"{forbidden}.py").write_text("")
    found = brought_in(["innocent", "leaky"], (*ORCHESTRATORS, *NETWORK_LIBRARIES), tmp_path)
    assert found == {forbidden: "leaky"}


def test_the_real_package_is_reported_too() -> None:
    assert brought_in([STORAGE, "segscale.flows.cluster.client"], ORCHESTRATORS, ROOT).keys() >= {
        "dask",
        "distributed",
    }


def drawn_imports() -> dict[str, list[str]]:
    """The layered picture of docs/architecture.md: each package, from the bottom up, and what it imports."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    picture = re.search(r"^```imports\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert picture, "docs/architecture.md: expected a fenced block of the language `imports`"
    lines = [line.split() for line in picture.group(1).splitlines() if line.strip()]
    return {f"segscale.{package}": [f"segscale.{name}" for name in names if name != "-"] for package, *names in lines}


def found_imports(packages: tuple[str, ...]) -> dict[str, set[str]]:
    """What the modules of each package import of the others."""
    found: dict[str, set[str]] = {package: set() for package in packages}
    for module, names in read_imports(ROOT).items():
        if module == TASKS:
            assert not names, f"{module} imports nothing, for it belongs to no drawn package"
            continue
        if module in OUTSIDE:
            continue
        owner = owner_of(module, packages)
        found[owner] |= {owner_of(name, packages) for name in names if is_within(name, PACKAGES)} - {owner}
    return found


def owner_of(module: str, packages: tuple[str, ...]) -> str:
    owners = [package for package in packages if is_within(module, (package,))]
    assert owners, f"docs/architecture.md: {module} is in no package of the picture"
    return max(owners, key=len)


def test_the_drawn_layers_are_those_of_the_code() -> None:
    drawn = drawn_imports()
    found = found_imports(tuple(drawn))
    as_drawn = {package: sorted(names) for package, names in drawn.items()}
    assert as_drawn == {package: sorted(names) for package, names in found.items()}, "\n" + picture_of(found)


def picture_of(found: dict[str, set[str]]) -> str:
    """The lines that the code would draw, for whoever brings the page up to date."""
    width = max(map(len, found)) - len("segscale.")
    return "\n".join(
        f"{_short(package):<{width}}  {' '.join(sorted(map(_short, names))) or '-'}" for package, names in found.items()
    )


def _short(module: str) -> str:
    return module.removeprefix("segscale.")


def test_the_layers_are_drawn_from_the_bottom_up() -> None:
    below: set[str] = set()
    for package, names in drawn_imports().items():
        assert set(names) <= below, f"{package} imports {set(names) - below}, drawn above it or not at all"
        below.add(package)
