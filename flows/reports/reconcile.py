"""nnU-Net's summary.json against a written report: read both, match cases and labels, explain what differs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from segscale.errors import ArgumentError, ConfigError
from segscale.flows.reports.case_names import NOWHERE, images_of
from segscale.flows.reports.export import labels_of
from segscale.flows.reports.kept_counts import KeptCounts
from segscale.flows.reports.tables import readable_reports, recorded_settings, whole_table
from segscale.storage.enumeration import first_of
from segscale.storage.objects import ObjectStore
from segscale.storage.reports import Report, open_report
from segscale.tasks.metrics.chosen_head import chosen_head
from segscale.tasks.metrics.count_agreement import Counting, best_counting
from segscale.tasks.metrics.difference_path import ROUNDING, Path
from segscale.tasks.metrics.nnunet_cases import Labels, NnunetSummary, names_of, read_summary
from segscale.tasks.metrics.panel import IMAGE, ClassCounts, Panel, panel_of
from segscale.tasks.metrics.per_image import PREDICTION_MISSING, with_missing_columns
from segscale.tasks.metrics.reconciled_cases import compared_cases
from segscale.tasks.metrics.reconciliation import FAILED, FOREGROUND, UNKNOWN, LabelAlone, MatchedClass, Setting, paths


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """nnU-Net's summary.json and a report, and what makes their numbers differ."""

    report: str
    summary: str
    layout: str
    """Which nnU-Net writes such a file: "version 2" or "version 1"."""
    totals: pd.DataFrame
    """A row for each class, metric, aggregation and unit: label, class_name, metric, aggregation, unit, theirs, ours,
    difference (ours - theirs), unexplained, verdict (`explained`, `cannot tell`, `undefined`), sentence."""
    steps: pd.DataFrame
    """The same keys, then step, cause, before, after, difference, n_cases (null where it is none), sentence: a step
    begins where the one before it ended, the first at `theirs`, the last ends at `ours`."""
    cases: pd.DataFrame
    """A row for each shared case and class: image_id, label, class_name, the counts of both, dice_theirs, dice_ours
    (NaN where both masks are empty), difference, state (`equal`, or the cause that the case differs by)."""
    alone: pd.DataFrame
    """What one side has alone: side, kind (`case` or `label`), name, reason."""
    notes: tuple[str, ...]
    """What was assumed, a sentence each."""

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """What `segscale reconcile --json` prints."""
        notes = pd.DataFrame({"note": self.notes}, dtype="str")
        return {"totals": self.totals, "steps": self.steps, "cases": self.cases, "alone": self.alone, "notes": notes}


def reconcile_reports(path: str, summary: str, head: str | None = None) -> Reconciliation:
    """Explain what a report and nnU-Net's summary.json differ in.

    Raises ConfigError, one line, for what is no report or no such file, where one of several heads has to be named, and
    where both have no case, or no label, in common.
    """
    with readable_reports():
        theirs = _summary_at(summary)
        report = open_report(path)
        settings, per_image = recorded_settings(report), _of_head(whole_table(report, "per_image"), head)
        panel = panel_of(per_image)
        places = _places(theirs, panel, summary, path)
        matched, notes = _matched(theirs, report, per_image, summary)
        thresholds = per_image["threshold"].dropna()
        threshold = float(thresholds.iloc[0]) if len(thresholds) else None
        setting = Setting(places, theirs.knows_negatives, settings, threshold)
        classes = _classes(theirs, matched, panel, setting, KeptCounts(report, panel))
        reported = tuple(_of_head(whole_table(report, name), head) for name in ("per_sample", "batch_summed"))
        others = [LabelAlone(theirs.counts[one], theirs.means[one]) for one in theirs.counts if one not in matched]
        over_labels = _over_labels(theirs, panel)
        found = list(paths(classes, others, over_labels, setting, panel, (reported[0], reported[1])))
        alone = pd.DataFrame(
            [*_cases_alone(theirs, panel, per_image, places), *_labels_alone(theirs, matched, panel)],
            columns=["side", "kind", "name", "reason"], dtype="str",
        )  # fmt: skip
        cases = compared_cases(classes, setting, panel.images["image_id"].astype(str).to_numpy()[places[places >= 0]])
    return Reconciliation(
        report.path, summary, theirs.layout, _totals(found), _steps(found), cases, alone,
        (*notes, *_unknown(theirs, panel)),
    )  # fmt: skip


