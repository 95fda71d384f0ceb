"""Findings: what looks wrong with an evaluation, why, and what to do about it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

Severity = Literal["note", "warning", "error"]
"""note: a fact of life worth knowing; warning: the number may mislead; error: the number means something else."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One mistake, or fact, that the numbers show."""

    signature: str
    """Name of the pattern that was recognised, the same in every run."""
    severity: Severity
    cause: str
    """What is, or very likely is, behind it."""
    evidence: str
    """Where it was seen, with the numbers."""
    remedy: str


def in_words(finding: Finding) -> str:
    """Three lines for a terminal."""
    return f"{finding.severity}: {finding.cause}\n  evidence: {finding.evidence}\n  remedy:   {finding.remedy}"


def by_severity(findings: Iterable[Finding]) -> list[Finding]:
    """Errors first, then warnings, then notes; in the given order otherwise."""
    return sorted(findings, key=lambda finding: -get_args(Severity).index(finding.severity))
