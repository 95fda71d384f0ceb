"""Draw phantoms to train on: python examples/phantom/draw.py FOLDER COUNT SEED"""

from __future__ import annotations

import sys
from pathlib import Path

from segscale.tasks.phantom import write_phantoms

if __name__ == "__main__":
    print(write_phantoms(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
