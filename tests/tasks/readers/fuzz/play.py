"""The fuzz test's own process: `python -m tests.tasks.readers.fuzz.play --help`.

Inputs are numbered: input i is damage number i // n of seed i % n, of n seeds. What ends or stops this process is told
by the last line it wrote; a thread of the interpreter's ends it where one input takes longer than LONGEST_SECONDS.
"""

from __future__ import annotations

import argparse
import faulthandler
import logging
import time
import traceback
import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from random import Random

from segscale.tasks.readers.picture import DECODED_BYTES_LIMIT
from tests.tasks.readers.fuzz.mutations import Mutation, changes, cuts, drawn
from tests.tasks.readers.fuzz.seeds import Seed, seeds
from tests.tasks.readers.fuzz.structures import Structure

LONGEST_SECONDS = 60
"""Generous: what takes as long never ends. An input takes milliseconds."""
LARGEST_BYTES = 2**28
"""Memory that an input of some kilobytes may take, and address space: what is claimed and never touched counts too."""
LARGEST_CLAIM = 2 * DECODED_BYTES_LIMIT + LARGEST_BYTES
"""The address space where a few bytes can stand for any number of pixels."""
_NOTABLE_SECONDS = 1.0


def damage(seed: Seed, number: int, key: str) -> tuple[str, dict[str, bytes]]:
    """Damage of that number, in words, and the damaged input. The same key gives the same.

    Even numbers are by chance; of the others every second one is a cut at a boundary, and the rest is of `changes`.
    """
    random = Random(f"{key} {seed.name} {number}")
    name = random.choice(seed.damaged or tuple(seed.files))
    data, (structure, *lists) = seed.files[name], known(seed.name, name, key)
    if number % 2:
        mutations = lists[number // 2 % 2]
        words, change = mutations[number // 4 % len(mutations)]
        data, said = change(data), [words]
    else:
        said = []
        for _ in range(random.choice((1, 1, 2, 3, 5))):
            other = random.choice(_others(seed.kind))
            words, change = drawn(random, data, structure, *other)
            data = change(data)
            said.append(words)
    return f"{name}: {'; '.join(said)}", {**seed.files, name: data}


@cache
def known(seed_name: str, file_name: str, key: str) -> tuple[Structure, list[Mutation], list[Mutation]]:
    """The structure of a file of a seed, its cuts and its changes, in an order that the key gives."""
    seed = seeds()[seed_name]
    structure = seed.structure(seed.files[file_name])
    lists = cuts(structure), changes(structure)
    for one in lists:
        Random(f"{key} {seed_name}").shuffle(one)
    return structure, *lists


@cache
def _others(kind: str) -> list[tuple[bytes, tuple[int, ...]]]:
    return [
        (data, seed.structure(data).cuts)
        for seed in seeds().values()
        if seed.kind == kind
        for name, data in seed.files.items()
        if not seed.damaged or name in seed.damaged
    ]


def played(key: str, start: int, stop: int) -> Iterator[str]:
    """A line before each input, and one of what it found; fields with tabs between."""
    table = list(seeds().values())
    for seed in table:
        seed.play(wrapped(seed, dict(seed.files)))  # what is imported and compiled is no input's
    for index in range(start, stop):
        seed, number = table[index % len(table)], index // len(table)
        yield f"begun\t{index}\t{seed.name}\t{number}"
        words, files = damage(seed, number, key)
        before, began = _memory(), time.perf_counter()
        faulthandler.dump_traceback_later(LONGEST_SECONDS, exit=True)
        try:
            seed.play(wrapped(seed, files))
        except Exception as error:  # noqa: BLE001  whatever is no documented error is what is looked for
            where = "".join(traceback.format_tb(error.__traceback__)[-1:]).strip().replace("\n", " ")
            yield f"failed\t{index}\t{words}: {type(error).__name__}: {str(error)[:500]!r} at {where}"
        finally:
            faulthandler.cancel_dump_traceback_later()
        seconds, after = time.perf_counter() - began, _memory()
        claimed, touched = after["VmPeak"] - before["VmSize"], after["VmHWM"] - before["VmRSS"]
        # A peak of address space never falls: that of an earlier input is none of this one's.
        if after["VmPeak"] > before["VmPeak"] and claimed > (LARGEST_CLAIM if seed.is_unbounded else LARGEST_BYTES):
            yield f"failed\t{index}\t{words}: claimed {claimed >> 20} MiB of memory"
        if touched > LARGEST_BYTES:
            yield f"failed\t{index}\t{words}: took {touched >> 20} MiB of memory"
        if seconds > _NOTABLE_SECONDS:
            yield f"slow\t{index}\t{seed.name}, {number}: {words}: {seconds:.1f} s"
    yield "done"


def wrapped(seed: Seed, files: dict[str, bytes]) -> dict[str, bytes]:
    return {name: seed.wrap(data) for name, data in files.items()}


def _memory() -> Mapping[str, int]:
    """Bytes of address space and of memory, now and at most, as Linux counts them; nothing elsewhere.

    The most memory is that since the last call, the most address space that since the process began.
    """
    if not _STATUS.exists():
        return defaultdict(int)
    found = {
        field: int(value.split()[0]) * 1024
        for field, value in (line.split(":") for line in _STATUS.read_text().splitlines())
        if field in ("VmPeak", "VmSize", "VmHWM", "VmRSS")
    }
    _RESET.write_text("5")
    return found


_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def main() -> None:
    parser = argparse.ArgumentParser(description="Play damaged inputs to the readers.")
    parser.add_argument("--key", required=True, help="what the damage is drawn by")
    parser.add_argument("--start", type=int, required=True, help="first input")
    parser.add_argument("--stop", type=int, help="the input behind the last; one more than the first without it")
    parser.add_argument("--keep", type=Path, help="a folder into which the first input is written, and not played")
    options = parser.parse_args()
    if options.keep:
        table = list(seeds().values())
        seed = table[options.start % len(table)]
        words, files = damage(seed, options.start // len(table), options.key)
        for name, data in wrapped(seed, files).items():
            (options.keep / name).write_bytes(data)
        print(seed.name, words, sep="\t")
        return
    faulthandler.enable()
    logging.disable()
    warnings.simplefilter("ignore")
    warnings.filterwarnings("error", category=RuntimeWarning)  # numbers that our own arithmetic lost
    for line in played(options.key, options.start, options.stop or options.start + 1):
        print(line.replace("\n", " "), flush=True)


if __name__ == "__main__":
    main()
