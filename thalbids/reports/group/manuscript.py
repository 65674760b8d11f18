"""The tables of the page for a manuscript: a Word document, and a CSV file each."""

from __future__ import annotations

import csv
import datetime
import io
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from thalbids.reports.group.section import MOST_ROWS, PageTable, Section

if TYPE_CHECKING:
    from docx.document import Document

BOM = "\ufeff"  # without it spreadsheets take UTF-8 for another encoding
FORMULA = ("=", "+", "@", "\t")  # how a cell begins that a spreadsheet would compute
DATE = datetime.datetime(2000, 1, 1)  # of every document: its content says when nothing
POINTS = 8
CELL, HEAD = "TableCell", "TableHead"  # paragraphs of a table


def numbered(sections: Sequence[Section]) -> Iterator[tuple[int, str, Section, PageTable]]:
    """Every table that has rows: its number, a name for its file, its section, and itself."""
    seen: Counter[str] = Counter()
    for section in sections:
        for shown in section.tables:
            if shown.rows:
                name = f"{section.key}-{shown.file.removeprefix('group_').removesuffix('.tsv')}"
                seen[name] += 1
                repeated = f"-{seen[name]}" if seen[name] > 1 else ""
                yield seen.total(), name + repeated, section, shown


def csv_text(shown: PageTable) -> str:
    """A table as CSV with its header, all rows, rounded as on the page.

    Examples
    --------
    >>> from thalbids.reports.group.section import PageTable
    >>> csv_text(PageTable("", ["Group", "mL"], [["=HC", "-0.1"]], "")).splitlines()[1:]
    ["'=HC,-0.1"]
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerows([[_cell(str(cell)) for cell in row] for row in (shown.header, *shown.rows)])
    return BOM + text.getvalue()


def _cell(text: str) -> str:
    return f"'{text}" if text.startswith(FORMULA) else text


def docx(sections: Sequence[Section]) -> bytes:
    """Every table in a Word document, landscape, with a caption and three rules; the same bytes for the same tables.

    Of a long table the first rows stand there, and the name of the file that has all.
    """
    import docx as library
    from docx.enum.section import WD_ORIENT
    from docx.enum.style import WD_STYLE_TYPE
    from docx.shared import Cm, Pt

    document = library.Document()
    page = document.sections[0]
    page.orientation, page.page_width, page.page_height = WD_ORIENT.LANDSCAPE, Cm(29.7), Cm(21)
    page.left_margin = page.right_margin = page.top_margin = page.bottom_margin = Cm(1.5)
    document.styles["Normal"].font.name = "Times New Roman"
    document.styles["Normal"].font.size = Pt(10)
    for name, bold in ((CELL, False), (HEAD, True)):
        style = document.styles.add_style(name, WD_STYLE_TYPE.PARAGRAPH)
        style.base_style = document.styles["Normal"]
        style.font.size, style.font.bold, style.paragraph_format.space_after = Pt(POINTS), bold, Pt(0)
    properties = document.core_properties
    properties.author, properties.title, properties.comments = "thalbids", "Tables of the group report", ""
    properties.created = properties.modified = DATE
    for number, _, section, shown in numbered(sections):
        _table(document, number, section, shown)
    return _same_bytes(document)


def _table(document: Document, number: int, section: Section, shown: PageTable) -> None:
    from docx.shared import Pt

    caption = document.add_paragraph()
    caption.paragraph_format.keep_with_next = True
    caption.paragraph_format.space_before = Pt(12)
    caption.add_run(f"Table {number}. ").bold = True
    caption.add_run(f"{section.title}: {shown.title}.")
    rows = [list(row) for row in shown.rows[:MOST_ROWS]]
    table = document.add_table(rows=len(rows) + 1, cols=len(shown.header))
    texts = [str(text) for row in (shown.header, *rows) for text in row]
    for place, (cell, text) in enumerate(zip(table._tbl.iter_tcs(), texts, strict=True)):
        paragraph = cell.p_lst[0]
        paragraph.style = HEAD if place < len(shown.header) else CELL
        paragraph.add_r().text = text
    _rules(table)
    more = (
        f"The first {len(rows)} of {len(shown.rows)} rows; all" if len(shown.rows) > len(rows) else "Unrounded values"
    )
    note = document.add_paragraph().add_run(f"{more} are in {shown.file}.")
    note.italic = True
    note.font.size = Pt(POINTS)


def _rules(table: Any) -> None:
    """Lines above and below the table and below its header, which stands again on every page."""
    from docx.oxml import OxmlElement
    from docx.oxml.ns import qn

    def lines(properties: Any, tag: str, sides: Sequence[str]) -> None:
        borders = OxmlElement(tag)
        for side in sides:
            line = OxmlElement(f"w:{side}")
            for name, value in (("val", "single"), ("sz", "8"), ("space", "0"), ("color", "000000")):
                line.set(qn(f"w:{name}"), value)
            borders.append(line)
        properties.append(borders)

    lines(table._tbl.tblPr, "w:tblBorders", ("top", "bottom"))
    first = table.rows[0]
    for cell in first.cells:
        lines(cell._tc.get_or_add_tcPr(), "w:tcBorders", ("bottom",))
    repeated = OxmlElement("w:tblHeader")
    first._tr.get_or_add_trPr().append(repeated)


def _same_bytes(document: Document) -> bytes:
    """The document with one date in place of the time of writing, which a .docx (a ZIP archive) holds per file."""
    written, fixed = io.BytesIO(), io.BytesIO()
    document.save(written)
    with zipfile.ZipFile(written) as source, zipfile.ZipFile(fixed, "w", zipfile.ZIP_DEFLATED) as target:
        for name in sorted(source.namelist(), key=lambda name: (name != "[Content_Types].xml", name)):
            target.writestr(zipfile.ZipInfo(name, DATE.timetuple()[:6]), source.read(name), zipfile.ZIP_DEFLATED)
    return fixed.getvalue()
