"""Channels: images of nnU-Net, of which each channel is in a file of its own: CASE_0000, CASE_0001, ..."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

from segscale.errors import ListingError
from segscale.flows.layouts.listed import OneFile, identified
from segscale.storage.dataset_json import NAME, DatasetJson
from segscale.storage.enumeration import counted, first_of
from segscale.storage.listing import Note, list_files
from segscale.storage.patterns import escaped
from segscale.storage.role_files import RoleFiles, role_files
from segscale.storage.source_names import of_channels
from segscale.storage.trees import version_of_files
from segscale.tasks.readers import holds_volume

_FIRST = "0000"
"""Behind a case and a low line, of the file of its first channel."""
Files = Mapping[str, OneFile]
"""The channels of a case by their digits."""


def images_in(folder: str, found: DatasetJson) -> RoleFiles:
    """The image of each case in a folder, with its channels in the order of their numbers.

    Pictures with colours are one file, whatever `dataset.json` calls their channels. Raises ListingError where a
    channel is missing, or there are more than it names.
    """
    cases, others = _cases(folder, found.file_ending)
    is_one_file = all(set(files) == {_FIRST} for files in cases.values())
    if not cases or (is_one_file and not (len(found.channels) > 1 and holds_volume(found.file_ending))):
        return role_files(f"{escaped(folder)}/{{id}}_{_FIRST}{escaped(found.file_ending)}", "image")
    expected = _expected(found, cases)
    for case, files in cases.items():
        _check(folder, case, files, expected, found)
    images = [_image(case, files, found.file_ending) for case, files in cases.items()]
    notes = [Note(f"images: {_said(len(expected), found)}, in a file for each", warns=False)]
    if others:
        text = f"{counted(len(others), 'file')} without the number of a channel left out: {first_of(others)}"
        notes.append(Note(f"images: {text}"))
    return identified("image", folder, images, notes)


def _cases(folder: str, ending: str) -> tuple[dict[str, Files], list[str]]:
    """The files of each case, and the names of files that say no channel."""
    listed = list_files(f"{escaped(folder)}/*{escaped(ending)}").files
    name_of = re.compile(rf"(.+)_([0-9]{{4}}){re.escape(ending)}", re.DOTALL)
    cases: dict[str, dict[str, OneFile]] = defaultdict(dict)
    others = []
    for url, relative, version in listed.itertuples(index=False):
        told = name_of.fullmatch(relative)
        if told is None:
            others.append(relative)
        else:
            cases[told[1]][told[2]] = OneFile(told[1], url, version, relative)
    return dict(cases), others


def _expected(found: DatasetJson, cases: Mapping[str, Files]) -> list[str]:
    """The digits of the channels of every case; where `dataset.json` names none, of the case with most."""
    n_channels = len(found.channels) or 1 + max(int(number) for files in cases.values() for number in files)
    return [f"{number:04d}" for number in range(n_channels)]


def _check(folder: str, case: str, files: Files, expected: Sequence[str], found: DatasetJson) -> None:
    said = _said(len(expected), found)
    missing = [number for number in expected if number not in files]
    if missing:
        raise ListingError(
            f"{folder}: {case}_{missing[0]}{found.file_ending} is not there: expected {said}, in a file for each; of "
            f"{case} there is {first_of([one.relative for one in files.values()])}"
        )
    beyond = [one.relative for number, one in files.items() if number not in expected]
    if beyond:
        raise ListingError(
            f"{folder}: {beyond[0]} is one too many: expected {said}, as {NAME} says; move it away, or correct that"
        )


def _said(n_channels: int, found: DatasetJson) -> str:
    names = f" ({', '.join(found.channels)})" if found.channels else ""
    return f"{counted(n_channels, 'channel')}{names}"


def _image(case: str, files: Files, ending: str) -> OneFile:
    """What stands for an image; one of a single channel is its file."""
    numbers = sorted(files)
    first = files[numbers[0]]
    if len(numbers) == 1:
        return first
    cut = len(f"{numbers[0]}{ending}")
    url, relative = (of_channels(name[:-cut], numbers, ending) for name in (first.url, first.relative))
    are_there = all(one.version for one in files.values())
    version = version_of_files((one.relative, one.version) for one in files.values()) if are_there else ""
    return OneFile(case, url, version, relative)
