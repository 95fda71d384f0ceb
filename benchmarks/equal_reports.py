"""Whether two reports hold the same numbers: python benchmarks/equal_reports.py REPORT REPORT

Every Parquet table of the two folders, cell by cell, but for the name of the run; floats by their bits. Ends with 1
where a cell, a column or a table differs. Made for holding a rebuilt pipeline against the one before.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq


def bits(column: pa.ChunkedArray) -> tuple[npt.NDArray[np.bool_], npt.NDArray[Any]]:
    """Which cells are null, and the others; floats as the integers of their bits."""
    nulls = np.asarray(column.is_null(nan_is_null=False))
    if pa.types.is_floating(column.type):
        values = np.asarray(column.fill_null(0).to_numpy())
        return nulls, values.view(f"i{values.itemsize}")
    return nulls, np.array(column.to_pylist(), dtype=object)


def differences(first: pa.Table, second: pa.Table) -> tuple[int, list[str]]:
    """How many cells were compared, and a line for each column that differs."""
    if first.column_names != second.column_names or first.num_rows != second.num_rows:
        return 0, [f"{first.num_rows} rows of {first.column_names}, then {second.num_rows} of {second.column_names}"]
    compared, found = 0, []
    for name in first.column_names:
        if name == "run_id":
            continue
        if first[name].type != second[name].type:
            found.append(f"{name}: {first[name].type}, then {second[name].type}")
            continue
        (nulls, values), (other_nulls, others) = bits(first[name]), bits(second[name])
        differ = (nulls != other_nulls) | (~nulls & (values != others))
        compared += len(differ)
        if differ.any():
            row = int(np.argmax(differ))
            given, got = first[name][row].as_py(), second[name][row].as_py()
            found.append(
                f"{name}: {int(differ.sum())} of {len(differ)} cells, the first in row {row}: {given}, then {got}"
            )
    return compared, found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    options = parser.parse_args()
    total, differs = 0, False
    for name in sorted({path.name for folder in (options.first, options.second) for path in folder.glob("*.parquet")}):
        paths = options.first / name, options.second / name
        if not all(path.exists() for path in paths):
            print(f"{name}: in one of the two only")
            differs = True
            continue
        compared, found = differences(*map(pq.read_table, paths))
        total, differs = total + compared, differs or bool(found)
        equal = "bytes equal" if paths[0].read_bytes() == paths[1].read_bytes() else "other bytes"
        print("\n  ".join([f"{name:24} {compared:>10} cells, {equal}", *found]))
    print(f"{total} cells compared: {'they differ' if differs else 'all are equal'}")
    return int(differs)


if __name__ == "__main__":
    sys.exit(main())
