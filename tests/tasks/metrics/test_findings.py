"""The record of a finding, and the order in which findings are told."""

from segscale.tasks.metrics.findings import Finding, Severity, by_severity


def _finding(signature: str, severity: Severity) -> Finding:
    return Finding(signature, severity, "cause", "evidence", "remedy")


def test_errors_come_first_and_equals_keep_their_order() -> None:
    found = [_finding("a", "note"), _finding("b", "error"), _finding("c", "warning"), _finding("d", "error")]
    assert [one.signature for one in by_severity(found)] == ["b", "d", "c", "a"]
