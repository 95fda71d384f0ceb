"""Keys of a configuration that is only proposed, of a data set whose files lie in a known layout."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from segscale.flows.config.written import Key
from segscale.flows.layouts.look import layout_of
from segscale.flows.roles import role_of, set_name
from segscale.storage.patterns import escaped


def layout_keys(folders: Sequence[str]) -> list[Key] | None:
    """What the first of some folders that has a layout tells, and where predictions may lie: in the others.

    None where none has. Raises ConfigError for a dataset.json that cannot be meant.
    """
    absolute = [os.path.abspath(folder) for folder in folders]  # noqa: PTH100 - links stay as they are written
    for references in absolute:
        others = [folder for folder in absolute if folder != references and not _is_part(folder, references)]
        seen = layout_of(references, others[0] if len(others) == 1 else "")
        if seen is None:
            continue
        why = "the other folder" if len(others) == 1 else "or is it another one"
        described = seen.predictions.items() if others else ()
        keys = [
            Key("dataset", "name", set_name(references), "names the folder of the reports; any will do"),
            Key("dataset", "layout", seen.layout, seen.why),
            Key("dataset", "references", escaped(references), "the folder that holds them"),
            *(Key("dataset", name, value, "as dataset.json has it") for name, value in seen.dataset.items()),
            *(Key("predictions", "path", escaped(one), why, len(others) > 1) for one in others),
            *(Key("predictions", name, value, "as dataset.json has it") for name, value in described),
            *(Key("metrics", name, value, _WHY[name]) for name, value in seen.metrics.items()),
        ]
        if not others:
            keys.append(Key("model", "path", "model.keras", "a network; no predictions were named", is_open=True))
        return keys
    return None


_WHY = {
    "group_by": "scores for each structure by itself",
    "cluster_by": "the structures of a case are no independent images",
}


def _is_part(folder: str, references: str) -> bool:
    """Whether a folder holds images or labels of the same root, which are found by the layout."""
    above = {references, str(Path(references).parent)}
    return str(Path(folder).parent) in above and role_of(Path(folder).name) in ("image", "reference")
