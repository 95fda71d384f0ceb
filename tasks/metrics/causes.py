"""Why nnU-Net's mean and a score of ours differ: the causes, in the order in which they are taken away."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

STATED, UNKNOWN_CASES, FAILED_CASES, OTHER_LABELS = "stated", "unknown_cases", "failed_cases", "other_labels"
VOXELS, REFERENCE, PREDICTION = "other_voxels", "other_reference", "other_prediction"
THRESHOLD, LABEL_MAP, ADDED_CASES, ADDED_CLASSES = "threshold", "label_map", "added_cases", "added_classes"
POOLED, SMOOTHING, EMPTY, UNIT, MISSING = "pooled", "smoothing", "empty", "unit", "missing"
REPORTED = "reported"

CAUSES: Mapping[str, str] = MappingProxyType(
    {
        STATED: "the mean that summary.json states, for that of the counts of its cases",
        UNKNOWN_CASES: "cases of summary.json that the report does not have",
        FAILED_CASES: "cases of summary.json whose image failed in the run",
        OTHER_LABELS: "labels of summary.json that the report does not have",
        VOXELS: "shared cases counted over another number of voxels: another grid, an ignore label, a mask",
        REFERENCE: "shared cases whose reference has another number of voxels of the label",
        PREDICTION: "shared cases with as many reference voxels and another prediction",
        THRESHOLD: "the threshold that the counts of summary.json are of, for that of the run",
        LABEL_MAP: "the class that the counts of summary.json are of, for that of its label value",
        ADDED_CASES: "sound images of the report that summary.json does not have",
        ADDED_CLASSES: "classes of the report that summary.json does not have",
        POOLED: "counts of all images are summed, then divided, instead of averaging scores",
        SMOOTHING: "metrics.smooth is added to numerator and denominator",
        EMPTY: "images with both masks empty, which nnU-Net drops, are scored as metrics.empty says",
        UNIT: "counts are summed within each unit of metrics.unit, and units are averaged",
        MISSING: "images without a usable prediction count as missed",
        REPORTED: "what the report states, for what its counts give",
    }
)
"""Each cause by its name: what it means."""
REMAINS = frozenset({STATED, VOXELS, REFERENCE, PREDICTION, REPORTED})
"""Causes that say where a difference lies, and not where it comes from: what they explain remains."""
