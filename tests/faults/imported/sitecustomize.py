"""Planted on the path of a command: writes the file IMPORTED_FILE when the module IMPORTED_MODULE begins to load."""

import os
import sys

_module, _file = os.environ.get("IMPORTED_MODULE"), os.environ.get("IMPORTED_FILE", "")


def _look(event: str, arguments: tuple[object, ...]) -> None:
    if event == "import" and arguments[0] == _module:
        open(_file, "w").close()


if _module:
    sys.addaudithook(_look)
