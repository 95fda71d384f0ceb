"""Which images are counted together, under which keys, and the catalog that comes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from segscale.storage.catalog import COLUMNS, PLACE, SLICE_AXIS, SPACING, rows_by_shard
from segscale.storage.failures import Failure
from segscale.storage.source_memory import MEMORY_COLUMNS
from segscale.storage.sources import ROLES
from segscale.tasks.labels import LabelRule
from segscale.tasks.prediction_file import Counting
from segscale.tasks.scan import SourceFacts
from segscale.tasks.score_plan import (
    ScoredShard,
    ScorePlan,
    catalog_of,
    contents_at,
    is_whole,
    of_catalog,
    plan_scores,
    shard_size,
)
from segscale.tasks.scoring import Content, Scoring

N_IMAGES, SHARD_IMAGES = 40, 8
SCORING = Scoring(LabelRule(2), Counting(0.5, LabelRule(2)), has_images=True)
HELD = Failure("score", "WorkerDied", "a worker died at it")


def _listing(n_images: int = N_IMAGES, folder: str = "/data", roles: Sequence[str] = ROLES) -> pd.DataFrame:
    names = [f"case{number}" for number in range(n_images)]
    columns: dict[str, list[str]] = {"image_id": names}
    for role in ROLES:
        columns[role] = [f"{folder}/{role}/{name}.png" if role in roles else "" for name in names]
        columns[f"{role}_version"] = [f"{role}-{name}" if role in roles else "" for name in names]
    return pd.DataFrame(columns, dtype="str")


def _known(listing: pd.DataFrame, **changed: str) -> pd.DataFrame:
    """What is known of all files of a listing; the hash of a file is its role and the image, unless `changed`."""
    facts = [
        SourceFacts(role, url, version, f"{role}:{changed.get(image_id, image_id)}")
        for role in ROLES
        for image_id, url, version in zip(listing["image_id"], listing[role], listing[f"{role}_version"], strict=True)
        if url and version
    ]
    return pd.DataFrame(facts, columns=list(MEMORY_COLUMNS))


def _plan(listing: pd.DataFrame, files: pd.DataFrame | None = None, **options: Any) -> ScorePlan:
    known = _known(listing) if files is None else files
    scoring, left_out = options.get("scoring", SCORING), options.get("left_out", {})
    return plan_scores(listing, known, scoring, options.get("shard_images", SHARD_IMAGES), left_out)


def _members(plan: ScorePlan) -> dict[str, frozenset[str]]:
    image_ids = plan.files.column("image_id").to_pylist()
    return {key: frozenset(image_ids[place] for place in places) for key, places in plan.shards.items()}


def test_every_image_is_in_one_shard_and_none_holds_more_than_asked() -> None:
    plan = _plan(_listing())
    places = np.concatenate(list(plan.shards.values()))
    assert sorted(places) == list(range(N_IMAGES))
    assert max(map(len, plan.shards.values())) <= SHARD_IMAGES


def test_images_go_together_by_their_ids_alone() -> None:
    """Whatever is known, wherever it lies, and in whatever order it is listed."""
    listing = _listing()
    cut = set(_members(_plan(listing)).values())
    nothing_known = _known(listing).iloc[:0]
    shuffled = listing.sample(frac=1, random_state=3, ignore_index=True)
    for other in (_plan(listing, nothing_known), _plan(shuffled), _plan(_listing(folder="/elsewhere"))):
        assert set(_members(other).values()) == cut


def test_keys_are_of_contents_where_all_is_known_and_of_files_elsewhere() -> None:
    listing = _listing()
    whole = _plan(listing)
    assert all(whole.job(key).is_content for key in whole.shards)
    assert _plan(_listing(folder="/elsewhere")).shards.keys() == whole.shards.keys(), "no folder is in a key"
    of_one = _members(whole)
    for role in ROLES:
        files = _known(listing)
        gone = files.drop(files[(files["role"] == role) & files["url"].str.endswith("case7.png")].index)
        plan = _plan(listing, gone)
        (unknown,) = plan.shards.keys() - whole.shards.keys()
        assert "case7" in _members(plan)[unknown]
        assert not plan.job(unknown).is_content
        assert of_one.keys() - plan.shards.keys() == {key for key, names in of_one.items() if "case7" in names}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda listing: (listing, _known(listing, case7="other bytes")), "a file of other bytes"),
        (lambda listing: (listing.replace({"prediction_version": {"prediction-case7": ""}}), None), "one that is gone"),
        (lambda listing: (listing.replace(regex={"image": {"case7.png": "case7.tif"}}), None), "one of another name"),
    ],
    ids=["bytes", "gone", "name"],
)
def test_a_changed_file_costs_its_shard(
    change: Callable[[pd.DataFrame], tuple[pd.DataFrame, pd.DataFrame | None]], reason: str
) -> None:
    before = _members(_plan(_listing()))
    after = _members(_plan(*change(_listing())))
    gone = before.keys() - after.keys()
    assert [("case7" in before[key]) for key in gone] == [True], reason
    assert len(after) == len(before)


@pytest.mark.parametrize(
    "scoring",
    [
        replace(SCORING, references=LabelRule(2, (0, 255))),
        replace(SCORING, counting=Counting(0.4, LabelRule(2))),
        replace(SCORING, counting=Counting(0.5, LabelRule(2), channels="argmax")),
        replace(SCORING, counting=Counting(0.5, LabelRule(2), regions=((1,),))),
        replace(SCORING, has_images=False),
    ],
    ids=["label values", "threshold", "channels", "regions", "images"],
)
def test_how_files_are_counted_is_in_every_key(scoring: Scoring) -> None:
    assert _plan(_listing()).shards.keys().isdisjoint(_plan(_listing(), scoring=scoring).shards)


def test_what_is_left_out_is_in_the_key_and_in_the_job_of_its_shard() -> None:
    listing = _listing()
    content = tuple(f"{role}:case7" for role in ROLES)
    left_out = {("case7", *content): HELD, ("case7", "other", "", ""): HELD, ("/url/of/a/file", "image", "v1"): HELD}
    before, after = _plan(listing), _plan(listing, left_out=left_out)
    (key,) = after.shards.keys() - before.shards.keys()
    assert after.job(key).left_out == {name: HELD for name in left_out if name[0] == "case7"}
    assert {one.image_id: one.failure for one in _contents(after, key)}["case7"] == HELD
    others = after.shards.keys() & before.shards.keys()
    assert len(others) == len(after.shards) - 1
    assert not any(after.job(one).left_out for one in others)


@pytest.mark.parametrize("roles", [ROLES, ("reference", "prediction")], ids=["with images", "without"])
def test_jobs_name_the_files_of_their_images(roles: Sequence[str]) -> None:
    listing = _listing(roles=roles)
    plan = _plan(listing)
    rows = {row["image_id"]: row for row in listing.to_dict("records")}
    seen = []
    for key in plan.shards:
        job = plan.job(key)
        assert (job.key, job.is_content, job.only) == (key, True, ())
        for files in job.images:
            row = rows[files.image_id]
            seen.append(files.image_id)
            for role in ROLES:
                assert files.of(role) == (row[role], row[f"{role}_version"])
    assert sorted(seen) == sorted(rows)


def _contents(plan: ScorePlan, key: str) -> list[Content]:
    return contents_at(plan.files, plan.hashes, plan.shards[key], plan.left_out)


def _catalog(listing: pd.DataFrame, plan: ScorePlan, failed: Sequence[str] = ()) -> pd.DataFrame:
    """As it comes of a plan whose shards come back, each image of its own size; of some the reference was not read."""
    refused, unread = Failure("score", "OSError", "refused"), {}
    for key in plan.shards:
        contents = _contents(plan, key)
        for place, one in enumerate(contents):
            if one.image_id in failed:
                contents[place] = one._replace(hashes=(one.hashes[0], "", *one.hashes[2:]), failure=refused)
                unread[one.image_id] = refused
        plan.learn(key, contents)
    shards = [
        ScoredShard(key, places, [(1, 10 + int(place), 20) for place in places], [""] * len(places))
        for key, places in plan.shards.items()
    ]
    return catalog_of(listing, plan, shards, unread)


@pytest.mark.parametrize("roles", [ROLES, ("reference", "prediction")], ids=["with images", "without"])
def test_the_catalog_says_of_every_image_what_it_was_made_of(roles: Sequence[str]) -> None:
    listing = _listing(roles=roles).assign(site=[f"s{number % 3}" for number in range(N_IMAGES)])
    plan = _plan(listing)
    catalog = _catalog(listing, plan)
    assert catalog.columns.to_list() == [*COLUMNS, "site"]
    assert catalog["image_id"].to_list() == listing["image_id"].to_list()
    for role in ROLES:
        expected = [f"{role}:{name}" if role in roles else "" for name in listing["image_id"]]
        assert catalog[f"{role}_sha256"].to_list() == expected
        assert catalog[role].to_list() == listing[role].to_list()
    assert catalog[["depth", "height", "width"]].to_numpy().tolist() == [[1, 10 + n, 20] for n in range(N_IMAGES)]
    texts = ("image_id", *ROLES, *(f"{role}_sha256" for role in ROLES), *PLACE, SLICE_AXIS)
    texts = (*texts, "dtype", "shard", "error_type", "error")
    assert {name: catalog[name].dtype for name in COLUMNS if catalog[name].dtype != "int64"} == {
        **dict.fromkeys(texts, "str"), **dict.fromkeys(SPACING, "float64")
    }  # fmt: skip
    assert {key: places.tolist() for key, places in rows_by_shard(catalog).items()} == {
        key: places.tolist() for key, places in sorted(plan.shards.items())
    }


def test_a_catalog_leads_back_to_its_shards() -> None:
    listing = _listing()
    listing.loc[3, "prediction_version"] = ""
    left_out = {("case7", *(f"{role}:case7" for role in ROLES)): HELD}
    plan = _plan(listing, left_out=left_out)
    back = of_catalog(_catalog(listing, plan))
    assert back.shards.keys() == plan.shards.keys()
    for key in plan.shards:
        assert _contents(back, key) == _contents(plan, key)
        job = back.job(key)
        assert job.is_content
        assert job.left_out == plan.job(key).left_out
        assert [one.image_id for one in job.images] == [one.image_id for one in plan.job(key).images]


def test_a_catalog_of_files_that_could_not_be_read_is_not_whole() -> None:
    listing = _listing()
    listing.loc[3, "prediction_version"] = ""
    plan = _plan(listing)
    assert is_whole(listing, _catalog(listing, plan)), "a file that is not there is no file to read"
    unread = _catalog(listing, plan, failed=["case5"])
    assert not is_whole(listing, unread)
    assert unread.set_index("image_id").loc["case5", "error"] == "refused"
    # A repair leaves out what could not be read then, so that the same shard comes of it.
    back = of_catalog(unread)
    (key,) = (key for key, places in back.shards.items() if 5 in places)
    contents = {one.image_id: one for one in _contents(back, key)}
    assert contents["case5"] == Content(
        "case5",
        ("case5.png",) * 4,
        ("image:case5", "", "prediction:case5", "mask:case5"),
        Failure("score", "OSError", "refused"),
    )


@pytest.mark.parametrize(
    ("n_images", "most", "expected"),
    [
        pytest.param(1, 128, 8, id="one image"),
        pytest.param(100, 128, 8, id="a hundred volumes are work for several"),
        pytest.param(503, 128, 32, id="between powers of two"),
        pytest.param(1023, 128, 64, id="just below the most"),
        pytest.param(1024, 128, 128, id="from here on the most"),
        pytest.param(20_000, 128, 128, id="a large set"),
        pytest.param(50_000, 128, 256, id="each commit waits for the disk, so there are not many more than a hundred"),
        pytest.param(10**6, 128, 512, id="four times as many as asked for, and no more"),
        pytest.param(100, 4, 4, id="no more than asked for"),
        pytest.param(10**6, 4, 16, id="nor of a very large set"),
    ],
)
def test_a_small_set_has_small_shards(n_images: int, most: int, expected: int) -> None:
    assert shard_size(n_images, most) == expected
