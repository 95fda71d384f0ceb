"""The listing of a data set whose files lie in a layout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from segscale.flows.config.evaluation import EvaluationConfig
from segscale.flows.layouts import cases, dicom, msd, nnunet
from segscale.flows.layouts.listed import DatasetListing, of_first, paired, with_images
from segscale.storage.role_files import Calls

_FILES_OF = {"nnunet": nnunet.files_of, "msd": msd.files_of, "cases": cases.files_of, "dicom": dicom.files_of}


def list_layout(config: EvaluationConfig) -> DatasetListing:
    """The images of a data set whose files lie in a layout. Raises ConfigError."""
    found = _FILES_OF[config.dataset.layout](config)
    first, *others = found.roles
    listed, paths = of_first(first), first.paths
    calls: Sequence[Calls] = first.calls
    for partners in others:
        key = "predictions.path" if partners.role == "prediction" else "dataset.references"
        listed, paths = paired(listed, partners, key, first.role, calls, paths)
        calls = ()
    return with_images(replace(listed, notes=(*found.notes, *listed.notes)))
