"""What workers load before they begin."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import sys, threading
from segscale.flows.worker.warm import warm_up
from segscale.tasks.readers.png_rows import unfilter
from segscale.tasks.compiled import EFFORT
warm_up()
loaded = set(sys.modules)
warm_up()
heavy = ("dask", "distributed", "prefect", "tensorflow", "matplotlib", "pydantic", "scipy.linalg")
print([name for name in heavy if name in loaded], threading.active_count(), len(set(sys.modules) - loaded))
import scipy.linalg.cython_blas
print(len(unfilter.dispatcher.signatures), EFFORT.spent >= EFFORT.worth_loading)
"""


def test_what_is_loaded_for_all_workers_is_light_and_starts_no_thread() -> None:
    """A process that has threads cannot be forked safely; linear algebra comes when it is asked for."""
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[] 1 0", "1 True"]
