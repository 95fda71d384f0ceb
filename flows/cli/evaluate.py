"""The command that evaluates two folders without a configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from segscale.flows.cli import options
from segscale.flows.cli.help import examples
from segscale.flows.cli.terminal import logger, prepare_process
from segscale.flows.progress import waiting


@click.command(
    "evaluate",
    epilog=examples(
        "segscale evaluate --predictions out/ --references masks/",
        "segscale evaluate --predictions 'out/{id}_pred.npy' --references 'masks/{id}_mask.png'",
        "segscale evaluate --predictions out/ --references labelsTs/ --classes background,kidney,tumour",
        "segscale evaluate --predictions out/ --references masks/ --by patients.csv --unit patient_id",
        "segscale evaluate --predictions out/ --references masks/ --set dataset.foreground=any",
    ),
    # Folders without an option are answered by name below.
    context_settings={"allow_extra_args": True},
)
@click.option("--predictions", metavar="DIR", help="Label maps or probabilities: a folder, a pattern or a URL.")
@click.option("--references", metavar="DIR", help="Label maps. They are the set: one without a prediction is missed.")
@click.option("--by", metavar="TABLE", help="CSV or Parquet with image_id and columns; those of few values are strata.")
@click.option("--group-by", multiple=True, metavar="COLUMN", help="Strata: these columns of TABLE; may be repeated.")
@click.option("--unit", metavar="COLUMN", help="Also scores for each value of a column, such as the patient.")
@click.option("--classes", metavar="NAMES", help="With commas, the background first: background,kidney,tumour.")
@click.option("--output", metavar="DIR", help="Where everything is written; default: segscale-report.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Any key of a configuration; repeatable.")
@options.as_json
@options.quiet
@click.pass_context
def evaluate_command(
    context: click.Context,
    /,
    as_json: bool,
    quiet: bool,
    classes: str | None,
    settings: tuple[str, ...],
    **chosen: Any,
) -> int:
    """Two folders in, a report out; no configuration.

    Existing predictions are counted against references. The configuration that this was is written beside the report,
    as evaluate.toml.
    """
    prepare_process(quiet)
    _refuse_places(context.args)
    from segscale.flows.checks.paths import check_sources
    from segscale.flows.cli.option_words import option_words
    from segscale.flows.folder_pair import (
        FolderPair,
        config_of,
        keep_configuration,
        laid_out,
        parsed_settings,
        with_strata,
    )
    from segscale.flows.workers import start_early

    _refuse_empty({"classes": classes, **chosen})
    given: dict[str, Any] = {name: value for name, value in chosen.items() if value}
    if classes:
        given["classes"] = tuple(name.strip() for name in classes.split(","))
    with option_words(), waiting("looking at both folders"):
        asked = FolderPair(**{"predictions": "", "references": "", **given}, settings=parsed_settings(settings))
        asked = laid_out(asked)
        config = config_of(asked)
        check_sources(config)
        start_early(config)
        # From here on libraries of tables are loaded, which takes longer than all that is refused above.
        from segscale.flows import evaluate
        from segscale.flows.cli.jobs import exit_code, finish
        from segscale.flows.cli.route import OnTerminal, run_job
        from segscale.flows.run import Run

        listed = Run(config, OnTerminal())
        pair = with_strata(asked, listed)
        if pair != asked:
            logger.info("strata: %s, as columns of few values; --group-by names others", ", ".join(pair.group_by))
        config = config_of(pair)
    with option_words():
        result = run_job(evaluate, config, prefect=None, listed=listed)
    keep_configuration(pair, config, result.path)
    if not as_json:
        return finish(config, result)
    from segscale.flows.reports.tables import report_as_json
    from segscale.storage.reports import open_report

    print(report_as_json(open_report(result.path)))
    return exit_code(config, result)


def _refuse_empty(given: Mapping[str, Any]) -> None:
    """Raise UsageError for an option with an empty text, as a variable of a shell that nobody set leaves it."""
    for name, value in given.items():
        if value == "" or (isinstance(value, tuple) and "" in value):
            raise click.UsageError(
                f"--{name.replace('_', '-')}: got an empty text; leave the option out, or name something"
            )


def _refuse_places(places: list[str]) -> None:
    """Raise UsageError for folders without an option."""
    if places:
        raise click.UsageError(
            f"expected --predictions DIR and --references DIR, got {' '.join(map(repr, places))} without an option: "
            "tools disagree which of two folders comes first, and exchanged ones give the same Dice with precision and "
            "sensitivity exchanged; write which is which"
        )
