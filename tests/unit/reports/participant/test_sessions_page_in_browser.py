"""The page of all sessions in a browser without network: it sorts, filters, turns pages, and stays quick."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.browser import browser  # noqa: F401
from tests.unit.reports.participant.test_sessions_page import changed, document  # noqa: F401
from thalbids.reports.participant.sessions_page import SessionEntry, page

pytestmark = pytest.mark.slow
NAMES = "[...document.querySelectorAll('tbody th')].map(th => th.innerText)"
CELLS = "[...document.querySelectorAll('tbody tr')].map(tr => Number(tr.children[6].innerText))"


def write(folder: Path, entries: list[SessionEntry]) -> Path:
    path = folder / "qc.html"
    path.write_text(page(entries), "utf-8")
    return path


def choose(tab, selector: str, value: str) -> None:
    tab.evaluate(
        f"(() => {{ const e = document.querySelector('{selector}'); e.value = '{value}';"
        "e.dispatchEvent(new Event('input', {bubbles: true})) })()"
    )


@pytest.fixture
def entries(document) -> list[SessionEntry]:  # noqa: F811
    made = [SessionEntry(f"{i:03d}", None, changed(document, 1 + 0.01 * (i * 7 % 11))) for i in range(120)]
    made[77] = SessionEntry("077", None, changed(document, 0.5, brain="distrust"), page="sub-077.html")
    made[5] = SessionEntry("005", "<b>1</b>", None, "<img src=x onerror='window.evil=1'>")
    return made


def test_it_sorts_filters_and_turns_pages(browser, tmp_path: Path, entries):  # noqa: F811
    tab = browser.open(write(tmp_path, entries))
    assert tab.text("#where") == "1 to 50 of 120 sessions"
    assert tab.evaluate(NAMES)[:2] == ["sub-005 ses-<b>1</b>", "sub-077"]  # the worst state first
    assert tab.evaluate(
        "window.evil === undefined && document.querySelectorAll('#content img, #content b').length === 0"
    )
    tab.click("th[data-key=m0] button")
    rising = tab.evaluate(CELLS)
    assert rising == sorted(rising)
    assert tab.evaluate("document.activeElement.innerText") == "Total mL"
    assert tab.evaluate("document.querySelector('th[data-key=m0]').ariaSort") == "ascending"
    assert tab.evaluate(NAMES)[0] == "sub-077"
    assert tab.evaluate("document.querySelectorAll('tbody tr')[0].children[6].className") == "number out"
    tab.press("Enter")
    falling = tab.evaluate(CELLS)
    assert falling == sorted(falling, reverse=True)
    tab.click("#next")
    tab.click("#next")
    assert tab.text("#where") == "101 to 120 of 120 sessions"
    assert tab.evaluate(NAMES)[-1] == "sub-005 ses-<b>1</b>"  # without a value: last, whichever way
    tab.click("#search")
    tab.type("brain volume")
    assert tab.text("#where") == "1 to 1 of 1 sessions"
    assert tab.evaluate("document.querySelector('tbody a').getAttribute('href')") == "sub-077.html"
    choose(tab, "#search", "")
    choose(tab, "#state", "failed")
    assert tab.evaluate(NAMES) == ["sub-005 ses-<b>1</b>"]
    choose(tab, "#state", "")
    tab.click("#outliers")
    assert tab.evaluate(NAMES) == ["sub-077"]
    choose(tab, "#view", "pictures")
    assert tab.evaluate("document.querySelectorAll('.cards article').length") == 1
    tab.quiet()


def test_two_thousand_sessions_stay_usable(browser, tmp_path: Path, document):  # noqa: F811
    made = [
        SessionEntry(f"{i:04d}", s, changed(document, 1 + 0.001 * (i % 90))) for i in range(1000) for s in ("1", "2")
    ]
    path = write(tmp_path, made)
    assert path.stat().st_size < 6_000_000
    before = time.monotonic()
    tab = browser.open(path)
    assert time.monotonic() - before < 20
    assert tab.text("#where") == "1 to 50 of 2000 sessions"
    took = tab.evaluate(
        "(() => { const t = performance.now(); document.querySelector('th[data-key=m0] button').click();"
        "document.body.offsetHeight; return performance.now() - t })()"
    )
    assert took < 2000  # ms, on a busy machine too
    assert tab.evaluate("document.querySelectorAll('tbody tr').length") == 50
    tab.quiet()


def test_selected_sessions_are_exported(browser, tmp_path: Path, entries):  # noqa: F811
    tab = browser.open(write(tmp_path, entries))
    assert tab.text("#export") == "Export what is listed (TSV)"
    listed = tab.download("#export").splitlines()
    assert len(listed) == 121 and listed[0].startswith("participant_id\tsession_id\tstate\tflags")
    assert listed[1].startswith("sub-005\tses-<b>1</b>\tno result\t<img src=x")
    tab.click("tbody tr:nth-child(2) .pick input")
    tab.click("#next")  # what was ticked stays
    tab.click("tbody tr:nth-child(1) .pick input")
    assert tab.text("#export") == "Export 2 selected (TSV)"
    header, one, two = (line.split("\t") for line in tab.download("#export").splitlines())
    assert sorted((one[0], two[0]))[1] == "sub-077" and len(header) == len(one) == len(two)
    assert float(dict(zip(header, one, strict=True))["Total mL"]) > 0
    tab.click("#none")
    assert tab.text("#export") == "Export what is listed (TSV)"
    assert tab.evaluate("document.querySelectorAll('.pick input:checked').length") == 0
    tab.quiet()


def test_it_opens_on_the_method_that_most_have(browser, tmp_path: Path, document):  # noqa: F811
    few = {**document, "Masks": {"synthalT1w": {**document["Masks"]["synthalT1w"], "measures": None}}}
    other = {**document, "Masks": {"synthalFLAIR": {**document["Masks"]["synthalT1w"]}}}
    tab = browser.open(
        write(tmp_path, [SessionEntry("1", None, few), SessionEntry("2", None, other), SessionEntry("3", None, other)])
    )
    assert tab.evaluate("document.querySelector('#method').selectedOptions[0].innerText") == "SynThal FLAIR (2)"


@pytest.mark.parametrize("width", [900, 1300])
def test_no_main_column_is_cut(browser, tmp_path: Path, entries, width: int):  # noqa: F811
    tab = browser.open(write(tmp_path, entries), width=width)
    assert (
        tab.evaluate("document.querySelector('.scroll').scrollWidth - document.querySelector('.scroll').clientWidth")
        <= 0
    )
    assert tab.evaluate("document.querySelectorAll('thead th[data-key^=m]').length") == 4


@pytest.mark.parametrize("width", [375, 1280])
def test_only_the_table_scrolls_sideways(browser, tmp_path: Path, entries, width: int):  # noqa: F811
    tab = browser.open(write(tmp_path, entries), width=width)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width


def test_names_and_headings_stay_in_sight_while_the_table_scrolls(browser, tmp_path: Path, entries):  # noqa: F811
    tab = browser.open(write(tmp_path, entries), width=600)
    tab.evaluate("(box => { box.style.maxHeight = '120px'; box.scrollTo(100, 60) })(document.querySelector('.scroll'))")
    place = "document.querySelector('{}').getBoundingClientRect()".format
    box, name, head = (place(which) for which in (".scroll", "#content tbody th", "#content thead th"))
    assert tab.evaluate("document.querySelector('.scroll').scrollLeft") == 100
    assert abs(tab.evaluate(f"{name}.left - {box}.left")) < 1
    assert abs(tab.evaluate(f"{head}.top - {box}.top")) < 1
