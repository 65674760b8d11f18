"""The page of one participant: every mask's outline, the numbers, the flags in words, and where they come from.

One self-contained HTML file without fonts or addresses of other machines, and the same pictures as SVG files under
``sub-X/figures``. Its only script is that of the viewer, which runs when the reader opens it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from thalbids.bids.results.norms import Norm
from thalbids.errors import ImageError
from thalbids.files import write_text
from thalbids.reports import palette, text, views
from thalbids.reports.participant import change_numbers, map_section, norms, overview, since_first, trajectory, viewer
from thalbids.reports.participant.histogram import histogram
from thalbids.reports.participant.histogram import svg as histogram_svg
from thalbids.reports.planes import Plane
from thalbids.reports.svg import SlicePicture, montage, panel, strip
from thalbids.reports.templating import template

COHORT_PAGE = "qc.html"  # beside the page
PAGE_LIMIT = 6_000_000  # bytes: what mail takes and a browser opens at once

FIGURE_NOTE = (
    "Neurological convention: the left of each picture is the left (L) of the person. RAS+ world coordinates in mm."
)
EDGES_INTRO = (
    "Grey: the registered image. Red: edges of the {reference} image, which must follow the borders of the grey image. "
    "Last row: the thalami, with the outlines of the masks made from this image."
)
CUT_INTRO = (
    "Masks that another method's thalamus cuts (the envelope). Red: where the envelope, not the image, ends the mask; "
    "an error of the envelope is an error of the mask there. The QC document has the shares."
)
CHANGE_INTRO = (
    "Solid white: {first}. Dashed orange: {later}. First row: the {later_image} of {later} with the edges of "
    "the {first_image} of {first} (red), to see whether the two lie on each other; then both outlines on the image of "
    "{first} and on that of {later}. "
    "The two images were brought together by a rigid registration ({how}), for this picture only."
)
APART_INTRO = (
    "The two images were not brought together{why}, so that the sessions are shown one below the other, each "
    "through its own thalami: {first} above (solid white), {later} below (dashed orange). The slices differ: do not "
    "compare the outlines."
)


@dataclass(frozen=True)
class MaskView:
    """A thalamus mask to show.

    Attributes
    ----------
    method : ``desc-`` label (``synthalT1w``), the key of the volume table and of the QC document
    label : for people ("SynThal T1w")
    image : what it was made from: T1w, FLAIR, R1map or ensemble
    path : dseg (10, 49) or binary mask on the T1w grid
    protocol : whose definition of the thalamus its numbers follow
    style : colour and dashes; the method's own when absent
    """

    method: str
    label: str
    image: str
    path: Path
    protocol: str = ""
    style: palette.Style | None = None


@dataclass(frozen=True)
class Failure:
    """Something that failed, was excluded or is missing."""

    what: str
    reason: str


@dataclass(frozen=True)
class SessionReport:
    """What the page shows of one session; every path may be None or absent, the page then says what is not there.

    Attributes
    ----------
    session : label without ``ses-``; None where there is no session level
    t1w, brain : reoriented T1w and brain mask
    reference : what ``t1w`` is: T1w, or the image that takes its place
    registered : FLAIR, R1map (any name) -> image on the T1w grid
    masks : in the order of the tables
    qc : the QC document (:func:`thalbids.qc.build`)
    scaled, scaling : the R1 map that was scaled for segmentation, and how (``Scaling`` of its sidecar)
    alignment : how the T1w lies to that of the first session: ``First`` (its label), ``Chosen`` (strategy, or None),
        ``Matrix`` (RAS+ mm of the first T1w to RAS+ mm of this one, or None) and ``Reason``; None: nothing was tried
    maps : quantitative maps on the T1w grid, by name
    maps_qc : their QC document (``*_desc-qmri_qc.json``)
    readout : rows of the table of maps inside the masks
    brain_change : rows of the table of whole-brain change that end with this session
    probabilities : ``desc-`` label of a mask -> probability of the thalamus on the T1w grid
    norms : its volumes against the controls, from an earlier group level
    volumes, icv : rows of the tables, as written or as read back (text)
    failures : what went wrong beside what the QC document says
    links : name -> path of a sidecar or table, relative to the page
    """

    session: str | None
    t1w: Path | None = None
    brain: Path | None = None
    registered: Mapping[str, Path] = field(default_factory=dict)
    masks: Sequence[MaskView] = ()
    qc: Mapping[str, Any] | None = None
    volumes: Sequence[Mapping[str, object]] = ()
    icv: Sequence[Mapping[str, object]] = ()
    failures: Sequence[Failure] = ()
    links: Mapping[str, str] = field(default_factory=dict)
    scaled: Path | None = None
    scaling: Mapping[str, Any] = field(default_factory=dict)
    alignment: Mapping[str, Any] | None = None
    maps: Mapping[str, Path] = field(default_factory=dict)
    maps_qc: Mapping[str, Any] | None = None
    readout: Sequence[Mapping[str, object]] = ()
    brain_change: Sequence[Mapping[str, object]] = ()
    probabilities: Mapping[str, Path] = field(default_factory=dict)
    norms: Sequence[Norm] = ()
    reference: str = "T1w"


@dataclass(frozen=True)
class PictureBlock:
    """A titled block of pictures: rows of panels, shown in the page and written as one file with a legend."""

    name: str
    title: str
    intro: str
    rows: Sequence[Sequence[SlicePicture]]
    legend: Sequence[tuple[str, palette.Style]] = ()


def write_report(
    out_path: Path | str,
    subject: str,
    sessions: Sequence[SessionReport],
    provenance: Mapping[str, Mapping[str, object] | str],
    change: Sequence[Mapping[str, str | None]] = (),
) -> list[Path]:
    """Write the page of a participant and its figures.

    Parameters
    ----------
    out_path : ``OUT/sub-01.html``; the figures go to ``OUT/sub-01/figures``
    subject : label without ``sub-``
    sessions : in the order of the page
    provenance : heading -> table (name -> value) or text, such as {"Versions": {...}, "Settings": "toml ..."}
    change : rows of the table of change

    Returns
    -------
    The files written, the page first.

    Raises
    ------
    OutputError
        A file cannot be written.
    """
    out_path = Path(out_path)
    folder = f"sub-{subject}/figures"
    shown = [_Shown(session, f"s{number}") for number, session in enumerate(sessions)]
    first = next((one for one in shown if one.visit is not None), None)
    for one in shown:
        if first is not None and one is not first:
            one.compare(first, change)
    files: dict[str, str] = {}
    for one in shown:
        files |= one.files(f"{folder}/sub-{subject}", f"sub-{subject}")
    contexts = [one.context(f"{folder}/sub-{subject}") for one in shown]
    over_time = trajectory.context(change, f"sub-{subject}/anat/sub-{subject}_desc-change_morph.tsv")
    brief = overview.context(contexts, change)
    said = overview.shared(contexts)
    for context in contexts:
        context["volumes"]["rows"] = overview.with_a_volume(context["volumes"]["rows"], context["failures"])
        context["failures"] = overview.grouped([one for one in context["failures"] if one not in said])
    page = _page(subject, contexts, shown, provenance, over_time, brief)
    for name, content in files.items():
        write_text(out_path.parent / name, content)
    write_text(out_path, page)
    return [out_path, *(out_path.parent / name for name in files)]


def _page(
    subject: str,
    sessions: Sequence[dict[str, Any]],
    shown: Sequence[_Shown],
    provenance: Mapping[str, Mapping[str, object] | str],
    over_time: Mapping[str, Any] | None,
    brief: Mapping[str, Any],
) -> str:
    """The page: with the pictures inside as long as it stays below the limit, then as files beside it, the largest
    first; with the viewer of as many sessions as there is room for, the last first.
    """

    def render(program: str) -> str:
        return str(
            template("participant.html").render(
                subject=subject, sessions=sessions, provenance=text.provenance(provenance), note=FIGURE_NOTE,
                halo=palette.DISTRUST, program=program, version=viewer.VERSION, cohort=COHORT_PAGE, over_time=over_time,
                brief=brief,
            )
        )  # fmt: skip

    page = render("")
    inside = [figure for session in sessions for figure in session["figures"]]
    for figure in sorted(inside, key=lambda figure: -figure["size"]):
        if len(page.encode()) <= PAGE_LIMIT:
            break
        figure["rows"] = []
        page = render("")
    room = PAGE_LIMIT - len(page.encode()) - len(viewer.program()) - 20_000  # the script and the buttons
    for session, one in zip(reversed(sessions), reversed(shown), strict=True):
        if one.viewer is None:
            continue
        session["viewer"] = "left out"
        if len(one.viewer) <= room:
            session["viewer"], room = one.viewer, room - len(one.viewer)
    wanted = any(session["viewer"] not in ("", "left out") for session in sessions)
    return render(viewer.program() if wanted else "")


class _Shown:
    """One session: its images read once, its figures, and the words and numbers of its section."""

    def __init__(self, session: SessionReport, prefix: str):
        self.session, self.prefix = session, prefix
        self.title = f"Session {session.session}" if session.session else "Results"
        self.unreadable: list[Failure] = []
        labels = {mask.method: mask.label for mask in session.masks}
        self.words = text.Words(session.qc or {}, labels, session.volumes)
        self.t1w = self._read(session.reference, session.t1w)
        self.brain = self._read("brain mask", session.brain, views.read_mask)
        self.masks = self._masks() if self.t1w is not None else []
        self.focus = None if self.t1w is None else views.choose_focus(self.masks, self.brain, self.t1w)
        images = {name: self._read(name, path) for name, path in session.registered.items()}
        self.images = {name: image for name, image in images.items() if image is not None}
        self.figures = [*self._figures(), *self._maps()]
        self.histograms = self._histograms()
        self.map_histograms = map_section.histograms(session.maps_qc or {})
        self.viewer = self._viewer()
        self.thumbnail = "" if self.t1w is None or self.focus is None else self._thumbnail(self.t1w, self.focus)
        self.change: dict[str, Any] | None = None
        self.images = {}  # no longer needed, and large

    @property
    def visit(self) -> since_first.ComparedSession | None:
        """What a later session can be compared with; None without a T1w."""
        if self.t1w is None:
            return None
        return since_first.ComparedSession(
            self.title, self.t1w, self.brain, self.masks, self.session.volumes, self.words, self.session.reference
        )

    def compare(self, first: _Shown, changes: Sequence[Mapping[str, str | None]]) -> None:
        """Find out what changed since the first session, in numbers and, where there is a mask in both, in pictures.

        ``changes``: the rows of the table of change.
        """
        before, after = first.visit, self.visit
        if before is None or after is None:
            return
        pair = change_numbers.pair_of(changes, first.session.session, self.session.session)
        self.change = change_numbers.context(before, after, pair)
        self.change["brain"] = change_numbers.whole_brain(self.session.brain_change)
        ends = str(first.session.session), str(self.session.session)
        self.change["remarks"] = [
            *change_numbers.turned(changes, before, after, ends),
            *self.words.since(first.session.session),
            *self.change["remarks"],
        ]
        method = since_first.leading(before.masks, after.masks)
        if not method:
            return
        alignment = self.session.alignment or {}
        known = alignment.get("First") == first.session.session and alignment.get("Matrix") is not None
        label = self.words.label(method)
        key = f"{self.prefix}c"
        if known:
            later = since_first.aligned(after, np.asarray(alignment["Matrix"], np.float64))
            intro = CHANGE_INTRO.format(
                first=before.title, later=after.title, first_image=before.reference, later_image=after.reference,
                how=alignment.get("Chosen"),
            )  # fmt: skip
            rows = since_first.overlay(before, later, method, key)
        else:
            why = f" ({alignment['Reason']})" if alignment.get("Reason") else ""
            intro = APART_INTRO.format(first=before.title, later=after.title, why=why)
            rows = since_first.side_by_side(before, after, method, key)
        legend = [(f"{label}, {before.title}", since_first.FIRST), (f"{label}, {after.title}", since_first.LATER)]
        title = f"{label} in {before.title} and {after.title}"
        self.figures.append(PictureBlock("change", title, intro, rows, legend))

    def files(self, start: str, who: str) -> dict[str, str]:
        """Name (relative to the page) and content of each picture that is written beside the page."""
        entity = f"_ses-{self.session.session}" if self.session.session else ""
        out = {}
        for figure in self.figures:
            title = f"{who}{entity.replace('_', ' ')}: {figure.title}"
            out[self.file_name(start, figure.name)] = montage(title, figure.rows, figure.legend, FIGURE_NOTE)
        charts = {**self.histograms, **self.map_histograms, "thumbnail": self.thumbnail}
        for name, content in charts.items():
            if content:
                out[self.file_name(start, name)] = content
        return out

    def file_name(self, start: str, figure: str) -> str:
        """Where a picture of this session goes, relative to the page."""
        entity = f"_ses-{self.session.session}" if self.session.session else ""
        return f"{start}{entity}_desc-{figure}_thalamus.svg"

    def context(self, start: str) -> dict[str, Any]:
        """What the template shows of this session."""
        session, words = self.session, self.words
        failures = [(f.what, f.reason) for f in (*session.failures, *self.unreadable)]
        figures = [self._figure_entry(figure, start) for figure in self.figures]
        return {
            "prefix": self.prefix,
            "title": self.title,
            "reference": session.reference,
            "verdict": words.verdict(),
            "flags": words.flags(),
            "masks": [self._legend_entry(mask) for mask in self.masks],
            "switches": self._switches(),
            "hideable": [mask.key for mask in self.masks] + [key for key, _ in self._switches()],
            "figures": figures,
            "change": self.change,
            "histograms": list(self.histograms.values()),
            "scaling": text.scaling(session.scaling),
            "maps": map_section.context(session.maps_qc, session.readout, words),
            "map_histograms": list(self.map_histograms.values()),
            "viewer": "",
            "has_t1w": self.t1w is not None,
            "thumbnail": self.thumbnail,
            "volumes": words.volumes(
                session.volumes, {m.method: m for m in session.masks}, norms.cells(session.norms, session.volumes)
            ),
            "norms_note": norms.note(session.norms),
            "agreement": words.agreement(),
            "icv": words.icv(session.icv),
            "brain": words.brain(),
            "acquisition": words.acquisition(),
            "registrations": words.registrations(),
            "failures": words.failures(failures),
            "notes": words.notes(),
            "links": sorted((session.links or {}).items()),
        }  # fmt: skip

    def _figure_entry(self, figure: PictureBlock, start: str) -> dict[str, Any]:
        rows = [[panel(p) for p in row] for row in figure.rows]
        return {
            "name": figure.name, "title": figure.title, "intro": figure.intro, "rows": rows,
            "size": sum(len(picture) for row in rows for picture in row),
            "file": self.file_name(start, figure.name),
        }  # fmt: skip

    def _read(
        self, what: str, path: Path | None, reader: Callable[[Path], views.Volume] = views.read
    ) -> views.Volume | None:
        """A volume; None, with a line on the page, when it cannot be read."""
        if path is None:
            return None
        try:
            return reader(path)
        except ImageError as error:
            self.unreadable.append(Failure(what, f"{path.name} {error.problem} {error.mend}"))
            return None

    def _masks(self) -> list[views.Mask]:
        rows = []
        for number, mask in enumerate(self.session.masks):
            volume = self._read(mask.label, mask.path, views.read_mask)
            if volume is not None:
                style = mask.style or palette.style(mask.method)
                key = f"{self.prefix}m{number}"
                distrusted = not self.words.trusted(mask.method)
                rows.append(views.Mask(volume, mask.image, style, key, mask.label, distrusted, mask.method))
        return rows

    def _cuts(self) -> Iterable[views.Mask]:
        """Masks of one image that an envelope cuts, each followed by the part of its surface that is the envelope's."""
        by_method = {mask.method: mask for mask in self.masks}
        for mask in self.masks:
            outer = by_method.get(text.envelope_of(mask.method))
            if outer is not None and mask.image != "ensemble":
                ends = views.cut_surface(mask.volume, outer.volume)
                yield mask
                style = palette.Style(palette.DISTRUST)
                yield replace(mask, volume=ends, style=style, key=f"{mask.key}cut", distrusted=False)

    def _figures(self) -> Iterable[PictureBlock]:
        """The figures that can be drawn from what is there."""
        if self.t1w is None or self.focus is None:
            return
        focus, reference = self.focus, self.session.reference
        single = [mask for mask in self.masks if mask.image != "ensemble"]
        ensembles = [mask for mask in self.masks if mask.image == "ensemble"]
        yield PictureBlock(
            "masks", f"Thalamus masks on the {reference} image",
            "Three slices per plane around the thalami, 80 mm wide, with the masks made from one image each.",
            views.crop_rows(self.t1w, single, focus, reference), _lines(single),
        )  # fmt: skip
        if ensembles:
            yield PictureBlock(
                "ensembles", f"Ensembles on the {reference} image",
                "The same slices with the masks combined from several images.",
                views.crop_rows(self.t1w, ensembles, focus, reference), _lines(ensembles),
            )  # fmt: skip
        cut = list(self._cuts())
        if cut:
            yield PictureBlock(
                "envelope", "Where the envelope cuts", CUT_INTRO,
                views.crop_rows(self.t1w, cut, focus, reference),
                [("the envelope's surface", cut[-1].style), *_lines(cut[::2])],
            )  # fmt: skip
        rows = [views.head_row(self.t1w, self.brain, self.masks, focus.centre, "", f"{self.prefix}brain")]
        intro = "The yellow line is the brain mask; the white frame is the region of the pictures above."
        for mask, middle in views.far_masks(self.masks, focus):
            what = f" and of {mask.label}, which lies elsewhere"
            rows.append(views.head_row(self.t1w, self.brain, self.masks, middle, what, f"{self.prefix}brain"))
            intro += f" {mask.label} lies outside that frame: the next row is through its middle."
        brain = [("Brain mask", palette.Style(palette.BRAIN)), *_lines(self.masks)]
        yield PictureBlock("head", "Whole head and brain mask", intro, rows, brain)
        drawn: dict[Plane, np.ndarray] = {}
        for number, (name, image) in enumerate(self.images.items()):
            key = f"{self.prefix}e{number}"
            rows = views.registration_rows(image, name, self.t1w, self.brain, self.masks, focus, key, reference, drawn)
            intro = " ".join(filter(None, [self.words.registered(name), EDGES_INTRO.format(reference=reference)]))
            masks = [mask for mask in self.masks if mask.image == name]
            legend = [(f"{reference} edges", palette.Style(palette.EDGES)), *_lines(masks)]
            yield PictureBlock(name, f"{text.image_name(name)} on the {reference} image", intro, rows, legend)

    def _maps(self) -> Iterable[PictureBlock]:
        """The quantitative maps, a row each; read here, and not kept."""
        if self.t1w is None or self.focus is None or not self.session.maps:
            return
        images = {name: self.images.get(name) or self._read(name, path) for name, path in self.session.maps.items()}
        shown = {name: image for name, image in images.items() if image is not None}
        usable = [mask for mask in self.masks if not mask.distrusted]
        if shown:
            rows, intro = map_section.rows(shown, self.brain, usable, self.focus)
            yield PictureBlock("maps", "Maps", intro, rows, _lines(usable))

    def _histograms(self) -> dict[str, str]:
        """R1 in the brain before and after it was scaled, where there is both."""
        before, after = self.images.get("R1map"), self._read("scaled R1 map", self.session.scaled)
        if before is None or after is None or self.brain is None:
            return {}
        limit = text.as_float(self.session.scaling.get("Maximum"))
        mark = f"{text.number(self.session.scaling.get('Percentile'), 0)}th percentile"
        histograms = {
            "R1before": histogram(views.inside(before, self.brain), "R1 before scaling", "R1 in 1/s", limit, mark),
            "R1after": histogram(views.inside(after, self.brain), "R1 after scaling", "scaled R1, 0 to 1000"),
        }
        return {name: histogram_svg(content) for name, content in histograms.items() if content is not None}

    def _viewer(self) -> str | None:
        """What the viewer shows, as JSON that may stand in a script element; None without a T1w."""
        if self.t1w is None or self.focus is None:
            return None
        images = {self.session.reference: self.t1w} | {
            text.image_name(name): image for name, image in self.images.items()
        }
        usable = [mask for mask in self.masks if mask.volume.data.any()]
        shown = next((mask.key for mask in usable if not mask.distrusted), usable[0].key if usable else "")
        shares = {
            self.words.label(method): self._read(f"probability of {self.words.label(method)}", path)
            for method, path in self.session.probabilities.items()
        }
        there = {label: share for label, share in shares.items() if share is not None}
        page = viewer.content(images, self.masks, self.focus, shown, there)
        content = json.dumps(page, separators=(",", ":"))
        return content.replace("<", "\\u003c")

    def _thumbnail(self, t1w: views.Volume, focus: views.Focus) -> str:
        return strip(views.thumbnail(t1w, self.masks, focus, self.session.reference))

    def _switches(self) -> list[tuple[str, str]]:
        """What else the reader may hide: (key, label)."""
        if self.t1w is None:
            return []
        brain = [(f"{self.prefix}brain", "brain mask")] if self.brain is not None else []
        names = enumerate(self.session.registered)
        edges = [
            (f"{self.prefix}e{number}", f"{self.session.reference} edges on {text.image_name(name)}")
            for number, name in names
        ]
        return brain + edges

    def _legend_entry(self, mask: views.Mask) -> dict[str, Any]:
        return {
            "key": mask.key, "label": mask.label, "colour": mask.style.colour, "dash": mask.style.dash,
            "distrusted": mask.distrusted, "empty": not mask.volume.data.any(),
        }  # fmt: skip


def _lines(masks: Iterable[views.Mask]) -> list[tuple[str, palette.Style]]:
    """Names and looks of outlines, for the legend of a figure's file."""
    return [(m.label + (" (do not trust: red halo)" if m.distrusted else ""), m.style) for m in masks]
