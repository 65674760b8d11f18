"""The page of a participant: what stands in it when all is well, and when nothing is."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import affine_of, world_coordinates
from thalbids import qc
from thalbids.bids.results import names
from thalbids.image.io import save_image
from thalbids.reports import Failure, MaskView, SessionReport, write_report
from thalbids.reports.participant import participant_page

CENTRE = np.array([3.0, -5.0, 7.0])
METRIC = "mutual information (nats)"


class Page(HTMLParser):
    """Tags, texts and attributes of a page, read by a strict-enough parser."""

    VOID = frozenset({"meta", "input", "link", "br", "img"})

    def __init__(self, text: str):
        super().__init__()
        self.open, self.tags, self.words = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"style", "script"} & set(self.open):
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))

    def having(self, tag: str, attribute: str = "", value: str = "") -> list[dict]:
        return [a for t, a in self.tags if t == tag and (not attribute or value in (a.get(attribute) or ""))]


def ball(world: np.ndarray, centre, radii) -> np.ndarray:
    return (((world - np.reshape(centre, (3, 1, 1, 1))) / np.reshape(radii, (3, 1, 1, 1))) ** 2).sum(0) <= 1


class Head:
    """A head of ellipsoids on any grid, written as the derivatives of a session."""

    def __init__(self, folder: Path, orientation: str = "RAS", zoom: float = 4.0):
        folder.mkdir(parents=True, exist_ok=True)
        shape = (46, 54, 46)
        coarse = np.diag([zoom, zoom, zoom, 1.0])
        self.affine = affine_of(orientation, shape) @ coarse
        self.affine[:3, 3] += CENTRE - (self.affine @ [*((np.array(shape) - 1) / 2), 1])[:3]
        self.folder, self.shape = folder, shape
        self.world = world_coordinates(self.affine, shape)
        self.brain = ball(self.world, CENTRE, [62, 78, 56])
        scalp = ball(self.world, CENTRE, [75, 92, 75])
        noise = np.random.default_rng(0).normal(0, 3, shape)
        self.t1w = np.where(scalp, 60 + 60 * self.brain - 60 * ball(self.world, CENTRE, [10, 30, 20]) + noise, 0)
        self.masks: dict[str, MaskView] = {}
        self.inputs: dict[str, qc.MaskInput] = {}
        self.path("t1w", self.t1w.astype(np.float32))
        self.path("brain", self.brain.astype(np.uint8))

    def path(self, name: str, data: np.ndarray | None = None) -> Path:
        path = self.folder / f"{name}.nii.gz"
        if data is not None:
            save_image(data, self.affine, path)
        return path

    def add(self, method: str, shift=(0, 0, 0), radius: float = 12.0) -> None:
        labels = np.zeros(self.shape, np.uint8)
        for value, x in ((10, -13), (49, 13)):
            labels[ball(self.world, CENTRE + [x, 4.5, -1.4] + np.array(shift), [radius, radius, radius])] = value
        named = names.by_desc(method)
        path = self.path(method, labels)
        self.masks[method] = MaskView(method, named.label, named.image, path, "ball protocol")
        self.inputs[method] = qc.MaskInput(labels, named.family, named.images)

    def report(self, session: str | None = "1", **more) -> SessionReport:
        registrations = [
            {
                "image": "FLAIR", "chosen": "ants", "reason": "the only one that passed", "excluded": False,
                "attempts": [
                    {"strategy": "ants", "interpolation": "linear", "metric": METRIC, "mi": 0.4567, "cutoff": 0.3,
                     "passed": True}
                ],
            }
        ]  # fmt: skip
        document = qc.build(
            subject="01", session=session, affine=self.affine, masks=self.inputs, brain=self.brain,
            icv=[{"source": "synthal", "icv_mm3": 1.3e6}], registrations=registrations,
        )  # fmt: skip
        rows = []
        for method, mask in document["Masks"].items():
            keys = ("volume_mm3", "volume_left_mm3", "volume_right_mm3", "volume_soft_mm3")
            numbers = {key: mask["measures"][key] for key in keys} if mask["measures"] else {}
            image = self.masks[method].image if method in self.masks else "T1w"
            rows.append(
                {"method": method, "image": image, "status": mask["status"], "reason": mask["reason"], **numbers}
            )
        return SessionReport(
            session, self.path("t1w"), self.path("brain"), {}, list(self.masks.values()), document, rows,
            [{"source": "synthal", "icv_mm3": 1.3e6}], links={"QC": "sub-01/qc.json"}, **more,
        )  # fmt: skip


@pytest.fixture
def head(tmp_path: Path) -> Head:
    made = Head(tmp_path / "in")
    made.add("synthalT1w")
    return made


def page_of(tmp_path: Path, *sessions: SessionReport, subject: str = "01", provenance=None) -> Page:
    files = write_report(
        tmp_path / f"sub-{subject}.html", subject, sessions, provenance or {"Versions": {"thalbids": "1.0"}}
    )
    return Page(files[0].read_text("utf-8"))


def test_a_good_session(tmp_path: Path, head: Head):
    head.add("synthalFLAIR", radius=12.2)
    head.path("FLAIR", (120 - head.t1w).astype(np.float32))
    page = page_of(tmp_path, replace(head.report(), registered={"FLAIR": head.path("FLAIR")}))
    pictures = page.having("svg", "role", "img")
    assert len(pictures) == 9 + 3 + 12
    assert all(len(p["aria-label"]) > 20 for p in pictures)
    for words in (
        "2 masks were made; nothing implausible was found.",
        "SynThal T1w",
        "ball protocol",
        "0.457",
        "1.300",
    ):
        assert words in page.text
    assert page.text.count("Research use only") == 1
    assert "Neurological convention" in page.text
    assert "do not trust" not in page.text.lower()


def test_numbers_are_in_ml_with_two_decimals(tmp_path: Path, head: Head):
    volume = head.report().qc["Masks"]["synthalT1w"]["measures"]["volume_mm3"]
    assert f" {volume / 1000:.2f} " in page_of(tmp_path, head.report()).text


def test_tables_keep_the_order_of_the_methods(tmp_path: Path, head: Head):
    """Also when the QC document was read back from JSON, whose keys are sorted."""
    head.add("synthalFLAIR", radius=12.2)
    head.add("first")
    session = head.report()
    qc.write(tmp_path / "qc.json", session.qc)
    page = page_of(tmp_path, replace(session, qc=qc.read(tmp_path / "qc.json")))
    matrix = page.text[page.text.index("Agreement between") :]
    places = [matrix.index(label) for label in ("SynThal T1w", "SynThal FLAIR", "FSL FIRST")]
    assert places == sorted(places)


def test_an_excluded_registration_says_why(tmp_path: Path, head: Head):
    session = head.report()
    entry = {**session.qc["Registrations"][0], "chosen": None, "excluded": True, "reason": "all strategies failed"}
    page = page_of(tmp_path, replace(session, qc={**session.qc, "Registrations": [entry]}))
    assert page.text.count("all strategies failed") == 2  # among what is missing, and below the attempts
    assert "excluded" in page.text


def test_nothing_is_loaded_from_elsewhere_and_nothing_runs_by_itself(tmp_path: Path, head: Head):
    text = write_report(tmp_path / "sub-01.html", "01", [head.report()], {})[0].read_text("utf-8")
    addresses = set(re.findall(r"https?://[^'\"\s<)]+", text))
    assert addresses <= {"http://www.w3.org/2000/svg"}
    kinds = [attributes.get("type") for attributes in Page(text).having("script")]
    assert kinds == ["application/json", "application/gzip", None]  # the last is ours, and waits for a click
    assert "url(" not in text
    assert not re.search(r"\son\w+=", text)
    for tag, attributes in Page(text).tags:
        for name in ("src", "href"):
            target = attributes.get(name) or "#"
            assert target.startswith(("#", "data:image/png;base64,", "sub-01/", "qc.html")), (tag, target)


def test_every_switch_hides_something_and_ids_are_unique(tmp_path: Path, head: Head):
    head.add("synthalFLAIR")
    head.path("FLAIR", head.t1w.astype(np.float32))
    session = replace(head.report(), registered={"FLAIR": head.path("FLAIR")})
    page = page_of(tmp_path, session, replace(session, session="2"))
    keys = [a["id"] for a in page.having("input")]
    assert len(keys) == len(set(keys)) == 2 * 4
    for key in keys:
        assert any(key in (a.get("class") or "").split() for _, a in page.tags), key


def test_the_same_input_gives_the_same_bytes(tmp_path: Path, head: Head):
    def contents(folder: str) -> dict[str, bytes]:
        out = tmp_path / folder
        out.mkdir()
        files = write_report(out / "sub-01.html", "01", [head.report()], {"Versions": {"a": "1"}})
        return {path.relative_to(out).as_posix(): path.read_bytes() for path in files}

    first, second = contents("a"), contents("b")
    assert first == second
    assert sorted(first) == [
        "sub-01.html",
        "sub-01/figures/sub-01_ses-1_desc-head_thalamus.svg",
        "sub-01/figures/sub-01_ses-1_desc-masks_thalamus.svg",
        "sub-01/figures/sub-01_ses-1_desc-thumbnail_thalamus.svg",
    ]
    assert not any(str(tmp_path).encode() in content for content in first.values())


def test_a_mask_that_cannot_be_trusted_is_marked_everywhere(tmp_path: Path, head: Head):
    head.add("freesurfer", radius=6.0)
    session = head.report()
    assert not session.qc["Masks"]["freesurfer"]["trusted"]
    files = write_report(tmp_path / "sub-01.html", "01", [session], {})
    page = Page(files[0].read_text("utf-8"))
    assert "do not trust: FreeSurfer." in page.text
    assert len(page.having("tr", "class", "distrusted")) == 1
    assert len(page.having("strong", "class", "badge")) == 2  # table and legend
    assert "do not trust: red halo" in files[1].read_text("utf-8")
    assert page.having("path", "stroke-opacity", ".55")


def test_a_mask_that_the_table_excludes_is_marked_too(tmp_path: Path, head: Head):
    """An ensemble built on a mask that cannot be trusted is plausible by itself."""
    head.add("synthalT1FLAIR")
    session = head.report()
    assert session.qc["Masks"]["synthalT1FLAIR"]["trusted"]
    rows = [{**row, "status": "excluded", "reason": "built on a bad mask"} for row in session.volumes[1:]]
    page = page_of(tmp_path, replace(session, volumes=[session.volumes[0], *rows]))
    assert "2 masks were made; do not trust: SynThal T1w + FLAIR." in page.text
    assert "built on a bad mask" in page.text
    assert len(page.having("tr", "class", "distrusted")) == 1


def test_a_mask_elsewhere_gets_a_row_of_its_own(tmp_path: Path, head: Head):
    head.add("first", shift=(0, -50, 30))
    page = page_of(tmp_path, head.report())
    assert len(page.having("svg", "role", "img")) == 9 + 6
    assert "FSL FIRST lies outside that frame" in page.text


def test_empty_and_failed_masks(tmp_path: Path, head: Head):
    head.add("synthalFLAIR", radius=0.1)
    head.inputs["synthalR1map"] = qc.MaskInput(None, "synthal", ("R1map",), "excluded", "R1 could not be registered")
    page = page_of(tmp_path, head.report())
    assert "The mask is empty." in page.text
    assert "R1 could not be registered" in page.text
    assert "SynThal R1" in page.text
    assert "(empty)" in page.text


def test_only_an_untrusted_mask_still_shows_where_the_thalami_should_be(tmp_path: Path):
    head = Head(tmp_path / "in")
    head.add("synthalT1w", shift=(0, -50, 30))
    page = page_of(tmp_path, head.report())
    axial = [a["aria-label"] for a in page.having("svg", "aria-label", "Axial")]
    positions = [float(re.search(r"\((-?[\d.]+) mm", text).group(1)) for text in axial[:3]]
    assert positions[1] == pytest.approx(CENTRE[2] - 1.4, abs=1)


def test_no_masks_no_brain(tmp_path: Path, head: Head):
    session = SessionReport(None, head.path("t1w"), links={"T1w": "sub-01/t1w.json"})
    page = page_of(tmp_path, session)
    assert len(page.having("svg", "role", "img")) == 12
    assert "nothing was checked" in page.text


def test_no_t1w(tmp_path: Path):
    document = qc.build(
        subject="01", session="2", affine=None, masks={}, missing=[{"item": "T1w", "reason": "truncated .nii.gz"}]
    )
    page = page_of(tmp_path, SessionReport("2", qc=document, failures=[Failure("T1w", "truncated .nii.gz")]))
    assert "There is no image to show." in page.text
    assert "No mask was made." in page.text
    assert page.text.count("truncated .nii.gz") == 1
    assert not page.having("svg", "role", "img")


def test_a_damaged_derivative_is_told_and_the_rest_shown(tmp_path: Path, head: Head):
    head.add("first")
    path = head.masks["first"].path
    path.write_bytes(path.read_bytes()[:200])
    page = page_of(tmp_path, head.report())
    assert "first.nii.gz cannot be read" in page.text
    assert len(page.having("svg", "role", "img")) == 12


def test_hostile_text_shows_as_text(tmp_path: Path, head: Head):
    evil = "<script>alert('x')</script>\"'><img src=x onerror=alert(1)>=cmd|' /C calc'!A0"
    masks = [replace(mask, label=evil, protocol=evil) for mask in head.masks.values()]
    session = replace(head.report(evil), masks=masks, failures=[Failure(evil, evil)], links={evil: "sub-01/a.json"})
    session = replace(session, qc={**session.qc, "Notes": [evil]}, session="1")
    page = page_of(tmp_path, session, provenance={evil: {evil: evil}, "text": evil})
    assert [a.get("type") for a in page.having("script")] == ["application/json", "application/gzip", None]
    assert not page.having("img")
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert page.text.count("onerror=alert(1)") >= 8


def box_of(path: str) -> np.ndarray:
    """Left, top, right and bottom end of all lines of a path, in mm."""
    points = []
    for start, moves in re.findall(r"M(-?\d+ -?\d+)((?:l-?\d+ -?\d+)*)z", path):
        steps = [[int(v) for v in m] for m in re.findall(r"l(-?\d+) (-?\d+)", moves)]
        points.append(np.cumsum(np.vstack([[int(v) for v in start.split()], steps]), axis=0))
    every = np.concatenate(points) / 10
    return np.concatenate([every.min(axis=0), every.max(axis=0)])


@pytest.mark.parametrize("orientation", ["RAS", "LIA", "oblique", "anisotropic"])
def test_outlines_are_where_the_thalami_are_on_every_grid(tmp_path: Path, orientation: str):
    """Balls of 12 mm at 13 mm to either side, in a picture of 80 mm centred between them: 15 to 65 mm across."""
    head = Head(tmp_path / "in", orientation, 2.0 if orientation == "anisotropic" else 3.0)
    head.add("synthalT1w")
    text = write_report(tmp_path / "sub-01.html", "01", [head.report()], {})[0].read_text("utf-8")
    middle = re.findall(r"<g class='s0m0'><title>[^<]*</title><path d='([^']+)'", text)[
        3
    ]  # after the two of the thumbnail
    np.testing.assert_allclose(box_of(middle), [15, 28, 65, 52], atol=2.5)


def test_the_page_stays_small(tmp_path: Path, head: Head):
    for method in (
        "synthalFLAIR",
        "synthalR1map",
        "synthalT1FLAIR",
        "synthalT1R1",
        "synthalR1FLAIR",
        "freesurfer",
        "first",
    ):
        head.add(method)
    head.path("FLAIR", head.t1w.astype(np.float32))
    session = replace(head.report(), registered={"FLAIR": head.path("FLAIR"), "R1map": head.path("FLAIR")})
    path = write_report(tmp_path / "sub-01.html", "01", [session, replace(session, session="2")], {})[0]
    assert path.stat().st_size < 5e6


def test_a_page_that_would_be_too_large_shows_files_and_leaves_viewers_out(tmp_path: Path, head: Head, monkeypatch):
    sessions = [head.report("1"), head.report("2")]
    whole = write_report(tmp_path / "a/sub-01.html", "01", sessions, {})[0].stat().st_size

    def page(limit: int) -> Page:
        monkeypatch.setattr(participant_page, "PAGE_LIMIT", limit)
        path = write_report(tmp_path / "b/sub-01.html", "01", sessions, {})[0]
        assert path.stat().st_size <= limit
        made = Page(path.read_text("utf-8"))
        for image in made.having("img"):
            assert (path.parent / image["src"]).is_file()
            assert image["alt"]
        return made

    assert len(page(whole + 30_000).having("div", "class", "viewer")) == 2
    plain = page(whole - 900_000)  # no room for the program
    assert not plain.having("div", "class", "viewer")
    assert not plain.having("img")
    size = (tmp_path / "b/sub-01.html").stat().st_size
    volumes = (tmp_path / "a/sub-01.html").read_text("utf-8").split('id="s1v">')[1].index("</script>")
    one = page(size + len(participant_page.viewer.program()) + 20_000 + volumes * 3 // 2)
    assert [a["data-content"] for a in one.having("div", "class", "viewer")] == ["s1v"]  # the last session's
    assert "Left out for this session" in one.text
    assert not one.having("img")
    small = page(300_000)
    assert not small.having("div", "class", "viewer")
    assert small.having("img")


def test_agreement_says_how_much_of_each_mask_lies_in_the_other(tmp_path: Path, head: Head):
    """A ball within a larger one: all of the small one, and the ratio of the volumes of the large one."""
    head.add("first", radius=16.0)
    session = head.report()
    masks = session.qc["Masks"]
    small, large = (masks[m]["measures"]["voxels"] for m in ("synthalT1w", "first"))
    page = page_of(tmp_path, session)
    assert f"100 | {100 * small / large:.0f}" in page.text
    assert f"{2 * small / (small + large):.2f}" in page.text
    assert "not truth" in page.text