def _summary_at(path: str) -> NnunetSummary:
    folder, _, name = path.rpartition("/")
    try:
        data = ObjectStore(folder or ("/" if path.startswith("/") else ".")).read(name)
        return read_summary(json.loads(data))
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise ConfigError(f"{path}: expected nnU-Net's summary.json, found no such file") from None
    except ArgumentError as error:
        raise ConfigError(f"{path}: {error}") from None
    except (ValueError, RecursionError):
        raise ConfigError(f"{path}: expected nnU-Net's summary.json, got a file that is no JSON") from None


def _of_head(table: pd.DataFrame, head: str | None) -> pd.DataFrame:
    return table[table["head"].astype(str) == chosen_head(table, head)].reset_index(drop=True)


def _places(theirs: NnunetSummary, panel: Panel, summary: str, path: str) -> NDArray[np.int64]:
    """(cases,) the place of each case among the sound images, FAILED or UNKNOWN."""
    sound, failed = (frame["image_id"].astype(str).tolist() for frame in (panel.images, panel.failed))
    try:
        found = images_of(theirs.cases, [*sound, *failed])
    except ArgumentError as error:
        raise ConfigError(f"{summary}: {error}") from None
    if (found == NOWHERE).all():
        names = theirs.cases["prediction_file"].where(
            theirs.cases["prediction_file"] != "", theirs.cases["reference_file"]
        )
        raise ConfigError(
            f"{summary}: expected cases that are images of {path}, got none of another data set's: "
            f"{first_of(names.tolist())} here, {first_of([*sound, *failed])} there"
        )
    return np.where(found == NOWHERE, UNKNOWN, np.where(found < len(sound), found, FAILED))


def _matched(
    theirs: NnunetSummary, report: Report, per_image: pd.DataFrame, summary: str
) -> tuple[dict[Labels, int], list[str]]:
    """The class index of each label that both have, and what was assumed."""
    values, are_named = labels_of(report, per_image)
    index_of = {
        tuple(sorted({*value})) if isinstance(value, tuple) else (int(value),): index
        for index, value in values.items()
        if index > 0
    }
    notes = (
        [] if are_named else ["labels are the indices of classes (1, 2, ...): the configuration names no label_values"]
    )
    found = {labels: index_of[labels] for labels in theirs.counts if labels in index_of}
    if found:
        return found, notes
    if len(theirs.counts) == 1 and len(index_of) == 1:
        (one,), ((other, index),) = theirs.counts, index_of.items()
        note = f"label {names_of(one)} of {summary} is taken for label {names_of(other)} here: each is the only one"
        return {one: index}, [*notes, note]
    here, there = (", ".join(map(names_of, labels)) for labels in (theirs.counts, index_of))
    raise ConfigError(f"{summary}: expected labels of the report ({there}), got {here}: set dataset.label_values")


def _classes(
    theirs: NnunetSummary, matched: dict[Labels, int], panel: Panel, setting: Setting, kept: KeptCounts
) -> list[MatchedClass]:
    known = _foreground(panel)
    shared, is_shared = setting.places[setting.is_shared], np.flatnonzero(setting.is_shared)
    own = {index: Counting(index, None, one.counts.take(shared)) for index, one in known.items()}
    classes = []
    for labels, index in matched.items():
        of_cases = theirs.counts[labels].take(is_shared)
        best = best_counting(of_cases, own[index], (one for other, one in own.items() if other != index))
        tried = [own[one] for one in dict.fromkeys((index, best.class_index))]
        best = best_counting(of_cases, best, (one for decided in tried for one in kept.of(decided, shared)))
        decided = known[best.class_index].class_name, own[best.class_index].counts
        classes.append(
            MatchedClass(
                labels, index, known[index].class_name, theirs.counts[labels], theirs.means[labels], own[index].counts,
                best, decided,
            )
        )  # fmt: skip
    return classes


def _over_labels(theirs: NnunetSummary, panel: Panel) -> dict[str, float]:
    """nnU-Net's mean over labels, where ours over classes is one of the same kind and there is more than one."""
    is_of_regions = any(len(labels) > 1 for labels in theirs.counts)
    n_classes = sum(not one.is_region for one in _foreground(panel).values())
    return {} if is_of_regions or max(n_classes, len(theirs.counts)) == 1 else dict(theirs.foreground_mean)


def _foreground(panel: Panel) -> dict[int, ClassCounts]:
    """Classes and regions by their index, the background left out."""
    classes = panel.classes[panel.heads[0]] if panel.heads else ()
    return {one.class_index: one for one in classes if one.class_index > 0}


