"""What a model file holds, as one line of JSON: ``python -m tasks.models.inspection FILE.keras``.

A program of its own, so that a driver can check a model without TensorFlow in its own memory.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict


def main() -> int:
    """Print the facts and exit 0, or print why the file cannot be used and exit 2."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from tasks.models.model_file import inspect_model, load_model
    from tasks.models.unet_plus_plus import supervised_levels

    try:
        model = load_model(sys.argv[1])
    except ValueError as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return 2
    print(json.dumps({**asdict(inspect_model(model)), "levels": supervised_levels(model)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
