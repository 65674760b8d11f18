"""The page of one participant: every mask's outline, the numbers, the flags in words, and where they come from.

One self-contained HTML file without scripts, fonts or addresses of other machines, and the same pictures as SVG files
under ``sub-X/figures``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from thalbids.bids.files import write_text
from thalbids.errors import ImageError
from thalbids.reports import palette, text, views
from thalbids.reports.svg import Panel, montage, panel

FIGURE_NOTE = (
    "Neurological convention: the left of each picture is the left (L) of the person. RAS+ world coordinates in mm."
)
EDGES_INTRO = (
    "Grey: the registered image. Red: edges of the T1w image, which must follow the borders of the grey image. Last "
    "row: the thalami, with the outlines of the masks made from this image."
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
    registered : FLAIR, R1map (any name) -> image on the T1w grid
    masks : in the order of the tables
    qc : the QC document (:func:`thalbids.qc.build`)
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


@dataclass(frozen=True)
class Figure:
    """A titled block of pictures: rows of panels, shown in the page and written as one file."""

    name: str
    title: str
    intro: str
    rows: Sequence[Sequence[Panel]]


def write_report(
    out_path: Path | str,
    subject: str,
    sessions: Sequence[SessionReport],
    provenance: Mapping[str, Mapping[str, object] | str],
) -> list[Path]:
    """Write the page of a participant and its figures.

    Parameters
    ----------
    out_path : ``OUT/sub-01.html``; the figures go to ``OUT/sub-01/figures``
    subject : label without ``sub-``
    sessions : in the order of the page
    provenance : heading -> table (name -> value) or text, such as {"Versions": {...}, "Settings": "toml ..."}

    Returns
    -------
    The files written, the page first.

    Raises
    ------
    OutputError
        A file cannot be written.
    """
    out_path = Path(out_path)
    folder = out_path.parent / f"sub-{subject}" / "figures"
    parts, written = [], []
    for number, session in enumerate(sessions):
        shown = _Shown(session, f"s{number}")
        parts.append(shown.context())
        entity = f"_ses-{session.session}" if session.session else ""
        for figure in shown.figures:
            path = folder / f"sub-{subject}{entity}_desc-{figure.name}_thalamus.svg"
            title = f"sub-{subject}{entity.replace('_', ' ')}: {figure.title}"
            write_text(path, montage(title, figure.rows, shown.legend_of(figure), FIGURE_NOTE))
            written.append(path)
    page = _template().render(
        subject=subject, sessions=parts, provenance=text.provenance(provenance), note=FIGURE_NOTE, halo=palette.DISTRUST
    )
    write_text(out_path, page)
    return [out_path, *written]


class _Shown:
    """One session: its images read once, its figures, and the words and numbers of its section."""

    def __init__(self, session: SessionReport, prefix: str):
        self.session, self.prefix = session, prefix
        self.unreadable: list[Failure] = []
        labels = {mask.method: mask.label for mask in session.masks}
        self.words = text.Words(session.qc or {}, labels, session.volumes)
        self.t1w = self._read("T1w", session.t1w)
        self.brain = self._read("brain mask", session.brain, views.read_mask)
        self.masks = self._masks() if self.t1w is not None else []
        self.figures = list(self._figures())

    def context(self) -> dict[str, Any]:
        """What the template shows of this session."""
        session, words = self.session, self.words
        failures = [(f.what, f.reason) for f in (*session.failures, *self.unreadable)]
        return {
            "prefix": self.prefix,
            "title": f"Session {session.session}" if session.session else "Results",
            "verdict": words.verdict(),
            "flags": words.flags(),
            "masks": [self._legend_entry(mask) for mask in self.masks],
            "switches": self._switches(),
            "hideable": [mask.key for mask in self.masks] + [key for key, _ in self._switches()],
            "figures": [
                {"title": f.title, "intro": f.intro, "rows": [[panel(p) for p in row] for row in f.rows]}
                for f in self.figures
            ],
            "has_t1w": self.t1w is not None,
            "volumes": words.volumes(session.volumes, {m.method: m for m in session.masks}),
            "agreement": words.agreement(),
            "icv": words.icv(session.icv),
            "brain": words.brain(),
            "registrations": words.registrations(),
            "failures": words.failures(failures),
            "notes": words.notes(),
            "links": sorted((session.links or {}).items()),
        }  # fmt: skip

    def legend_of(self, figure: Figure) -> list[tuple[str, palette.Style]]:
        """Names and looks of the lines in a figure's file."""
        entries = [
            (m.label + (" (do not trust: red halo)" if m.distrusted else ""), m.style)
            for m in self.masks
            if figure.name in ("masks", "head") or m.image == figure.name
        ]
        if figure.name == "head":
            return [("Brain mask", palette.Style(palette.BRAIN)), *entries]
        return entries if figure.name == "masks" else [("T1w edges", palette.Style(palette.EDGES)), *entries]

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
        found = []
        for number, mask in enumerate(self.session.masks):
            volume = self._read(mask.label, mask.path, views.read_mask)
            if volume is not None:
                style = mask.style or palette.style(mask.method)
                key = f"{self.prefix}m{number}"
                distrusted = not self.words.trusted(mask.method)
                found.append(views.Mask(volume, mask.image, style, key, mask.label, distrusted))
        return found

    def _figures(self) -> Iterable[Figure]:
        """The figures that can be drawn from what is there."""
        if self.t1w is None:
            return
        focus = views.choose_focus(self.masks, self.brain, self.t1w)
        yield Figure(
            "masks", "Thalamus masks on the T1w image", "Three slices per plane around the thalami, 80 mm wide.",
            views.crop_rows(self.t1w, self.masks, focus),
        )  # fmt: skip
        rows = [views.head_row(self.t1w, self.brain, self.masks, focus.centre, "", f"{self.prefix}brain")]
        intro = "The yellow line is the brain mask; the white frame is the region of the pictures above."
        for mask, middle in views.far_masks(self.masks, focus):
            what = f" and of {mask.label}, which lies elsewhere"
            rows.append(views.head_row(self.t1w, self.brain, self.masks, middle, what, f"{self.prefix}brain"))
            intro += f" {mask.label} lies outside that frame: the next row is through its middle."
        yield Figure("head", "Whole head and brain mask", intro, rows)
        for number, (name, path) in enumerate(self.session.registered.items()):
            image = self._read(name, path)
            if image is not None:
                key = f"{self.prefix}e{number}"
                rows = views.registration_rows(image, name, self.t1w, self.brain, self.masks, focus, key)
                yield Figure(name, f"{text.image_name(name)} on the T1w image", EDGES_INTRO, rows)

    def _switches(self) -> list[tuple[str, str]]:
        """What else the reader may hide: (key, label)."""
        if self.t1w is None:
            return []
        brain = [(f"{self.prefix}brain", "brain mask")] if self.brain is not None else []
        names = enumerate(self.session.registered)
        edges = [(f"{self.prefix}e{number}", f"T1w edges on {text.image_name(name)}") for number, name in names]
        return brain + edges

    def _legend_entry(self, mask: views.Mask) -> dict[str, Any]:
        return {
            "key": mask.key, "label": mask.label, "colour": mask.style.colour, "dash": mask.style.dash,
            "distrusted": mask.distrusted, "empty": not mask.volume.data.any(),
        }  # fmt: skip


def _template() -> Any:
    """The page's template; everything that is put in is escaped."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("thalbids.reports"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("participant.html")
