from __future__ import annotations

import subprocess
import sys

CODE = """
import sys, threading
from segscale.flows.worker.warm import warm_up
warm_up()
loaded = set(sys.modules)
warm_up()
heavy = [name for name in ("dask", "distributed", "prefect", "tensorflow", "matplotlib") if name in loaded]
print(heavy, threading.active_count(), len(set(sys.modules) - loaded))
"""


def test_what_is_loaded_for_all_workers_is_light_and_starts_no_thread() -> None:
    """A process that has threads cannot be forked safely."""
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[0] == "[] 1 0", done.stdout
