"""Agreement between raters against published and derived values, and what ratings leave out of the cohort."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from tests.people import make_cohort, two_visits
from tests.rated import write_derivatives, write_ratings
from thalbids.files import read_table
from thalbids.group.analyses.masks import ratings
from thalbids.group.analyses.over_time import detectable
from thalbids.group.intake.reading import read_cohort, with_exclusions
from thalbids.group.run import group
from thalbids.raters import rating_page
from thalbids.raters.ratings import MASK, REGISTRATION, read_key
from thalbids.raters.summary import concerns
from thalbids.settings import Inputs, Ratings, Settings


@pytest.mark.parametrize(
    ("kind", "target", "method", "image", "hit"),
    [
        (MASK, "synthalT1w", "synthalT1w", "T1w", True),
        (MASK, "synthalT1w", "synthalFLAIR", "FLAIR", False),
        (MASK, "synthalFLAIR", "synthalT1FLAIRR1", "ensemble", True),
        (MASK, "synthalFLAIR", "mindglideT1FLAIR", "ensemble", False),
        (MASK, "synthalT1FLAIR", "synthalFLAIR", "FLAIR", False),
        (REGISTRATION, "FLAIR", "synthalFLAIR", "FLAIR", True),
        (REGISTRATION, "FLAIR", "mindglideT1FLAIR", "ensemble", True),
        (REGISTRATION, "FLAIR", "synthalT1R1", "ensemble", False),
        (REGISTRATION, "FLAIR", "somebodys", "FLAIR", True),
        (MASK, "somebodys", "synthalT1FLAIR", "ensemble", False),
    ],
)
def test_what_a_failure_takes_with_it(kind: str, target: str, method: str, image: str, hit: bool):
    assert concerns(kind, target, method, image) is hit


@pytest.fixture(scope="module")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Derivatives of two sessions and a page made of them, made once."""
    root = tmp_path_factory.mktemp("rated")
    rating_page.write(write_derivatives(root), root / "page.html", seed=5, repeats=0.1)
    return root


@pytest.fixture
def rated(pattern: Path, tmp_path: Path):
    """Derivatives, and ratings by two people: masks and a registration failed; hostile words."""
    shutil.copytree(pattern, tmp_path, dirs_exist_ok=True)
    out = tmp_path / "out"
    (key,) = (out / "logs").glob("rating_*.json")
    page = json.loads(key.read_text())["Page"]
    items = read_key(out, page)
    bad = {
        ("sub-01", "synthalFLAIR"): "=cmd|' /C calc'!A0",
        ("sub-02", "R1map"): "shifted",
        ("sub-02", "dbsegment"): "",
    }
    rows = []
    for one in items.values():
        why = bad.get((one.participant_id, one.target))
        rating = (
            {"rating": "pass"} if why is None else {"rating": "fail", "reason": "'" + why if why[:1] == "=" else why}
        )
        rows.append({"page": page, "item": one.identifier, "comment": '<b>x</b> "q"', **rating})
    first = write_ratings(tmp_path / "a.tsv", rows, "AB")
    second = write_ratings(tmp_path / "b.tsv", [row | {"rating": "pass", "reason": "n/a"} for row in rows], "CD")
    return tmp_path, out, (first, second)


def test_the_group_level_leaves_out_what_failed(rated):
    root, out, files = rated
    settings = Settings(ratings=Ratings(files=files))
    cohort = read_cohort(root / "raw", out, settings)
    frame = cohort.volumes.set_index(["participant_id", "method"])[["status", "reason"]]
    assert (
        frame.loc[("sub-01", "synthalFLAIR"), "reason"] == "failed by rater AB (=cmd|' /C calc'!A0); passed by rater CD"
    )
    assert frame.loc[("sub-01", "synthalT1FLAIR"), "reason"].startswith("synthalFLAIR: failed by rater AB")
    assert frame.loc[("sub-02", "dbsegment"), "status"] == "excluded"
    left = frame[frame["status"] == "ok"].index.tolist()
    assert left == [
        ("sub-01", "synthalT1w"), ("sub-01", "dbsegment"), ("sub-02", "synthalT1w"), ("sub-02", "synthalFLAIR"),
        ("sub-02", "synthalT1FLAIR"),
    ]  # fmt: skip
    assert cohort.excluded("sub-01", "ses-1", "synthalFLAIR").startswith("failed by rater AB")
    both = read_cohort(root / "raw", out, replace(settings, ratings=Ratings(files=files, rule="consensus")))
    assert set(both.volumes["status"]) == {"ok"}


