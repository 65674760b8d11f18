"""The page of all sessions: robust z, states, order, text from files."""

from __future__ import annotations

import copy
import json
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.unit.reports.participant.test_participant_page import Head, Page
from thalbids.reports.participant import sessions_page
from thalbids.reports.participant.sessions_page import SessionEntry, content, page, robust_z


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    head = Head(tmp_path_factory.mktemp("in"))
    head.add("synthalT1w")
    head.add("synthalFLAIR", radius=12.2)
    return head.report().qc


def changed(document: dict[str, Any], factor: float = 1.0, **flags: str) -> dict[str, Any]:
    made = copy.deepcopy(document)
    for key in ("volume_mm3", "volume_left_mm3", "volume_right_mm3"):
        made["Masks"]["synthalT1w"]["measures"][key] *= factor
    for scope, severity in flags.items():
        made["Flags"].append(
            {
                "scope": scope,
                "rule": "brain_volume",
                "severity": severity,
                "value": None,
                "limit": None,
                "reason": "",
                "advice": "",
            }
        )
    return made


def many(document: dict[str, Any], factors: list[float]) -> list[SessionEntry]:
    return [SessionEntry(f"{i:02d}", None, changed(document, f)) for i, f in enumerate(factors)]


def test_robust_z_of_a_known_sample():
    """Median 5, deviations 5 4 3 2 1 0 1 2 3 4 5: MAD 3."""
    usual = [float(x) for x in range(11)]
    assert robust_z([5.0, 14.0, -4.0, None], usual) == [0.0, pytest.approx(2.0235), pytest.approx(-2.0235), None]


def test_robust_z_estimates_the_standard_deviation():
    values = np.random.default_rng(0).normal(10, 2, 20_000)
    got = robust_z([12.0], values.tolist())[0]
    assert got == pytest.approx(1.0, abs=0.05)


def test_no_z_of_few_values_or_without_spread():
    assert robust_z([1.0, 2.0], [1.0] * (sessions_page.MINIMUM - 1)) == [None, None]
    assert robust_z([1.0, 2.0], [1.0] * 50) == [None, None]


def test_the_outlier_is_found_and_named(document):
    factors = [1 + 0.01 * (i % 5) for i in range(20)] + [0.5]
    got = content(many(document, factors))
    last = got["rows"][-1]
    assert last["worst"][0] < -sessions_page.OUTLIER
    assert last["worst"][1].startswith("SynThal T1w: ")
    assert all(abs(row["worst"][0]) < sessions_page.OUTLIER for row in got["rows"][:-1] if row["worst"])
    volume = document["Masks"]["synthalT1w"]["measures"]["volume_mm3"] / 1000
    assert last["masks"]["0"]["cells"][0][0] == round(volume * 0.5, 2)


def test_an_untrusted_mask_does_not_say_what_is_usual(document):
    entries = many(document, [1 + 0.01 * (i % 5) for i in range(12)])
    for entry in entries[:3]:
        entry.document["Masks"]["synthalT1w"]["trusted"] = False
    got = content(entries)
    assert got["methods"][0]["usual"][0][0] == 9
    assert got["rows"][0]["masks"]["0"]["status"] == "do not trust"
    assert len(got["rows"][0]["masks"]["0"]["cells"][0]) == 1  # a value, and no z: 9 are too few


def test_states(document):
    failed = changed(document)
    for mask in failed["Masks"].values():
        mask |= {"measures": None, "status": "failed"}
    part = changed(document)
    part["Masks"]["synthalFLAIR"]["status"] = "excluded"
    made = [
        changed(document), changed(document, brain="check"), changed(document, brain="distrust", icv="check"),
        part, failed, None,
    ]  # fmt: skip
    got = content([SessionEntry(str(i), None, d) for i, d in enumerate(made)])["rows"]
    assert [row["state"] for row in got] == ["ok", "check", "distrust", "incomplete", "failed", "failed"]


def test_visits_that_may_show_another_person_are_counted_and_named(document):
    """No session's own quality control can tell: the state is at least "check", and the flag has the reason."""
    why = "its image does not look like that of ses-1 (correlation in the brain 0.31): the same person?"
    entries = [SessionEntry("1", str(visit), changed(document)) for visit in (1, 2, 3)]
    assert "may show another person" not in Page(page(entries)).text
    doubted = [entries[0], replace(entries[1], doubt=why), replace(entries[2], document=None, doubt=why)]
    data = content(doubted)
    assert [row["state"] for row in data["rows"]] == ["ok", "check", "failed"]
    assert [row["flags"] for row in data["rows"]] == [[], [0], [0]]
    assert data["flags"] == [f"Check: change between visits: {why}"]
    shown = Page(page(doubted)).text
    assert "2 visits may show another person than the first one sub-1 ses-2, sub-1 ses-3." in shown


def test_mirrored_visits_are_not_called_another_person(document):
    why = "its image is the mirror image of that of ses-1, or nearly so: were left and right exchanged?"
    entries = [SessionEntry(person, "2", changed(document), doubt=why, mirrored=True) for person in ("1", "2")]
    shown = Page(page(entries)).text
    assert "2 visits look like mirror images of the first one sub-1 ses-2, sub-2 ses-2." in shown
    assert "The search for “mirror image” lists them with the reason." in shown
    assert "another person" not in shown
    other = SessionEntry(
        "3", "2", changed(document), doubt="its image does not look like that of ses-1: the same person?"
    )
    shown = Page(page([entries[0], other])).text
    assert "1 visit looks like the mirror image of the first one sub-1 ses-2." in shown
    assert "1 visit may show another person than the first one sub-3 ses-2." in shown


def test_methods_stand_in_the_order_of_the_tables_and_unknown_ones_last(document):
    made = changed(document)
    made["Masks"] |= {"aThirdParty": made["Masks"]["synthalT1w"], "freesurfer": made["Masks"]["synthalT1w"]}
    labels = [method["label"] for method in content([SessionEntry("1", None, made)])["methods"]]
    assert labels == ["FreeSurfer", "SynThal T1w", "SynThal FLAIR", "aThirdParty"]


def test_hostile_text_stays_data(document):
    evil = "</script><script>alert(1)</script>"
    made = changed(document, **{evil: "check"})
    made["Masks"][evil] = made["Masks"]["synthalT1w"]
    text = page([SessionEntry("1", evil, made, evil)])
    assert text.count("<script") == 2
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.S).group(1))
    assert data["rows"][0]["name"] == f"sub-1 ses-{evil}"
    Page(text)


def test_the_page_says_how_many_there_are_and_what_the_limits_are(document):
    text = Page(page(many(document, [1.0, 1.1]))).text
    assert "2 sessions of 2 participants" in text
    assert f"at least {sessions_page.MINIMUM} of them" in text
    assert page([])  # nothing there is no error


def test_nothing_is_loaded_from_elsewhere(document):
    text = page(many(document, [1.0]))
    assert not re.search(r"https?://", text)
    assert "url(" not in text


@pytest.mark.parametrize(
    ("scope", "rule", "said"),
    [
        ("image:T2w", "no_t1w", "T2w: no T1w"),
        ("visit:2", "visit_icv", "visit 2: visit icv"),
        ("icv", "icv", "intracranial volume: icv"),
    ],
)
def test_a_flag_in_words(scope: str, rule: str, said: str) -> None:
    assert f"{sessions_page._scope(scope)}: {sessions_page._words(rule)}" == said
