"""Segmentation evaluation at the scale of a data set: batch-summed and per-sample Dice and Tversky, kept apart.

What stands here is public; docs/api.md describes it. Each name is loaded when it is first asked for, so that importing
the package costs nothing, and the command line starts at once.

>>> import numpy as np, segscale
>>> reference, probabilities = np.array([[1, 1, 0, 0]]), np.float32([[0.9, 0.2, 0.6, 0.1]])
>>> counts = segscale.count_overlap(reference, n_classes=2, probabilities=probabilities)
>>> segscale.dice(counts.true_positive[1], counts.false_positive[1], counts.false_negative[1])
0.5
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segscale.errors import ClusterLostError, ConfigError, DataError, SegscaleError
    from segscale.flows.config.evaluation import EvaluationConfig, load_config
    from segscale.flows.evaluate import run
    from segscale.flows.folder_pair import evaluate
    from segscale.flows.preview import preview
    from segscale.flows.price import price
    from segscale.flows.reports.calibration import Calibration
    from segscale.flows.reports.decided import calibration, gate, plan, strata
    from segscale.flows.reports.gate import GateResult
    from segscale.flows.reports.library import compare, diagnose, nnunet_summary, reconcile, rescore
    from segscale.flows.reports.reconcile import Reconciliation
    from segscale.flows.reports.strata import StrataResult
    from segscale.flows.reports.study_plan import PlanResult
    from segscale.storage.reports import Report, open_report, open_runs
    from segscale.tasks.lesions.counts import LesionCounts
    from segscale.tasks.lesions.lesions import Lesions, lesions
    from segscale.tasks.metrics.diagnose import check_arrays
    from segscale.tasks.metrics.overlap import OverlapCounts, count_overlap
    from segscale.tasks.metrics.scores import (
        dice,
        f_beta,
        iou,
        precision,
        sensitivity,
        soft_dice,
        soft_tversky,
        specificity,
        tversky,
        volume_difference,
    )
    from segscale.tasks.surfaces.distances import SurfaceDistances, surface_distances
    from segscale.tasks.surfaces.stacks import stack_surface_scores

_HOMES = {
    "errors": ("ClusterLostError", "ConfigError", "DataError", "SegscaleError"),
    "flows.config.evaluation": ("EvaluationConfig", "load_config"),
    "flows.evaluate": ("run",),
    "flows.folder_pair": ("evaluate",),
    "flows.preview": ("preview",),
    "flows.reports.calibration": ("Calibration",),
    "flows.price": ("price",),
    "flows.reports.gate": ("GateResult",),
    "flows.reports.decided": ("calibration", "gate", "plan", "strata"),
    "flows.reports.library": ("compare", "diagnose", "nnunet_summary", "reconcile", "rescore"),
    "flows.reports.reconcile": ("Reconciliation",),
    "flows.reports.strata": ("StrataResult",),
    "flows.reports.study_plan": ("PlanResult",),
    "storage.reports": ("Report", "open_report", "open_runs"),
    "tasks.lesions.counts": ("LesionCounts",),
    "tasks.lesions.lesions": ("Lesions", "lesions"),
    "tasks.metrics.diagnose": ("check_arrays",),
    "tasks.metrics.overlap": ("OverlapCounts", "count_overlap"),
    "tasks.metrics.scores": (
        "dice", "f_beta", "iou", "precision", "sensitivity", "soft_dice", "soft_tversky", "specificity", "tversky",
        "volume_difference",
    ),
    "tasks.surfaces.distances": ("SurfaceDistances", "surface_distances"),
    "tasks.surfaces.stacks": ("stack_surface_scores",),
}  # fmt: skip
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Calibration",
    "ClusterLostError",
    "ConfigError",
    "DataError",
    "EvaluationConfig",
    "GateResult",
    "LesionCounts",
    "Lesions",
    "OverlapCounts",
    "PlanResult",
    "Reconciliation",
    "Report",
    "SegscaleError",
    "StrataResult",
    "SurfaceDistances",
    "calibration",
    "check_arrays",
    "compare",
    "count_overlap",
    "diagnose",
    "dice",
    "evaluate",
    "f_beta",
    "gate",
    "iou",
    "lesions",
    "load_config",
    "nnunet_summary",
    "open_report",
    "open_runs",
    "plan",
    "precision",
    "preview",
    "price",
    "reconcile",
    "rescore",
    "run",
    "sensitivity",
    "soft_dice",
    "soft_tversky",
    "specificity",
    "stack_surface_scores",
    "strata",
    "surface_distances",
    "tversky",
    "volume_difference",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'segscale' has no attribute {name!r}")
    return getattr(import_module(f"segscale.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
