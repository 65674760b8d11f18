"""The participant's page in a browser without network: viewer, switches, hostile text, narrow screens."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.browser import browser  # noqa: F401
from tests.unit.reports.participant.test_participant_page import Head
from thalbids.reports import Failure, write_report

pytestmark = pytest.mark.slow
EVIL = '<script>window.evil = 1</script>"\'><img src=x onerror="window.evil = 1">=1+1</script>'

# the share of the canvas' pixels that are not black, and of those that are coloured
PIXELS = """new Promise(done => {
  const canvas = document.querySelector(".viewer canvas"), nv = document.querySelector(".viewer").niivue;
  nv.drawScene();
  const gl = nv.gl, n = canvas.width * canvas.height, data = new Uint8Array(4 * n);
  gl.readPixels(0, 0, canvas.width, canvas.height, gl.RGBA, gl.UNSIGNED_BYTE, data);
  let bright = 0, coloured = 0;
  for (let i = 0; i < 4 * n; i += 4) {
    bright += data[i] + data[i + 1] + data[i + 2] > 60;
    coloured += Math.max(data[i], data[i + 1], data[i + 2]) - Math.min(data[i], data[i + 1], data[i + 2]) > 20;
  }
  done([bright / n, coloured / n]);
})"""


@pytest.fixture
def page_file(tmp_path: Path) -> Path:
    head = Head(tmp_path / "in", zoom=3.0)
    head.add("synthalT1w")
    head.add("synthalFLAIR", radius=13.0)
    head.add("synthalT1FLAIR", radius=13.0)
    head.path("FLAIR", (120 - head.t1w).astype(np.float32))
    masks = [replace(mask, label=EVIL) if mask.method == "synthalFLAIR" else mask for mask in head.masks.values()]
    share = head.path("probability", np.clip(head.t1w / head.t1w.max(), 0, 1).astype(np.float32))
    session = replace(
        head.report("1", failures=[Failure(EVIL, EVIL)]), masks=masks, registered={"FLAIR": head.path("FLAIR")},
        links={EVIL: "sub-01/a.json"}, probabilities={"synthalT1w": share},
    )  # fmt: skip
    session = replace(session, qc={**session.qc, "Notes": [EVIL]})
    return write_report(tmp_path / "sub-01.html", "01", [session], {EVIL: {EVIL: EVIL}})[0]


def test_the_viewer_draws_what_is_ticked(browser, page_file: Path):  # noqa: F811
    page = browser.open(page_file)
    assert page.evaluate("typeof niivue.Niivue") == "undefined"  # only the element of that id, nothing unpacked yet
    page.click(".viewer button")
    page.wait("document.querySelector('.viewer').dataset.state === 'open'")
    bright, coloured = page.evaluate(PIXELS)
    assert bright > 0.1
    assert coloured > 0.01
    page.click(".viewer .masks input:checked")  # the only mask that is shown at first: one that no other contradicts
    page.wait("document.querySelector('.viewer').niivue.volumes.length === 1")
    bright, none = page.evaluate(PIXELS)
    assert bright > 0.1
    assert none < coloured / 5
    page.click(".viewer input[value='1']")  # the FLAIR
    page.wait("document.querySelector('.viewer').niivue.volumes[0].name === 'FLAIR.nii.gz'")
    assert page.evaluate(PIXELS)[0] > 0.1
    page.quiet()


def test_the_viewer_obeys_the_keyboard_and_shows_six_letters(browser, page_file: Path):  # noqa: F811
    page = browser.open(page_file)
    page.click(".viewer button")
    page.wait("document.querySelector('.viewer').dataset.state === 'open'")
    nv = "document.querySelector('.viewer').niivue"
    assert page.evaluate(f"{nv}.opts.showAllOrientationMarkers && {nv}.opts.isOrientationTextVisible")
    page.evaluate("document.querySelector('.stage').focus()")
    place = f"[...{nv}.frac2vox({nv}.scene.crosshairPos)]"
    before = page.evaluate(place)
    page.press("ArrowRight", "ArrowUp", "ArrowUp")
    assert [round(b - a) for a, b in zip(before, page.evaluate(place), strict=True)] == [1, 2, 0]
    ticked = "[...document.querySelectorAll('.viewer .masks input')].map(i => i.checked)"
    shown = page.evaluate(ticked)
    page.press("m")
    page.wait(f"{nv}.volumes.length === 1")
    assert not any(page.evaluate(ticked))
    page.press("m")
    assert page.evaluate(ticked) == shown
    other = shown.index(False) + 1
    page.press(str(other))
    page.wait(f"{nv}.volumes.length === {sum(shown) + 2}")
    page.press("-")
    assert page.evaluate("document.querySelector('.opacity').value") == "0.3"
    page.wait(f"Math.abs({nv}.volumes[1].opacity - 0.3) < 0.01")
    page.quiet()


def test_a_probability_map_is_a_layer_with_an_opacity_of_its_own(browser, page_file: Path):  # noqa: F811
    page = browser.open(page_file)
    page.click(".viewer button")
    page.wait("document.querySelector('.viewer').dataset.state === 'open'")
    nv = "document.querySelector('.viewer').niivue"
    page.click(".viewer .masks input:checked")
    page.wait(f"{nv}.volumes.length === 1")
    before = page.evaluate(PIXELS)[1]
    page.click(".viewer .maps input[type=checkbox]")
    page.wait(f"{nv}.volumes.length === 2")
    assert page.evaluate(f"{nv}.volumes[1].colormap") == "inferno"
    assert page.evaluate(PIXELS)[1] > before + 0.01
    page.evaluate("(s => { s.value = 0; s.dispatchEvent(new Event('input')) })(document.querySelector('.opacity2'))")
    page.wait(f"{nv}.volumes[1].opacity === 0")
    assert page.evaluate(PIXELS)[1] == pytest.approx(before, abs=0.002)
    assert "no maps of local change" in page.text(".viewer")
    page.quiet()


def test_without_webgl2_the_page_says_so_and_keeps_its_pictures(browser, page_file: Path):  # noqa: F811
    page = browser.open(page_file)
    page.evaluate("HTMLCanvasElement.prototype.getContext = () => null")
    page.click(".viewer button")
    page.wait("document.querySelector('.viewer').dataset.state === 'failed'")
    assert "no WebGL2" in page.text(".viewer")
    assert page.evaluate("document.querySelectorAll('svg[role=img]').length") == 9 + 9 + 3 + 12
    page.quiet()


def test_hostile_text_is_text(browser, page_file: Path):  # noqa: F811
    page = browser.open(page_file)
    page.click(".viewer button")
    page.wait("document.querySelector('.viewer').dataset.state === 'open'")
    assert page.evaluate("window.evil === undefined && document.querySelectorAll('img').length === 0")
    assert page.text().count("onerror") >= 6
    page.quiet()


def test_without_scripts_the_page_is_whole(browser, page_file: Path):  # noqa: F811
    page = browser.open(page_file, scripts=False)
    assert page.evaluate("getComputedStyle(document.querySelector('.viewer')).display") == "none"
    assert "needs JavaScript" in page.text()


@pytest.mark.parametrize("width", [375, 1280])
def test_nothing_sticks_out(browser, page_file: Path, width: int):  # noqa: F811
    page = browser.open(page_file, width=width)
    page.click(".viewer button")
    page.wait("document.querySelector('.viewer').dataset.state === 'open'")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_unticking_hides_an_outline(browser, page_file: Path):  # noqa: F811
    page = browser.open(page_file)
    shown = "[...document.querySelectorAll('g.s0m0')].filter(g => getComputedStyle(g).display !== 'none').length"
    before = page.evaluate(shown)
    assert before > 3
    page.click("#s0m0")
    assert page.evaluate(shown) == 0
