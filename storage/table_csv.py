"""Tables as CSV from which every value can be read again."""

from __future__ import annotations

import io
import json

import pandas as pd
import pyarrow as pa
from pyarrow import csv


def encode_csv(frame: pd.DataFrame) -> bytes:
    """A data frame as CSV in UTF-8: a header, a row each, commas, texts in quotes.

    Numbers have the digits that tell them from every other (17 at most). A float that is NaN is ``nan``; a whole
    number, a text or a truth value that is null is nothing at all, and an empty text is a pair of quotes. A list of
    numbers is one of JSON, in quotes.
    """
    columns = [_column(frame[name]) for name in frame]
    sink = io.BytesIO()
    csv.write_csv(pa.table(columns, names=[str(name) for name in frame]), sink)
    return sink.getvalue()


def _column(values: pd.Series) -> pa.Array:
    found = values.dropna()
    if values.dtype == object and len(found) and not isinstance(found.iloc[0], str):
        return pa.array([None if one is None else json.dumps(list(map(int, one))) for one in values], pa.string())
    # Arrow's own way from pandas makes null of NaN.
    return pa.array(values.to_numpy() if values.dtype.kind == "f" else values, from_pandas=values.dtype.kind != "f")
