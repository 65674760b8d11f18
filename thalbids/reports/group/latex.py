"""The tables of the page as LaTeX, to be set into a manuscript: ``group_tables.tex``."""

from __future__ import annotations

from collections.abc import Sequence

from thalbids.reports.group.section import PageTable, Section

HEAD = (
    "% Tables of the group report, rounded as on the page; unrounded numbers are in the files that are named.\n"
    "% Needs \\usepackage{booktabs,longtable}; input this file, or copy single tables.\n"
)
SIGNS = {  # of the page, which pdflatex does not have in text
    "±": r"$\pm$", "–": "--", "−": "$-$", "β": r"$\beta$", "ρ": r"$\rho$", "²": "$^2$", "<": "$<$", ">": "$>$",
}  # fmt: skip


def latex(sections: Sequence[Section]) -> str:
    r"""Every table of the sections as a longtable with rules of booktabs, by pandas' Styler.

    Examples
    --------
    >>> from thalbids.reports.group.section import PageTable
    >>> shown = PageTable("Volumes", ["Method", "mL"], [["first_T1w", "12 ± 1"]], "group_volumes.tsv")
    >>> "first\\_T1w & 12 $\\pm$ 1" in latex([Section("volumes", "Volumes", tables=[shown])])
    True
    """
    parts = [HEAD]
    for section in sections:
        for number, shown in enumerate(section.tables, start=1):
            if shown.rows:
                parts.append(_table(section, shown, f"tab:{section.key}-{number}"))
    return "\n".join(parts)


def _table(section: Section, shown: PageTable, label: str) -> str:
    import pandas as pd

    header = [_text(name) for name in shown.header]
    columns = [f"c{i}" for i in range(len(header))]  # names may stand twice
    frame = pd.DataFrame([[_text(cell) for cell in row] for row in shown.rows], columns=columns)
    plain = [name.replace("{", "{{").replace("}", "}}") for name in header]  # the Styler formats them
    styled = frame.style.hide(axis="index").relabel_index(plain, axis="columns")
    caption = f"{_text(section.title)}: {_text(shown.title)} ({_text(shown.file)})."
    form = "l" + "r" * (len(header) - 1)
    text: str = styled.to_latex(
        hrules=True, environment="longtable", caption=caption, label=label, column_format=form
    )  # fmt: skip
    return text


def _text(text: str) -> str:
    """A cell with the characters escaped that LaTeX takes for commands."""
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    special |= {name: "\\" + name for name in "&%$#_{}"}
    return "".join(special.get(one, SIGNS.get(one, one)) for one in str(text))
