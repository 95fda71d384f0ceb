"""Tables as CSV from which every value can be read again."""

from __future__ import annotations

import io

import pandas as pd
import pyarrow as pa
from pyarrow import csv


def encode_csv(frame: pd.DataFrame) -> bytes:
    """A data frame as CSV in UTF-8: a header, a row each, commas, texts in quotes.

    Numbers have the digits that tell them from every other (17 at most). A float that is NaN is ``nan``; a whole
    number, a text or a truth value that is null is nothing at all, and an empty text is a pair of quotes.
    """
    columns = [_column(frame[name]) for name in frame]
    sink = io.BytesIO()
    csv.write_csv(pa.table(columns, names=[str(name) for name in frame]), sink)
    return sink.getvalue()


def _column(values: pd.Series) -> pa.Array:
    # Arrow's own way from pandas makes null of NaN.
    return pa.array(values.to_numpy() if values.dtype.kind == "f" else values, from_pandas=values.dtype.kind != "f")
