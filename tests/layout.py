"""What lies over what on a page, and what is cut off, as a browser lays it out.

    assert layout.covered(page) == [] and layout.cut(page) == []

Both give a line for each finding, with the words concerned, and see what a reader sees: folded parts, what is scrolled
out of sight and what is transparent count for nothing. They also work on SVG files that are opened by themselves.
"""

from __future__ import annotations

from tests.browser import Page

LARGEST = 2.0  # CSS pixels by which boxes may overlap: letters do not fill their boxes

# every line of text that is seen: its words, its element, its box (cut to what its ancestors let through)
_LINES = """
const seen = e => e.checkVisibility({visibilityProperty: true, opacityProperty: true});
const within = (e, box) => {
  for (let at = e; at && at !== document.body && at !== document.documentElement; at = at.parentElement) {
    if (at.closest("svg") && at.tagName !== "svg") continue;
    const look = getComputedStyle(at);
    if (look.overflowX === "visible" && look.overflowY === "visible") continue;
    const edge = at.getBoundingClientRect();
    box = {left: Math.max(box.left, edge.left), right: Math.min(box.right, edge.right),
           top: Math.max(box.top, edge.top), bottom: Math.min(box.bottom, edge.bottom)};
  }
  return box;
};
const lines = () => {
  const found = [], root = document.body ?? document.documentElement;
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode, e = node.parentElement;
    const none = "script, style, noscript, option, title, desc, defs, metadata";
    if (!node.textContent.trim() || e.closest(none) || !seen(e)) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const turned = e.closest("svg") && Math.abs(e.getScreenCTM?.()?.b ?? 0) > 0.01;  // its box is no box of a line
    for (const box of turned ? [e.getBoundingClientRect()] : range.getClientRects()) {
      if (box.width < 1 || box.height < 1) continue;
      const slack = turned ? 0 : 0.15 * box.height;  // the letters' ascent and descent are rarely used
      found.push({e, words: node.textContent.trim().slice(0, 60), whole: box,
        box: {left: box.left, right: box.right, top: box.top + slack, bottom: box.bottom - slack}});
    }
  }
  return found;
};
"""

_COVERED = (
    "(() => {"
    + _LINES
    + """
const boxes = lines().map(line => ({...line, box: within(line.e, line.box), text: true}));
for (const e of document.querySelectorAll("img, canvas, body svg")) {
  if (!seen(e) || e.parentElement?.closest("svg") || e.closest("noscript")) continue;
  const alt = (e.getAttribute("alt") ?? e.getAttribute("aria-label") ?? "").slice(0, 40);
  boxes.push({e, words: `<${e.tagName} ${alt}>`,
    box: within(e.parentElement, e.getBoundingClientRect()), text: false});
}
const there = boxes.filter(b => b.box.right > b.box.left && b.box.bottom > b.box.top);
there.sort((a, b) => a.box.top - b.box.top);
const found = [];
let open = [];
for (const one of there) {
  open = open.filter(other => other.box.bottom > one.box.top + LARGEST);
  for (const other of open) {
    if (Math.min(one.box.right, other.box.right) - Math.max(one.box.left, other.box.left) <= LARGEST) continue;
    if (Math.min(one.box.bottom, other.box.bottom) - one.box.top <= LARGEST) continue;
    const [a, b] = [one.e.getBoundingClientRect(), other.e.getBoundingClientRect()];
    const rim = one.words === other.words && Math.hypot(a.left - b.left, a.top - b.top) < 1;  // of the same letters
    if (rim) continue;
    if ((!one.text && one.e.contains(other.e)) || (!other.text && other.e.contains(one.e))) continue;
    found.push(other.words + " | " + one.words);
  }
  open.push(one);
}
return found.slice(0, 20);
})()"""
).replace("LARGEST", str(LARGEST))

_CUT = (
    "(() => {"
    + _LINES
    + """
const found = [];
for (const {e, words, whole} of lines()) {
  const svg = e.closest("svg")?.closest("svg");
  let top = svg;
  while (top?.parentElement?.closest("svg")) top = top.parentElement.closest("svg");
  if (top) {
    const edge = top.getBoundingClientRect();
    if (whole.left < edge.left - LARGEST || whole.right > edge.right + LARGEST || whole.top < edge.top - LARGEST
        || whole.bottom > edge.bottom + LARGEST) found.push("beyond its picture: " + words);
  }
}
for (const e of document.querySelectorAll("body *")) {
  if (e.closest("svg, select") || !seen(e) || !e.innerText?.trim()) continue;
  const look = getComputedStyle(e), hides = way => ["hidden", "clip"].includes(way);
  const scrolls = PRINTED && ["auto", "scroll"].includes(look.overflowX);  // paper cannot be scrolled
  const [wide, tall] = [e.scrollWidth > e.clientWidth + 1, e.scrollHeight > e.clientHeight + 1];
  if ((hides(look.overflowX) || scrolls) && wide) found.push("cut at the side: " + e.outerHTML.slice(0, 120));
  if (hides(look.overflowY) && tall) found.push("cut below: " + e.outerHTML.slice(0, 120));
}
return found.slice(0, 20);
})()"""
).replace("LARGEST", str(LARGEST))


def covered(page: Page) -> list[str]:
    """Text that lies over other text or over a picture, and pictures that lie over each other: "one | other"."""
    found: list[str] = page.evaluate(_COVERED)
    return found


def cut(page: Page, *, printed: bool = False) -> list[str]:
    """Text that sticks out of its picture or of an element that hides it; ``printed``: or that must be scrolled to."""
    found: list[str] = page.evaluate(_CUT.replace("PRINTED", "true" if printed else "false"))
    return found