def test_repeated_scans_of_what_failed_do_not_tell_the_noise():
    visits, volumes = two_visits(4)
    apart = {"sub-003": 10}  # mL between the two scans; of the others 1
    repeats = [
        {**row, "entities": f"run-{i + 1}", "volume_ml": row["volume_ml"] + i * apart.get(row["participant_id"], 1)}
        for row in volumes
        for i in (0, 1)
    ]
    cohort = make_cohort(visits, volumes, repeats=repeats)
    bad = {"participant_id": "sub-003", "method": "first", "reason": "bad"}
    failed = [{**bad, "session_id": f"ses-{i}"} for i in (1, 2)]
    left = with_exclusions(cohort, pd.DataFrame(failed))
    noise = {name: detectable.repeated(of.repeats, "first", "ml") for name, of in (("all", cohort), ("left", left))}
    assert (noise["all"].n, noise["left"].n) == (8, 6)
    assert noise["left"].noise.estimate == pytest.approx(math.sqrt(0.5))  # two scans 1 mL apart
    assert noise["all"].noise.estimate > 3
    assert detectable.repeated(left.repeats, "synthalT1w", "ml").n == 8


def test_the_tables_say_everything_once_and_are_safe(rated):
    root, out, files = rated
    settings = Settings(ratings=Ratings(files=files), inputs=Inputs(skip_bids_validation=True))
    assert group(root / "raw", out, settings) == 0
    rows = read_table(out / "group_ratings.tsv")
    assert len(rows) == 2 * 14  # 2 sessions x (4 masks + 2 registrations), and 2 shown again; 2 raters
    (hit,) = [r for r in rows if (r["target"], r["rating"], r["showing"]) == ("synthalFLAIR", "fail", "first")]
    assert (hit["participant_id"], hit["rater"], hit["verdict"], hit["standing"]) == ("sub-01", "AB", "fail", "current")
    assert hit["reason"] == "'=cmd|' /C calc'!A0"
    assert hit["comment"] == '<b>x</b> "q"'
    assert {r["strategy"] for r in rows if r["kind"] == "registration"} == {"fsl-flair", "ants"}
    assert {r["strategy"] for r in rows if r["kind"] == "mask"} == {None}
    volumes = {(r["participant_id"], r["method"]): r for r in read_table(out / "group_volumes.tsv")}
    assert volumes["sub-02", "dbsegment"]["status"] == "excluded"
    agreed = {(r["kind"], r["quantity"]): r for r in read_table(out / "group_rating_agreement.tsv")}
    assert agreed["all", "cohen_kappa"]["n"] == "12"
    assert float(agreed["all", "cohen_kappa"]["observed"]) == pytest.approx(9 / 12)
    assert float(agreed["all", "cohen_kappa"]["estimate"]) == 0  # the second rater passed everything
    for name in ("group_ratings", "group_rating_agreement"):
        described = json.loads((out / f"{name}.json").read_text())
        assert set(read_table(out / f"{name}.tsv")[0]) == set(described) - {"AnalysisSettings"}


def test_a_rating_of_what_has_changed_is_said_and_not_applied(rated):
    root, out, files = rated
    for mask in out.glob("sub-02/**/*desc-dbsegment_mask.nii.gz"):
        mask.write_bytes(next(out.glob("sub-02/**/*desc-synthalT1w_mask.nii.gz")).read_bytes())
    cohort = read_cohort(root / "raw", out, Settings(ratings=Ratings(files=files)))
    frame = cohort.volumes.set_index(["participant_id", "method"])
    assert frame.loc[("sub-02", "dbsegment"), "status"] == "ok"
    (made, _) = ratings.tables(cohort)
    assert "warning: what was rated changed since in 1 cases; not applied." in made.notes


def test_without_ratings_the_tables_have_no_rows(tmp_path: Path):
    made = ratings.tables(read_cohort(tmp_path / "raw", write_derivatives(tmp_path), Settings()))
    assert [(one.name, len(one.frame), list(one.notes)) for one in made] == [
        ("group_ratings", 0, []),
        ("group_rating_agreement", 0, []),
    ]
