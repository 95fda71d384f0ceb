"""The command that says what a precision would give and cost."""

from __future__ import annotations

import math
import shutil
import sys
from typing import TYPE_CHECKING, Any

import click

from segscale.flows.cli import options
from segscale.flows.cli.help import examples
from segscale.flows.cli.terminal import DONE, prepare_process
from segscale.flows.cli.text_table import TextTable
from segscale.storage.enumeration import counted

if TYPE_CHECKING:
    from segscale.flows.price import Priced


class Column(click.ParamType):  # type: ignore[type-arg]  # click before 8.4 has no argument for it
    """COLUMN=VALUE, as a pair."""

    name = "COLUMN=VALUE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        column, sign, wanted = str(value).partition("=")
        if not (column and sign):
            self.fail(f"expected COLUMN=VALUE, as in site=Leipzig, got {value!r}", param, ctx)
        return column, wanted


@click.command(
    "price",
    short_help="What bfloat16 would give and cost, on some images.",
    epilog=examples(
        "segscale price lesions.toml",
        "segscale price lesions.toml --images 32 --seed 1 --split test",
        "segscale price lesions.toml --precision bfloat16 --where site=Leipzig --json",
    ),
)
@options.config
@click.option("--images", type=click.IntRange(min=1), default=128, show_default=True, help="So many are drawn at most.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the draw.")
@click.option("--split", metavar="NAME", help="Images of this split, whatever dataset.split says.")
@click.option("--where", "where", type=Column(), multiple=True, help="Images with this value; may be repeated.")
@click.option(
    "--precision", "precisions", multiple=True, metavar="NAME", help="May be repeated; default: what the engine offers."
)
@click.option("--output", metavar="DIR", help="Where the tables go; default: beside the reports of the data set.")
@options.quiet
@options.as_json
def price_command(
    config: str, images: int, seed: int, split: str | None, where: tuple[tuple[str, str], ...],
    precisions: tuple[str, ...], output: str | None, quiet: bool, as_json: bool,
) -> int:  # fmt: skip
    """How fast each precision of a network is on this machine, and what it changes, against float32.

    Images are drawn, read and predicted in each precision. Tables are written beside the reports; the store, and what
    runs have planned and committed in it, stay as they are.
    """
    prepare_process(quiet)
    from segscale.flows.checks.paths import check_model_path, check_sources
    from segscale.flows.config.evaluation import load_config, override

    resolved = override(load_config(config), split=split)
    check_sources(resolved)
    check_model_path(resolved)
    # What comes next loads libraries for a second or more.
    from segscale.flows.price import price_precisions, write_price
    from segscale.flows.reports.tables import tables_as_json
    from segscale.flows.sampling import Sampling

    priced = price_precisions(resolved, Sampling(images, seed, dict(where)), precisions)
    folder = write_price(priced, output or priced.folder)
    if as_json:
        print(tables_as_json(priced.tables, folder=folder))
        return DONE
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    print(describe(priced, width))
    print(f"tables: {folder}")
    return DONE


def describe(priced: Priced, width: int | None = None) -> str:
    """Speeds, prices, and what there is to know beside them."""
    facts: Any = priced.facts
    precisions: Any = priced.tables["precisions"]
    there = precisions[precisions["reason"] == ""]
    heads = facts["prediction"]["heads"]
    drawn = f"{facts['n_images']} of {counted(facts['n_listed'], 'image')} of {facts['dataset']} (seed {facts['seed']})"
    engine = f"{there['engine'].iloc[0]} on {there['device'].iloc[0]}"
    lines: list[str] = [
        f"{facts['model']} on {drawn}, {engine}; changes are against float32",
        "",
        *_speeds(there).lines(width),
        *(f"{one.precision} is not priced: {one.reason}" for one in precisions.itertuples() if one.reason),
        *(f"{one.precision}: {counted(one.n_failed, 'image')} failed" for one in there.itertuples() if one.n_failed),
        *([f"the price is that of head {heads[-1]}, the last of {len(heads)}"] if len(heads) > 1 else []),
    ]
    if len(priced.tables["price"]):
        lines += ["", *_prices(priced).lines(width)]
        lines += _without_interval(priced)
    return "\n".join(lines)


def _speeds(there: Any) -> TextTable:
    rows = tuple(
        (
            one.precision,
            f"{one.images_per_second:.3g}", _between(one.images_per_second_low, one.images_per_second_high, ".3g"),
            f"{one.times_full:.2f}", _between(one.times_full_low, one.times_full_high, ".2f"),
            f"{one.batch_height} x {one.batch_width}",
        )
        for one in there.itertuples()
    )  # fmt: skip
    header = ("precision", "images/s", "lowest to highest", "times float32", "lowest to highest", "image")
    return TextTable(header, rows, 1)


_NAMES = {
    "per_sample": "per-sample Dice",
    "pooled": "pooled Dice",
    "image_mean": "change of an image's Dice, mean size",
    "image_95": "the same, 95 % of images at most",
    "image_worst": "the same, worst image",
    "labels_dice": "Dice of its labels with float32's",
    "flipped": "share of pixels flipped",
}


def _prices(priced: Priced) -> TextTable:
    rows: list[tuple[str, ...]] = []
    table: Any = priced.tables["price"]
    for one in table.itertuples():
        name = _NAMES[one.measure] + (f" ({one.image_id})" if one.image_id else "")
        form = "+.2e" if one.measure in ("per_sample", "pooled") else ".2e"
        own = "" if math.isnan(one.value) else f"{one.value:.6f}" if one.measure != "flipped" else f"{one.value:.2e}"
        between = "" if math.isnan(one.low) else (
            _between(one.low, one.high, ".6f" if one.measure == "labels_dice" else form)
        )  # fmt: skip
        rows.append((
            one.precision, one.class_name, name, "" if math.isnan(one.full) else f"{one.full:.6f}", own,
            "" if math.isnan(one.change) else f"{one.change:{form}}", between, str(one.n_images),
        ))  # fmt: skip
    confidence = priced.facts["metrics"]["confidence"]
    header = ("precision", "class", "measure", "float32", "value", "change", f"{confidence:.0%} interval", "images")
    return TextTable(header, tuple(rows), 3)


def _without_interval(priced: Priced) -> list[str]:
    """Why there is no interval, each reason once."""
    table = priced.tables["price"]
    reasons = table.loc[(table["interval_reason"] != "") & (table["measure"] != "image_worst"), "interval_reason"]
    return [f"no interval: {reason}" for reason in reasons.unique()]


def _between(low: float, high: float, form: str) -> str:
    return f"{low:{form}} to {high:{form}}"
