"""The protocol alone must be importable where no runtime is installed or wanted."""

from __future__ import annotations

import subprocess
import sys

import pytest

RUNTIMES = ["tensorflow", "keras", "jax", "openvino", "prefect", "dask", "distributed"]


def loaded_runtimes(statement: str) -> set[str]:
    """Runtimes that a fresh interpreter has loaded after `statement`."""
    code = f"import sys\n{statement}\nprint(*(name for name in {RUNTIMES} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "statement", ["import segscale.tasks", "import segscale.tasks.engines", "import segscale.tasks.phantom"]
)
def test_import_loads_no_runtime(statement: str) -> None:
    assert loaded_runtimes(statement) == set()


@pytest.mark.slow
def test_the_proof_can_fail() -> None:
    assert "keras" in loaded_runtimes("import segscale.tasks.engines.keras")
