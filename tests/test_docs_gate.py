"""docs/gate.md holds what its commands say of real images, and describes every column."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from segscale.tasks.decisions.gate import COLUMNS
from segscale.tasks.decisions.questions import DECIDABLE
from tests.test_docs_why import assert_same_page

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "gate.md").read_text(encoding="utf-8")
NUCLEI = Path(os.environ.get("SEGSCALE_DATA", ROOT.parent / "shared" / "data")) / "nuclei"
RUN = re.compile(r"/[0-9a-f]{12}\b")


@pytest.mark.slow
@pytest.mark.skipif(not (NUCLEI / "manifest.csv").exists(), reason="the nuclei set is not here; set SEGSCALE_DATA")
def test_the_example_prints_what_is_shown(tmp_path: Path) -> None:
    (session,) = re.findall(r"^```console\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    blocks = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", session, re.MULTILINE)
    assert [command.split()[1] for command, _ in blocks][-3:] == ["gate"] * 3
    bin_ = Path(sys.executable).parent
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{bin_}{os.pathsep}{os.environ['PATH']}"}
    environment.pop("PREFECT_API_URL", None)
    for command, shown in blocks:
        typed = command.replace("FOLDER", str(NUCLEI)).replace("examples/", f"{ROOT}/examples/")
        typed = re.sub(r"^segscale ", "python -m segscale ", typed)
        answer = subprocess.run(
            ["bash", "-c", typed], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert answer.returncode in ((0, 1, 4) if " gate " in typed else (0,)), answer.stderr
        if shown:
            assert_same_page(RUN.sub("/RUN", answer.stdout).strip(), RUN.sub("/RUN", shown).strip())


def test_every_column_and_metric_is_described() -> None:
    rows = TEXT[TEXT.index("`strata`: a row per") : TEXT.index("`--junit FILE`: a test")]
    assert [name for name in COLUMNS if not re.search(rf"\b{name}\b", rows)] == []
    metrics = TEXT[TEXT.index("**The metrics**") : TEXT.index("Distances, volume")]
    assert re.findall(r"\b[a-z]+_?[a-z_]*\b", metrics.split("better: ")[1]) == list(DECIDABLE)
