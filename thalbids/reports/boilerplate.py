"""The methods paragraph: sentences from ``thalbids/boilerplate`` for what really ran, with versions and references.

A fragment is a Markdown file with one sentence or two. It is used if and only if the run has the fact of the same name;
``fact`` in the fragment is what is known about it. Citations are written as in pandoc: ``[@key]`` or ``@key``.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

from thalbids.files import write_text
from thalbids.reports.words import listed

Facts = Mapping[str, Mapping[str, Any]]

LAYOUT: dict[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    "participant": (
        (
            "Image processing",
            (
                "software",
                "orientation",
                "registration",
                "strategy-mattes",
                "strategy-mattes-centre",
                "strategy-ants",
                "strategy-ants-centre",
                "strategy-fsl-mi",
                "strategy-fsl-nc",
                "strategy-fsl-flair",
                "strategy-other",
                "gate",
                "gate-excluded",
                "r1-given",
                "r1-inverted",
                "r1-mpm",
                "r1-mp2rage",
                "r1-estatics",
                "r1-angles",
                "r1-vfa",
                "r1-inversion",
                "r1-unringing",
                "scaling",
            ),
        ),
        (
            "Thalamus segmentation",
            (
                "methods",
                "method-other",
                "envelope",
                "images",
                "ensemble-union",
                "ensemble-majority",
                "ensemble-intersection",
                "ensemble-staple",
                "quality",
                "volume",
                "icv-synthal",
                "icv-freesurfer",
                "icv-freesurferLong",
                "icv-samseg",
                "icv-synthseg",
                "icv-given",
                "change-registration",
                "change-series",
                "siena",
            ),
        ),
    ),
    "group": (
        ("Statistics", ("software", "people", "followed", "icv", "descriptives", "rating")),
        ("Agreement", ("overlap", "overlap-tests", "containment", "agreement", "icc", "agreement-tests")),
        (
            "Change and clinical associations",
            (
                "groups",
                "norms",
                "change",
                "change-tests",
                "crosssectional",
                "longitudinal",
                "not-in-models",
                "left-out",
                "listwise",
                "site",
                "log",
                "ordinal-outcomes",
                "hc3",
                "family",
                "subset",
                "common",
                "common-beside",
                "associations",
                "missing-tests",
                "winsor",
                "ordinal",
                "brant",
                "influence",
                "imputed",
                "lost",
                "progression",
                "baseline-adjusted",
                "mixed",
                "pbvc",
                "pbvc-williams",
                "pbvc-steiger",
                "pbvc-zou",
                "combat",
                "samplesize",
                "responsiveness",
                "detection",
                "retest",
            ),
        ),
    ),
}
_CITED = re.compile(r"\[((?:@[\w-]+(?:;\s*)?)+)\]|@([\w-]+)")


@dataclass(frozen=True)
class Reference:
    """An entry of the bibliography, for reading; ``name`` is how the text names it."""

    key: str
    name: str
    text: str
    doi: str


@dataclass(frozen=True)
class Paragraphs:
    """Headings with their sentences; ``own`` are entries of methods from elsewhere, as of :func:`bibliography`."""

    parts: Sequence[tuple[str, Sequence[str]]]
    own: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def keys(self) -> list[str]:
        """What is cited, in the order of the text."""
        text = " ".join(sentence for _, sentences in self.parts for sentence in sentences)
        return cited(text)

    def references(self) -> list[Reference]:
        """The bibliography of this text."""
        return [reference(key, self.own) for key in self.keys()]

    def bibtex(self) -> str:
        """The entries of this text, as in ``references.bib``."""
        known = {**self.own, **bibliography()}
        return "\n\n".join(known[key]["entry"] for key in sorted(self.keys()) if key in known) + "\n"

    def markdown(self) -> str:
        """For pandoc: citations stay keys."""
        return "\n\n".join(f"## {heading}\n\n{' '.join(sentences)}" for heading, sentences in self.parts) + "\n"

    def html(self) -> str:
        """Safe HTML: everything is escaped but our own links."""
        out = []
        for heading, sentences in self.parts:
            out += [f"<h3>{escape(heading)}</h3>", f"<p>{_linked(' '.join(sentences), self.own)}</p>"]
        return "\n".join(out)


def assemble(level: str, facts: Facts, versions: Mapping[str, str]) -> Paragraphs:
    """The text of a level from the facts of a run.

    Parameters
    ----------
    level : ``participant`` or ``group``
    facts : fragment name -> what is known; ``methods`` holds ready sentences under ``sentences``, and the entries of
        methods from elsewhere under ``references``
    versions : program -> version; ``thalbids`` must be there

    Raises
    ------
    KeyError
        A fact has no fragment (a mistake of the caller).
    """
    known = [name for _, names in LAYOUT[level] for name in names]
    unknown = sorted(set(facts) - set(known))
    if unknown:
        raise KeyError(f"no fragment for {', '.join(unknown)}")
    parts = []
    for heading, names in LAYOUT[level]:
        sentences: list[str] = []
        for name in names:
            if name in facts:
                sentences += facts[name]["sentences"] if name == "methods" else [_filled(level, name, facts, versions)]
        if sentences:
            parts.append((heading, sentences))
    return Paragraphs(parts, facts.get("methods", {}).get("references", {}))


def joined(*texts: Paragraphs) -> Paragraphs:
    """Several texts one after the other."""
    cited = {key: entry for text in texts for key, entry in text.own.items()}
    return Paragraphs([part for text in texts for part in text.parts], cited)


def write(paragraphs: Paragraphs, folder: Path, name: str = "CITATION") -> list[Path]:
    """Write ``CITATION.md``, ``.html``, ``.bib`` and, where pandoc is installed, ``.tex``.

    Returns
    -------
    The files written. The Markdown says when there is no LaTeX.

    Raises
    ------
    OutputError
        A file cannot be written.
    """
    head = "# Methods\n\nWritten by thalbids for what was done in this run. Adapt it to your study.\n\n"
    bib, md, html = folder / f"{name}.bib", folder / f"{name}.md", folder / f"{name}.html"
    write_text(bib, paragraphs.bibtex())
    write_text(md, head + paragraphs.markdown())
    write_text(html, _page(paragraphs))
    tex = _latex(md, bib)
    if tex is None:
        return [md, html, bib]
    write_text(folder / f"{name}.tex", tex)
    return [md, html, bib, folder / f"{name}.tex"]


def cited(text: str) -> list[str]:
    """The keys cited in a text, each once.

    Examples
    --------
    >>> cited("A [@b2020; @a2010] after @c1999.")
    ['b2020', 'a2010', 'c1999']
    """
    keys: list[str] = []
    for several, one in _CITED.findall(text):
        keys += [key.strip().lstrip("@") for key in several.split(";")] if several else [one]
    return list(dict.fromkeys(keys))


def fragment(level: str, name: str) -> str:
    """The Markdown of a fragment."""
    return (_folder() / level / f"{name}.md").read_text(encoding="utf-8").strip()


@cache
def bibliography() -> Mapping[str, Mapping[str, str]]:
    """``references.bib``: key -> fields, with ``type`` and the whole ``entry``."""
    return entries((_folder() / "references.bib").read_text(encoding="utf-8"))


def entries(text: str) -> Mapping[str, Mapping[str, str]]:
    """Entries of BibTeX by their keys; a field is a line ``name = {value},``, the last brace stands alone."""
    by_key: dict[str, Mapping[str, str]] = {}
    for entry in re.findall(r"^@\w+\{.*?^\}", text, flags=re.DOTALL | re.MULTILINE):
        head = re.match(r"@(\w+)\{([^,]+),", entry)
        fields = dict(re.findall(r"^\s+(\w+) = \{(.*)\},$", entry, flags=re.MULTILINE))
        if head and {"author", "title", "year"} <= set(fields):
            by_key[head[2].strip()] = {**fields, "type": head[1].lower(), "entry": entry}
    return by_key


def reference(key: str, more: Mapping[str, Mapping[str, str]] | None = None) -> Reference:
    """An entry as people read it; a key of a method from elsewhere that has none in ``more`` stands for itself."""
    entry = {**(more or {}), **bibliography()}.get(key)
    if entry is None:
        return Reference(key, key, f"{key}: the method gives no reference.", "")
    authors = [_plain(author) for author in entry["author"].split(" and ")]
    families = [author.split(",")[0] for author in authors]
    name = (
        families[0]
        if len(families) == 1
        else f"{families[0]} and {families[1]}"
        if len(families) == 2
        else f"{families[0]} et al."
    )
    shown = ", ".join(author.replace(",", "") for author in authors[:3]).rstrip(".")
    shown += ", et al." if len(authors) > 3 else "."
    place = _plain(entry.get("journal") or entry.get("booktitle") or entry.get("howpublished", ""))
    where = " ".join(filter(None, [entry.get("volume", ""), f"({entry['number']})" if "number" in entry else ""]))
    pages = f": {entry['pages'].replace('--', '–')}" if "pages" in entry else ""
    text = f"{shown} {entry['year']}. {_plain(entry['title'])}. {place} {where}".rstrip() + f"{pages}."
    return Reference(key, f"{name}, {entry['year']}", text, entry.get("doi", ""))


def _folder() -> Any:
    """The folder in the installed package; where that runs from its source, the one at the top of the repository."""
    package = resources.files("thalbids")
    folder = package / "boilerplate"
    return folder if folder.is_dir() else Path(str(package)).parent / "boilerplate"


def _filled(level: str, name: str, facts: Facts, versions: Mapping[str, str]) -> str:
    import jinja2

    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)  # noqa: S701 (Markdown)
    environment.filters["listed"] = lambda words: listed([quiet(word) for word in words], 12)
    template = environment.from_string(fragment(level, name))
    return " ".join(
        template.render(fact=facts[name], versions=versions, v=lambda program: _version(versions, program)).split()
    )


def _version(versions: Mapping[str, str], program: str) -> str:
    """`` 1.2.3``, or nothing where the version is not known."""
    number = {name.lower(): version for name, version in versions.items()}.get(program.lower())
    return f" {quiet(number)}" if number else ""


def quiet(word: Any) -> str:
    """A word from outside without the signs that mean something in Markdown, LaTeX or citations."""
    return " ".join(re.sub(r"[@\[\]*_`<>#\\|${}^~]", " ", str(word)).split())


def _linked(text: str, more: Mapping[str, Mapping[str, str]]) -> str:
    """Escaped text with citations as links to the list of references."""

    def link(key: str) -> str:
        return f'<a href="#ref-{escape(key)}">{escape(reference(key, more).name)}</a>'

    parts, last = [], 0
    for match in _CITED.finditer(text):
        parts.append(escape(text[last : match.start()]))
        keys = cited(match.group())
        parts.append(f"({'; '.join(map(link, keys))})" if match[1] else link(keys[0]))
        last = match.end()
    return "".join([*parts, escape(text[last:])])


def _page(paragraphs: Paragraphs) -> str:
    items = "\n".join(
        f'<li id="ref-{escape(r.key)}">{escape(r.text)}'
        + (f' <a href="https://doi.org/{escape(r.doi)}">doi:{escape(r.doi)}</a>' if r.doi else "")
        + "</li>"
        for r in paragraphs.references()
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>Methods</title>\n'
        "<style>body { max-width: 42em; margin: 2em auto; padding: 0 1em; font: 16px/1.5 system-ui, sans-serif } "
        "li { margin: 4px 0; overflow-wrap: anywhere }</style>\n</head>\n<body>\n<h1>Methods</h1>\n"
        "<p><em>Written by thalbids for what was done in this run. Adapt it to your study.</em></p>\n"
        f"{paragraphs.html()}\n<h2>References</h2>\n<ol>\n{items}\n</ol>\n</body>\n</html>\n"
    )


def _latex(md: Path, bib: Path) -> str | None:
    """LaTeX by pandoc; None where there is no pandoc, or an old one that fails."""
    pandoc = shutil.which("pandoc")
    if pandoc is None:
        return None
    command = [
        pandoc,
        "--standalone",
        "--natbib",
        f"--bibliography={bib.name}",
        "--from=markdown",
        "--to=latex",
        md.name,
    ]
    try:
        done = subprocess.run(command, cwd=md.parent, capture_output=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("utf-8")


_ACCENTS = {"\\'": "\u0301", "\\^": "\u0302", "\\~": "\u0303", '\\"': "\u0308", "\\c": "\u0327"}


def _plain(text: str) -> str:
    """BibTeX text without braces and accents of LaTeX."""
    import unicodedata

    def accent(match: re.Match[str]) -> str:
        return unicodedata.normalize("NFC", match[2] + _ACCENTS[match[1]])

    text = re.sub(r"\{(\\['^~\"c])\{?(\w)\}?\}", accent, text)
    return re.sub(r"[{}]", "", text.replace("\\&", "&").replace("--", "–"))


def sentences_of(methods: Iterable[Any]) -> list[str]:
    """The sentences that methods say of themselves, each with its citations."""
    out = []
    for method in methods:
        missing = [key for key in method.citations if key not in cited(method.sentence)]
        sentence = method.sentence.rstrip()
        if missing:
            sentence = f"{sentence.removesuffix('.')} [{'; '.join(f'@{key}' for key in missing)}]."
        out.append(sentence)
    return out
