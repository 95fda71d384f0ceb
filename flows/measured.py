"""What a configuration asks of surfaces and lesions."""

from __future__ import annotations

from segscale.flows.config.evaluation import EvaluationConfig
from segscale.tasks.measuring import LesionRule, Measuring


def measuring(config: EvaluationConfig) -> Measuring | None:
    """What is asked of surfaces and lesions; None for nothing."""
    dataset, metrics = config.dataset, config.metrics
    if not (metrics.surface or metrics.lesions):
        return None
    lesions = LesionRule(metrics.lesion_neighbours, metrics.lesion_rule, metrics.lesion_threshold, dataset.instances)
    return Measuring(
        metrics.nsd_tolerances_mm if metrics.surface else None, lesions if metrics.lesions else None, dataset.spacing_mm
    )
