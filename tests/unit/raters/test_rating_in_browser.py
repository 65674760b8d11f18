"""Ten items rated by keyboard in a browser without network; what it saves is read back by the group level."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.browser import browser  # noqa: F401
from tests.rated import write_derivatives
from thalbids.files import read_table
from thalbids.group.run import group
from thalbids.raters import effect, rating_page
from thalbids.raters.ratings import DICTIONARY, read_ratings
from thalbids.settings import Inputs, Ratings, Settings

pytestmark = pytest.mark.slow
HOSTILE = "=HYPERLINK(\"http://x\")\t<img src=x onerror='window.evil=1'>\nü 'q' \u2028end"
STARTED = "!document.querySelector('main').hidden"
WHERE = "document.querySelector('#where').innerText"


@pytest.fixture(scope="module")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> rating_page.Made:
    """Nine items and one of them twice."""
    root = tmp_path_factory.mktemp("browser")
    out = write_derivatives(root, [("01", "1"), ("02", "1")])
    return rating_page.write(out, root / "page.html", seed=11, sample=9)


def start(browser, made: rating_page.Made, rater: str, width: int = 1280):  # noqa: F811
    tab = browser.open(made.page, width=width)
    tab.type(rater)  # the field has the focus
    tab.press("Enter")
    tab.wait(STARTED)
    return tab


def saved(browser, folder: Path, press) -> str:  # noqa: F811
    """The text of the file that keys save."""
    folder.mkdir()
    browser.call("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(folder)})
    press()
    until = time.monotonic() + 20
    while time.monotonic() < until:
        found = [path for path in folder.iterdir() if not path.name.endswith(".crdownload")]
        if found and found[0].stat().st_size:
            return found[0].read_text("utf-8")
        browser.pump(0.1)
    raise AssertionError("nothing was saved")


def test_ten_items_by_keyboard_and_back(browser, pattern: rating_page.Made, tmp_path: Path):  # noqa: F811
    out = pattern.page.parent / "out"
    tab = start(browser, pattern, "Ä=B \u202e")
    items = tab.evaluate("JSON.parse(document.getElementById('about').textContent).items")
    assert len(items) == 10
    assert tab.text("#where") == "1 of 10"
    tab.press("f", "1", "2", "2", "o")  # a reason on; another on and off; and one in own words
    tab.type("blur; <b>")
    tab.press("Escape", "c")
    tab.type(HOSTILE)
    tab.press("Escape", "Enter")
    assert tab.text("#where") == "2 of 10"
    tab.press("u", "Enter", "p")  # pass goes on by itself
    tab.press("ArrowLeft", "ArrowLeft", "ArrowRight")
    assert tab.text("#where") == "3 of 10"
    tab.press("f", "x", "e", "z", "z", "e")  # taken back, so open again
    assert tab.text("#done") == "2 rated"
    tab.press("n", *"ppppppp")
    assert tab.text("#done") == "9 rated"
    tab.press("n")
    assert tab.text("#where") == "3 of 10"
    tab.press("p", "n")  # all are rated: it offers to save
    tab.wait("document.querySelector('#export').open")
    assert tab.text("#left") == "All 10 pictures are rated."
    text = saved(browser, tmp_path / "tsv", lambda: tab.press("Enter"))
    (table,) = (tmp_path / "tsv").iterdir()
    assert table.suffix == ".tsv"
    assert [line.count("\t") for line in text.splitlines()] == [5] * 11
    described = json.loads(saved(browser, tmp_path / "json", lambda: tab.press("Tab", "Enter")))
    assert described == DICTIONARY
    assert tab.evaluate("window.evil === undefined")
    tab.quiet()

    ratings = read_ratings(out, [table])
    assert [r.item.identifier for r in ratings] == [name for name, _ in items]
    assert [r.rating for r in ratings] == ["fail", "unsure", *["pass"] * 8]
    reasons = tab.evaluate("JSON.parse(document.getElementById('about').textContent).reasons")
    assert ratings[0].reason == f"{reasons[items[0][1]][0]}; blur; <b>"
    assert ratings[0].comment == "=HYPERLINK(\"http://x\") <img src=x onerror='window.evil=1'> ü 'q' end"
    assert ratings[0].rater == "Ä=B \u202e"

    failed = ratings[0].item
    settings = Settings(ratings=Ratings(files=(table,)), inputs=Inputs(skip_bids_validation=True))
    assert group(out.parent / "raw", out, settings) == 0
    rows = read_table(out / "group_ratings.tsv")
    assert len(rows) == 10
    assert sum(row["showing"] == "repeat" for row in rows) == 1
    (hit,) = [row for row in rows if row["rating"] == "fail"]
    assert (hit["participant_id"], hit["target"], hit["standing"]) == (failed.participant_id, failed.target, "current")
    excluded = [row for row in read_table(out / "group_volumes.tsv") if row["status"] == "excluded"]
    assert excluded
    assert {row["participant_id"] for row in excluded} == {failed.participant_id}
    _, notes = effect.verdicts_on((), out, settings.ratings)
    assert notes == ["ratings: 9 things were rated, 1 failed, 0 of them of this run."]


def test_progress_is_kept_per_rater_and_lost_nowhere(browser, pattern: rating_page.Made):  # noqa: F811
    tab = start(browser, pattern, "one")
    tab.press("p", "f", "c")
    tab.type("half a thought")
    tab.go(pattern.page)
    tab.type("one")
    tab.press("Enter")
    tab.wait(STARTED)
    assert (tab.text("#where"), tab.text("#done")) == ("2 of 10", "2 rated")
    assert tab.evaluate("document.querySelector('#comment').value") == "half a thought"
    tab.quiet()
    tab.close()
    other = start(browser, pattern, "two")
    assert other.text("#done") == "0 rated"
    other.close()


def test_a_browser_that_keeps_nothing_says_so(browser, pattern: rating_page.Made):  # noqa: F811
    tab = browser.open("about:blank")
    tab.call(
        "Page.addScriptToEvaluateOnNewDocument",
        {"source": "Object.defineProperty(window, 'localStorage', {get() { throw new DOMException('no') }})"},
    )
    tab.go(pattern.page)
    tab.type("x")
    tab.press("Enter")
    tab.wait(STARTED)
    assert "does not keep your progress" in tab.text("#said")
    tab.press("p")
    assert tab.text("#done") == "1 rated"
    tab.quiet()


def test_a_phone_shows_everything_by_touch(browser, pattern: rating_page.Made):  # noqa: F811
    tab = start(browser, pattern, "phone", width=375)
    assert tab.evaluate("document.documentElement.scrollWidth") == 375
    tab.click("[data-rating=fail]")
    tab.click("#reasons button")
    assert tab.evaluate("document.querySelector('#reasons button').getAttribute('aria-pressed')") == "true"
    tab.click("#next")
    assert tab.evaluate(WHERE) == "2 of 10"
    assert tab.evaluate(
        "[...document.querySelectorAll('main button')].filter(b => b.offsetParent)"
        ".every(b => b.offsetHeight >= 34 && b.offsetWidth >= 34)"
    )
    tab.quiet()
    tab.close()
