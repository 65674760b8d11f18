"""Makes the pictures of these pages again, from the demo and its simulated cohort.

    python docs/pictures.py FOLDER

FOLDER gets the demo, unless it is there from an earlier run (it takes minutes). Needs Chromium and the extras "demo"
and "test". Nothing in the pictures is of a real person: the demo is made from the MNI152 template, its cohort of random
numbers. Look at each picture afterwards, and at the pages that show it.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.browser import Browser, Page

IMAGES = Path(__file__).parent / "images"
LARGEST = 150_000  # bytes of a picture


@dataclass(frozen=True)
class Shot:
    """A picture of a page: from the top of one element to the bottom of another, in a window of some width.

    An element is a CSS selector, or ``=Words`` for the heading that begins so (``=Words@2``: the second of them); a
    heading as the end is not in the picture.
    """

    name: str
    page: str
    first: str
    last: str = ""
    width: int = 940
    tallest: int = 1500
    before: Callable[[Page], None] | None = None


def open_viewer(page: Page) -> None:
    """Press the button and wait until the volumes are drawn."""
    page.click(".viewer button")
    page.wait("document.querySelector('.viewer canvas')", timeout=120)
    page.browser.pump(5)


def start_rating(page: Page) -> None:
    """Give a name, and fail the first picture."""
    page.click("#rater")
    page.type("AB")
    page.press("Enter")
    page.browser.pump(1)
    page.press("n")
    page.press("f")
    page.browser.pump(0.5)


PERSON, COHORT = "demo/derivatives/thalbids/sub-02.html", "demo/cohort/derivatives/thalbids/group.html"
SHOTS = (
    Shot("participant-brief", PERSON, "header", "#brief"),
    Shot("participant-volumes", PERSON, "#s0", ".session .legend"),
    Shot("participant-masks", PERSON, "=Thalamus masks on", "=Ensembles on", 720),
    Shot("participant-ensembles", PERSON, "=Ensembles on", "=Whole head", 720),
    Shot("participant-head", PERSON, "=Whole head", "=FLAIR on", 940),
    Shot("participant-flair", PERSON, "=FLAIR on", "=R1 map on", 720),
    Shot("participant-r1", PERSON, "=R1 before", "=Quantitative maps"),
    Shot("participant-viewer", PERSON, "=Interactive viewer", "=Acquisition", before=open_viewer),
    Shot("participant-registration", PERSON, "=Registration to", "=Intracranial volume"),
    Shot("participant-change", PERSON, "=Change since", "=Thalamus masks on@2"),
    Shot("qc", "demo/derivatives/thalbids/qc.html", "h1", "#content", 1240),
    Shot("rating", "demo/rating.html", "main", "", 1180, before=start_rating),
    Shot("group-people", COHORT, "h1", "=To keep in mind", 1100),
)
FIGURES = {"overlap": "overlap_manual", "bland_altman": "bland_altman_manual"} | {
    name: name for name in ("containment", "change", "crosssectional", "longitudinal", "pbvc", "samplesize")
}
WIDEST = 1000  # pixels of a figure


def main() -> None:
    """Make what is missing in FOLDER, then every picture, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these pictures")
    arguments = parser.parse_args()
    make_demo(arguments.folder / "demo")
    IMAGES.mkdir(exist_ok=True)
    browser = Browser()
    makers: dict[str, Callable[[], Image.Image]] = {
        **{shot.name: partial(take, browser, shot, arguments.folder) for shot in SHOTS},
        **{f"group-{name}": partial(figure, arguments.folder, file) for name, file in FIGURES.items()},
        "images": partial(images, arguments.folder / "demo" / "derivatives" / "thalbids"),
        "maps": partial(maps, arguments.folder / "demo" / "derivatives" / "thalbids"),
    }
    try:
        for name, make in makers.items():
            if not arguments.only or name in arguments.only:
                print(f"{name}: {write(name, make()) / 1000:.0f} kB", flush=True)
    finally:
        browser.close()


def thalbids(*words: object) -> None:
    """Run the command; an error ends this."""
    subprocess.run([sys.executable, "-m", "thalbids", *map(str, words)], check=True)


def make_demo(folder: Path) -> None:
    """The demo, registered to the template that it is made from, and a page for raters."""
    out = folder / "derivatives" / "thalbids"
    if not (out / "group_maps.tsv").is_file():
        from nilearn.datasets import load_mni152_template

        folder.parent.mkdir(parents=True, exist_ok=True)
        template = (folder.parent / "template.nii.gz").resolve()
        load_mni152_template(resolution=1).to_filename(template)
        settings = folder.parent / "demo.toml"
        settings.write_text(f'[template]\nname = "MNI152={template}"\n', encoding="utf-8")
        thalbids("demo", folder, "--config", settings)
        thalbids(folder / "raw", out, "group")  # the mean masks in the space of the template
    if not (folder / "rating.html").is_file():
        thalbids("rate", out, "-o", folder / "rating.html", "--seed", 1)


def take(browser: Browser, shot: Shot, folder: Path) -> Image.Image:
    """The picture of a page."""
    page = browser.open(folder / shot.page, width=shot.width)
    page.evaluate("document.querySelectorAll('main details').forEach(d => { d.open = true })")
    if shot.before is not None:
        shot.before(page)
    browser.pump(0.5)
    with tempfile.TemporaryDirectory() as temporary:
        png = page.screenshot(Path(temporary) / "page.png", clip=box(page, shot))
        picture = Image.open(io.BytesIO(png.read_bytes())).convert("RGB")
    page.quiet()
    page.close()
    return picture


