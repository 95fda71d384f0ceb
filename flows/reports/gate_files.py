"""A verdict for other programs: JUnit XML for a CI service, Markdown for a merge request."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pandas as pd

from segscale.errors import ConfigError
from segscale.flows.reports.gate import GateResult
from segscale.storage.nearby import why_not_written

SIGN = {"pass": "✅", "fail": "❌", "cannot tell": "❔"}


def junit(found: GateResult) -> str:
    """A test suite with a test per row: `failure` where one fails, `error` where it cannot be told."""
    verdicts = found.strata["verdict"]
    n_failures, n_errors = int((verdicts == "fail").sum()), int((verdicts == "cannot tell").sum())
    numbers = {"tests": str(len(verdicts)), "failures": str(n_failures), "errors": str(n_errors)}
    suite = ElementTree.Element("testsuite", {"name": "segscale gate", **numbers})
    for row in found.strata.to_dict("records"):
        words = row["class_name"], row["stratum"] or "whole set", row["aggregation"], row["question"]
        name = {"classname": f"segscale.gate.{row['metric']}", "name": _legal(", ".join(map(str, words)))}
        case = ElementTree.SubElement(suite, "testcase", name)
        if row["verdict"] != "pass":
            kind = "failure" if row["verdict"] == "fail" else "error"
            said = {"type": str(row["verdict"]), "message": _legal(str(row["sentence"]))}
            ElementTree.SubElement(case, kind, said)
    ElementTree.SubElement(suite, "system-out").text = _legal("\n".join([found.summary, *found.left_out, *found.notes]))
    ElementTree.indent(suite)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(suite, encoding="unicode")}\n'


def _legal(text: str) -> str:
    """Without the control characters that XML has no way to write."""
    return "".join(letter if letter >= " " or letter in "\t\n" else repr(letter)[1:-1] for letter in text)


def markdown(found: GateResult) -> str:
    """The verdict as a heading, a table of all rows, and a sentence for each that does not pass."""
    return "\n".join(_lines(found)) + "\n"


def _lines(found: GateResult) -> Iterator[str]:
    yield f"## {SIGN[found.verdict]} segscale gate: {found.verdict}"
    yield from ("", _cell(found.summary), "")
    yield "| | stratum | class | score | BASE | NEW | estimate | interval | must lie above | n |"
    yield "|---|---|---|---|---:|---:|---:|---|---:|---:|"
    for row in found.strata.to_dict("records"):
        yield f"| {' | '.join(map(_cell, _cells(row)))} |"
    untold = found.strata[found.strata["verdict"] != "pass"]
    if len(untold):
        yield ""
        yield from (f"- {_cell(one)}" for one in untold["sentence"])
    yield ""
    yield from (f"- {_cell(one)}" for one in (*found.left_out, *found.notes))


def _cells(row: Mapping[Hashable, Any]) -> tuple[str, ...]:
    signed = row["question"] != "floor"
    ends = " to ".join(_number(row[end], signed) for end in ("low", "high"))
    score = f"{row['aggregation']} {row['metric']}"
    return (
        f"{SIGN[row['verdict']]} {row['verdict']}", row["stratum"] or "whole set", row["class_name"], score,
        _number(row["base"]), _number(row["new"]), _number(row["estimate"], signed), ends, f"{row['bound']:g}",
        str(row["n"]),
    )  # fmt: skip


def _number(value: float, is_signed: bool = False) -> str:
    return "-" if pd.isna(value) else f"{value:{'+' if is_signed else ''}.4f}"


def _cell(text: str) -> str:
    """Words of somebody's table that are no Markdown and no HTML."""
    marks = {
        "\\": "\\\\",
        "|": "\\|",
        "<": "&lt;",
        ">": "&gt;",
        "\n": " ",
        "\r": " ",
        "`": "\\`",
        "[": "\\[",
        "*": "\\*",
    }
    return "".join(marks.get(letter, letter) for letter in text)


def write_text(file: str, text: str) -> None:
    """Write a file anew; ConfigError where it cannot be written. A gate is run again and again: what lay there goes."""
    path = Path(file)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        reason = why_not_written(str(path.parent), error)
        raise ConfigError(f"{file}: expected a place that can be written: {reason}") from None
