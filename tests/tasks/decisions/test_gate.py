"""The gate on tables: what passes, what fails, what cannot be told, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segscale.errors import ArgumentError
from segscale.tasks.decisions.gate import COLUMNS, Gate, gate
from segscale.tasks.decisions.questions import asked
from segscale.tasks.metrics.settings import ScoreSettings

Runs = Callable[..., pd.DataFrame]
SETTINGS = ScoreSettings(bootstrap=0, batch_sizes=())
BY_SITE = SETTINGS.changed(group_by=("site",))
N = 160
SITES = [f"s{place % 8}" for place in range(N)]
BASE = np.clip(np.random.default_rng(1).beta(6, 2, N), 0.2, 0.98)
NOISE = np.random.default_rng(2).normal(0, 0.01, N)
"""Of a run that is as good as the base."""


def ask(base: pd.DataFrame | None, new: pd.DataFrame, settings: ScoreSettings = SETTINGS, **changes: Any) -> Gate:
    margins = {"dice": 0.02} if base is not None else {}
    chosen = {"margins": margins, "floors": {}, "superior": (), "aggregations": ("per_sample",), **changes}
    head = chosen.pop("head", None)
    return gate(base, new, None if base is None else (settings, settings), settings, asked(**chosen), head)


def verdicts(found: Gate, column: str = "stratum") -> dict[str, str]:
    return dict(zip(found.strata[column], found.strata["verdict"], strict=True))


def test_a_run_as_good_as_the_base_passes_everywhere(run_of: Runs) -> None:
    found = ask(run_of(BASE, site=SITES), run_of(BASE + NOISE, site=SITES), BY_SITE)
    assert found.verdict == "pass"
    assert list(found.strata) == list(COLUMNS)
    assert len(found.strata) == 9
    row = found.strata.iloc[0]
    assert (row["stratum"], row["n"], row["n_clusters"], row["family"]) == ("", N, N, 9)
    assert row["estimate"] == pytest.approx(row["new"] - row["base"])
    assert -0.02 < row["low"] < row["estimate"] < row["high"]
    assert found.summary.startswith("pass: of 9 questions 9 pass; asked was: mean dice not worse")


def test_better_on_average_and_worse_at_one_site_does_not_pass(run_of: Runs) -> None:
    better = BASE + 0.01 + NOISE
    at_one = np.where(np.array(SITES) == "s3", BASE - 0.08 + NOISE, better)
    found = ask(run_of(BASE, site=SITES), run_of(np.clip(at_one, 0, 1), site=SITES), BY_SITE)
    told = verdicts(found)
    assert found.verdict == "fail"
    assert [stratum for stratum, verdict in told.items() if verdict == "fail"] == ["site=s3"]
    whole = found.strata.iloc[0]
    assert (whole["verdict"], whole["question"]) == ("pass", "not worse")
    (said,) = found.strata.loc[found.strata["stratum"] == "site=s3", "sentence"]
    assert "site=s3: NEW" in said


def test_one_class_of_five(run_of: Runs) -> None:
    classes = {f"c{index}": np.roll(BASE, index) for index in range(5)}
    new = {name: np.clip(one + NOISE - (0.06 if name == "c4" else 0), 0, 1) for name, one in classes.items()}
    found = ask(run_of(classes), run_of(new))
    assert verdicts(found, "class_name") == {"c0": "pass", "c1": "pass", "c2": "pass", "c3": "pass", "c4": "fail"}
    assert found.verdict == "fail"


def test_one_stratum_of_sizes(run_of: Runs) -> None:
    # Half of the images have a second class, so that their references are twice as large.
    second = np.where(np.arange(N) % 2 == 0, BASE, -1.0)
    base = run_of({"a": BASE, "b": second})
    lesser = np.where(np.arange(N) % 2 == 0, BASE - 0.1, BASE + 0.02)
    new = run_of({"a": np.clip(lesser, 0, 1), "b": second})
    found = ask(base, new, SETTINGS.changed(group_by=("reference_volume:0,1500",)))
    told = found.strata.set_index(["class_name", "stratum"])["verdict"]
    assert told["a", "reference_volume=[1500,inf)"] == "fail"
    assert told["a", "reference_volume=(0,1500)"] == "pass"
    assert found.left_out == (
        "mean dice of b, reference_volume=(0,1500): occurs in no image, so that nothing was asked",
    )


def test_missing_predictions_count_as_missed(run_of: Runs) -> None:
    missing = range(0, N, 8)
    found = ask(run_of(BASE), run_of(BASE + NOISE, missing=missing), aggregations=("per_sample", "pooled"))
    assert found.strata["verdict"].tolist() == ["fail", "fail"]
    mean, pooled = (row for _, row in found.strata.iterrows())
    assert mean[["n", "n_missing_new", "n_missing_base"]].tolist() == [N, 20, 0]
    expected = np.where(np.arange(N) % 8 == 0, 0, np.round((BASE + NOISE) * 1000) / 1000)
    assert mean["new"] == pytest.approx(expected.mean())
    # Of a missed reference nothing is predicted: it is in the false negatives alone.
    true = expected.sum()
    assert pooled["new"] == pytest.approx(2 * true / (2 * N - 20))
    assert "20 of NEW's and 0 of BASE's without a usable prediction, counted as missed" in mean["sentence"]


def test_too_few_and_a_wide_interval_cannot_be_told(run_of: Runs) -> None:
    few = ask(run_of(BASE[:10]), run_of(BASE[:10]))
    assert (few.verdict, few.strata.iloc[0]["reason"]) == ("cannot tell", "10 independent units, fewer than 20")
    assert few.strata.iloc[0]["more_if_equal"] == 15
    wide = ask(run_of(BASE[:40]), run_of(np.clip(BASE[:40] + 10 * NOISE[:40], 0, 1)))
    row = wide.strata.iloc[0]
    assert row["verdict"] == "cannot tell"
    assert row["low"] < -0.02 < row["high"]
    assert row["reason"] == "the interval holds -0.02"
    # 40 + more: one answer, power 0.8.
    assert 50 < row["more_if_equal"] < 400
    assert f"about {row['more_if_equal']} more images would tell if the runs are equally good" in row["sentence"]


@pytest.mark.parametrize(
    ("patients", "verdict", "reason"),
    [
        pytest.param([0] * N, "cannot tell", "1 independent unit, fewer than 20", id="one patient"),
        pytest.param([0] * 130 + list(range(1, 31)), "cannot tell", "fewer than 20", id="one has nearly all"),
        pytest.param([*range(N - 1), None], "cannot tell", "patient is missing for 1 images", id="not known of one"),
        pytest.param(list(range(N)), "pass", "", id="a patient each"),
    ],
)
def test_clusters(patients: list[int | None], verdict: str, reason: str, run_of: Runs) -> None:
    base, new = (run_of(one, patient=pd.array(patients, dtype="Int64")) for one in (BASE, BASE + NOISE))
    found = ask(base, new, SETTINGS.changed(cluster_by="patient"))
    assert found.verdict == verdict
    assert reason in found.strata.iloc[0]["reason"]


def test_strata_of_one(run_of: Runs) -> None:
    ids = [f"v{place}" for place in range(30)]
    found = ask(run_of(BASE[:30], site=ids), run_of(BASE[:30], site=ids), BY_SITE)
    assert found.verdict == "cannot tell"
    assert verdicts(found)[""] == "pass"
    assert set(found.strata["verdict"][1:]) == {"cannot tell"}


def test_all_equal_passes_and_says_what_it_cannot_have_seen(run_of: Runs) -> None:
    found = ask(run_of(BASE[:50]), run_of(BASE[:50]))
    row = found.strata.iloc[0]
    assert (found.verdict, row["estimate"], row["low"], row["high"]) == ("pass", 0, 0, 0)
    assert row["unseen_share"] == pytest.approx(1 - 0.05 ** (1 / 50))
    assert "up to 5.8% of images may do what none here does" in row["sentence"]


def test_superiority_is_asked_of_the_whole_set_alone(run_of: Runs) -> None:
    base, sites = run_of(BASE, site=SITES), {"site": SITES}
    better, alike = run_of(np.clip(BASE + 0.02 + NOISE, 0, 1), **sites), run_of(BASE + NOISE, **sites)
    found = ask(base, better, BY_SITE, superior=["dice"])
    assert found.verdict == "pass"
    assert found.strata["question"].tolist() == ["better"] + ["not worse"] * 8
    assert "pass, it is better" in found.strata.iloc[0]["sentence"]
    assert ask(base, alike, BY_SITE, superior=["dice"]).verdict == "cannot tell"
    worse = ask(base, run_of(BASE - 0.01 + NOISE, **sites), BY_SITE, superior=["dice"])
    assert worse.verdict == "fail"
    assert "it is worse, and should be better" in worse.strata.iloc[0]["sentence"]


@pytest.mark.parametrize(
    ("floor", "verdict"), [(BASE.mean() - 0.05, "pass"), (BASE.mean(), "cannot tell"), (BASE.mean() + 0.05, "fail")]
)
def test_a_floor_needs_no_base(floor: float, verdict: str, run_of: Runs) -> None:
    found = ask(None, run_of(BASE), floors={"dice": floor})
    row = found.strata.iloc[0]
    assert (found.verdict, row["question"], row["bound"]) == (verdict, "floor", floor)
    assert np.isnan(row["base"])
    assert np.isnan(row["margin"])
    assert row["new"] == row["estimate"] == pytest.approx(np.round(BASE, 3).mean())


def test_a_floor_and_a_base_are_one_family(run_of: Runs) -> None:
    found = ask(run_of(BASE), run_of(BASE + NOISE), floors={"dice": 0.99})
    assert found.strata["verdict"].tolist() == ["pass", "fail"]
    assert found.verdict == "fail"
    assert set(found.strata["family"]) == {2}


def test_images_that_failed_for_another_reason_are_counted_and_can_stop_a_pass(run_of: Runs) -> None:
    few = ask(run_of(BASE), run_of(BASE + NOISE, failed=[3]))
    row = few.strata.iloc[0]
    assert (few.verdict, row["n"], row["n_unknown"]) == ("pass", N - 1, 1)
    assert "1 more failed and unknown" in row["sentence"]
    many = ask(run_of(BASE), run_of(BASE + NOISE, failed=range(10)))
    assert many.verdict == "cannot tell"
    assert "10 failed, it is not known with which score" in many.strata.iloc[0]["reason"]
    both = ask(run_of(BASE, failed=range(10)), run_of(BASE + NOISE, failed=range(10)))
    assert (both.verdict, both.strata.iloc[0]["n_unknown"]) == ("pass", 10)
    pooled = ask(run_of(BASE), run_of(BASE + NOISE, failed=[3]), aggregations=("pooled",))
    assert pooled.verdict == "cannot tell"
    alone = ask(None, run_of(BASE, failed=range(20)), floors={"dice": 0.7})
    assert (alone.verdict, alone.strata.iloc[0]["n_unknown"]) == ("cannot tell", 20)


def test_failed_images_are_counted_by_stratum(run_of: Runs) -> None:
    found = ask(run_of(BASE, site=SITES), run_of(BASE + NOISE, site=SITES, failed=[0, 8, 3]), BY_SITE)
    unknown = dict(zip(found.strata["stratum"], found.strata["n_unknown"], strict=True))
    assert (unknown[""], unknown["site=s0"], unknown["site=s3"], unknown["site=s1"]) == (3, 2, 1, 0)


def test_false_alarms_on_empty_references_do_not_pass_unseen(run_of: Runs) -> None:
    empty = np.where(np.arange(N) % 4 == 0, -1.0, BASE)
    alike = np.where(empty < 0, -1.0, BASE + NOISE)
    assert ask(run_of(empty), run_of(alike)).verdict == "pass"
    found = ask(run_of(empty), run_of(alike, false_alarms=range(0, N, 4)))
    row = found.strata.iloc[0]
    assert (found.verdict, row["n"], row["n_only_new"]) == ("cannot tell", 120, 40)
    assert "40 have a score in NEW alone" in row["reason"]
    # Where the policy gives empty images a score, the false alarms count by themselves.
    ones = SETTINGS.changed(empty="one")
    assert ask(run_of(empty), run_of(alike, false_alarms=range(0, N, 4)), ones).verdict == "fail"


def test_units_are_scored_by_their_sums(run_of: Runs) -> None:
    patients = [place // 4 for place in range(N)]
    base, new = (run_of(one, patient=patients) for one in (BASE, BASE + NOISE))
    found = ask(base, new, SETTINGS.changed(unit="patient"))
    row = found.strata.iloc[0]
    expected = [np.round(one * 1000).reshape(-1, 4).mean(axis=1).mean() / 1000 for one in (BASE, BASE + NOISE)]
    assert row[["base", "new"]].tolist() == pytest.approx(expected)
    assert (row["unit"], row["n"], row["n_clusters"]) == ("patient", 40, 40)
    assert "per patient of lesion" in row["sentence"]


def test_several_heads_have_to_be_named(run_of: Runs) -> None:
    both = run_of(BASE, heads=("x1", "x2"))
    with pytest.raises(ArgumentError, match="head: expected one of x1, x2, as the runs have several"):
        ask(both, both)
    found = ask(both, both, head="x2")
    assert set(found.strata["head"]) == {"x2"}
    with pytest.raises(ArgumentError, match="got 'x3'; there are x1, x2"):
        ask(both, both, head="x3")


def test_what_cannot_be_compared_is_refused_as_compare_does(run_of: Runs) -> None:
    base = run_of(BASE)
    for other, words in (
        (run_of(BASE[:-1]), "different images"),
        (base.assign(reference_sha256="x"), "different references"),
        (run_of({"tumour": BASE}), "different classes"),
        (run_of(BASE, failed=range(N)), "no image is ok in both runs"),
        (base.drop(columns="reference_sha256"), "'reference_sha256'"),
    ):
        with pytest.raises(ArgumentError, match=words):
            ask(base, other)
    settings = (SETTINGS, SETTINGS.changed(empty="one"))
    with pytest.raises(ArgumentError, match=r"metrics\.empty: expected the same in both runs"):
        gate(base, base, settings, SETTINGS, asked({"dice": 0.1}, {}, (), ("per_sample",)))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"settings": SETTINGS.changed(group_by=("age",))}, "group_by: expected a column of per_image, got 'age'"),
        ({"settings": SETTINGS.changed(cluster_by="age")}, "cluster_by: expected a column of per_image, got 'age'"),
        ({"settings": SETTINGS.changed(unit="age")}, "unit: expected a column of per_image, got 'age'"),
        ({"margins": {"soft_dice": 0.1}}, "soft_dice: expected a score that both runs have"),
    ],
)
def test_what_the_tables_do_not_have_is_refused(changes: dict[str, Any], words: str, run_of: Runs) -> None:
    with pytest.raises(ArgumentError, match=words):
        ask(run_of(BASE), run_of(BASE), **changes)


@given(order=st.permutations(range(40)), n_missing=st.integers(0, 3))
def test_the_order_of_images_changes_nothing(order: list[int], n_missing: int, run_of: Runs) -> None:
    base, new = run_of(BASE[:40]), run_of(np.clip(BASE[:40] + NOISE[:40], 0, 1), missing=range(n_missing))
    place = {f"i{image}": rank for rank, image in enumerate(order)}
    shuffled = new.assign(place=new["image_id"].map(place)).sort_values("place", kind="stable").drop(columns="place")
    one, other = ask(base, new).strata, ask(base, shuffled.reset_index(drop=True)).strata
    pd.testing.assert_frame_equal(one, other)


@given(loss=st.floats(0, 0.3), margin=st.floats(0.01, 0.3))
def test_a_worse_run_never_does_better_and_a_wider_margin_never_worse(loss: float, margin: float, run_of: Runs) -> None:
    rank = {"fail": 0, "cannot tell": 1, "pass": 2}
    base = run_of(BASE[:60])
    runs = [run_of(np.clip(BASE[:60] + NOISE[:60] - one, 0.0, 1)) for one in (loss, loss / 2)]
    worse, better = (rank[ask(base, one, margins={"dice": margin}).verdict] for one in runs)
    assert worse <= better
    assert rank[ask(base, runs[0], margins={"dice": 2 * margin}).verdict] >= worse
