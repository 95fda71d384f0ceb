"""Pages whose console session is typed again, on real images."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.test_docs_why import assert_same_page

ROOT = Path(__file__).parents[1]
NUCLEI = Path(os.environ.get("SEGSCALE_DATA", ROOT.parent / "shared" / "data")) / "nuclei"
RUN = re.compile(r"/[0-9a-f]{12}\b")


def assert_played(text: str, folder: Path, codes: dict[str, tuple[int, ...]]) -> None:
    """The only session of a page, typed in an empty folder, prints what the page shows.

    FOLDER is that of the nuclei. codes: with which exit codes a command may end, by its name; others with 0.
    """
    (session,) = re.findall(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    blocks = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", session, re.MULTILINE)
    assert set(codes) <= {command.split()[1] for command, _ in blocks}
    bin_ = Path(sys.executable).parent
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{bin_}{os.pathsep}{os.environ['PATH']}"}
    environment.pop("PREFECT_API_URL", None)
    for command, shown in blocks:
        typed = command.replace("FOLDER", str(NUCLEI)).replace("examples/", f"{ROOT}/examples/")
        typed = re.sub(r"^segscale ", "python -m segscale ", typed)
        answer = subprocess.run(
            ["bash", "-c", typed], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert answer.returncode in codes.get(command.split()[1], (0,)), answer.stderr
        if shown:
            assert_same_page(RUN.sub("/RUN", answer.stdout).strip(), RUN.sub("/RUN", shown).strip())
