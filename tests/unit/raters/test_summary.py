"""Agreement between raters against published and derived values, and what ratings leave out of the cohort."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.people import make_cohort, two_visits
from tests.rated import write_derivatives, write_ratings
from thalbids.files import read_table
from thalbids.group.analyses import detectable
from thalbids.group.run import group, read_cohort, with_exclusions
from thalbids.raters import rating_page
from thalbids.raters import summary as own
from thalbids.raters.ratings import MASK, REGISTRATION, Item, Rating, read_key
from thalbids.settings import Inputs, Ratings, Settings


def labels(table: list[list[int]], names=("pass", "fail", "unsure")) -> tuple[list[str], list[str]]:
    """What two raters said, from the counts of their table."""
    pairs = [(names[i], names[j]) for i, row in enumerate(table) for j, n in enumerate(row) for _ in range(n)]
    return [a for a, _ in pairs], [b for _, b in pairs]


@pytest.mark.parametrize(
    ("table", "kappa"),
    [
        ([[20, 5], [10, 15]], 0.4),  # po 0.7, pe 0.5
        ([[45, 15], [25, 15]], 0.1304),  # po 0.6, pe 0.54
        ([[25, 35], [5, 35]], 0.2593),  # po 0.6, pe 0.46
        ([[88, 14, 18], [10, 40, 10], [2, 6, 12]], 0.492),  # Cohen (1960), table 1: po 0.70, pe 0.41
    ],
)
def test_cohens_kappa_of_worked_examples(table: list[list[int]], kappa: float):
    assert own.cohen(*labels(table)).estimate == pytest.approx(kappa, abs=5e-4)


def test_the_interval_is_that_of_the_delta_method():
    """The variance of kappa by numerical derivatives of its definition, for multinomial counts."""
    counts = np.array([[44.0, 5, 1], [7, 20, 3], [9, 5, 6]])
    n = counts.sum()

    def kappa(p: np.ndarray) -> float:
        p = p.reshape(3, 3) / p.sum()
        expected = p.sum(1) @ p.sum(0)
        return (np.trace(p) - expected) / (1 - expected)

    p = counts.ravel() / n
    step = 1e-6
    slope = np.array([(kappa(p + step * e) - kappa(p - step * e)) / (2 * step) for e in np.eye(9)])
    variance = (slope**2 @ p - (slope @ p) ** 2) / n
    found = own.cohen(*labels(counts.astype(int).tolist()))
    assert found.estimate == pytest.approx(kappa(p), abs=1e-9)
    assert found.ci_high - found.estimate == pytest.approx(1.959964 * math.sqrt(variance), abs=1e-5)
    assert found.estimate - found.ci_low == pytest.approx(1.959964 * math.sqrt(variance), abs=1e-5)


FLEISS = [  # 14 raters, 10 subjects, 5 categories; kappa is 0.210 (P 0.378, Pe 0.213)
    [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1], [7, 7, 0, 0, 0],
    [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
]  # fmt: skip


def test_fleiss_kappa_of_a_worked_example():
    found = own.fleiss(np.array(FLEISS, dtype=float), seed=1, draws=300)
    assert found.estimate == pytest.approx(0.210, abs=5e-4)
    assert found.ci_low < found.estimate < found.ci_high
    assert found == own.fleiss(np.array(FLEISS, dtype=float), seed=1, draws=300)


def test_no_kappa_without_two_categories_or_items():
    assert math.isnan(own.cohen(["pass"] * 5, ["pass"] * 5).estimate)
    assert "not defined" in own.cohen(["pass"] * 5, ["pass"] * 5).reason
    assert own.cohen([], []).reason == "no item that both rated"
    perfect = own.cohen(["pass", "fail", "pass"], ["pass", "fail", "pass"])
    assert perfect.estimate == 1
    assert math.isnan(perfect.ci_low)
    assert "not defined" in own.fleiss(np.array([[3.0, 0, 0], [3, 0, 0]]), 1).reason


def item(number: int, kind: str = MASK, repeats: str = "") -> Item:
    name = f"{number:08x}"
    file = f"m{int(repeats, 16) if repeats else number}.nii.gz"
    return Item("0" * 16, name, kind, "sub-01", "ses-1", "synthalT1w", "", file, "1" * 64, "2" * 64, repeats)


def test_two_raters_three_raters_and_oneself():
    said = {"A": "ppffu", "B": "ppfpu", "C": "pfffp"}
    words = {"p": "pass", "f": "fail", "u": "unsure"}
    ratings = [Rating(item(n), rater, words[c]) for rater, text in said.items() for n, c in enumerate(text)]
    ratings += [Rating(item(10 + n, repeats=f"{n:08x}"), "A", words[c]) for n, c in enumerate("pff")]
    rows = {(row["quantity"], row["rater"], row["rater2"]): row for row in own.agreement(ratings, seed=1, draws=50)}
    assert set(rows) == {
        ("cohen_kappa", "A", "B"), ("cohen_kappa", "A", "C"), ("cohen_kappa", "B", "C"), ("fleiss_kappa", "all", ""),
        ("intra_kappa", "A", "A"),
    }  # fmt: skip
    # A and B: po 4/5; A has p 2, f 2, u 1 and B p 3, f 1, u 1: pe (6 + 2 + 1) / 25
    assert rows["cohen_kappa", "A", "B"]["estimate"] == pytest.approx((0.8 - 0.36) / (1 - 0.36))
    assert rows["cohen_kappa", "A", "B"]["observed"] == pytest.approx(0.8)
    # items ppp, ppf, fff, fpf, uup: P = (1 + 1/3 + 1 + 1/3 + 1/3) / 5; shares p 7/15, f 6/15, u 2/15
    alike, chance = 0.6, (49 + 36 + 4) / 225
    assert rows["fleiss_kappa", "all", ""]["observed"] == pytest.approx(alike)
    assert rows["fleiss_kappa", "all", ""]["estimate"] == pytest.approx((alike - chance) / (1 - chance))
    # pp, pf, ff: po 2/3; p 2 f 1 against p 1 f 2: pe 4/9
    assert rows["intra_kappa", "A", "A"]["n"] == 3
    assert rows["intra_kappa", "A", "A"]["estimate"] == pytest.approx((2 / 3 - 4 / 9) / (5 / 9))


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
    assert own.concerns(kind, target, method, image) is hit


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
    (made, _) = own.tables(cohort)
    assert "warning: what was rated changed since in 1 cases; not applied." in made.notes


def test_without_ratings_the_tables_have_no_rows(tmp_path: Path):
    made = own.tables(read_cohort(tmp_path / "raw", write_derivatives(tmp_path), Settings()))
    assert [(one.name, len(one.frame), list(one.notes)) for one in made] == [
        ("group_ratings", 0, []),
        ("group_rating_agreement", 0, []),
    ]
