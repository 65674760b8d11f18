"""Every page in a real browser without network: wide, narrow, dark, printed. Nothing sticks out, nothing is cut,
nothing lies over anything else, text can be read, the console is silent, every link leads somewhere. Skipped
where there is no Chromium (tests/browser.py).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import layout
from tests.browser import Browser, Page, browser  # noqa: F401
from tests.rated import write_derivatives
from tests.unit.reports.participant.test_participant_page import Head
from thalbids import demo_cohort
from thalbids.cli.main import main
from thalbids.files import write_json
from thalbids.raters import rating_page
from thalbids.reports import Failure, write_report
from thalbids.reports.participant.sessions_page import SessionEntry
from thalbids.reports.participant.sessions_page import page as sessions_page

pytestmark = pytest.mark.slow
WAYS = [
    (1280, "light", ""),
    (900, "light", ""),
    (375, "light", ""),
    (1280, "dark", ""),
    (900, "dark", ""),
    (700, "light", "print"),  # a page of A4 between its margins
]
PAGES = ("participant", "qc", "group", "rating")

# text whose contrast with what is behind it is below 4.5 (WCAG 2.1, AA)
FAINT = """(() => {
  const parse = text => (text.match(/[0-9.]+/g) ?? []).map(Number);
  const light = rgb => {
    const linear = v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    const [r, g, b] = rgb.slice(0, 3).map(v => linear(v / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = e => {
    for (let at = e; at; at = at.parentElement) {
      const look = getComputedStyle(at);
      if (look.backgroundImage !== "none") return null;
      const rgba = parse(look.backgroundColor);
      if (rgba.length === 3 || rgba[3] > 0.99) return rgba;
    }
    return [255, 255, 255];
  };
  const faint = [];
  for (const e of document.querySelectorAll("body *")) {
    if (e.closest("svg, script, style, noscript, button:disabled, select, option")) continue;
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())) continue;
    const back = behind(e);
    if (!back) continue;
    const [one, two] = [light(parse(getComputedStyle(e).color)), light(back)].sort((a, b) => b - a);
    if ((one + 0.05) / (two + 0.05) < 4.5) faint.push(e.outerHTML.slice(0, 120));
  }
  return faint;
})()"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A participant with a bad mask, a failed image and a change; the page of all sessions; a cohort's group level."""
    folder = tmp_path_factory.mktemp("pages")
    head = Head(folder / "in", zoom=3.0)
    head.add("synthalT1w")
    head.add("synthalFLAIR", radius=13.0)
    head.add("first", shift=(25.0, 0, 0))
    head.path("FLAIR", (120 - head.t1w).astype(np.float32))
    missing = [Failure("R1 map", "there is no R1 map in sub-01/ses-1/anat, and no raw images to make one from.")]
    visits = [head.report(label, failures=missing) for label in ("1", "2")]
    visits = [replace(visit, registered={"FLAIR": head.path("FLAIR")}) for visit in visits]
    change = {
        "session_id_baseline": "ses-1", "session_id_followup": "ses-2", "interval_years": "1.0", "method": "synthalT1w",
        "measure": "volume_difference", "volume_baseline_ml": "12.0", "delta_percent": "-2.0",
        "delta_percent_low": "-3.5", "delta_percent_high": "-0.5", "comparable": "yes", "status": "ok",
    }  # fmt: skip
    provenance = {"Versions": {"thalbids": "1.0"}, "Settings": {f"setting {i}": "a value" for i in range(20)}}
    files = write_report(folder / "sub-01.html", "01", visits, provenance, [change])
    for name in ("sub-01/qc.json", "sub-01/anat/sub-01_desc-change_morph.tsv"):
        write_json(folder / name, {})
    picture = "sub-01/figures/sub-01_ses-1_desc-thumbnail_thalamus.svg"
    assert folder / picture in files
    entries = [SessionEntry(f"{i:02d}", "1", visits[0].qc, page="sub-01.html", thumbnail=picture) for i in range(60)]
    (folder / "qc.html").write_text(sessions_page(entries), encoding="utf-8")
    list(demo_cohort.write_cohort(folder / "cohort"))
    assert main(demo_cohort.command(folder / "cohort")) == 0
    group = folder / "cohort" / "derivatives" / "thalbids" / "group.html"
    rating = rating_page.write(write_derivatives(folder / "rated"), folder / "rating.html", seed=1, sample=4)
    return {"participant": files[0], "qc": folder / "qc.html", "group": group, "rating": rating.page}


def opened(browser: Browser, path: Path, width: int, scheme: str, media: str) -> Page:  # noqa: F811
    page = browser.open(path, width=width)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    page.call("Emulation.setEmulatedMedia", {"media": media, "features": features})
    browser.pump(0.3)
    return page


@pytest.mark.parametrize(("width", "scheme", "media"), WAYS)
@pytest.mark.parametrize("name", PAGES)
def test_every_page_is_whole(
    browser: Browser,  # noqa: F811
    pages: dict[str, Path],
    name: str,
    width: int,
    scheme: str,
    media: str,
) -> None:
    page = opened(browser, pages[name], width, scheme, media)
    sticks_out = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert sticks_out <= 0
    assert layout.covered(page) == [] and layout.cut(page, printed=media == "print") == []
    assert page.evaluate(FAINT) == []
    if media == "print":
        folded = page.evaluate("[...document.querySelectorAll('main details')].filter(d => d.offsetHeight < 40).length")
        assert folded == 0  # what is folded on the screen is printed
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    assert layout.covered(page) == [] and layout.cut(page, printed=media == "print") == []
    page.quiet()
    page.close()


@pytest.mark.parametrize(
    ("style", "covers", "cuts"),
    [
        ("h2 { margin-bottom: -30px }", True, False),
        (".charts { margin-top: -40px }", True, False),
        (".card h2 { position: absolute; left: 10px }", True, False),
        ("#brief .quiet { width: 60px; overflow: hidden; white-space: nowrap }", False, True),
        ("#brief p { height: 8px; overflow: hidden }", False, True),
        (".charts text { font-size: 60px }", True, True),
        (".scroll { width: 300px; overflow-x: auto }", False, True),
    ],
)
def test_a_page_that_is_broken_is_found(
    browser: Browser,  # noqa: F811
    pages: dict[str, Path],
    style: str,
    covers: bool,
    cuts: bool,
) -> None:
    page = opened(browser, pages["participant"], 900, "light", "")
    page.evaluate(f"document.head.append(Object.assign(document.createElement('style'), {{textContent: {style!r}}}))")
    assert bool(layout.covered(page)) == covers
    assert bool(layout.cut(page, printed=True)) == cuts
    page.close()


def test_words_of_figures_lie_beside_each_other(browser: Browser, pages: dict[str, Path]) -> None:  # noqa: F811
    figures = [
        *(pages["group"].parent / "group_figures").glob("*.svg"),
        *pages["participant"].parent.glob("*/figures/*.svg"),
    ]
    assert len(figures) > 25
    for figure in figures:
        page = browser.open(figure)
        assert page.evaluate("document.querySelector('text, path') !== null")
        assert (layout.covered(page), layout.cut(page)) == ([], []), figure.name
        page.close()


@pytest.mark.parametrize("name", PAGES[:-1])  # a page for raters leads nowhere
def test_every_link_leads_somewhere(browser: Browser, pages: dict[str, Path], name: str) -> None:  # noqa: F811
    page = opened(browser, pages[name], 1280, "light", "")
    found = (
        "[...document.querySelectorAll('a[href], img[src]')].map(a => a.getAttribute('href') ?? a.getAttribute('src'))"
    )
    links: list[Any] = page.evaluate(found)
    assert len(links) > 5
    for link in dict.fromkeys(links):
        if link.startswith("#"):
            assert page.evaluate(f"document.getElementById({link[1:]!r}) !== null"), link
        elif not link.startswith(("https://doi.org/", "data:")):
            assert (pages[name].parent / link).is_file(), link
    page.close()


def test_the_first_screen_of_a_participant_says_it_all(browser: Browser, pages: dict[str, Path]) -> None:  # noqa: F811
    page = opened(browser, pages["participant"], 1280, "light", "")
    brief = page.text("#brief")
    for said in ("Session 1", "Session 2", "SynThal", "mL", "\N{MINUS SIGN}2.0 % at the last visit", "more than noise",
                 "In every session: R1 map"):  # fmt: skip
        assert said in brief, said
    assert brief.count("there is no R1 map") == 1 and page.text("main").count("there is no R1 map") == 1
    bottom = page.evaluate("document.querySelector('#brief .trend').getBoundingClientRect().bottom")
    assert bottom < 1300  # of two sessions with flags
    page.close()