def box(page: Page, shot: Shot) -> tuple[float, float, float, float]:
    """What to cut out of the page, in CSS pixels: x, y, width and height."""
    edges = [page.evaluate(f"({EDGES})({json.dumps(element)})") for element in (shot.first, shot.last or shot.first)]
    if None in edges:
        raise SystemExit(f"{shot.name}: {shot.first} or {shot.last} is not on {shot.page}")
    top = max(0.0, edges[0][0] - 8)
    bottom = edges[1][0] - 8 if shot.last.startswith("=") else edges[1][1] + 8
    return 0, top, shot.width, min(bottom - top, shot.tallest)


EDGES = """element => {
  let found = document.querySelector(element.startsWith("=") ? "body" : element)
  if (element.startsWith("=")) {
    const [words, number] = element.slice(1).split("@")
    const headings = [...document.querySelectorAll("h2, h3, h4, summary")]
    found = headings.filter(h => h.innerText.startsWith(words))[(number || 1) - 1]
  }
  if (!found) return null
  const edges = found.getBoundingClientRect()
  return [edges.top + scrollY, edges.bottom + scrollY]
}"""


def figure(folder: Path, name: str) -> Image.Image:
    """A figure of the cohort's group level."""
    figures = (folder / COHORT).parent / "group_figures"
    picture = Image.open(figures / f"{name}.png").convert("RGB")
    picture.thumbnail((WIDEST, 4 * WIDEST), Image.Resampling.LANCZOS)
    return picture


def images(out: Path) -> Image.Image:
    """Slices through the images that are written for one session."""
    stem = out / "sub-02" / "ses-1" / "anat" / "sub-02_ses-1_"
    files = {name: nib.load(f"{stem}{name}.nii.gz") for name in ("desc-reoriented_T1w", *OVERLAYS, *OTHERS)}
    t1w = np.asarray(files["desc-reoriented_T1w"].dataobj)
    labels = np.asarray(files[next(iter(OVERLAYS))].dataobj)
    z = int(np.median(np.argwhere(labels)[:, 2]))
    panels = [("desc-reoriented_T1w", t1w, None)]
    panels += [(name, np.asarray(files[name].dataobj), None) for name in OTHERS]
    panels += [(name, t1w, (np.asarray(files[name].dataobj, dtype=float), kind)) for name, kind in OVERLAYS.items()]
    return drawn(
        [(name.replace("_", "_\n", 1), slice_of(a, z), o and (slice_of(o[0], z), o[1])) for name, a, o in panels]
    )


OTHERS = ("space-T1w_desc-preproc_FLAIR", "space-T1w_desc-scaled_R1map")
OVERLAYS = {
    "space-T1w_seg-thalamus_desc-synthalT1w_dseg": "tab10",
    "space-T1w_label-thalamus_desc-synthalT1w_probseg": "inferno",
    "desc-brain_mask": "Blues_r",
}


def maps(out: Path) -> Image.Image:
    """The mean mask of the demo in the space of the template."""
    mean = nib.load(next((out / "group_maps").glob("*_method-synthalT1w_map-mean.nii.gz")))
    shares = np.asarray(mean.dataobj, dtype=float)
    from thalbids.image.grids import resample_to

    template = resample_to(nib.load(out.parents[2] / "template.nii.gz"), mean)
    background = np.asarray(template.dataobj)
    middle = [int(v) for v in np.median(np.argwhere(shares > 0.5), axis=0)]
    return drawn(
        [
            (f"z index {z}", slice_of(background, z), (slice_of(shares, z), "inferno"))
            for z in range(middle[2] - 6, middle[2] + 7, 6)
        ]
    )


def slice_of(data: np.ndarray, z: int) -> np.ndarray:
    """An axial slice of an image in RAS order, anterior up, the left of the person on the left."""
    return np.asarray(data)[:, ::-1, z].T


def drawn(panels: list[tuple[str, np.ndarray, tuple[np.ndarray, str] | None]]) -> Image.Image:
    """Slices beside each other, three in a row, each with a title and what lies over it."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    rows = -(-len(panels) // 3)
    made, axes = plt.subplots(rows, 3, figsize=(9, 3.6 * rows), dpi=100, layout="constrained", squeeze=False)
    for ax, (title, background, over) in zip(axes.flat, panels, strict=False):
        ax.imshow(background, cmap="gray", vmax=np.percentile(background, 99.8))
        if over is not None:
            data, colours = over
            ax.imshow(np.ma.masked_less(data, 0.02), cmap=colours, alpha=0.6, interpolation="nearest")
        ax.set_title(title, fontsize=8, family="monospace")
        ax.axis("off")
    with io.BytesIO() as buffer:
        made.savefig(buffer, format="png")
        plt.close(made)
        return Image.open(buffer).convert("RGB")


def write(name: str, picture: Image.Image) -> int:
    """Write a picture, as small as it must be; gives its size in bytes."""
    path = IMAGES / f"{name}.webp"
    for quality in (75, 65, 50, 35):
        picture.save(path, quality=quality, method=6)
        if path.stat().st_size <= LARGEST:
            return path.stat().st_size
    raise SystemExit(f"{path.name} has {path.stat().st_size} bytes; show less in it")


if __name__ == "__main__":
    main()
