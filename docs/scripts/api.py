"""docs/api.md out of the docstrings: python docs/scripts/api.py [FILE]"""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path
from typing import Any

import segscale

PAGE = Path(__file__).parents[1] / "api.md"
HEAD = """# The library

`import segscale` in a notebook: you may rely on the names below, and on none of those inside it. The page is made from
their docstrings (`python docs/scripts/api.py`), and their examples are run by the tests. The command line is described
in [contract.md](contract.md), the columns of the tables in [reports.md](reports.md).
"""
SECTIONS = {
    "Reports": (
        "open_report", "open_runs", "Report", "rescore", "compare", "gate", "GateResult", "strata", "StrataResult",
        "plan", "PlanResult", "calibration", "Calibration", "diagnose", "nnunet_summary", "reconcile", "Reconciliation",
    ),
    "Counting": ("count_overlap", "OverlapCounts", "check_arrays"),
    "Lesions": ("lesions", "Lesions", "LesionCounts"),
    "Scores": (
        "dice", "iou", "tversky", "f_beta", "sensitivity", "precision", "specificity", "volume_difference", "soft_dice",
        "soft_tversky",
    ),
    "Surfaces": ("surface_distances", "SurfaceDistances", "stack_surface_scores"),
    "Runs": ("evaluate", "load_config", "EvaluationConfig", "preview", "price", "run"),
    "Errors": ("SegscaleError", "ConfigError", "DataError", "ClusterLostError"),
}  # fmt: skip


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *(section(title, names) for title, names in SECTIONS.items())])


def section(title: str, names: tuple[str, ...]) -> str:
    return "\n".join([f"## {title}\n", *(entry(name, getattr(segscale, name)) for name in names)])


def entry(name: str, value: Any) -> str:
    """Signature and docstring; of a class the docstrings of its public methods too."""
    if not inspect.isclass(value):
        return f"### `{name}`\n\n```\n{signature(name, value)}\n\n{inspect.getdoc(value)}\n```\n"
    methods = [
        f"{signature(key, inspect.unwrap(member))}\n{indented(inspect.getdoc(member) or '')}"
        for key, member in public_members(value)
    ]
    return "\n\n".join([f"### `{name}`\n\n```\n{inspect.getdoc(value)}", *methods]) + "\n```\n"


def public_members(value: type) -> list[tuple[str, Any]]:
    """Methods and properties that the class itself defines and documents, in the order in which it does."""
    return [
        (key, member)
        for key, member in vars(value).items()
        if not key.startswith("_") and (inspect.isfunction(member) or isinstance(member, property)) and member.__doc__
    ]


def signature(name: str, value: Any) -> str:
    if isinstance(value, property):
        return name
    # A default that is no plain value would be shown with its address.
    shown = re.sub(r"<(\w+\.)*(\w+) object at 0x[0-9a-f]+>", r"\2()", str(inspect.signature(value)))
    return f"{name}{shown}".replace("'", "")


def indented(text: str) -> str:
    return "\n".join(f"    {line}".rstrip() for line in text.splitlines())


if __name__ == "__main__":
    (Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE).write_text(page(), encoding="utf-8")
