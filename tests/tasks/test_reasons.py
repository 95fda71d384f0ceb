"""Failed images by their reason: what is one reason, what stands for it, how it reads on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import pytest

from segscale.tasks.reasons import SHOWN, Reason, counts_in_words, in_words, one_line, reasons_of

Row = tuple[str, str, str, str, str]
NO_CLASS = "are no class; expected 0, 255"


def _failures(rows: Sequence[Row]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["image_id", "source", "stage", "error_type", "message"])


@pytest.mark.parametrize(
    ("messages", "n_reasons"),
    [
        pytest.param(
            ["a.png: label values 1 (3 pixels)", "b.png: label values 7 (9 pixels)"], 1, id="names and numbers"
        ),
        pytest.param(["a.png: label values 1 (3)", "b.png: label values 1, 7, 12 (9)"], 1, id="lists of numbers"),
        pytest.param(["a.png: got 1x20x28", "b.png: got 3x8"], 1, id="sizes"),
        pytest.param(["prediction: none for image a", "prediction: none for image b"], 1, id="ids"),
        pytest.param(["a_seg.nii.gz: torn", "b_pred-2.npy: torn"], 1, id="files of other roles"),
        pytest.param(["a.png: torn", "b.png: coloured"], 2, id="words"),
        pytest.param(["a.png: it holds 1e-7", "b.png: it holds -0.5"], 1, id="numbers of any form"),
        pytest.param(["a.png: abacus", "b.png: bbbcus"], 2, id="letters of a name within words are no name"),
    ],
)
def test_what_is_one_reason(messages: tuple[str, str], n_reasons: int) -> None:
    rows = [(name, f"{name}.png", "score", "ValueError", said) for name, said in zip("ab", messages, strict=True)]
    found = reasons_of(_failures(rows))
    assert len(found) == n_reasons
    assert sum(reason.n_images for reason in found) == 2
    assert found[0].image_id == "a"
    assert found[0].message == messages[0]


def test_stages_and_types_are_reasons_of_their_own_and_the_most_frequent_come_first() -> None:
    rows = [
        ("a", "a.png", "ingest", "ValueError", "a.png: x"),
        ("s/b 1", "b 1.png", "score", "ValueError", "b 1.png: x"),
        ("s/c 1", "c 1.png", "score", "ValueError", "c 1.png: x"),
        ("d", "d.png", "score", "MissingFile", "d.png: x"),
    ]
    assert reasons_of(_failures(rows)) == (
        Reason("score", "ValueError", 2, "s/b 1", "b 1.png: x"),
        Reason("ingest", "ValueError", 1, "a", "a.png: x"),
        Reason("score", "MissingFile", 1, "d", "d.png: x"),
    )
    assert reasons_of(_failures([])) == ()


def test_a_line_for_each_reason_and_one_for_the_rest() -> None:
    words = [f"w{'x' * place}" for place in range(SHOWN + 3)]
    rows = [(f"i{place}", f"i{place}.png", "ingest", "E", word) for place, word in enumerate(words)]
    rows.append(("j", "j.png", "ingest", "E", "w"))
    lines = in_words(reasons_of(_failures(rows)), len(rows))
    assert lines[0] == "  2 in ingest, E: e.g. i0: w"
    assert lines[1] == "  1 in ingest, E: i1: wx"
    assert (len(lines), lines[-1]) == (SHOWN + 1, "  3 for other reasons")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("a b.png: ü 3²", "a b.png: ü 3²", id="text"),
        pytest.param("a\nreport: /x", "a\\nreport: /x", id="a line end in a name"),
        pytest.param("a\x1b[31m", "a\\x1b[31m", id="an escape sequence"),
        pytest.param("a\udc80", "a\\udc80", id="a byte that is no text"),
    ],
)
def test_what_is_told_is_one_line(text: str, shown: str) -> None:
    assert one_line(text) == shown
    if "\udc80" in text:
        return  # No table holds it.
    rows: list[Row] = [(text, text, "ingest", "E", f"{text}: x")]
    assert in_words(reasons_of(_failures(rows)), 1) == [f"  1 in ingest, E: {shown}: {shown}: x"]


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        pytest.param((8, 0, 0), "8 images, 0 failed", id="sound"),
        pytest.param((1, 0, 0), "1 image, 0 failed", id="a single one"),
        pytest.param((8, 2, 0), "8 images, 2 failed (see failures.parquet)", id="broken"),
        pytest.param((8, 2, None), "8 images, 2 failed (see failures.parquet)", id="not known"),
        pytest.param(
            (8, 2, 1), "8 images, 2 failed (1 of them without a usable prediction; see failures.parquet)", id="missing"
        ),
    ],
)
def test_counts_in_words(counts: tuple[int, int, int | None], words: str) -> None:
    assert counts_in_words(*counts) == words
