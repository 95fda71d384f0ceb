from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from segscale.tasks.engines import openvino_runtime
from segscale.tasks.engines.openvino_runtime import load_openvino, unreported


def imported_with(statement: str, home: Path) -> list[str]:
    """Names of what a fresh process leaves in its home after `statement`."""
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "TF_BUILD", "JENKINS_URL")}
    environment |= {"HOME": str(home), "http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    subprocess.run([sys.executable, "-c", statement], env=environment, check=True, timeout=300)
    return [path.name for path in home.rglob("*") if path.is_file()]


def test_the_import_is_silent(tmp_path: Path) -> None:
    statement = "from segscale.tasks.engines.openvino_runtime import load_openvino; load_openvino().Core()"
    assert imported_with(statement, tmp_path) == []


@pytest.mark.parametrize("before", [None, "", "false"])
def test_the_environment_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch, before: str | None) -> None:
    monkeypatch.delenv("CI", raising=False)
    if before is not None:
        monkeypatch.setenv("CI", before)
    with unreported():
        assert os.environ["CI"] == "true"
    assert os.environ.get("CI") == before


def test_not_installed_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_runtime, "openvino_is_installed", lambda: False)
    with pytest.raises(
        ValueError, match=r"engine openvino is not installed; install the extra predict \(docs/inference\.md\)"
    ):
        load_openvino()
