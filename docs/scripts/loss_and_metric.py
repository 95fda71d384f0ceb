"""Write docs/loss-and-metric.md with its figures: python docs/scripts/loss_and_metric.py [WORK] [--folder docs]

With WORK, the folder that `segscale train` wrote the models of examples/ms_lesions to, the histories are taken from
there first. Without it, the page is written from the histories that lie in docs/loss-and-metric/.
"""

from __future__ import annotations

import argparse
import json
import runpy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from segscale.flows.reports.histories import read_history
from segscale.storage import tables
from segscale.tasks.training.curves import draw_curves
from segscale.tasks.training.diagnosis.diagnose import diagnose_history

DOCS = Path(__file__).parents[1]
TEMPLATE = Path(__file__).with_name("loss-and-metric.template.md")
PAGE, PARTS = "loss-and-metric.md", "loss-and-metric"
TRAININGS = {"as-asked": "ms-as-asked", "defaults": "ms-lesions", "full-size": "ms-full-size"}
"""Name in the docs, and name of the model in examples/ms_lesions."""
SHOWN = (
    ("total", "loss"),
    ("heads", "heads"),
    ("L2", "regularization"),
    ("Dice per sample", "dice_per_sample"),
    ("batch-summed", "dice_batch_summed"),
    ("pooled", "dice_pooled"),
    ("background's", "dice_per_sample_class_0"),
)
expected_l2_penalty = runpy.run_path(str(Path(__file__).with_name("why_batch_summed_differs.py")))[
    "expected_l2_penalty"
]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", nargs="?", type=Path)
    parser.add_argument("--folder", type=Path, default=DOCS)
    options = parser.parse_args(arguments)
    if options.work:
        (DOCS / PARTS).mkdir(exist_ok=True)
        for name, model in TRAININGS.items():
            history = options.work / f"{model}.training" / "history.parquet"
            (DOCS / PARTS / f"{name}.parquet").write_bytes(history.read_bytes())
    write_page(options.folder)


def write_page(folder: Path) -> None:
    """Write the page and its two figures into `folder`, from the histories that lie in docs/."""
    (folder / PARTS).mkdir(exist_ok=True)
    paths = {name: DOCS / PARTS / f"{name}.parquet" for name in TRAININGS}
    histories = {name: read(path) for name, path in paths.items()}
    for name in ("as-asked", "defaults"):
        (folder / PARTS / f"{name}.png").write_bytes(draw_curves(histories[name]))
    values = {
        **facts(histories["as-asked"], settings_of(paths["as-asked"])),
        **full_size(histories["full-size"], settings_of(paths["full-size"])),
        "as_asked_table": table(histories["as-asked"]),
        "defaults_table": table(histories["defaults"]),
        "as_asked_findings": findings(paths["as-asked"]),
        "defaults_findings": findings(paths["defaults"]),
        "learning_rate": f"{settings_of(paths['defaults'])['learning_rate']:g}",
        "held_out": "\n".join(held_out(label, histories[name]) for label, name in (
            ("as asked", "as-asked"), ("this project's defaults", "defaults"),
        )),
    }  # fmt: skip
    page = TEMPLATE.read_text(encoding="utf-8").format(**values)
    (folder / PAGE).write_text(page, encoding="utf-8")


def read(path: Path) -> pd.DataFrame:
    """A history with the sum of weight x loss over the heads as a column of its own."""
    frame = tables.decode_frame(path.read_bytes())
    return frame.assign(heads=frame["loss"] - frame["regularization"])


def settings_of(path: Path) -> dict[str, Any]:
    """What the training was asked for."""
    settings: dict[str, Any] = json.loads(str(tables.note(path.read_bytes(), "settings")))
    return settings


def rows_of(history: pd.DataFrame, split: str) -> pd.DataFrame:
    return history[history["split"] == split].reset_index(drop=True)


def facts(history: pd.DataFrame, settings: dict[str, Any]) -> dict[str, Any]:
    """Of the set and of the loss as asked."""
    training, validation = rows_of(history, "training"), rows_of(history, "validation")
    first, last = training.iloc[0], training.iloc[-1]
    fall = first["loss"] - last["loss"]
    return {
        "n_training": training["n_images"].iloc[0],
        "n_validation": validation["n_images"].iloc[0],
        "n_empty": validation["n_reference_empty"].iloc[0],
        "filters": " to ".join(str(settings["filters"][place]) for place in (0, -1)),
        "epochs": len(training),
        "n_steps": training["n_batches"].iloc[0],
        "batch_size": settings["batch_size"],
        "first_loss": f"{first['loss']:.3f}",
        "last_loss": f"{last['loss']:.3f}",
        "l2_share": f"{(first['regularization'] - last['regularization']) / fall:.0%}",
    }


def full_size(history: pd.DataFrame, settings: dict[str, Any]) -> dict[str, str]:
    """The loss of the first epoch at the published size."""
    first = rows_of(history, "training").iloc[0]
    expected = expected_l2_penalty(settings["filters"], len(settings["head_weights"]), 2, settings["l2"])
    return {
        "full_penalty": f"{first['regularization']:.3f}",
        "full_heads": f"{first['heads']:.3f}",
        "full_total": f"{first['loss']:.3f}",
        "expected_penalty": f"{expected:.3f}",
    }


def table(history: pd.DataFrame) -> str:
    """Both splits at some epochs, as Markdown."""
    last = int(history["epoch"].max())
    epochs = sorted({1, 2, 3, 5, 10, last} & set(range(1, last + 1)))
    head = [f"| epoch | split | {' | '.join(title for title, _ in SHOWN)} |", "|---" * (len(SHOWN) + 2) + "|"]
    shown = history[history["epoch"].isin(epochs)]
    lines = [
        f"| {row['epoch']} | {row['split']} | {' | '.join(_number(row[name]) for _, name in SHOWN)} |"
        for row in shown.to_dict("records")
    ]
    return "\n".join([*head, *lines])


def findings(path: Path) -> str:
    """What `segscale diagnose` finds, as a list."""
    found = diagnose_history(*read_history(str(path)))
    return (
        "\n".join(
            f"- **{one.signature}** ({one.severity}): {one.cause}. {one.evidence}. *{one.remedy}.*" for one in found
        )
        or "Nothing."
    )


def held_out(label: str, history: pd.DataFrame) -> str:
    """The scores of the validation images after the last epoch, as a line of a table."""
    last = rows_of(history, "validation").iloc[-1]
    scores = [_number(last[name]) for name in ("dice_per_sample", "dice_batch_summed", "dice_pooled")]
    best = f"{_number(last['dice_per_sample_at_best'])} at {last['best_threshold']:g}"
    return f"| {label} | {' | '.join(scores)} | {best} |"


def _number(value: Any) -> str:
    return "undefined" if pd.isna(value) else f"{value:.3f}"


if __name__ == "__main__":
    main()
