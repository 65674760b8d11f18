"""``group.html``: the story of a cohort on one self-contained page, and its figures as files.

The page is made from the ``group_*.tsv`` of a folder alone, so that it can be written again without any computation.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thalbids.files import write_bytes, write_text
from thalbids.reports import text
from thalbids.reports.boilerplate import Paragraphs
from thalbids.reports.group import manuscript
from thalbids.reports.group.figures import canvas
from thalbids.reports.group.group_data import Tables
from thalbids.reports.group.latex import latex
from thalbids.reports.group.section import MOST_ROWS, PageTable, Section
from thalbids.reports.templating import template

TABLES = "group_tables"  # .tex and .docx, and a folder with a .csv of each table
FIGURES = "group_figures"  # folder beside the page
WIDE = 6.0  # inches; a wider panel scrolls on a small screen
MOST_PRESSING = 5
MOST_WARNINGS = 2  # of a section, at the top of the page
PIXELS = 96  # of a screen, per inch


@dataclass(frozen=True)
class _Picture:
    source: str
    alt: str
    width: int
    height: int
    wide: bool


def write_group_report(
    tables: Tables,
    story: Sequence[Callable[[Tables], Section]],
    provenance: Mapping[str, Mapping[str, object] | str],
    methods_paragraph: Paragraphs | None = None,
    nprocs: int = 1,
    simulated: str = "",
    pressing: Sequence[str] = (),
) -> list[Path]:
    """Write ``group.html`` and ``group_figures/*`` from the tables of a folder.

    Parameters
    ----------
    tables : those of the derivatives (``group_*.tsv``), beside which the page is written
    story : what makes the sections, in their order
    provenance : heading -> table (name -> value) or text, as in the participant's page
    methods_paragraph : from :func:`thalbids.reports.boilerplate.group`
    nprocs : processes that draw the figures
    pressing : notes of the run that stand at the top of the page
    simulated : what a simulated dataset is called; "" for one of real people

    Returns
    -------
    The files written, the page first.

    Raises
    ------
    MetadataError
        A table cannot be read.
    OutputError
        A file cannot be written.
    """
    out_dir = tables.folder
    sections = [make(tables) for make in story]
    every = canvas.draw_all([one for section in sections for one in section.figures], out_dir / FIGURES, nprocs)
    files = [path for one in every for path in one.files]
    drawn = iter(every)
    parts = [_part(section, [next(drawn) for _ in section.figures]) for section in sections]
    for path in (out_dir / FIGURES).glob("*.*"):  # of an earlier run, for sections that have no data any more
        if path not in files and path.suffix in (".svg", ".png"):
            path.unlink()
    page = template("group.html").render(
        simulated=simulated,
        sections=[part for part in parts if not part["nothing"]],
        without=[part for part in parts if part["nothing"]],
        headlines=headlines(sections),
        first=[*_notes(pressing), *warnings(sections)],
        paragraph=methods_paragraph.html() if methods_paragraph is not None else None,
        references=methods_paragraph.references() if methods_paragraph is not None else [],
        provenance=text.provenance(provenance),
        files=[tables.file(name) for name in tables.names()],
    )
    write_text(out_dir / "group.html", page)
    return [out_dir / "group.html", *write_tables(out_dir, sections), *files]


def write_tables(out_dir: Path, sections: Sequence[Section]) -> list[Path]:
    """The tables of the page for a manuscript: LaTeX, Word, and CSV; those of an earlier run go."""
    folder = out_dir / TABLES
    files = {folder / f"{name}.csv": shown for _, name, _, shown in manuscript.numbered(sections)}
    for path in folder.glob("*.csv"):
        if path not in files:
            path.unlink()
    for path, shown in files.items():
        write_text(path, manuscript.csv_text(shown))
    write_text(out_dir / f"{TABLES}.tex", latex(sections))
    write_bytes(out_dir / f"{TABLES}.docx", manuscript.docx(sections))
    return [out_dir / f"{TABLES}.tex", out_dir / f"{TABLES}.docx", *files]


@dataclass(frozen=True)
class Line:
    """A sentence of a section, for the top of the page."""

    key: str
    title: str
    text: str


def headlines(sections: Sequence[Section]) -> list[Line]:
    """The first sentence of each section that has one, in the order of the page."""
    return [Line(item.key, item.title, item.says[0]) for item in sections if item.says and not item.nothing]


def _notes(pressing: Sequence[str]) -> list[Line]:
    """Notes of the run for the top of the page, and how many more there are."""
    more = len(pressing) - MOST_PRESSING
    told = [*pressing[:MOST_PRESSING], *([f"... and {more} more, see the notes of the run."] if more > 0 else [])]
    return [Line("provenance", "The people", note) for note in told]


def warnings(sections: Sequence[Section]) -> list[Line]:
    """The first warnings of each section that has any."""
    told = [item for item in sections if not item.nothing]
    return [Line(item.key, item.title, text) for item in told for text in item.warnings[:MOST_WARNINGS]]


def _part(section: Section, drawn: Sequence[canvas.Drawn]) -> dict[str, Any]:
    """What the template shows of a section."""
    return {
        "key": section.key,
        "title": section.title,
        "says": section.says,
        "warnings": section.warnings,
        "caveats": list(dict.fromkeys(section.caveats)),
        "nothing": section.nothing,
        "figures": [
            {
                "title": one.figure.title,
                "intro": one.figure.intro,
                "table": one.figure.table,
                "svg": f"{FIGURES}/{one.figure.name}.svg",
                "png": f"{FIGURES}/{one.figure.name}.png",
                "pictures": [_picture(panel, svg) for panel, svg in zip(one.figure.panels, one.svgs, strict=True)],
            }
            for one in drawn
        ],
        "tables": [_table(shown) for shown in section.tables],
        "own": section.pictures,
    }


def _picture(panel: canvas.Panel, svg: str) -> _Picture:
    """An image of its own, so that nothing in it can reach the page."""
    source = "data:image/svg+xml;base64," + base64.b64encode(svg.encode("utf-8")).decode("ascii")
    size = round(panel.width * PIXELS), round(panel.height * PIXELS)
    return _Picture(source, panel.alt, *size, wide=panel.width > WIDE)


def _table(shown: PageTable) -> dict[str, Any]:
    rows = [list(row) for row in shown.rows[:MOST_ROWS]]
    return {
        "title": shown.title,
        "header": list(shown.header),
        "rows": rows,
        "words": [column for column in range(1, len(shown.header)) if _is_words([row[column] for row in rows])],
        "file": shown.file,
        "more": len(shown.rows) > len(rows),
        "folded": len(rows) > 12,
    }


def _is_words(cells: Sequence[str]) -> bool:
    """Whether a column is text: a cell begins with a letter."""
    return any(cell[:1].isalpha() for cell in cells)