def _cases_alone(
    theirs: NnunetSummary, panel: Panel, per_image: pd.DataFrame, places: NDArray[np.int64]
) -> Iterator[tuple[str, str, str, str]]:
    """Each case or image that enters one side's number and not the other's."""
    cases = theirs.cases
    names = cases["prediction_file"].where(cases["prediction_file"] != "", cases["reference_file"])
    yield from (("summary", "case", name, "not in the report") for name in names[places == UNKNOWN])
    yield from (("summary", "case", name, "its image failed in the run") for name in names[places == FAILED])
    is_shared = np.zeros(len(panel.images), bool)
    is_shared[places[places >= 0]] = True
    yield from (("report", "case", str(name), "not in summary.json") for name in panel.images["image_id"][~is_shared])
    first = with_missing_columns(per_image).drop_duplicates("image_id")
    missing = first.loc[first[PREDICTION_MISSING].fillna(False).to_numpy(bool), "image_id"]
    yield from (("report", "case", str(name), "no usable prediction") for name in missing)


def _labels_alone(
    theirs: NnunetSummary, matched: dict[Labels, int], panel: Panel
) -> Iterator[tuple[str, str, str, str]]:
    for labels in theirs.counts:
        if labels not in matched:
            yield "summary", "label", names_of(labels), "no class or region of the report has these values"
    for index, one in _foreground(panel).items():
        if index not in matched.values():
            yield "report", "label", one.class_name, "summary.json has no label with its values"


def _unknown(theirs: NnunetSummary, panel: Panel) -> list[str]:
    """What neither file tells, a sentence each."""
    lines = []
    if not theirs.knows_negatives:
        lines.append("version 1 of nnU-Net states no true negatives: whether cases have as many voxels is not known")
    if panel.failed[PREDICTION_MISSING].isna().any():
        lines.append("which failed images lack a usable prediction is not known, for an older version wrote the report")
    return lines


KEYS = ("label", "class_name", "metric", "aggregation", "unit")


def _keys(path: Path) -> dict[str, str]:
    return {name: getattr(path, name) for name in KEYS}


def _totals(found: list[Path]) -> pd.DataFrame:
    rows = [
        {
            **_keys(path), "theirs": path.theirs, "ours": path.ours, "difference": path.ours - path.theirs,
            "unexplained": path.unexplained, "verdict": path.verdict, "sentence": path.sentence,
        }
        for path in found
    ]  # fmt: skip
    return pd.DataFrame(rows)


def _steps(found: list[Path]) -> pd.DataFrame:
    rows = [
        {
            **_keys(path), "step": place + 1, "cause": step.cause, "before": step.before, "after": step.after,
            "difference": step.difference, "n_cases": step.n_cases, "sentence": step.sentence,
        }
        for path in found
        for place, step in enumerate(path.steps)
    ]  # fmt: skip
    return pd.DataFrame(rows).astype({"n_cases": "Int64"})


def describe(found: Reconciliation) -> str:
    """Dice of every class: each of our numbers with the steps that lead to it, what remains, and what stands alone."""
    totals, steps = (table[table["metric"] == "dice"] for table in (found.totals, found.steps))
    lines = [f"{found.summary} (nnU-Net, {found.layout}) and {found.report}"]
    rows: Iterable[Any] = totals.itertuples()
    for total in rows:
        is_own = (steps[list(KEYS)] == [getattr(total, name) for name in KEYS]).all(axis=1)
        taken: Iterable[Any] = steps[is_own].itertuples()
        lines += ["", f"{_title(total)}: {total.sentence}"]
        lines += [
            f"  {step.difference:+.4f}  {step.cause}: {step.sentence}"
            for step in taken
            if step.n_cases or not abs(step.difference) <= ROUNDING
        ]
    lines.append("")
    for (side, kind, reason), of_one in found.alone.groupby(["side", "kind", "reason"], sort=False):
        lines.append(f"{side} alone: {len(of_one)} x {kind}, {reason}: {first_of(of_one['name'].tolist())}")
    return "\n".join([*lines, *found.notes, "IoU, every step and every case: --json"])


def _title(total: Any) -> str:
    unit = "" if total.unit == IMAGE else f" of each {total.unit}"
    label = total.label if total.label == FOREGROUND else f"label {total.label}"
    return f"{total.class_name} ({label}), Dice {total.aggregation}{unit}"
